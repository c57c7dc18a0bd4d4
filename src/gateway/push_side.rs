//! What listens where services come in from outside: the PushService and the Registry, each behind a door of its own.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::future::Either;
use http::Request;
use tokio::runtime::Handle;
use tower::Service;
use tracing::warn;

use super::{StartError, io_error};
use crate::drain::Tasks;
use crate::push::{self, Hub};
use crate::registry::{self, Registry};
use crate::services;
use crate::services::alone::Transport;
use crate::table::TableReader;
use crate::table::settings::PushSide;

/// Two services at one address. Which one is called is in the path.
#[derive(Clone)]
struct Both<P, R> {
    push: P,
    registry: R,
}

/// Opens both to services outside. Where they listen.
pub fn open(
    side: PushSide,
    inherited: Option<TcpListener>,
    hub: Hub,
    registry: Registry,
    reader: &TableReader,
    room: &Handle,
    tasks: &Arc<Tasks>,
) -> Result<SocketAddr, StartError> {
    let cannot = || io_error(format!("services cannot be listened to on {}", side.address));
    let transport = match side.tls {
        None => Transport::ClearText,
        Some(_) => {
            let reader = reader.clone();
            let config = move || reader.load().settings.push_tls.as_ref().map(|certificate| Arc::clone(&certificate.config));
            Transport::Tls(Arc::new(move || config().expect("whether there is a certificate is fixed")))
        }
    };
    let listener = inherited.map_or_else(|| TcpListener::bind(side.address), Ok).map_err(cannot())?;
    let both = Both { push: push::door::guard(push::api::service(hub), side.token), registry: registry::api::service(registry) };
    let clear = matches!(transport, Transport::ClearText);
    let address = services::alone::serve_over(transport, both, listener, room, tasks).map_err(cannot())?;
    if clear && !address.ip().is_loopback() {
        warn!(%address, "services show their token in clear text; give `push` a certificate, or keep it in a network of services alone");
    }
    Ok(address)
}

impl<P, R, B> Service<Request<B>> for Both<P, R>
where
    P: Service<Request<B>>,
    R: Service<Request<B>, Response = P::Response, Error = P::Error>,
{
    type Response = P::Response;
    type Error = P::Error;
    type Future = Either<P::Future, R::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), P::Error>> {
        match self.push.poll_ready(cx) {
            Poll::Ready(Ok(())) => self.registry.poll_ready(cx),
            other => other,
        }
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        match request.uri().path().starts_with(registry::api::PATH) {
            true => Either::Right(self.registry.call(request)),
            false => Either::Left(self.push.call(request)),
        }
    }
}
