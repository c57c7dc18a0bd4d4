//! Services to talk to: a tonic server that does what the text of a call says, and HTTP/2 servers made by hand.

use std::convert::Infallible;
use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use h2::RecvStream;
use h2::server::SendResponse;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tonic::body::Body;
use tonic::metadata::MetadataMap;
use tonic::server::NamedService;
use tonic::{Code, Request, Response, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use crate::services::echo::v1::echo_service_server::{EchoService, EchoServiceServer};
use crate::services::echo::v1::{EchoRequest, EchoResponse};

/// What a service has seen. `gate` holds the calls that say `wait`.
#[derive(Default)]
pub struct Seen {
    pub calls: AtomicUsize,
    pub cancelled: AtomicUsize,
    pub cancellation: Notify,
    pub gate: Notify,
}

/// A service on a port of its own, until it is dropped.
pub struct Service {
    pub port: u16,
    pub seen: Arc<Seen>,
    serving: JoinHandle<()>,
}

#[derive(Clone)]
struct Obedient(Arc<Seen>);

/// Counts a call as cancelled unless it came to its end.
struct Running<'a>(&'a Seen);

/// A tonic server with these settings.
pub async fn tonic_service(streams_max: Option<u32>) -> Service {
    let seen = Arc::new(Seen::default());
    let service = EchoServiceServer::new(Obedient(Arc::clone(&seen)));
    let server = tonic::transport::Server::builder().max_concurrent_streams(streams_max).add_service(service);
    let mut service = run(server).await;
    service.seen = seen;
    service
}

/// A tonic server with this service.
pub async fn serve<S>(service: S) -> Service
where
    S: tower::Service<http::Request<Body>, Response = http::Response<Body>, Error = Infallible>,
    S: NamedService + Clone + Send + Sync + 'static,
    S::Future: Send + 'static,
{
    run(tonic::transport::Server::builder().add_service(service)).await
}

async fn run(server: tonic::transport::server::Router) -> Service {
    let (listener, port) = listen().await;
    let incoming = tonic::transport::server::TcpIncoming::from(listener);
    let serving = tokio::spawn(async move { server.serve_with_incoming(incoming).await.expect("the server runs") });
    Service { port, seen: Arc::default(), serving }
}

/// An HTTP/2 server that hands every call to `answer`.
pub async fn h2_service<A, F>(answer: A) -> Service
where
    A: Fn(http::Request<RecvStream>, SendResponse<Bytes>) -> F + Clone + Send + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    tcp_service(move |tcp| serve_h2(tcp, answer.clone())).await
}

/// A server that hands every connection to `serve`.
pub async fn tcp_service<A, F>(serve: A) -> Service
where
    A: Fn(TcpStream) -> F + Send + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    let (listener, port) = listen().await;
    let serving = tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            tokio::spawn(serve(tcp));
        }
    });
    Service { port, seen: Arc::default(), serving }
}

/// Serves one connection.
pub async fn serve_h2<T, A, F>(io: T, answer: A)
where
    T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
    A: Fn(http::Request<RecvStream>, SendResponse<Bytes>) -> F,
    F: Future<Output = ()> + Send + 'static,
{
    let Ok(mut connection) = h2::server::handshake(io).await else { return };
    while let Some(Ok((request, response))) = connection.accept().await {
        tokio::spawn(answer(request, response));
    }
}

/// A port on which nobody listens.
pub async fn dead_port() -> u16 {
    listen().await.1
}

async fn listen() -> (TcpListener, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let port = listener.local_addr().expect("it is bound").port();
    (listener, port)
}

// === impl Service ===

impl Drop for Service {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Service {
    pub fn calls(&self) -> usize {
        self.seen.calls.load(Ordering::SeqCst)
    }

    /// Waits until this many calls have come.
    pub async fn until_called(&self, calls: usize) {
        while self.calls() < calls {
            tokio::task::yield_now().await;
        }
    }

    /// Waits until this many calls were cancelled.
    pub async fn until_cancelled(&self, calls: usize) {
        while self.seen.cancelled.load(Ordering::SeqCst) < calls {
            self.seen.cancellation.notified().await;
        }
    }
}

// === impl Obedient ===

#[tonic::async_trait]
impl EchoService for Obedient {
    async fn echo(&self, request: Request<EchoRequest>) -> Result<Response<EchoResponse>, Status> {
        self.0.calls.fetch_add(1, Ordering::SeqCst);
        let running = Running(&self.0);
        let (metadata, _, message) = request.into_parts();
        let answer = self.obey(&metadata, message.text).await;
        std::mem::forget(running);
        answer.map(|text| Response::new(EchoResponse { text }))
    }
}

impl Obedient {
    async fn obey(&self, metadata: &MetadataMap, text: String) -> Result<String, Status> {
        match text.as_str() {
            "hang" => pending().await,
            "wait" => {
                self.0.gate.notified().await;
                Ok(text)
            }
            "fail" => {
                let mut details = ErrorDetails::with_error_info("ROOM_FULL", "test", []);
                details.add_bad_request_violation("room", "is full");
                Err(Status::with_error_details(Code::FailedPrecondition, "no room: 100% full\u{e9}", details))
            }
            "metadata" => {
                let header = |name| metadata.get(name).map_or("", |value| value.to_str().unwrap_or_default());
                Ok(["te", "content-type", "user-agent", "protogate-user", "grpc-timeout"].map(header).join(" "))
            }
            _ => Ok(text),
        }
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.cancelled.fetch_add(1, Ordering::SeqCst);
        self.0.cancellation.notify_one();
    }
}
