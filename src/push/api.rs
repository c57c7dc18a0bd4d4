//! The PushService: how services reach clients.

use tonic::{Request, Response, Status};

use super::v1::push_service_server::{PushService, PushServiceServer};
use super::v1::{
    KickRequest, KickResponse, PresenceRequest, PresenceResponse, PushRequest, PushResponse, UnsubscribeRequest, UnsubscribeResponse,
};
use crate::session::Sessions;

struct Api {
    _sessions: Sessions,
}

/// The service, ready to be served.
pub fn service(sessions: Sessions) -> PushServiceServer<impl PushService> {
    PushServiceServer::new(Api { _sessions: sessions })
}

#[tonic::async_trait]
impl PushService for Api {
    async fn push(&self, _: Request<PushRequest>) -> Result<Response<PushResponse>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn kick(&self, _: Request<KickRequest>) -> Result<Response<KickResponse>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn unsubscribe(&self, _: Request<UnsubscribeRequest>) -> Result<Response<UnsubscribeResponse>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn presence(&self, _: Request<PresenceRequest>) -> Result<Response<PresenceResponse>, Status> {
        Err(Status::unimplemented(""))
    }
}
