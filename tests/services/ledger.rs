//! A service of the tests in a process of its own, so that it can be killed and paused: it writes down what it is asked to do before it
//! answers. `ledger PORT FILE [MILLISECONDS]`: the port it listens on, the file it appends to, and how long it takes for each call.

use std::error::Error;
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use protogate::services::echo::v1::echo_service_server::{EchoService, EchoServiceServer};
use protogate::services::echo::v1::{EchoRequest, EchoResponse};
use tonic::transport::Server;
use tonic::{Request, Response, Status};

struct Ledger {
    file: File,
    takes: Duration,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [port, file, rest @ ..] = &*arguments else { return Err("ledger PORT FILE [MILLISECONDS]".into()) };
    let takes = Duration::from_millis(rest.first().map_or(Ok(0), |takes| takes.parse())?);
    let ledger = Ledger { file: OpenOptions::new().append(true).create(true).open(file)?, takes };
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port.parse()?));
    Server::builder().add_service(EchoServiceServer::new(ledger)).serve(address).await?;
    Ok(())
}

#[tonic::async_trait]
impl EchoService for Ledger {
    async fn echo(&self, request: Request<EchoRequest>) -> Result<Response<EchoResponse>, Status> {
        let text = request.into_inner().text;
        tokio::time::sleep(self.takes).await;
        // One write a line: what was written when the process is killed is written whole.
        (&self.file).write_all(format!("{text}\n").as_bytes())?;
        Ok(Response::new(EchoResponse { text }))
    }
}
