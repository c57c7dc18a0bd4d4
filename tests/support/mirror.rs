//! A gRPC service on a free port that answers with what the gateway told it, or as badly as it is asked to.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::time::Duration;

use protogate::services::echo::v1::echo_service_server::{EchoService, EchoServiceServer};
use protogate::services::echo::v1::{EchoRequest, EchoResponse};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Code, Request, Response, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

/// Answers `LABEL ROUTE GENERATION USER TEXT`. A text may ask for something else:
///
/// - `fail CODE TEXT`: fails with that number and text
/// - `blurt CODE TEXT`: fails with that number, and tells the text in every detail
/// - `slow MILLISECONDS`: answers later
/// - `big BYTES`: answers with so much text
/// - `shy TIMES NAME`: fails with UNAVAILABLE the first times it is asked by this name, then answers with how often it was asked, and
///   what it was told of that
/// - `tell KEY …`: answers with these metadata values, `-` for one that is not there
pub struct Mirror {
    pub address: SocketAddr,
    task: tokio::task::JoinHandle<()>,
}

struct Service {
    label: &'static str,
    /// How often it was asked, by name.
    shy: Mutex<HashMap<String, u32>>,
}

impl Mirror {
    pub async fn start(label: &'static str) -> Mirror {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tonic::transport::Server::builder().add_service(EchoServiceServer::new(Service { label, shy: Mutex::default() }));
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
        let asked = request.get_ref().text.clone();
        let (what, rest) = asked.split_once(' ').unwrap_or((&asked, ""));
        let text = match what {
            "fail" => {
                let (code, text) = rest.split_once(' ').unwrap_or((rest, ""));
                return Err(Status::new(Code::from_i32(code.parse().unwrap()), text));
            }
            "blurt" => {
                let (code, text) = rest.split_once(' ').unwrap();
                let mut details = ErrorDetails::with_error_info("BLURTED", text, HashMap::from([("text".to_owned(), text.to_owned())]));
                details.set_debug_info(vec![text.to_owned()], text).add_bad_request_violation(text, text);
                return Err(Status::with_error_details(Code::from_i32(code.parse().unwrap()), "it failed", details));
            }
            "slow" => {
                tokio::time::sleep(Duration::from_millis(rest.parse().unwrap())).await;
                asked
            }
            "shy" => {
                let (times, name) = rest.split_once(' ').unwrap();
                let asked = *self.shy.lock().unwrap().entry(name.to_owned()).and_modify(|asked| *asked += 1).or_insert(1);
                if asked <= times.parse().unwrap() {
                    return Err(Status::unavailable("not yet"));
                }
                format!("{asked} {} {}", told("grpc-previous-rpc-attempts"), told("idempotency-key"))
            }
            "big" => "x".repeat(rest.parse().unwrap()),
            "tell" => rest.split(' ').map(told).collect::<Vec<_>>().join(" "),
            _ => {
                let told = ["protogate-route", "protogate-generation", "protogate-user"].map(told);
                format!("{} {} {}", self.label, told.join(" "), asked)
            }
        };
        Ok(Response::new(EchoResponse { text }))
    }
}
