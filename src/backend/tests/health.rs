//! Conversations with services that are asked how they are.

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::time::timeout;

use super::peer::{Service, answer, dead_port, h2_service};
use super::{call, said};
use crate::backend::{Backend, BalancePolicy, Builtins, EndpointSpec, GrpcSpec, HealthSpec, Spec, SpecKind};

const NOBODY: &str = "UNAVAILABLE UNAVAILABLE";

/// What a patient answers when it is asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Says {
    Status(u8),
    Failure(&'static str),
    Nothing,
}

const SERVING: Says = Says::Status(1);
const NOT_SERVING: Says = Says::Status(2);
const UNIMPLEMENTED: Says = Says::Failure("12");

/// A service that answers calls with nothing, and checks as it is told.
struct Patient {
    service: Service,
    says: watch::Sender<Says>,
    /// Checks, and other calls.
    checks: Arc<AtomicUsize>,
    calls: Arc<AtomicUsize>,
}

// === impl Patient ===

impl Patient {
    async fn new(says: Says) -> Patient {
        let (says, heard) = watch::channel(says);
        let (checks, calls) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (checked, called) = (Arc::clone(&checks), Arc::clone(&calls));
        let service = h2_service(move |request, response| {
            let is_check = request.uri().path() == "/grpc.health.v1.Health/Check";
            let says = if is_check { *heard.borrow() } else { Says::Status(0) };
            let count = if is_check { &checked } else { &called };
            count.fetch_add(1, Ordering::SeqCst);
            async move {
                match says {
                    Says::Status(0) => answer(response, &[], "0"),
                    Says::Status(status) => answer(response, &[8, status], "0"),
                    Says::Failure(code) => answer(response, &[], code),
                    Says::Nothing => pending().await,
                }
            }
        })
        .await;
        Patient { service, says, checks, calls }
    }

    fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }

    /// Waits until so many more checks have come.
    async fn until_checked(&self, more: usize) {
        let enough = self.checks.load(Ordering::SeqCst) + more;
        let come = async {
            while self.checks.load(Ordering::SeqCst) < enough {
                tokio::task::yield_now().await;
            }
        };
        timeout(Duration::from_secs(20), come).await.expect("checks come");
    }
}

fn health() -> HealthSpec {
    HealthSpec { interval: Duration::from_millis(5), timeout: Duration::from_millis(200), ..HealthSpec::default() }
}

fn open(ports: &[u16], health: Option<HealthSpec>, before: Option<&Backend>) -> Arc<Backend> {
    let endpoints = ports.iter().map(|&port| EndpointSpec::new("127.0.0.1", port, false)).collect();
    let kind = SpecKind::Grpc(Box::new(GrpcSpec { health, balance: BalancePolicy::RoundRobin, ..GrpcSpec::at(endpoints) }));
    let builtins = Builtins::new(Handle::current());
    Backend::open(Spec { name: Arc::from("test"), kind }, 2, &builtins, before).expect("a backend that can be opened")
}

/// Calls until this is what is said.
async fn until_said(backend: &Backend, expected: &str) {
    let becomes = async {
        while said(call(backend, "hello").await) != expected {
            tokio::task::yield_now().await;
        }
    };
    timeout(Duration::from_secs(20), becomes).await.expect("it comes to be said");
}

#[tokio::test]
async fn an_ill_endpoint_is_called_no_more_until_it_is_well() {
    let (one, other) = (Patient::new(SERVING).await, Patient::new(SERVING).await);
    let backend = open(&[one.service.port, other.service.port], Some(health()), None);
    one.until_checked(2).await;
    for _ in 0..10 {
        assert_eq!(said(call(&backend, "hello").await), "");
    }
    assert_eq!((one.calls(), other.calls()), (5, 5));

    one.says.send_replace(NOT_SERVING);
    // Three to fall ill, and one more to be sure that the third was read.
    one.until_checked(4).await;
    for _ in 0..10 {
        assert_eq!(said(call(&backend, "hello").await), "");
    }
    assert_eq!((one.calls(), other.calls()), (5, 15));

    one.says.send_replace(SERVING);
    one.until_checked(3).await;
    for _ in 0..10 {
        assert_eq!(said(call(&backend, "hello").await), "");
    }
    assert_eq!((one.calls(), other.calls()), (10, 20));
}

#[tokio::test]
async fn when_all_are_ill_calls_fail_at_once_and_say_so() {
    for says in [NOT_SERVING, Says::Status(3), Says::Failure("5"), Says::Nothing] {
        let patient = Patient::new(says).await;
        let backend = open(&[patient.service.port], Some(health()), None);
        until_said(&backend, NOBODY).await;
        let failure = call(&backend, "hello").await.expect_err("nobody is well");
        assert!(failure.is_unsent() && failure.message().contains("health checks find all of them ill"), "{says:?}: {failure}");
        patient.says.send_replace(SERVING);
        until_said(&backend, "").await;
    }
}

#[tokio::test]
async fn a_service_without_the_protocol_is_taken_to_be_well() {
    let patient = Patient::new(UNIMPLEMENTED).await;
    let backend = open(&[patient.service.port], Some(health()), None);
    patient.until_checked(5).await;
    assert_eq!(said(call(&backend, "hello").await), "");
}

#[tokio::test]
async fn who_cannot_be_reached_is_ill() {
    let backend = open(&[dead_port().await], Some(health()), None);
    let ill = async {
        while !call(&backend, "hello").await.expect_err("nobody listens").message().contains("health checks") {
            tokio::task::yield_now().await;
        }
    };
    timeout(Duration::from_secs(20), ill).await.expect("it is found ill");
}

#[tokio::test]
async fn a_reload_keeps_what_is_known_and_a_backend_without_checks_knows_nothing() {
    let patient = Patient::new(NOT_SERVING).await;
    let ports = [patient.service.port];
    let backend = open(&ports, Some(health()), None);
    until_said(&backend, NOBODY).await;
    let calls = patient.calls();

    let twin = open(&[ports[0], dead_port().await], Some(health()), Some(&backend));
    for _ in 0..10 {
        assert_eq!(said(call(&twin, "hello").await), NOBODY);
    }
    assert_eq!(patient.calls(), calls);
    let unchecked = open(&ports, None, Some(&twin));
    assert_eq!(said(call(&unchecked, "hello").await), "");
}

#[tokio::test]
async fn nobody_asks_for_a_backend_that_is_gone() {
    let patient = Patient::new(SERVING).await;
    let backend = open(&[patient.service.port], Some(health()), None);
    patient.until_checked(1).await;
    drop(backend);
    // One that was under way may still arrive. In this time twenty would come.
    let more = timeout(Duration::from_millis(100), patient.until_checked(2)).await;
    assert!(more.is_err(), "it is still asked");
}
