//! Conversations with several endpoints that share the calls.

use super::peer::{Service, dead_port, tonic_service};
use super::{WORKER, call, echo, open_as, text};
use crate::backend::{Backend, BalancePolicy, Choice, EndpointSpec, GrpcSpec, hash};

fn spec(services: &[&Service], balance: BalancePolicy) -> GrpcSpec {
    let endpoint = |service: &&Service| EndpointSpec::new("127.0.0.1", service.port, false);
    GrpcSpec { balance, ..GrpcSpec::at(services.iter().map(endpoint).collect()) }
}

/// Calls on behalf of a room; which endpoint has answered.
async fn call_for(backend: &Backend, room: Option<&str>) -> String {
    let mut request = echo("hello");
    request.choice = Choice { key: room.map(|room| hash(room.as_bytes())) };
    let reply = backend.call(WORKER, request).await.expect("an echo");
    reply.endpoint.to_string()
}

#[tokio::test]
async fn endpoints_take_turns() {
    let (one, other) = (tonic_service(None).await, tonic_service(None).await);
    let backend = open_as(spec(&[&one, &other], BalancePolicy::RoundRobin));
    for _ in 0..10 {
        call(&backend, "hello").await.expect("an echo");
    }
    assert_eq!((one.calls(), other.calls()), (5, 5));
}

#[tokio::test]
async fn who_weighs_more_has_more_turns() {
    let (one, other) = (tonic_service(None).await, tonic_service(None).await);
    let mut spec = spec(&[&one, &other], BalancePolicy::RoundRobin);
    let crate::backend::Source::Static(endpoints) = &mut spec.source else { panic!("they are static") };
    endpoints[1].weight = 3;
    let backend = open_as(spec);
    for _ in 0..20 {
        call(&backend, "hello").await.expect("an echo");
    }
    assert_eq!((one.calls(), other.calls()), (5, 15));
}

#[tokio::test]
async fn a_busy_endpoint_is_spared() {
    let (one, other) = (tonic_service(None).await, tonic_service(None).await);
    let backend = open_as(spec(&[&one, &other], BalancePolicy::LeastRequest));
    // One call hangs somewhere: all that come while it does go to the other.
    let hanging = tokio::spawn({
        let backend = std::sync::Arc::clone(&backend);
        async move { call(&backend, "wait").await }
    });
    let busy = loop {
        match (one.calls(), other.calls()) {
            (0, 0) => tokio::task::yield_now().await,
            (0, _) => break &other,
            _ => break &one,
        }
    };
    for _ in 0..20 {
        call(&backend, "hello").await.map(drop).expect("an echo");
    }
    assert_eq!((busy.calls(), one.calls() + other.calls()), (1, 21));
    busy.seen.gate.notify_waiters();
    hanging.await.expect("no panic").expect("an echo");
}

#[tokio::test]
async fn calls_with_the_same_key_meet_at_one_endpoint_whatever_the_order_of_the_list() {
    let (one, other) = (tonic_service(None).await, tonic_service(None).await);
    let backend = open_as(spec(&[&one, &other], BalancePolicy::ConsistentHash));
    let turned = open_as(spec(&[&other, &one], BalancePolicy::ConsistentHash));
    let mut seen = std::collections::BTreeSet::new();
    for room in (0..30).map(|room| format!("room-{room}")) {
        let endpoint = call_for(&backend, Some(&room)).await;
        assert_eq!(call_for(&backend, Some(&room)).await, endpoint);
        assert_eq!(call_for(&turned, Some(&room)).await, endpoint);
        seen.insert(endpoint);
    }
    assert_eq!(seen.len(), 2, "and different keys at different ones");
    assert_eq!(backend.unkeyed(), 0);
}

#[tokio::test]
async fn a_key_whose_endpoint_is_down_is_answered_elsewhere() {
    let service = tonic_service(None).await;
    let mut spec = spec(&[&service], BalancePolicy::ConsistentHash);
    let crate::backend::Source::Static(endpoints) = &mut spec.source else { panic!("they are static") };
    endpoints.push(EndpointSpec::new("127.0.0.1", dead_port().await, false));
    let backend = open_as(spec);
    for room in (0..30).map(|room| format!("room-{room}")) {
        assert_eq!(call_for(&backend, Some(&room)).await, format!("127.0.0.1:{}", service.port));
    }
}

#[tokio::test]
async fn a_call_without_a_key_is_answered_and_counted() {
    let (one, other) = (tonic_service(None).await, tonic_service(None).await);
    let backend = open_as(spec(&[&one, &other], BalancePolicy::ConsistentHash));
    for _ in 0..40 {
        call_for(&backend, None).await;
    }
    assert!(one.calls() > 0 && other.calls() > 0, "{} and {}", one.calls(), other.calls());
    assert_eq!(backend.unkeyed(), 40);
    assert_eq!(text(backend.call(WORKER, echo("still")).await.expect("an echo")), "still");
}
