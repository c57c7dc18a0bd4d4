//! gRPC on a listener of its own, for few peers: services that run alone, and the PushService of a gateway.
//!
//! A service alone is spoken to in clear text, and whoever reaches it is believed to be a gateway, so it is to be reached by gateways only.
//! Promises: connections, streams, headers and the time of a call are bounded; a peer that is gone is noticed; when it is asked to end,
//! calls in flight are answered first.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Weak};
use std::time::Duration;

use hyper::body::Incoming;
use hyper::rt::Executor;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tonic::body::Body;
use tonic::{Code, Status};
use tower::{Service, ServiceExt as _};
use tracing::debug;

use crate::accept::{Peer, Seat, Seated};
use crate::drain::Tasks;
use crate::tls::Certified;

/// Gateways hold few connections, each with many calls. Those from which nothing was asked yet that was let in give way to who comes.
const CONNECTIONS_MAX: usize = 256;
const STREAMS_MAX: u32 = 100;
const HEADERS_BYTES_MAX: u32 = 16 << 10;

/// How long a TLS handshake may take.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);

/// With what HTTP/2 begins. hyper waits for it without a deadline, and asks nobody before it whether they are there.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const PREFACE_TIMEOUT: Duration = Duration::from_secs(5);

/// How often a quiet peer is asked whether it is there, and how long it has to answer.
const PING_INTERVAL: Duration = Duration::from_secs(20);
const PING_TIMEOUT: Duration = Duration::from_secs(10);

/// The longest call, whatever its caller's patience.
const CALL_TIMEOUT: Duration = Duration::from_secs(60);

/// How peers speak.
#[derive(Clone)]
pub enum Transport {
    ClearText,
    /// Over TLS, as this says anew for each connection. What peers call carries [`Certified`] where they have shown a certificate.
    Tls(Arc<dyn Fn() -> Arc<ServerConfig> + Send + Sync>),
}

/// Runs what hyper needs for each stream, as tasks that are waited for.
#[derive(Clone)]
struct Streams {
    tasks: Weak<Tasks>,
    runtime: Handle,
}

/// Serves in clear text until `tasks` are asked to end. Where it listens.
pub fn serve<S>(service: S, listener: std::net::TcpListener, runtime: &Handle, tasks: &Arc<Tasks>) -> io::Result<SocketAddr>
where
    S: Service<http::Request<Incoming>, Response = http::Response<Body>, Error = Infallible> + Clone + Send + Sync + 'static,
    S::Future: Send + 'static,
{
    serve_over(Transport::ClearText, service, listener, runtime, tasks)
}

/// Serves until `tasks` are asked to end. Where it listens.
pub fn serve_over<S>(
    transport: Transport,
    service: S,
    listener: std::net::TcpListener,
    runtime: &Handle,
    tasks: &Arc<Tasks>,
) -> io::Result<SocketAddr>
where
    S: Service<http::Request<Incoming>, Response = http::Response<Body>, Error = Infallible> + Clone + Send + Sync + 'static,
    S::Future: Send + 'static,
{
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    let _enter = runtime.enter();
    let listener = TcpListener::from_std(listener)?;
    let streams = Streams { tasks: Arc::downgrade(tasks), runtime: runtime.clone() };
    tasks.spawn(runtime, accept(transport, service, listener, streams));
    Ok(address)
}

async fn accept<S>(transport: Transport, service: S, listener: TcpListener, streams: Streams)
where
    S: Service<http::Request<Incoming>, Response = http::Response<Body>, Error = Infallible> + Clone + Send + Sync + 'static,
    S::Future: Send + 'static,
{
    let listener = Seated::new(listener, CONNECTIONS_MAX);
    loop {
        let (stream, peer, seat) = listener.next().await;
        let Some(tasks) = streams.tasks.upgrade() else { return };
        let (transport, service, streams, seat) = (transport.clone(), service.clone(), streams.clone(), Arc::new(seat));
        tasks.spawn_gently(&streams.runtime.clone(), async move {
            tokio::select! {
                biased;
                () = seat.lost() => debug!(peer = %peer.0, "gave way: nothing that was asked there was let in"),
                () = connection(transport, service, stream, (peer, Arc::clone(&seat)), streams) => {}
            }
        });
    }
}

/// One connection's life, from its handshake on.
async fn connection<S>(transport: Transport, service: S, stream: TcpStream, (peer, seat): (Peer, Arc<Seat>), streams: Streams)
where
    S: Service<http::Request<Incoming>, Response = http::Response<Body>, Error = Infallible> + Clone + Send + Sync + 'static,
    S::Future: Send + 'static,
{
    let Some(stopping) = streams.tasks.upgrade().map(|tasks| tasks.token()) else { return };
    // Best effort: a peer of which nothing is known costs a little latency at worst.
    let _ = stream.set_nodelay(true);
    let config = match transport {
        Transport::ClearText => return converse(service, stream, (peer, None, seat), streams).await,
        Transport::Tls(config) => config(),
    };
    let shaken = tokio::select! {
        biased;
        () = stopping.cancelled() => return,
        shaken = timeout(HANDSHAKE_TIMEOUT, TlsAcceptor::from(config).accept(stream)) => shaken,
    };
    match shaken {
        Ok(Ok(stream)) => {
            let certified = stream.get_ref().1.peer_certificates().map(|_| Certified);
            if certified.is_some() {
                seat.keep();
            }
            converse(service, stream, (peer, certified, seat), streams).await;
        }
        Ok(Err(error)) => debug!(%error, "a TLS handshake failed"),
        Err(_) => debug!("a TLS handshake took too long"),
    }
}

/// HTTP/2 over a connection. When it is asked to end it takes no more calls and answers those it has.
async fn converse<S>(
    service: S,
    mut stream: impl AsyncRead + AsyncWrite + Send + Unpin,
    (peer, certified, seat): (Peer, Option<Certified>, Arc<Seat>),
    streams: Streams,
) where
    S: Service<http::Request<Incoming>, Response = http::Response<Body>, Error = Infallible> + Clone + Send + Sync + 'static,
    S::Future: Send + 'static,
{
    let Some(stopping) = streams.tasks.upgrade().map(|tasks| tasks.token()) else { return };
    tokio::select! {
        biased;
        () = stopping.cancelled() => return,
        greeted = timeout(PREFACE_TIMEOUT, greets(&mut stream)) => if !matches!(greeted, Ok(true)) { return },
    }
    let answer = service_fn(move |mut request: http::Request<Incoming>| {
        request.extensions_mut().insert(peer);
        if let Some(certified) = certified {
            request.extensions_mut().insert(certified);
        }
        let (service, seat) = (service.clone(), Arc::clone(&seat));
        async move {
            match timeout(CALL_TIMEOUT, service.oneshot(request)).await {
                Ok(answered) => answered.inspect(|answer| {
                    if is_let_in(answer) {
                        seat.keep();
                    }
                }),
                Err(_) => Ok(Status::deadline_exceeded("the call took too long; try again later").into_http()),
            }
        }
    });
    let (read, write) = tokio::io::split(stream);
    let stream = tokio::io::join(PREFACE.chain(read), write);
    let serving = http2::Builder::new(streams)
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        .max_header_list_size(HEADERS_BYTES_MAX)
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT)
        .serve_connection(TokioIo::new(stream), answer);
    let mut serving = std::pin::pin!(serving);
    let ended = tokio::select! {
        biased;
        () = stopping.cancelled() => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
        ended = serving.as_mut() => ended,
    };
    if let Err(error) = ended {
        debug!(%error, "a connection broke off");
    }
}

/// Whether whoever asked may ask: all that says no to that says it in the head of its answer.
fn is_let_in(answer: &http::Response<Body>) -> bool {
    answer.headers().get(Status::GRPC_STATUS).is_none_or(|code| Code::from_bytes(code.as_bytes()) != Code::Unauthenticated)
}

/// Whether a peer begins as HTTP/2 does, which is then read.
async fn greets(stream: &mut (impl AsyncRead + Unpin)) -> bool {
    let (mut seen, mut length) = ([0; PREFACE.len()], 0);
    while length < PREFACE.len() {
        match stream.read(&mut seen[length..]).await {
            Ok(more) if more > 0 && PREFACE[length..].starts_with(&seen[length..length + more]) => length += more,
            _ => return false,
        }
    }
    true
}

impl<F> Executor<F> for Streams
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, stream: F) {
        // Without tasks the process ends, and the connection with it.
        if let Some(tasks) = self.tasks.upgrade() {
            tasks.spawn_gently(&self.runtime, stream);
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt as _;
    use tonic::transport::Channel;
    use tower::service_fn;

    use super::*;
    use crate::services::echo::v1::EchoRequest;
    use crate::services::hasher::Hasher;
    use crate::services::{Context, auth, echo};

    async fn serve_echo(tasks: &Arc<Tasks>) -> SocketAddr {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        serve(echo::service(), listener, &Handle::current(), tasks).unwrap()
    }

    async fn channel(address: SocketAddr) -> Channel {
        Channel::from_shared(format!("http://{address}")).unwrap().connect().await.unwrap()
    }

    async fn call(channel: &Channel, text: &str) -> Result<String, Status> {
        let path = http::uri::PathAndQuery::from_static("/protogate.echo.v1.EchoService/Echo");
        let mut client = tonic::client::Grpc::new(channel.clone());
        client.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
        let codec = tonic_prost::ProstCodec::<EchoRequest, crate::services::echo::v1::EchoResponse>::default();
        let request = tonic::Request::new(EchoRequest { text: text.to_owned() });
        client.unary(request, path, codec).await.map(|response| response.into_inner().text)
    }

    #[tokio::test]
    async fn a_grpc_client_is_answered() {
        let tasks = Arc::new(Tasks::new());
        let channel = channel(serve_echo(&tasks).await).await;
        assert_eq!(call(&channel, "hello").await.unwrap(), "hello");
    }

    #[tokio::test]
    async fn what_the_service_refuses_arrives_as_it_was_refused() {
        let tasks = Arc::new(Tasks::new());
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let service = auth::service(Context::in_memory(), Hasher::new(), &Handle::current());
        let address = serve(service, listener, &Handle::current(), &tasks).unwrap();
        let mut client = tonic::client::Grpc::new(channel(address).await);
        client.ready().await.unwrap();
        let path = http::uri::PathAndQuery::from_static("/protogate.auth.v1.AuthService/Login");
        let codec = tonic_prost::ProstCodec::<auth::v1::LoginRequest, auth::v1::LoginResponse>::default();
        let request = tonic::Request::new(auth::v1::LoginRequest { username: "alice".to_owned(), password: "correct horse".to_owned() });
        let status = client.unary(request, path, codec).await.map(drop).unwrap_err();
        assert_eq!(status.code(), tonic::Code::FailedPrecondition, "there is no key");
    }

    #[tokio::test]
    async fn calls_in_flight_are_answered_before_it_ends_and_no_more_are_taken() {
        let tasks = Arc::new(Tasks::new());
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let (began, go) = (Arc::new(tokio::sync::Notify::new()), Arc::new(tokio::sync::Notify::new()));
        let slow = {
            let (began, go) = (Arc::clone(&began), Arc::clone(&go));
            service_fn(move |request| {
                let (began, go) = (Arc::clone(&began), Arc::clone(&go));
                async move {
                    began.notify_one();
                    go.notified().await;
                    echo::service().oneshot(request).await
                }
            })
        };
        let address = serve(slow, listener, &Handle::current(), &tasks).unwrap();
        let channel = channel(address).await;
        let first = tokio::spawn({
            let channel = channel.clone();
            async move { call(&channel, "hello").await }
        });
        began.notified().await;
        let ending = tokio::spawn(async move { tasks.drain(Duration::from_secs(30)).await });
        // The listener is gone once the end was asked for.
        while TcpStream::connect(address).await.is_ok() {
            tokio::task::yield_now().await;
        }
        go.notify_one();
        assert_eq!(first.await.unwrap().unwrap(), "hello");
        assert!(ending.await.unwrap(), "everything ended by itself");
    }

    #[tokio::test]
    async fn who_does_not_begin_as_http2_does_is_sent_away() {
        let tasks = Arc::new(Tasks::new());
        let address = serve_echo(&tasks).await;
        let said = [&b""[..], b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", &PREFACE[..10]];
        let ends = said.map(|said| async move {
            let mut peer = TcpStream::connect(address).await.unwrap();
            peer.write_all(said).await.unwrap();
            // Whatever was not read is answered by a reset.
            let _ = timeout(Duration::from_secs(30), peer.read_to_end(&mut Vec::new())).await.expect("it is sent away");
        });
        futures_util::future::join_all(ends).await;
    }
}
