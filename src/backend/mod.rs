//! Calls to the services behind the gateway.
//!
//! A [`Backend`] takes a request, picks an endpoint, and answers with a reply or a [`Failure`]. It knows nothing of sessions, routes or
//! WebSocket: a path, metadata, bytes and a deadline are all it is given.
//!
//! Promises: a call ends by its deadline; dropping it cancels it at the service; it is tried a second time only when nobody can have
//! acted upon the first. A worker's calls use that worker's own connections. A stream is as slow as whoever reads it, on both sides,
//! and holds up nobody else.
//!
//! - `spec` — what the table says about a backend
//! - `cluster` — the way of a call: pick, send, judge, and again where that is right
//! - `retry`, `traffic` — whether it is tried again; how many calls there may be
//! - `discovery` — where endpoints come from, and when they come and go
//! - `balancer`, `endpoint`, `breaker`, `pick`, `lane` — which address, how it does, an attempt at it, which of its connections
//! - `hash`, `rendezvous` — where a key belongs, for whoever shares things out
//! - `health` — asking endpoints how they are
//! - `status`, `journey` — what operators are told; where a call has been
//! - `dial`, `tls`, `channel`, `reset` — connecting; HTTP/2; how fast calls are cancelled
//! - `stage` — endpoints that are played in this process, for tests of routes
//! - `stream` — calls of many messages: server, client and bidirectional streaming
//! - `builtin` — services of this process
//! - `outcome`, `message`, `trailers`, `timeout` — gRPC

mod balancer;
mod breaker;
mod builtin;
mod channel;
mod cluster;
mod dial;
mod discovery;
mod endpoint;
mod hash;
mod health;
mod journey;
mod lane;
mod message;
mod outcome;
mod pick;
mod rendezvous;
mod reset;
mod retry;
mod spec;
mod stage;
mod status;
mod stream;
mod timeout;
mod tls;
mod traffic;
mod trailers;

#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use tokio::time::{Instant, timeout_at};

pub use balancer::Choice;
pub use builtin::Builtins;
pub use discovery::{Directory, ENDPOINTS_MAX, Written, endpoints_in, may_register};
pub use hash::hash;
pub use journey::{Attempt, Journey};
pub use message::frame;
pub use rendezvous::Rendezvous;
pub use retry::RetryPolicy;
pub use spec::{
    BalancePolicy, BreakerSpec, BudgetSpec, ConnectionsSpec, EndpointSpec, GrpcSpec, HealthSpec, LimitsSpec, Source, Spec, SpecKind,
};
pub use stage::{Network, Stage};
pub use status::{BackendStatus, EndpointState, EndpointStatus};
pub use stream::{Closed, Opening, Receiving, Sending};
pub use tls::{TlsPart, TlsPems, TlsPlace, TlsProblem, TlsSpec};

use builtin::Builtin;
use cluster::Cluster;

use crate::failure::{Code, Failure, Reason, Result};
use crate::files::Files;
use crate::id::WorkerId;
use crate::telemetry::trace::{Part, TRACEPARENT, Trace};

const GRPC_TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");
const GRPC: HeaderValue = HeaderValue::from_static("application/grpc");
const TRAILERS: HeaderValue = HeaderValue::from_static("trailers");
const USER_AGENT: HeaderValue = HeaderValue::from_static(concat!("protogate/", env!("CARGO_PKG_VERSION")));

/// A named group of endpoints of one service, or a service of this process.
pub struct Backend {
    spec: Spec,
    services: Services,
}

enum Services {
    Inside(Builtin),
    Remote(Arc<Cluster>),
}

/// One call.
pub struct Request {
    /// `/package.Service/Method`.
    pub path: PathAndQuery,
    /// What this call has in common with others, from [`headers`].
    pub headers: Arc<HeaderMap>,
    /// This call's metadata for the service. It replaces what has the same name in `headers`, and of two such entries the later counts.
    pub metadata: Vec<(HeaderName, HeaderValue)>,
    /// What each attempt is a part of, where the service is told so; it replaces a `traceparent` in `metadata`.
    pub trace: Option<Trace>,
    /// Which endpoint it is for, where that matters.
    pub choice: Choice,
    /// The message behind its [`frame`].
    pub body: Bytes,
    /// When the call has failed, whatever happens. The service is told.
    pub deadline: Instant,
    /// Its caller asked for less time than the service is given: that it ran out says nothing about the service.
    pub hurried: bool,
    /// How it may be repeated although a service may have acted upon it; nothing: not at all.
    pub retry: Option<Arc<RetryPolicy>>,
    /// The largest message that is accepted in reply.
    pub reply_bytes_max: usize,
}

/// What a service answered.
pub struct Reply {
    pub message: Bytes,
    /// Who answered: `host:port`, or the name of a service of this process.
    pub endpoint: Arc<str>,
}

// === impl Backend ===

impl Backend {
    /// Prepares the backend for this many workers; what is still right of the backend that it takes the place of is taken over alive.
    /// Opens no connection: each worker does when it has a call.
    pub fn open(spec: Spec, workers: usize, builtins: &Builtins, before: Option<&Backend>) -> std::result::Result<Arc<Backend>, String> {
        let services = match &spec.kind {
            SpecKind::Builtin(name) => Services::Inside(builtins.get(name).ok_or_else(|| no_such_builtin(name, builtins))?),
            SpecKind::Grpc(grpc) => {
                let before = before.and_then(|before| match &before.services {
                    Services::Remote(cluster) => Some(&**cluster),
                    Services::Inside(_) => None,
                });
                let cluster =
                    Cluster::open(Arc::clone(&spec.name), GrpcSpec::clone(grpc), workers, builtins.runtime(), builtins.network(), before)?;
                cluster.discover(builtins.runtime(), builtins.directory());
                Services::Remote(cluster)
            }
        };
        Ok(Arc::new(Backend { spec, services }))
    }

    pub fn spec(&self) -> &Spec {
        &self.spec
    }

    pub fn name(&self) -> &Arc<str> {
        &self.spec.name
    }

    /// Whether it is as this spec says, also in what was renewed since it was opened.
    pub fn is(&self, spec: &Spec) -> bool {
        let renewed = match &self.services {
            Services::Remote(cluster) => cluster.is_renewed(),
            Services::Inside(_) => false,
        };
        self.spec == *spec && !renewed
    }

    /// Reads the files of its TLS settings again: connections that are made from now on use what they hold, those that are there go on.
    /// True when it was something else. What cannot be used leaves all as it is; the error says why. Blocks while it reads.
    pub fn renew_certificates(&self, files: &Files) -> std::result::Result<bool, String> {
        match &self.services {
            Services::Remote(cluster) => cluster.renew_certificates(files),
            Services::Inside(_) => Ok(false),
        }
    }

    /// How many calls came without the key by which this backend chooses endpoints, and went to the least loaded instead.
    pub fn unkeyed(&self) -> u64 {
        match &self.services {
            Services::Inside(_) => 0,
            Services::Remote(cluster) => cluster.unkeyed(),
        }
    }

    /// The files that [`Backend::renew_certificates`] reads.
    pub fn certificate_files(&self) -> impl Iterator<Item = &PathBuf> {
        let grpc = match &self.spec.kind {
            SpecKind::Grpc(grpc) => grpc.tls.as_ref(),
            SpecKind::Builtin(_) => None,
        };
        grpc.into_iter().flat_map(|tls| tls.place().files())
    }

    /// Calls the service from this worker, one of those the backend was opened for, on whose runtime it must be polled.
    /// Dropping the future cancels the call.
    pub async fn call(&self, worker: WorkerId, request: Request) -> Result<Reply> {
        self.call_noting(worker, request, &mut Journey::default()).await
    }

    /// The same, for a caller who wants to know where the call has been.
    pub async fn call_noting(&self, worker: WorkerId, mut request: Request, journey: &mut Journey) -> Result<Reply> {
        match &self.services {
            _ if request.time_left().is_zero() => Err(too_late().unsent()),
            Services::Inside(builtin) => {
                tell_trace(request.trace, journey, &mut request.metadata);
                journey.begin(builtin.name());
                let answer = in_time(request.deadline, builtin.call(request)).await;
                journey.end(answer.as_ref());
                answer
            }
            Services::Remote(cluster) => {
                let discovered = cluster.discovered().map(Ok);
                in_time(request.deadline, discovered).await.map_err(Failure::unsent)?;
                cluster.call(worker, request, journey).await
            }
        }
    }

    /// How it does at this moment.
    pub fn status(&self) -> BackendStatus {
        match &self.services {
            Services::Inside(builtin) => BackendStatus {
                name: Arc::clone(self.name()),
                in_flight: builtin.in_flight(),
                pending: 0,
                retries: 0,
                sheds: 0,
                retries_in_flight: 0,
                retry_budget: 0,
                endpoints: Vec::new(),
            },
            Services::Remote(cluster) => cluster.status(),
        }
    }

    /// Opens a stream from this worker, on whose runtime the two halves must be polled. Returns as soon as the request's head is on
    /// its way, and waits for no answer. A failure is always one of a stream that was not begun.
    /// The last attempt of `journey` is the stream itself, and ends with it.
    pub async fn open_stream(&self, worker: WorkerId, mut opening: Opening, journey: &mut Journey) -> Result<(Sending, Receiving)> {
        timeout_at(opening.deadline, self.begin_stream(worker, &mut opening, journey)).await.unwrap_or_else(|_| Err(too_late().unsent()))
    }

    async fn begin_stream(&self, worker: WorkerId, opening: &mut Opening, journey: &mut Journey) -> Result<(Sending, Receiving)> {
        match &self.services {
            _ if opening.deadline <= Instant::now() => Err(too_late().unsent()),
            Services::Inside(builtin) => {
                tell_trace(opening.trace, journey, &mut opening.metadata);
                journey.begin(builtin.name());
                builtin.open(opening)
            }
            Services::Remote(cluster) => {
                cluster.discovered().await;
                cluster.open_stream(worker, opening, journey).await
            }
        }
    }
}

/// Tells the service of the attempt that begins next, where it is told of attempts.
fn tell_trace(trace: Option<Trace>, journey: &Journey, metadata: &mut Vec<(HeaderName, HeaderValue)>) {
    if let Some(trace) = trace {
        metadata.push((TRACEPARENT, trace.traceparent(Part::Attempt(journey.attempts().len()))));
    }
}

/// An answer by the call's deadline.
async fn in_time<T>(deadline: Instant, answer: impl Future<Output = Result<T>>) -> Result<T> {
    match timeout_at(deadline, answer).await {
        // Servers watch the deadline too. Some say CANCELLED when it has passed, and a busy worker may read that before its own timer.
        Ok(Err(failure)) if failure.code() == Code::Cancelled && Instant::now() >= deadline => Err(too_late()),
        Ok(answer) => answer,
        Err(_) => Err(too_late()),
    }
}

/// The headers that many calls have in common: these, and what gRPC needs. Room for the timeout is in them.
pub fn headers(common: impl IntoIterator<Item = (HeaderName, HeaderValue)>) -> HeaderMap {
    let grpc = [
        (header::TE, TRAILERS),
        (header::CONTENT_TYPE, GRPC),
        (header::USER_AGENT, USER_AGENT),
        (GRPC_TIMEOUT, HeaderValue::from_static("")),
    ];
    grpc.into_iter().chain(common).collect()
}

/// What is wrong with a backend that could not be opened. Opens nothing itself.
pub fn problem(kind: &SpecKind) -> Option<String> {
    match kind {
        SpecKind::Builtin(_) => None,
        SpecKind::Grpc(grpc) => cluster::problem(grpc),
    }
}

fn no_such_builtin(name: &str, builtins: &Builtins) -> String {
    let known: Vec<_> = builtins.names().collect();
    format!("there is no built-in service `{name}`; there is {}", known.join(", "))
}

fn too_late() -> Failure {
    Failure::gateway(Reason::DeadlineExceeded, "the service did not reply in time")
}

// === impl Request ===

impl Request {
    fn attempt(&self) -> HeaderMap {
        attempt(&self.headers, &self.metadata, self.deadline)
    }

    fn time_left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }
}

/// The headers of one attempt, made for it: HTTP/2 consumes them. They tell the service how long is left.
fn attempt(common: &HeaderMap, metadata: &[(HeaderName, HeaderValue)], deadline: Instant) -> HeaderMap {
    let mut headers = HeaderMap::clone(common);
    for (name, value) in metadata {
        headers.insert(name, value.clone());
    }
    headers.insert(GRPC_TIMEOUT, timeout::grpc_timeout(deadline.saturating_duration_since(Instant::now())));
    headers
}
