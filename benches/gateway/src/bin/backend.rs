//! The service behind every gateway of the bench: it echoes, on one thread, and announces no limit of streams.
//!
//! `backend --listen 127.0.0.1:0` prints `listening ADDRESS` once it can be called.

use protogate_bench::Outcome;
use protogate_bench::args::Args;
use protogate_bench::echo::echo_service_server::{EchoService, EchoServiceServer};
use protogate_bench::echo::{EchoRequest, EchoResponse};
use tokio::net::TcpListener;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};

struct Echo;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Outcome {
    let listener = TcpListener::bind(Args::read(0)?.required::<String>("listen")?).await?;
    println!("listening {}", listener.local_addr()?);
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    Server::builder().add_service(EchoServiceServer::new(Echo)).serve_with_incoming(incoming).await?;
    Ok(())
}

// === impl Echo ===

#[tonic::async_trait]
impl EchoService for Echo {
    async fn echo(&self, request: Request<EchoRequest>) -> Result<Response<EchoResponse>, Status> {
        Ok(Response::new(EchoResponse { text: request.into_inner().text }))
    }
}
