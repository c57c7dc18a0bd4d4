//! The smallest service there is: it says what it heard.

/// The types of `proto/protogate/echo/v1/echo.proto`.
pub mod v1 {
    tonic::include_proto!("protogate.echo.v1");
}

use tonic::{Request, Response, Status};

use v1::echo_service_server::{EchoService, EchoServiceServer};
use v1::{EchoRequest, EchoResponse};

struct Echo;

/// The service, ready to be served.
pub fn service() -> EchoServiceServer<impl EchoService> {
    EchoServiceServer::new(Echo)
}

// === impl Echo ===

#[tonic::async_trait]
impl EchoService for Echo {
    async fn echo(&self, request: Request<EchoRequest>) -> Result<Response<EchoResponse>, Status> {
        Ok(Response::new(EchoResponse { text: request.into_inner().text }))
    }
}
