//! Two gRPC services behind one address: that of clients, and that of senders, which takes larger requests.

use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{Request, Response};
use http_body::Body;
use tower::Service;

use super::Notify;
use super::v1::notify_admin_server::{self, NotifyAdminServer};
use super::v1::notify_service_server::NotifyServiceServer;

/// The largest request of a client: some ids.
const CLIENT_BYTES_MAX: usize = 16 << 10;

/// The largest request of a sender: ten thousand users with their addresses.
const SENDER_BYTES_MAX: usize = 8 << 20;

/// Both. Clones are the same.
#[derive(Clone)]
pub struct Door {
    clients: NotifyServiceServer<Notify>,
    senders: NotifyAdminServer<Notify>,
}

// === impl Door ===

impl Door {
    pub(super) fn new(notify: Arc<Notify>) -> Door {
        let clients = NotifyServiceServer::from_arc(Arc::clone(&notify)).max_decoding_message_size(CLIENT_BYTES_MAX);
        Door { clients, senders: NotifyAdminServer::from_arc(notify).max_decoding_message_size(SENDER_BYTES_MAX) }
    }
}

impl<B> Service<Request<B>> for Door
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>> + Send + 'static,
{
    type Response = Response<tonic::body::Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    /// Whatever is no sender's is answered by the side of clients: also that there is no such method.
    fn call(&mut self, request: Request<B>) -> Self::Future {
        let service = request.uri().path().trim_start_matches('/').split('/').next();
        match service == Some(notify_admin_server::SERVICE_NAME) {
            true => self.senders.call(request),
            false => self.clients.call(request),
        }
    }
}
