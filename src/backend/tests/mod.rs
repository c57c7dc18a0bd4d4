//! Conversations between a backend and services: ones that behave (`served`), several that share the calls (`shared`), ones that do not
//! (`hostile`), ones inside (`inside`), ones that are asked how they are (`health`); what is tried again, refused and left alone
//! (`resilience`); how long is left (`deadlines`); the same in streams (`streams`, `broken_streams`); how connections come and go
//! (`lanes`), and are secured (`tls`); and what becomes of endpoints that come and go (`discovery`).

mod broken_streams;
mod deadlines;
mod discovery;
mod health;
mod hostile;
mod inside;
mod lanes;
mod peer;
mod resilience;
mod served;
mod shared;
mod streaming;
mod streams;
mod tls;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::uri::PathAndQuery;
use prost::Message as _;
use tokio::runtime::Handle;
use tokio::time::Instant;

use super::{
    Backend, Builtins, Choice, Closed, EndpointSpec, GrpcSpec, Journey, Opening, Receiving, Reply, Request, Sending, Spec, SpecKind,
    TlsSpec, frame,
};
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
    open_as(GrpcSpec { tls, connect_timeout: Duration::from_secs(5), ..GrpcSpec::at(endpoints) })
}

fn open_as(spec: GrpcSpec) -> Arc<Backend> {
    let spec = Spec { name: Arc::from("test"), kind: SpecKind::Grpc(Box::new(spec)) };
    Backend::open(spec, 2, &Builtins::new(Handle::current()), None).expect("a backend that can be opened")
}

/// A stream of this method, with ample time.
fn opening(method: &'static str) -> Opening {
    Opening {
        path: PathAndQuery::from_static(method),
        headers: Arc::new(super::headers([])),
        metadata: Vec::new(),
        trace: None,
        choice: Choice::default(),
        deadline: Instant::now() + Duration::from_secs(20),
        message_bytes_max: 1 << 20,
    }
}

/// A message behind its frame.
fn framed(text: &str) -> Bytes {
    let message = EchoRequest { text: text.to_owned() }.encode_to_vec();
    Bytes::from([&frame(message.len())[..], &message].concat())
}

/// The two halves of a stream.
struct Talk {
    sending: Sending,
    receiving: Receiving,
}

impl Talk {
    async fn open(backend: &Backend, opening: Opening) -> Talk {
        let (sending, receiving) = backend.open_stream(WORKER, opening, &mut Journey::default()).await.expect("a stream");
        Talk { sending, receiving }
    }

    async fn say(&mut self, text: &str) -> Result<(), Closed> {
        self.sending.send(framed(text)).await
    }

    async fn hear(&mut self) -> String {
        Talk::hear_from(&mut self.receiving).await
    }

    /// What comes next, in one line: the text, OK or the failure.
    async fn hear_from(receiving: &mut Receiving) -> String {
        let text = |message| EchoResponse::decode(message).expect("an echo").text;
        said(receiving.message().await.map(|message| message.map_or_else(|| "OK".to_owned(), text)))
    }

    /// Everything up to the end, and the end.
    async fn rest(&mut self) -> (Vec<String>, String) {
        let mut heard = Vec::new();
        loop {
            match self.receiving.message().await {
                Ok(Some(message)) => heard.push(EchoResponse::decode(message).expect("an echo").text),
                Ok(None) => return (heard, "OK".to_owned()),
                Err(failure) => return (heard, said(Err(failure))),
            }
        }
    }
}

/// A call to the echo service, with ample time.
fn echo(text: &str) -> Request {
    Request {
        path: PathAndQuery::from_static("/protogate.echo.v1.EchoService/Echo"),
        headers: Arc::new(super::headers([])),
        metadata: Vec::new(),
        trace: None,
        choice: Choice::default(),
        body: framed(text),
        deadline: Instant::now() + Duration::from_secs(20),
        hurried: false,
        retry: None,
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
