//! A gRPC service to put behind the gateway: `cargo run --example greeter [ADDRESS]`. `server.py` is the same in Python.

use std::error::Error;
use std::net::SocketAddr;

use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Code, Request, Response, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

mod v1 {
    tonic::include_proto!("greeter.v1");
}

use v1::greeter_server::GreeterServer;
use v1::{AnnounceReply, AnnounceRequest, FailReply, FailRequest, HelloReply, HelloRequest};

struct Greeter;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let address: SocketAddr = std::env::args().nth(1).as_deref().unwrap_or("127.0.0.1:50051").parse()?;
    let listener = TcpListener::bind(address).await?;
    eprintln!("the greeter listens on {}", listener.local_addr()?);
    let mut terminate = signal(SignalKind::terminate())?;
    // Asked to end, it answers the calls that it has.
    let asked = async move {
        terminate.recv().await;
    };
    let server = Server::builder().add_service(GreeterServer::new(Greeter));
    server.serve_with_incoming_shutdown(TcpIncoming::from(listener), asked).await?;
    Ok(())
}

#[tonic::async_trait]
impl v1::greeter_server::Greeter for Greeter {
    async fn hello(&self, request: Request<HelloRequest>) -> Result<Response<HelloReply>, Status> {
        let name = request.into_inner().name;
        Ok(Response::new(HelloReply { text: format!("hello, {name}") }))
    }

    async fn fail(&self, _: Request<FailRequest>) -> Result<Response<FailReply>, Status> {
        let mut details = ErrorDetails::with_bad_request_violation("name", "is empty");
        details.set_error_info("NAME_MISSING", "greeter.example", [("field".to_owned(), "name".to_owned())]);
        Err(Status::with_error_details(Code::InvalidArgument, "nobody to greet", details))
    }

    async fn announce(&self, request: Request<AnnounceRequest>) -> Result<Response<AnnounceReply>, Status> {
        let AnnounceRequest { text, user_id } = request.into_inner();
        Ok(Response::new(AnnounceReply { text: format!("{user_id} announces: {text}") }))
    }
}
