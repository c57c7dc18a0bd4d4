//! How connections come, grow old and go.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::join_all;
use http::{HeaderName, HeaderValue};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::time::timeout;

use super::peer::{Service, answer, serve_h2, tcp_service};
use super::{WORKER, call, echo, said, text};
use crate::backend::{Backend, Builtins, ConnectionsSpec, EndpointSpec, GrpcSpec, Reply, Request, Spec, SpecKind};

/// A service that counts its connections. It takes calls while it is up, and loses all connections when it goes down. Calls that say
/// `x-hold` are held until it is told to let them go.
struct Counted {
    service: Service,
    state: watch::Sender<State>,
    dialled: Arc<AtomicUsize>,
    served: Arc<AtomicUsize>,
    ended: Arc<AtomicUsize>,
}

#[derive(Clone, Copy)]
struct State {
    up: bool,
    hold: bool,
}

// === impl Counted ===

impl Counted {
    async fn new() -> Counted {
        let (state, told) = watch::channel(State { up: true, hold: true });
        let counts: [Arc<AtomicUsize>; 3] = Default::default();
        let [dialled, served, ended] = counts.clone();
        let service = tcp_service(move |tcp| {
            let (dialled, served, ended, mut told) = (Arc::clone(&dialled), Arc::clone(&served), Arc::clone(&ended), told.clone());
            async move {
                dialled.fetch_add(1, Ordering::SeqCst);
                if !told.borrow().up {
                    return;
                }
                served.fetch_add(1, Ordering::SeqCst);
                let released = told.clone();
                let serving = serve_h2(tcp, |request, response| {
                    let (hold, mut released) = (request.headers().contains_key("x-hold"), released.clone());
                    async move {
                        if hold {
                            let _ = released.wait_for(|state| !state.hold).await;
                        }
                        answer(response, &[], "0");
                    }
                });
                tokio::select! {
                    () = serving => {}
                    _ = told.wait_for(|state| !state.up) => {}
                }
                ended.fetch_add(1, Ordering::SeqCst);
            }
        })
        .await;
        let [dialled, served, ended] = counts;
        Counted { service, state, dialled, served, ended }
    }

    fn is_up(&self, up: bool) {
        self.state.send_modify(|state| state.up = up);
    }

    fn let_go(&self) {
        self.state.send_modify(|state| state.hold = false);
    }

    fn backend(&self, connections: ConnectionsSpec) -> Arc<Backend> {
        let endpoints = vec![EndpointSpec::new("127.0.0.1", self.service.port, false)];
        let kind = SpecKind::Grpc(Box::new(GrpcSpec { connections, connect_timeout: Duration::from_secs(20), ..GrpcSpec::at(endpoints) }));
        let builtins = Builtins::new(Handle::current());
        Backend::open(Spec { name: Arc::from("test"), kind }, 2, &builtins, None).expect("a backend that can be opened")
    }
}

fn of_age(age_max: Duration) -> ConnectionsSpec {
    ConnectionsSpec { age_max: Some(age_max), ..ConnectionsSpec::default() }
}

/// A call that the service holds.
fn held() -> Request {
    let mut request = echo("hello");
    request.metadata.push((HeaderName::from_static("x-hold"), HeaderValue::from_static("1")));
    request
}

async fn until(what: &str, is: impl Fn() -> bool) {
    let becomes = async {
        while !is() {
            tokio::task::yield_now().await;
        }
    };
    timeout(Duration::from_secs(20), becomes).await.unwrap_or_else(|_| panic!("{what}"));
}

fn count(counter: &AtomicUsize) -> usize {
    counter.load(Ordering::SeqCst)
}

#[tokio::test]
async fn a_lost_connection_is_made_again_whether_anybody_calls_or_not() {
    let peer = Counted::new().await;
    let backend = peer.backend(ConnectionsSpec::default());
    assert_eq!(said(call(&backend, "hello").await), "");

    peer.is_up(false);
    until("it is tried again and again", || count(&peer.dialled) >= 4).await;
    assert!(call(&backend, "hello").await.expect_err("it is down").is_unsent());

    peer.is_up(true);
    let back = until("it is back", || count(&peer.served) == 2);
    timeout(Duration::from_secs(1 + 4), back).await.expect("within the longest pause, and what a busy machine adds");
    assert_eq!(said(call(&backend, "hello").await), "");
    assert_eq!((count(&peer.served), count(&peer.ended)), (2, 1));
}

#[tokio::test]
async fn a_backend_that_is_gone_connects_no_more() {
    let peer = Counted::new().await;
    let backend = peer.backend(ConnectionsSpec::default());
    assert_eq!(said(call(&backend, "hello").await), "");
    peer.is_up(false);
    until("it is tried again", || count(&peer.dialled) >= 2).await;
    drop(backend);
    let more = count(&peer.dialled) + 2;
    let tried = timeout(Duration::from_millis(1_200), until("", || count(&peer.dialled) >= more)).await;
    assert!(tried.is_err(), "it is still tried");
}

#[tokio::test]
async fn an_old_connection_is_replaced_without_a_call_noticing() {
    let peer = Counted::new().await;
    let backend = peer.backend(of_age(Duration::from_millis(50)));
    let mut first = Box::pin(backend.call(WORKER, held()));
    assert!(first.as_mut().now_or_never().is_none());
    let calling = async {
        while count(&peer.served) < 3 {
            assert_eq!(said(call(&backend, "hello").await), "");
        }
        until("the second has nothing left to do", || count(&peer.ended) >= 1).await;
        peer.let_go();
    };
    let (answer, ()) = tokio::join!(first, timeout(Duration::from_secs(20), calling).map(|all| all.expect("it is replaced")));
    assert_eq!(answer.map(text).expect("held, and answered"), "");
    until("the first has nothing left to do either", || count(&peer.ended) >= 2).await;
    assert!(count(&peer.served) - count(&peer.ended) <= 2, "one in use, and perhaps its successor");
}

#[tokio::test]
async fn an_old_connection_goes_on_while_no_other_can_be_made() {
    let peer = Counted::new().await;
    let backend = peer.backend(of_age(Duration::from_millis(50)));
    assert_eq!(said(call(&backend, "hello").await), "");
    // From now on nobody listens; whoever is connected stays.
    drop(peer.service);
    let calls = async {
        loop {
            assert_eq!(said(call(&backend, "hello").await), "");
            tokio::task::yield_now().await;
        }
    };
    assert!(timeout(Duration::from_millis(300), calls).await.is_err(), "it never ends");
    assert_eq!((count(&peer.served), count(&peer.ended)), (1, 0));
}

/// So many calls that two connections are not enough, which carry 1,024 each; and they are held until both are there.
async fn burst(peer: &Counted, backend: &Backend) -> Vec<crate::failure::Result<Reply>> {
    let calls = join_all((0..2_049).map(|_| backend.call(WORKER, held())));
    let release = async {
        until("both are there", || count(&peer.served) >= 2).await;
        tokio::task::yield_now().await;
        peer.let_go();
    };
    tokio::join!(calls, release).0
}

#[tokio::test]
async fn a_lane_keeps_to_its_bound() {
    let peer = Counted::new().await;
    let backend = peer.backend(ConnectionsSpec { max: 2, age_max: None });
    let shed: Vec<_> = burst(&peer, &backend).await.into_iter().filter_map(Result::err).collect();
    assert!(shed.iter().all(|failure| failure.reason() == "OVERLOADED" && failure.is_unsent()), "{:?}", shed.first());
    assert_eq!((count(&peer.served), count(&peer.ended)), (2, 0));
}

#[tokio::test]
async fn what_a_burst_has_opened_is_let_go_when_it_is_of_age_and_idle() {
    let peer = Counted::new().await;
    let backend = peer.backend(ConnectionsSpec { max: 2, age_max: Some(Duration::from_millis(200)) });
    burst(&peer, &backend).await;
    until("one is left", || count(&peer.served) == count(&peer.ended) + 1).await;
}
