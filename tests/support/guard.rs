//! A guard on a free port: a service that decides about calls, as the client asks it to, and remembers what it was asked.

use std::convert::Infallible;
use std::future::{Ready, pending, ready};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use protogate::dispatch::guard::v1::guard_server::{Guard, GuardServer};
use protogate::dispatch::guard::v1::{CheckRequest, CheckResponse};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::body::Body;
use tonic::server::NamedService;
use tonic::{Request, Response, Status};
use tower::Service;

/// Decides by the client's `x-ask`; whatever it does not know it allows:
///
/// - `deny`, `explain`, `mumble`: no; no with words of its own; no with a reason that is none
/// - `abort`, `fail`, `slow`, `panic`: no by a status; a failure; no answer; a panic
/// - `tenant`, `forge`, `extra`: yes with `x-tenant`; with what is the gateway's; with a key that it may not set
pub struct TestGuard {
    pub address: SocketAddr,
    asked: Arc<Mutex<Vec<CheckRequest>>>,
    task: tokio::task::JoinHandle<()>,
}

struct Decider(Arc<Mutex<Vec<CheckRequest>>>);

/// Answers `test.v1.Liar/Check` with bytes that are no decision.
#[derive(Clone)]
struct Liar;

impl TestGuard {
    pub async fn start() -> TestGuard {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let server = tonic::transport::Server::builder().add_service(GuardServer::new(Decider(Arc::clone(&asked)))).add_service(Liar);
        let task = tokio::spawn(async move {
            server.serve_with_incoming(TcpListenerStream::new(listener)).await.unwrap();
        });
        TestGuard { address, asked, task }
    }

    /// What it was asked since the last time.
    pub fn asked(&self) -> Vec<CheckRequest> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }
}

impl Drop for TestGuard {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[tonic::async_trait]
impl Guard for Decider {
    async fn check(&self, request: Request<CheckRequest>) -> Result<Response<CheckResponse>, Status> {
        let question = request.into_inner();
        let ask = question.metadata.get("x-ask").cloned().unwrap_or_default();
        self.0.lock().unwrap().push(question);
        let no = CheckResponse::default();
        let yes_with = |key: &str, value: &str| CheckResponse {
            allow: true,
            metadata: [(key.to_owned(), value.to_owned())].into(),
            ..CheckResponse::default()
        };
        Ok(Response::new(match &*ask {
            "deny" => no,
            "explain" => {
                CheckResponse { code: 9, reason: "OUT_OF_CREDIT".to_owned(), message: "buy a coin".to_owned(), retry_after_ms: 1500, ..no }
            }
            "mumble" => CheckResponse { reason: "out of credit".to_owned(), ..no },
            "abort" => return Err(Status::permission_denied("not you")),
            "fail" => return Err(Status::internal("the database said: secret")),
            "slow" => pending().await,
            "panic" => panic!("a guard that breaks"),
            "tenant" => yes_with("x-tenant", "blue"),
            "forge" => yes_with("protogate-user", "root"),
            "extra" => yes_with("x-other", "1"),
            _ => CheckResponse { allow: true, ..no },
        }))
    }
}

impl NamedService for Liar {
    const NAME: &'static str = "test.v1.Liar";
}

impl Service<http::Request<Body>> for Liar {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: http::Request<Body>) -> Self::Future {
        // Field 1 as a text, where a bool belongs.
        let body = Full::new(Bytes::from_static(b"\0\0\0\0\x03\x0a\x01a"));
        let trailers = http::HeaderMap::from_iter([("grpc-status".parse().unwrap(), "0".parse().unwrap())]);
        let body = Body::new(body.with_trailers(async { Some(Ok(trailers)) }));
        ready(Ok(http::Response::builder().header("content-type", "application/grpc").body(body).unwrap()))
    }
}
