//! Conversations between a backend and services: ones that behave (`served`), ones that do not (`hostile`), ones inside (`inside`); and what becomes of
//! endpoints that come and go (`discovery`).

mod discovery;
mod hostile;
mod inside;
mod peer;
mod served;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::uri::PathAndQuery;
use prost::Message as _;
use tokio::runtime::Handle;
use tokio::time::Instant;

use super::{Backend, Builtins, Choice, EndpointSpec, GrpcSpec, Reply, Request, Spec, SpecKind, TlsSpec, frame};
use crate::failure::{Code, Failure};
use crate::id::WorkerId;
use crate::services::echo::v1::{EchoRequest, EchoResponse};

const WORKER: WorkerId = WorkerId(0);

/// A backend of two workers with these ports of this machine.
fn backend(ports: &[u16]) -> Arc<Backend> {
    let endpoints = ports.iter().map(|&port| EndpointSpec::new("127.0.0.1", port, false)).collect();
    open(endpoints, None)
}

fn open(endpoints: Vec<EndpointSpec>, tls: Option<TlsSpec>) -> Arc<Backend> {
    let kind = SpecKind::Grpc(Box::new(GrpcSpec { tls, connect_timeout: Duration::from_secs(5), ..GrpcSpec::at(endpoints) }));
    Backend::open(Spec { name: Arc::from("test"), kind }, 2, &Builtins::new(Handle::current()), None).expect("a backend that can be opened")
}

/// A call to the echo service, with ample time.
fn echo(text: &str) -> Request {
    let message = EchoRequest { text: text.to_owned() }.encode_to_vec();
    Request {
        path: PathAndQuery::from_static("/protogate.echo.v1.EchoService/Echo"),
        headers: Arc::new(super::headers([])),
        metadata: Vec::new(),
        choice: Choice::default(),
        body: Bytes::from([&frame(message.len())[..], &message].concat()),
        deadline: Instant::now() + Duration::from_secs(20),
        reply_bytes_max: 1 << 20,
    }
}

fn text(reply: Reply) -> String {
    EchoResponse::decode(reply.message).expect("an echo").text
}

async fn call(backend: &Backend, words: &str) -> Result<String, Failure> {
    backend.call(WORKER, echo(words)).await.map(text)
}

/// What became of a call, in one line.
fn said(outcome: Result<String, Failure>) -> String {
    outcome.unwrap_or_else(|failure| format!("{} {}", failure.code().name(), failure.reason()))
}

fn code(outcome: Result<String, Failure>) -> Option<Code> {
    outcome.err().map(|failure| failure.code())
}
