//! Conversations about what is tried again, what is refused, and who is left alone.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use h2::Reason;
use h2::server::SendResponse;
use http::{HeaderMap, HeaderName, HeaderValue, Response};
use tokio::runtime::Handle;
use tokio::time::Instant;

use super::peer::{Service, dead_port, h2_service, tonic_service};
use super::{WORKER, echo, said, text};
use crate::backend::{
    Backend, BalancePolicy, BreakerSpec, BudgetSpec, Builtins, EndpointSpec, EndpointState, GrpcSpec, LimitsSpec, Request, RetryPolicy,
    Source, Spec, SpecKind, frame,
};
use crate::failure::Code;
use crate::id::WorkerId;

/// A backend with these ports, and all else as `set` has it.
fn backend_with(ports: &[u16], set: impl FnOnce(&mut GrpcSpec)) -> Arc<Backend> {
    over(ports, set, None)
}

/// The same, in the place of another.
fn over(ports: &[u16], set: impl FnOnce(&mut GrpcSpec), before: Option<&Backend>) -> Arc<Backend> {
    let mut spec = GrpcSpec::at(ports.iter().map(|&port| EndpointSpec::new("127.0.0.1", port, false)).collect());
    // So that a test knows who is asked next.
    spec.balance = BalancePolicy::RoundRobin;
    set(&mut spec);
    let spec = Spec { name: Arc::from("test"), kind: SpecKind::Grpc(Box::new(spec)) };
    Backend::open(spec, 2, &Builtins::new(Handle::current()), before).expect("a backend that can be opened")
}

/// A call that may be repeated.
fn idempotent(policy: RetryPolicy) -> Request {
    Request { retry: Some(Arc::new(policy)), ..echo("hello") }
}

fn quick() -> RetryPolicy {
    RetryPolicy { backoff_min: Duration::from_millis(5), backoff_max: Duration::from_millis(10), ..RetryPolicy::default() }
}

async fn outcome(backend: &Backend, request: Request) -> String {
    said(backend.call(WORKER, request).await.map(text))
}

fn head() -> Response<()> {
    Response::builder().header("content-type", "application/grpc").body(()).expect("a response")
}

fn entries(entries: &[(&'static str, &'static str)]) -> HeaderMap {
    entries.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))).collect()
}

/// Says no by nothing but headers.
fn refuse(mut response: SendResponse<Bytes>, said: &[(&'static str, &'static str)]) {
    let mut refused = head();
    refused.headers_mut().extend(entries(said));
    let _ = response.send_response(refused, true);
}

fn accept(mut response: SendResponse<Bytes>) {
    let Ok(mut body) = response.send_response(head(), false) else { return };
    let _ = body.send_data(Bytes::copy_from_slice(&frame(0)), false);
    let _ = body.send_trailers(entries(&[("grpc-status", "0")]));
}

/// A service that says no so many times first, and what it was told of earlier attempts.
async fn reluctant(
    refusals: usize,
    said: &'static [(&'static str, &'static str)],
) -> (Service, Arc<AtomicUsize>, Arc<std::sync::Mutex<Vec<String>>>) {
    let calls = Arc::new(AtomicUsize::new(0));
    let told = Arc::new(std::sync::Mutex::new(Vec::new()));
    let (count, heard) = (Arc::clone(&calls), Arc::clone(&told));
    let service = h2_service(move |request, response| {
        let number = count.fetch_add(1, Ordering::SeqCst);
        let previous = request.headers().get("grpc-previous-rpc-attempts").and_then(|value| value.to_str().ok()).unwrap_or("-");
        heard.lock().expect("nobody panics").push(previous.to_owned());
        async move { if number < refusals { refuse(response, said) } else { accept(response) } }
    })
    .await;
    (service, calls, told)
}

const UNAVAILABLE: &[(&str, &str)] = &[("grpc-status", "14")];

#[tokio::test]
async fn a_call_that_may_be_repeated_is_and_says_how_often_it_was() {
    let (service, calls, told) = reluctant(2, UNAVAILABLE).await;
    let backend = backend_with(&[service.port], |_| {});
    assert_eq!(outcome(&backend, idempotent(quick())).await, "");
    assert_eq!(calls.load(Ordering::SeqCst), 3);
    assert_eq!(*told.lock().expect("nobody panics"), ["-", "1", "2"]);
    assert_eq!(backend.status().retries, 2);
}

#[tokio::test]
async fn the_last_failure_is_the_answer_when_attempts_are_used_up() {
    let (service, calls, _) = reluctant(9, UNAVAILABLE).await;
    let backend = backend_with(&[service.port], |_| {});
    assert_eq!(outcome(&backend, idempotent(quick())).await, "UNAVAILABLE UNAVAILABLE");
    assert_eq!(calls.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn nothing_else_is_repeated() {
    let unlisted: &[_] = &[("grpc-status", "8")];
    let never: &[_] = &[("grpc-status", "14"), ("grpc-retry-pushback-ms", "-1")];
    let long: &[_] = &[("grpc-status", "14"), ("grpc-retry-pushback-ms", "30000")];
    let cases: [(_, Option<RetryPolicy>); 4] =
        [(UNAVAILABLE, None), (unlisted, Some(quick())), (never, Some(quick())), (long, Some(quick()))];
    for (said, policy) in cases {
        let (service, calls, _) = reluctant(1, said).await;
        let backend = backend_with(&[service.port], |_| {});
        let mut request = echo("hello");
        request.retry = policy.map(Arc::new);
        let began = Instant::now();
        assert_ne!(outcome(&backend, request).await, "", "{said:?}");
        assert!(began.elapsed() < Duration::from_secs(15), "an attempt that would come too late is not waited for");
        assert_eq!(calls.load(Ordering::SeqCst), 1, "{said:?}");
    }
}

#[tokio::test]
async fn once_an_answer_has_begun_nothing_is_repeated() {
    let calls = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&calls);
    let service = h2_service(move |_, mut response| {
        let number = count.fetch_add(1, Ordering::SeqCst);
        async move {
            let Ok(mut body) = response.send_response(head(), false) else { return };
            match number {
                0 => _ = body.send_trailers(entries(UNAVAILABLE)),
                _ => {
                    // Until the head is on its way: a reset overtakes what still waits in h2.
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    body.send_reset(Reason::INTERNAL_ERROR);
                }
            }
        }
    })
    .await;
    let backend = backend_with(&[service.port], |_| {});
    let policy = RetryPolicy { codes: vec![Code::Unavailable, Code::Internal], ..quick() };
    assert_eq!(outcome(&backend, idempotent(policy.clone())).await, "UNAVAILABLE UNAVAILABLE");
    assert_eq!(outcome(&backend, idempotent(policy)).await, "INTERNAL INTERNAL");
    assert_eq!(calls.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_service_that_names_a_wait_is_given_it() {
    let (service, calls, _) = reluctant(1, &[("grpc-status", "14"), ("grpc-retry-pushback-ms", "120")]).await;
    let backend = backend_with(&[service.port], |_| {});
    let began = Instant::now();
    assert_eq!(outcome(&backend, idempotent(quick())).await, "");
    assert!(began.elapsed() >= Duration::from_millis(120));
    assert_eq!(calls.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_repetition_goes_to_another_endpoint_first() {
    let (bad, bad_calls, _) = reluctant(9, UNAVAILABLE).await;
    let (good, good_calls, _) = reluctant(0, UNAVAILABLE).await;
    let backend = backend_with(&[bad.port, good.port], |_| {});
    for _ in 0..6 {
        assert_eq!(outcome(&backend, idempotent(quick())).await, "");
    }
    assert_eq!(good_calls.load(Ordering::SeqCst), 6);
    assert!(bad_calls.load(Ordering::SeqCst) <= 6, "none was made there twice");
}

#[tokio::test]
async fn a_call_that_was_never_sent_tries_every_endpoint_and_then_answers() {
    let service = tonic_service(None).await;
    let backend = backend_with(&[dead_port().await, dead_port().await, dead_port().await, service.port], |_| {});
    assert_eq!(outcome(&backend, echo("hello")).await, "hello", "though nothing says that it may be repeated");
    let backend = backend_with(&[dead_port().await, dead_port().await], |_| {});
    let began = Instant::now();
    let failure = backend.call(WORKER, echo("hello")).await.map(text).expect_err("nobody is there");
    assert!(failure.is_unsent() && failure.wait().is_some() && began.elapsed() < Duration::from_secs(4));
    assert!(backend.status().endpoints.iter().all(|endpoint| endpoint.state == EndpointState::Down && endpoint.failures == 0));
}

#[tokio::test]
async fn beyond_the_budget_nothing_is_repeated() {
    let (service, calls, _) = reluctant(usize::MAX, UNAVAILABLE).await;
    let backend = backend_with(&[service.port], |spec| {
        spec.retry_budget = BudgetSpec { percent: 20, min_concurrent: 3 };
        spec.breaker.failures.clear();
    });
    let slow = RetryPolicy { attempts: 2, backoff_min: Duration::from_millis(300), ..RetryPolicy::default() };
    for outcome in join_all((0..50).map(|_| outcome(&backend, idempotent(slow.clone())))).await {
        assert_eq!(outcome, "UNAVAILABLE UNAVAILABLE");
    }
    let repeated = calls.load(Ordering::SeqCst) - 50;
    assert!((3..=10).contains(&repeated), "{repeated} of 50 calls in flight");
}

#[tokio::test]
async fn beyond_what_a_backend_takes_calls_are_refused_at_once_whichever_worker_they_come_from() {
    let service = tonic_service(None).await;
    let backend = backend_with(&[service.port], |spec| spec.limits = LimitsSpec { in_flight_max: 3, pending_max: 100 });
    let call = |worker| {
        let backend = Arc::clone(&backend);
        tokio::spawn(async move { said(backend.call(WorkerId(worker), echo("wait")).await.map(text)) })
    };
    let calls: Vec<_> = [0, 1, 0].map(call).into_iter().collect();
    service.until_called(3).await;
    for worker in [0, 1] {
        let refused = backend.call(WorkerId(worker), echo("hello")).await.map(text);
        assert_eq!(said(refused), "UNAVAILABLE OVERLOADED");
    }
    // A reload keeps the count, and changes the bound.
    let wider = over(&[service.port], |spec| spec.limits = LimitsSpec { in_flight_max: 4, pending_max: 100 }, Some(&backend));
    assert_eq!(outcome(&wider, echo("hello")).await, "hello");
    service.seen.gate.notify_waiters();
    for call in calls {
        assert_eq!(call.await.expect("it ends"), "wait");
    }
    let status = wider.status();
    assert_eq!((status.in_flight, status.pending, status.sheds), (0, 0, 2));
}

#[tokio::test]
async fn beyond_those_that_may_wait_for_a_connection_calls_are_refused_at_once() {
    let service = super::peer::tcp_service(|tcp| async move {
        let _held = tcp;
        std::future::pending().await
    })
    .await;
    let backend = backend_with(&[service.port], |spec| {
        spec.limits = LimitsSpec { in_flight_max: 100, pending_max: 2 };
        spec.connect_timeout = Duration::from_millis(300);
    });
    let mut outcomes = join_all((0..5).map(|_| outcome(&backend, echo("hello")))).await;
    outcomes.sort();
    assert_eq!(outcomes[..3], ["UNAVAILABLE OVERLOADED"; 3]);
    assert_eq!(outcomes[3..], ["UNAVAILABLE UNAVAILABLE"; 2]);
    assert_eq!(backend.status().pending, 0);
}

#[tokio::test]
async fn an_endpoint_that_fails_is_left_alone_and_comes_back_by_one_call() {
    let (bad, bad_calls, _) = reluctant(3, UNAVAILABLE).await;
    let (good, _, _) = reluctant(0, UNAVAILABLE).await;
    let backend = backend_with(&[bad.port, good.port], |spec| {
        spec.breaker = BreakerSpec { consecutive_failures: 3, open_min: Duration::from_secs(2), ..BreakerSpec::default() };
    });
    for _ in 0..6 {
        outcome(&backend, echo("hello")).await;
    }
    assert_eq!(bad_calls.load(Ordering::SeqCst), 3);
    let status = |backend: &Backend| {
        let endpoint = backend.status().endpoints.swap_remove(0);
        (endpoint.state, endpoint.calls, endpoint.failures, endpoint.ejections)
    };
    assert_eq!(status(&backend), (EndpointState::Open, 3, 3, 1));
    for _ in 0..20 {
        assert_eq!(outcome(&backend, echo("hello")).await, "");
    }
    assert_eq!(bad_calls.load(Ordering::SeqCst), 3, "left alone");
    // A reload takes over what is known.
    let backend = over(&[bad.port, good.port], |spec| spec.breaker = specced(&backend), Some(&backend));
    assert_eq!(status(&backend).0, EndpointState::Open);
    // Also one that says something else about the same place.
    let weighed = |spec: &mut GrpcSpec| {
        spec.breaker = specced(&backend);
        let Source::Static(endpoints) = &mut spec.source else { unreachable!("they are listed") };
        endpoints[0].weight = 2;
    };
    let backend = over(&[bad.port, good.port], weighed, Some(&backend));
    assert_eq!((status(&backend).0, backend.status().endpoints[0].weight), (EndpointState::Open, 2));

    tokio::time::sleep(Duration::from_millis(2_500)).await;
    for _ in 0..10 {
        assert_eq!(outcome(&backend, echo("hello")).await, "");
    }
    assert_eq!(status(&backend).0, EndpointState::Well);
    assert!(bad_calls.load(Ordering::SeqCst) > 4);
}

fn specced(backend: &Backend) -> BreakerSpec {
    match &backend.spec().kind {
        SpecKind::Grpc(spec) => spec.breaker.clone(),
        SpecKind::Builtin(_) => unreachable!("it is remote"),
    }
}

#[tokio::test]
async fn the_only_endpoint_may_be_left_alone_and_calls_are_told_how_long() {
    let (service, calls, _) = reluctant(usize::MAX, UNAVAILABLE).await;
    let backend = backend_with(&[service.port], |spec| spec.breaker.consecutive_failures = 3);
    for _ in 0..10 {
        assert_eq!(outcome(&backend, echo("hello")).await, "UNAVAILABLE UNAVAILABLE");
    }
    assert_eq!(calls.load(Ordering::SeqCst), 3);
    let failure = backend.call(WORKER, echo("hello")).await.map(text).expect_err("it is left alone");
    assert!(failure.is_unsent() && failure.wait().is_some_and(|wait| wait <= Duration::from_millis(1_200)));
}

#[tokio::test]
async fn a_service_that_does_not_answer_in_time_is_blamed_unless_its_caller_was_in_a_hurry() {
    for (hurried, state) in [(false, EndpointState::Open), (true, EndpointState::Well)] {
        let service = tonic_service(None).await;
        let backend = backend_with(&[service.port], |spec| spec.breaker.consecutive_failures = 2);
        assert_eq!(outcome(&backend, echo("hello")).await, "hello");
        for _ in 0..2 {
            let request = Request { deadline: Instant::now() + Duration::from_millis(500), hurried, ..echo("hang") };
            assert_eq!(outcome(&backend, request).await, "DEADLINE_EXCEEDED DEADLINE_EXCEEDED");
        }
        assert_eq!(backend.status().endpoints[0].state, state, "hurried: {hurried}");
    }
}

#[tokio::test]
async fn a_call_that_is_given_up_says_nothing_and_frees_its_places() {
    let service = tonic_service(None).await;
    let backend = backend_with(&[service.port], |spec| spec.breaker.consecutive_failures = 1);
    for count in 1..=3 {
        tokio::select! {
            biased;
            _ = backend.call(WORKER, echo("hang")) => panic!("it hangs"),
            () = service.until_called(count) => {}
        }
    }
    let status = backend.status();
    assert_eq!((status.in_flight, status.endpoints[0].in_flight, status.endpoints[0].state), (0, 0, EndpointState::Well));
}

#[tokio::test]
async fn a_set_that_shrinks_keeps_no_more_than_its_share_left_alone() {
    let mut services = Vec::new();
    for _ in 0..4 {
        services.push(reluctant(usize::MAX, UNAVAILABLE).await.0);
    }
    let ports: Vec<u16> = services.iter().map(|service| service.port).collect();
    let breaker = BreakerSpec { consecutive_failures: 1, ..BreakerSpec::default() };
    let backend = backend_with(&ports, |spec| spec.breaker = breaker.clone());
    for _ in 0..8 {
        outcome(&backend, echo("hello")).await;
    }
    let open = |backend: &Backend| {
        let endpoints = backend.status().endpoints;
        endpoints.into_iter().filter(|endpoint| endpoint.state == EndpointState::Open).map(|endpoint| endpoint.address).collect::<Vec<_>>()
    };
    let left_alone = open(&backend);
    assert_eq!(left_alone.len(), 2, "half of four");
    let stay: Vec<u16> = ports.into_iter().filter(|port| left_alone.iter().any(|address| address.ends_with(&port.to_string()))).collect();
    let backend = over(&stay, |spec| spec.breaker = breaker, Some(&backend));
    assert_eq!(open(&backend).len(), 1, "half of two");
}
