//! Calls to the services behind the gateway.
//!
//! A [`Backend`] takes a request, picks an endpoint, and answers with a reply or a [`Failure`]. It knows nothing of sessions, routes or
//! WebSocket: a path, metadata, bytes and a deadline are all it is given.
//!
//! Promises: a call ends by its deadline; dropping it cancels it at the service; it is tried a second time only when nobody can have
//! acted upon the first. A worker's calls use that worker's own connections.
//!
//! - `spec` — what the table says about a backend
//! - `cluster` — the way of a call: pick, send, judge, and again where that is right
//! - `discovery` — where endpoints come from, and when they come and go
//! - `balancer`, `endpoint`, `breaker`, `lane` — which address, how it does, which of its connections
//! - `dial`, `channel`, `reset` — connecting; HTTP/2; how fast calls are cancelled
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
mod jitter;
mod lane;
mod message;
mod outcome;
mod reset;
mod spec;
mod timeout;
mod trailers;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use tokio::time::{Instant, timeout_at};

pub use balancer::Choice;
pub use builtin::Builtins;
pub use discovery::{Directory, ENDPOINTS_MAX, Written, endpoints_in, may_register};
pub use message::frame;
pub use spec::{
    BalancePolicy, BreakerSpec, BudgetSpec, ConnectionsSpec, EndpointSpec, GrpcSpec, HealthSpec, LimitsSpec, Source, Spec, SpecKind,
    TlsSpec,
};

use builtin::Builtin;
use cluster::Cluster;

use crate::failure::{Code, Failure, Reason, Result};
use crate::id::WorkerId;

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
    /// Which endpoint it is for, where that matters.
    pub choice: Choice,
    /// The message behind its [`frame`].
    pub body: Bytes,
    /// When the call has failed, whatever happens. The service is told.
    pub deadline: Instant,
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
                let cluster = Cluster::open(Arc::clone(&spec.name), GrpcSpec::clone(grpc), workers, builtins.runtime(), before)?;
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

    /// Calls the service from this worker, one of those the backend was opened for, on whose runtime it must be polled.
    /// Dropping the future cancels the call.
    pub async fn call(&self, worker: WorkerId, request: Request) -> Result<Reply> {
        let deadline = request.deadline;
        match timeout_at(deadline, self.answer(worker, request)).await {
            // Servers watch the deadline too. Some say CANCELLED when it has passed, and a busy worker may read that before its own timer.
            Ok(Err(failure)) if failure.code() == Code::Cancelled && Instant::now() >= deadline => Err(too_late()),
            Ok(answer) => answer,
            Err(_) => Err(too_late()),
        }
    }

    async fn answer(&self, worker: WorkerId, request: Request) -> Result<Reply> {
        match &self.services {
            _ if request.time_left().is_zero() => Err(too_late().unsent()),
            Services::Inside(builtin) => builtin.call(request).await,
            Services::Remote(cluster) => {
                cluster.discovered().await;
                cluster.call(worker, &request).await
            }
        }
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
    /// The headers of one attempt, made for it: HTTP/2 consumes them. They tell the service how long is left.
    fn attempt(&self) -> HeaderMap {
        let mut headers = HeaderMap::clone(&self.headers);
        for (name, value) in &self.metadata {
            headers.insert(name, value.clone());
        }
        headers.insert(GRPC_TIMEOUT, timeout::grpc_timeout(self.time_left()));
        headers
    }

    fn time_left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }
}
