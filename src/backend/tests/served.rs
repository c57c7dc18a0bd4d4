//! Conversations with services that behave.

use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::join_all;
use http::{HeaderName, HeaderValue};
use tokio::time::{Instant, timeout};

use super::peer::{dead_port, tonic_service};
use super::{WORKER, backend, call, code, echo, said, text};
use crate::failure::{Code, Source};

#[tokio::test]
async fn a_call_is_answered_by_the_endpoint_that_took_it() {
    let service = tonic_service(None).await;
    let reply = backend(&[service.port]).call(WORKER, echo("hello")).await.expect("an echo");
    assert_eq!(&*reply.endpoint, format!("127.0.0.1:{}", service.port));
    assert_eq!(text(reply), "hello");
}

#[tokio::test]
async fn a_service_is_told_what_grpc_and_the_caller_have_to_say() {
    let service = tonic_service(None).await;
    let mut request = echo("metadata");
    request.metadata.push((HeaderName::from_static("protogate-user"), HeaderValue::from_static("ada")));
    let heard = text(backend(&[service.port]).call(WORKER, request).await.expect("an echo"));
    let expected = concat!("trailers application/grpc protogate/", env!("CARGO_PKG_VERSION"), " ada ");
    let timeout = heard.strip_prefix(expected).unwrap_or_else(|| panic!("{heard}"));
    assert!(matches!(timeout.trim_end_matches('m').parse(), Ok(19_000..=20_000)), "{timeout}");
}

#[tokio::test]
async fn a_failure_keeps_its_code_message_reason_and_details() {
    let service = tonic_service(None).await;
    let failure = call(&backend(&[service.port]), "fail").await.expect_err("the service says no");
    assert_eq!((failure.code(), failure.source()), (Code::FailedPrecondition, Source::Backend));
    assert_eq!((failure.reason(), failure.message()), ("ROOM_FULL", "no room: 100% full\u{e9}"));
    let kinds: Vec<_> = failure.details().iter().map(|any| any.type_url.as_str()).collect();
    assert_eq!(kinds.len(), 2, "{kinds:?}");
}

#[tokio::test]
async fn a_long_message_travels_both_ways() {
    let service = tonic_service(None).await;
    let long = "x".repeat(1_000_000);
    assert_eq!(call(&backend(&[service.port]), &long).await.expect("an echo"), long);
}

#[tokio::test]
async fn at_its_deadline_a_call_fails_and_the_service_learns_of_it() {
    let service = tonic_service(None).await;
    let backend = backend(&[service.port]);
    assert_eq!(said(call(&backend, "there").await), "there");
    let mut request = echo("hang");
    request.deadline = Instant::now() + Duration::from_secs(1);
    let failure = backend.call(WORKER, request).await.map(text).expect_err("it hangs");
    assert_eq!(failure.reason(), "DEADLINE_EXCEEDED");
    service.until_cancelled(1).await;
    assert_eq!(said(call(&backend, "still there").await), "still there");
}

#[tokio::test]
async fn a_call_whose_time_is_up_is_not_sent() {
    let service = tonic_service(None).await;
    let mut request = echo("hello");
    request.deadline = Instant::now();
    let failure = backend(&[service.port]).call(WORKER, request).await.map(text).expect_err("its time is up");
    assert!(failure.is_unsent() && failure.reason() == "DEADLINE_EXCEEDED");
    assert_eq!(service.calls(), 0);
}

#[tokio::test]
async fn dropping_a_call_cancels_it_at_the_service() {
    let service = tonic_service(None).await;
    let backend = backend(&[service.port]);
    tokio::select! {
        biased;
        _ = call(&backend, "hang") => panic!("it hangs"),
        () = service.until_called(1) => {}
    }
    service.until_cancelled(1).await;
}

#[tokio::test]
async fn when_a_peer_takes_few_streams_more_connections_are_opened_and_then_calls_are_shed() {
    let service = tonic_service(Some(1)).await;
    let backend = backend(&[service.port]);
    let calls = join_all((0..9).map(|_| call(&backend, "wait")));
    let release = async {
        service.until_called(8).await;
        service.seen.gate.notify_waiters();
    };
    let (outcomes, ()) = tokio::join!(calls, release);
    let mut said: Vec<_> = outcomes.into_iter().map(said).collect();
    said.sort();
    assert_eq!(said[0], "UNAVAILABLE OVERLOADED");
    assert_eq!(said[1..], ["wait"; 8]);
}

#[tokio::test]
async fn an_endpoint_that_is_down_is_said_to_be_so_at_once() {
    let backend = backend(&[dead_port().await]);
    for _ in 0..100 {
        let failure = call(&backend, "hello").now_or_later().await.expect_err("nobody listens");
        assert!(failure.is_unsent() && failure.code() == Code::Unavailable && failure.reason() == "UNAVAILABLE");
        assert!(failure.cause().is_some_and(|cause| cause.contains("refused")), "{:?}", failure.cause());
        assert!(failure.wait().is_some_and(|wait| wait <= Duration::from_secs(1)));
    }
}

/// A bound on how long "at once" may be.
trait AtOnce: Future + Sized {
    async fn now_or_later(self) -> Self::Output {
        timeout(Duration::from_secs(4), self).await.expect("at once")
    }
}

impl<F: Future> AtOnce for F {}

#[tokio::test]
async fn a_dead_endpoint_costs_no_call() {
    let service = tonic_service(None).await;
    let backend = backend(&[dead_port().await, service.port, dead_port().await]);
    for outcome in join_all((0..100).map(|_| call(&backend, "hello"))).await {
        assert_eq!(said(outcome), "hello");
    }
    for _ in 0..100 {
        assert_eq!(said(call(&backend, "hello").await), "hello");
    }
}

#[tokio::test]
async fn two_thousand_calls_in_flight_are_all_answered() {
    let service = tonic_service(None).await;
    let backend = backend(&[service.port]);
    let calls = join_all((0..2_000).map(|_| call(&backend, "wait")));
    let release = async {
        service.until_called(2_000).await;
        service.seen.gate.notify_waiters();
    };
    let (outcomes, ()) = tokio::join!(calls, release);
    for outcome in outcomes {
        assert_eq!(said(outcome), "wait");
    }
}

#[tokio::test]
async fn many_calls_dropped_at_once_do_no_harm_to_the_others() {
    let service = tonic_service(None).await;
    let backend = backend(&[service.port]);
    // A connection first, so that all that follows shares it.
    call(&backend, "hello").await.expect("an echo");

    let others = join_all((0..64).map(|_| call(&backend, "wait")));
    let vanish = async {
        service.until_called(65).await;
        for _ in 0..4 {
            // Begun, written, and dropped before the service has seen one of them.
            let mut dropped: Vec<_> = (0..64).map(|_| Box::pin(call(&backend, "hang"))).collect();
            for call in &mut dropped {
                assert!(call.as_mut().now_or_never().is_none());
            }
            drop(dropped);
            tokio::task::yield_now().await;
        }
        assert_eq!(said(call(&backend, "hello").await), "hello");
        service.until_cancelled(1).await;
        service.seen.gate.notify_waiters();
    };
    let (outcomes, ()) = tokio::join!(others, vanish);
    assert!(outcomes.into_iter().all(|outcome| code(outcome).is_none()));
}
