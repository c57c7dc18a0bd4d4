//! Services that live in this process: ordinary tonic services, called without a network.
//!
//! They run on the back room's runtime, never on a worker. Promises: at most [`CALLS_MAX`] calls of a service run at once, and the
//! next is shed; a call that nobody waits for any more is aborted; a panic fails its call alone. What they answer is judged by the
//! same rules as what comes from the network.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use http::HeaderMap;
use http_body_util::{BodyExt as _, Full};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio_util::task::AbortOnDropHandle;
use tonic::body::Body;
use tower::util::BoxCloneSyncService;
use tower::{Service, ServiceExt as _};

use super::discovery::Directory;
use super::outcome::{self, Answer, Fault};
use super::{Reply, Request};
use crate::failure::{Failure, Reason, Result};

/// The most calls of one service at once.
const CALLS_MAX: usize = 1024;

/// The services of this process by name. Made once, by whoever builds the gateway.
pub struct Builtins {
    runtime: Handle,
    services: BTreeMap<&'static str, Builtin>,
    directory: Directory,
}

/// One of them. Clones share its bound on calls.
#[derive(Clone)]
pub(super) struct Builtin {
    name: Arc<str>,
    runtime: Handle,
    service: BoxCloneSyncService<http::Request<Body>, http::Response<Body>, Infallible>,
    free: Arc<Semaphore>,
}

/// An answer's body, whose trailers come as its last frame.
struct Answered {
    body: Body,
    trailers: Option<HeaderMap>,
}

// === impl Builtins ===

impl Builtins {
    /// No services yet. Those that are added run on `runtime`.
    pub fn new(runtime: Handle) -> Builtins {
        Builtins { runtime, services: BTreeMap::new(), directory: Directory::default() }
    }

    /// Adds a service, such as tonic generates.
    pub fn add<S>(&mut self, name: &'static str, service: S)
    where
        S: Service<http::Request<Body>, Response = http::Response<Body>, Error = Infallible> + Clone + Send + Sync + 'static,
        S::Future: Send + 'static,
    {
        let service = BoxCloneSyncService::new(service);
        let free = Arc::new(Semaphore::new(CALLS_MAX));
        self.services.insert(name, Builtin { name: Arc::from(name), runtime: self.runtime.clone(), service, free });
    }

    /// Where they run.
    pub fn runtime(&self) -> &Handle {
        &self.runtime
    }

    /// Where backends hear which endpoints have registered for them.
    pub fn directory(&self) -> &Directory {
        &self.directory
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
    /// Calls the service and waits for the reply.
    pub(super) async fn call(&self, request: Request) -> Result<Reply> {
        let Ok(seat) = Arc::clone(&self.free).try_acquire_owned() else {
            return Err(Failure::gateway(Reason::Overloaded, "the service has all the calls it takes; try again later").unsent());
        };
        let service = self.service.clone();
        let running = self.runtime.spawn(async move {
            let _seat = seat;
            answer(service, request).await
        });
        let message = AbortOnDropHandle::new(running).await.unwrap_or_else(|error| {
            let reason = if error.is_panic() { Reason::Internal } else { Reason::Shutdown };
            Err(Failure::gateway(reason, "the service broke off the call").because(error))
        })?;
        Ok(Reply { message, endpoint: Arc::clone(&self.name) })
    }
}

async fn answer(service: BoxCloneSyncService<http::Request<Body>, http::Response<Body>, Infallible>, request: Request) -> Result<Bytes> {
    let headers = request.attempt();
    let mut head = http::Request::new(Body::new(Full::new(request.body)));
    *head.method_mut() = http::Method::POST;
    *head.uri_mut() = request.path.into();
    *head.version_mut() = http::Version::HTTP_2;
    *head.headers_mut() = headers;
    let response = match service.oneshot(head).await {
        Ok(response) => response,
        Err(never) => match never {},
    };
    let (head, body) = response.into_parts();
    outcome::read(head.status, &head.headers, &mut Answered { body, trailers: None }, request.reply_bytes_max).await
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
