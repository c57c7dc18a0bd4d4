//! Calls to the services behind the gateway.
//!
//! A [`Backend`] takes a request, picks an endpoint, and answers with a reply or a [`Failure`]. It knows nothing of sessions, routes or
//! WebSocket: a path, metadata, bytes and a deadline are all it is given.
//!
//! Promises: a call ends by its deadline; dropping it cancels it at the service; it is tried a second time only when nobody can have
//! acted upon the first. A worker's calls use that worker's own connections.
//!
//! - `spec` — what the table says about a backend
//! - `balancer`, `endpoint`, `lane` — which address, which of its connections
//! - `dial`, `channel`, `reset` — connecting; HTTP/2; how fast calls are cancelled
//! - `builtin` — services of this process
//! - `outcome`, `message`, `trailers`, `timeout` — gRPC

mod balancer;
mod builtin;
mod channel;
mod dial;
mod endpoint;
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

pub use builtin::Builtins;
pub use message::frame;
pub use spec::{EndpointSpec, Spec, SpecKind, TlsSpec};

use balancer::Balancer;
use builtin::Builtin;
use dial::Target;
use endpoint::Endpoint;

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
    Remote(Balancer),
}

/// One call.
pub struct Request {
    /// `/package.Service/Method`.
    pub path: PathAndQuery,
    /// What this call has in common with others, from [`headers`].
    pub headers: Arc<HeaderMap>,
    /// This call's metadata for the service. It replaces what has the same name in `headers`, and of two such entries the later counts.
    pub metadata: Vec<(HeaderName, HeaderValue)>,
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
    /// Prepares the backend for this many workers. Opens no connection: each worker does when it has a call.
    pub fn open(spec: Spec, workers: usize, builtins: &Builtins) -> std::result::Result<Arc<Backend>, String> {
        let services = match &spec.kind {
            SpecKind::Builtin(name) => Services::Inside(builtins.get(name).ok_or_else(|| no_such_builtin(name, builtins))?),
            SpecKind::Grpc { endpoints, tls, connect_timeout } => {
                let targets = targets(endpoints, tls.as_ref(), *connect_timeout)?;
                Services::Remote(Balancer::new(targets.into_iter().map(|target| Endpoint::new(target, workers)).collect(), workers))
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
            Services::Remote(endpoints) => {
                let endpoint = endpoints.pick(worker);
                match endpoint.send(worker, &request).await {
                    Err(failure) if failure.is_unsent() && !request.time_left().is_zero() => {
                        endpoints.pick_other(worker, endpoint).send(worker, &request).await
                    }
                    answer => answer,
                }
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
        SpecKind::Grpc { endpoints, tls, connect_timeout } => targets(endpoints, tls.as_ref(), *connect_timeout).err(),
    }
}

fn no_such_builtin(name: &str, builtins: &Builtins) -> String {
    let known: Vec<_> = builtins.names().collect();
    format!("there is no built-in service `{name}`; there is {}", known.join(", "))
}

fn targets(endpoints: &[EndpointSpec], tls: Option<&TlsSpec>, connect_timeout: Duration) -> std::result::Result<Vec<Target>, String> {
    if endpoints.is_empty() {
        return Err("it has no endpoint".to_owned());
    }
    let connector = if endpoints.iter().any(|endpoint| endpoint.tls) { Some(dial::tls_connector(tls)?) } else { None };
    let server_name = tls.and_then(|tls| tls.server_name.as_deref());
    endpoints.iter().map(|endpoint| Target::new(endpoint, connector.as_ref(), server_name, connect_timeout)).collect()
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
