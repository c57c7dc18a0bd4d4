//! Conversations with services of this process.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::runtime::Handle;
use tokio::time::Instant;
use tonic::body::Body;
use tower::service_fn;

use super::{WORKER, call, echo, said, text};
use crate::backend::{Backend, Builtins, Spec, SpecKind};
use crate::services;

fn inside(builtins: &Builtins, name: &str) -> Result<Arc<Backend>, String> {
    Backend::open(Spec { name: Arc::from("inside"), kind: SpecKind::Builtin(Arc::from(name)) }, 1, builtins, None)
}

fn with_service<F>(answer: impl Fn(http::Request<Body>) -> F + Clone + Send + Sync + 'static) -> Arc<Backend>
where
    F: Future<Output = Result<http::Response<Body>, std::convert::Infallible>> + Send + 'static,
{
    let mut builtins = Builtins::new(Handle::current());
    builtins.add("test", service_fn(answer));
    inside(&builtins, "test").expect("it was added")
}

#[tokio::test]
async fn the_echo_service_answers() {
    let backend = inside(&services::builtins_in_memory(), "echo").expect("it is there");
    let reply = backend.call(WORKER, echo("hello")).await.expect("an echo");
    assert_eq!(&*reply.endpoint, "echo");
    assert_eq!(text(reply), "hello");

    let mut unknown = echo("hello");
    unknown.path = http::uri::PathAndQuery::from_static("/protogate.echo.v1.EchoService/Ohce");
    assert_eq!(said(backend.call(WORKER, unknown).await.map(text)), "UNIMPLEMENTED UNIMPLEMENTED");

    let mut short = echo("more than fits");
    short.reply_bytes_max = 3;
    assert_eq!(said(backend.call(WORKER, short).await.map(text)), "RESOURCE_EXHAUSTED REPLY_TOO_LARGE");
}

#[tokio::test]
async fn a_service_that_is_not_there_is_named_beside_those_that_are() {
    let error = inside(&services::builtins_in_memory(), "ohce").err().expect("it is not there");
    assert_eq!(error, "there is no built-in service `ohce`; there is auth, chat, echo, game, notify");
}

#[tokio::test]
async fn a_panic_fails_its_call_alone() {
    let backend = with_service(|_| async { panic!("a mistake") });
    for _ in 0..2 {
        assert_eq!(said(call(&backend, "hello").await), "INTERNAL INTERNAL");
    }
}

#[tokio::test(start_paused = true)]
async fn beyond_its_bound_calls_are_shed_and_dropped_calls_are_aborted() {
    let backend = with_service(|_| std::future::pending());
    let begun = join_all((0..1_025).map(|_| {
        let mut request = echo("hello");
        request.deadline = Instant::now() + Duration::from_millis(200);
        async { said(backend.call(WORKER, request).await.map(text)) }
    }));
    let outcomes = begun.await;
    assert_eq!(outcomes.iter().filter(|said| *said == "UNAVAILABLE OVERLOADED").count(), 1);
    assert_eq!(outcomes.iter().filter(|said| *said == "DEADLINE_EXCEEDED DEADLINE_EXCEEDED").count(), 1_024);

    // All of them are gone, so there is room again.
    tokio::task::yield_now().await;
    let mut request = echo("hello");
    request.deadline = Instant::now() + Duration::from_millis(10);
    assert_eq!(said(backend.call(WORKER, request).await.map(text)), "DEADLINE_EXCEEDED DEADLINE_EXCEEDED");
}
