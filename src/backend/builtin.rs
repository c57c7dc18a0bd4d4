//! Services that live in this process: ordinary tonic services, called without a network.
//!
//! They run on the back room's runtime, never on a worker. Promises: at most [`CALLS_MAX`] calls of a service run at once, and as many
//! streams, and the next is shed; a call that nobody waits for any more is aborted; a panic fails its call alone. What they answer is
//! judged by the same rules as what comes from the network.
//!
//! - `stream` — calls of many messages

mod stream;

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use http::HeaderMap;
use http::uri::PathAndQuery;
use http_body_util::{BodyExt as _, Full};
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinError;
use tokio_util::task::AbortOnDropHandle;
use tonic::body::Body;
use tower::util::BoxCloneSyncService;
use tower::{Service, ServiceExt as _};

use super::discovery::Directory;
use super::outcome::{self, Answer, Fault};
use super::stage::Network;
use super::{Reply, Request};
use crate::failure::{Failure, Reason, Result};

pub(super) use stream::{Hearing, Speaking};

/// The most calls of one service at once, and the most streams.
const CALLS_MAX: usize = 1024;

/// The services of this process by name. Made once, by whoever builds the gateway.
pub struct Builtins {
    runtime: Handle,
    services: BTreeMap<&'static str, Builtin>,
    directory: Directory,
    network: Network,
}

/// One of them. Clones share its bound on calls.
#[derive(Clone)]
pub(super) struct Builtin {
    name: Arc<str>,
    runtime: Handle,
    service: Inside,
    free: Arc<Semaphore>,
    free_streams: Arc<Semaphore>,
}

type Inside = BoxCloneSyncService<http::Request<Body>, http::Response<Body>, Infallible>;

/// An answer's body, whose trailers come as its last frame.
struct Answered {
    body: Body,
    trailers: Option<HeaderMap>,
}

// === impl Builtins ===

impl Builtins {
    /// No services yet. Those that are added run on `runtime`.
    pub fn new(runtime: Handle) -> Builtins {
        Builtins { runtime, services: BTreeMap::new(), directory: Directory::default(), network: Network::default() }
    }

    /// The same, and other backends are reached through this network.
    #[must_use]
    pub fn reaching(self, network: Network) -> Builtins {
        Builtins { network, ..self }
    }

    /// Adds a service, such as tonic generates.
    pub fn add<S>(&mut self, name: &'static str, service: S)
    where
        S: Service<http::Request<Body>, Response = http::Response<Body>, Error = Infallible> + Clone + Send + Sync + 'static,
        S::Future: Send + 'static,
    {
        let service = BoxCloneSyncService::new(service);
        let [free, free_streams] = [(); 2].map(|()| Arc::new(Semaphore::new(CALLS_MAX)));
        self.services.insert(name, Builtin { name: Arc::from(name), runtime: self.runtime.clone(), service, free, free_streams });
    }

    /// Where they run.
    pub fn runtime(&self) -> &Handle {
        &self.runtime
    }

    /// Where backends hear which endpoints have registered for them.
    pub fn directory(&self) -> &Directory {
        &self.directory
    }

    /// How the endpoints of other backends are reached.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// Their names, in order.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        self.services.keys().copied()
    }

    pub(super) fn get(&self, name: &str) -> Option<Builtin> {
        self.services.get(name).cloned()
    }
}

// === impl Builtin ===

impl Builtin {
    pub(super) fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Calls under way.
    pub(super) fn in_flight(&self) -> usize {
        CALLS_MAX - self.free.available_permits()
    }

    /// Calls the service and waits for the reply.
    pub(super) async fn call(&self, request: Request) -> Result<Reply> {
        let seat = sit(&self.free)?;
        let service = self.service.clone();
        let running = self.runtime.spawn(async move {
            let _seat = seat;
            answer(service, request).await
        });
        let message = AbortOnDropHandle::new(running).await.unwrap_or_else(|error| Err(broken_off(error)))?;
        Ok(Reply { message, endpoint: Arc::clone(&self.name) })
    }
}

fn sit(free: &Arc<Semaphore>) -> Result<OwnedSemaphorePermit> {
    let shed = |_| Failure::gateway(Reason::Overloaded, "the service has all the calls it takes; try again later").unsent();
    Arc::clone(free).try_acquire_owned().map_err(shed)
}

fn broken_off(error: JoinError) -> Failure {
    let reason = if error.is_panic() { Reason::Internal } else { Reason::Shutdown };
    Failure::gateway(reason, "the service broke off the call").because(error)
}

async fn answer(service: Inside, call: Request) -> Result<Bytes> {
    let headers = call.attempt();
    let response = match service.oneshot(request(&call.path, headers, Body::new(Full::new(call.body)))).await {
        Ok(response) => response,
        Err(never) => match never {},
    };
    let (head, body) = response.into_parts();
    outcome::read(head.status, &head.headers, &mut Answered { body, trailers: None }, call.reply_bytes_max).await
}

fn request(path: &PathAndQuery, headers: HeaderMap, body: Body) -> http::Request<Body> {
    let mut request = http::Request::new(body);
    *request.method_mut() = http::Method::POST;
    *request.uri_mut() = path.clone().into();
    *request.version_mut() = http::Version::HTTP_2;
    *request.headers_mut() = headers;
    request
}

// === impl Answered ===

impl Answer for Answered {
    async fn chunk(&mut self) -> Option<std::result::Result<Bytes, Fault>> {
        loop {
            let frame = match self.body.frame().await? {
                Ok(frame) => frame,
                Err(status) => return Some(Err(Fault::Broken(status.to_string()))),
            };
            match frame.into_data() {
                Ok(chunk) => return Some(Ok(chunk)),
                Err(other) => self.trailers = other.into_trailers().ok(),
            }
        }
    }

    async fn trailers(&mut self) -> std::result::Result<Option<HeaderMap>, Fault> {
        Ok(self.trailers.take())
    }
}
