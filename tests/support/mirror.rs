//! A gRPC service on a free port that answers with what the gateway told it.

use std::net::SocketAddr;

use protogate::services::echo::v1::echo_service_server::{EchoService, EchoServiceServer};
use protogate::services::echo::v1::{EchoRequest, EchoResponse};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status};

/// Answers `LABEL ROUTE GENERATION USER TEXT`.
pub struct Mirror {
    pub address: SocketAddr,
    task: tokio::task::JoinHandle<()>,
}

struct Service {
    label: &'static str,
}

impl Mirror {
    pub async fn start(label: &'static str) -> Mirror {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tonic::transport::Server::builder().add_service(EchoServiceServer::new(Service { label }));
        let task = tokio::spawn(async move {
            server.serve_with_incoming(TcpListenerStream::new(listener)).await.unwrap();
        });
        Mirror { address, task }
    }
}

impl Drop for Mirror {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[tonic::async_trait]
impl EchoService for Service {
    async fn echo(&self, request: Request<EchoRequest>) -> Result<Response<EchoResponse>, Status> {
        let told = |key: &str| request.metadata().get(key).map_or("-", |value| value.to_str().unwrap()).to_owned();
        let text = [
            self.label.to_owned(),
            told("protogate-route"),
            told("protogate-generation"),
            told("protogate-user"),
            request.get_ref().text.clone(),
        ]
        .join(" ");
        Ok(Response::new(EchoResponse { text }))
    }
}
