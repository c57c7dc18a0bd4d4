//! From an accepted socket to a WebSocket: PROXY header, TLS, HTTP handshake.
//!
//! hyper does the HTTP half and gives the stream back with whatever came behind the request. Promises: a client that says nothing, or says
//! it slowly, is cut; one request is read and one answer given, and nothing behind a refused request is ever read as a second one; no
//! extension is negotiated.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use fastwebsockets::upgrade::upgrade as switch_protocols;
use http::header::SEC_WEBSOCKET_PROTOCOL;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::Service;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tracing::{debug, warn};

use super::proxy::{self, Forwarded};
use super::refusal::Refusal;
use super::request::{Offer, judge};
use super::seats::{Full as NoSeat, Seat};
use super::socket::{Stream, linger};
use super::tls;
use crate::table::Settings;
use crate::telemetry::labels::Refused;
use crate::telemetry::tally::Tally;

/// The head of a request fits one packet; this is for a phone that loses it a few times. It runs from the first moment of silence.
const HEAD_WAIT: Duration = Duration::from_secs(5);

/// For head and answer together: what [`HEAD_WAIT`] misses is a client that does not read.
const HTTP_WAIT: Duration = Duration::from_secs(10);

/// Longest head. A token takes up to 8 KiB of it, cookies of a whole site some more.
const HEAD_BYTES_MAX: usize = 16 << 10;

/// A WebSocket that is about to begin.
pub struct Upgraded {
    pub stream: Stream,
    /// What the client sent behind its request.
    pub unread: Vec<u8>,
    pub offer: Offer,
    /// The client, not the proxy in front of it.
    pub peer: IpAddr,
    pub seat: Seat,
}

/// One socket, as the listener hands it over.
pub struct Arrival {
    pub stream: std::net::TcpStream,
    /// The other end of the socket.
    pub peer: IpAddr,
    pub seat: Seat,
}

/// The service behind hyper: answers the one request, and remembers what it agreed to.
struct Gate<'a> {
    settings: &'a Settings,
    /// The port of the operator's door.
    admin: u16,
    warned: &'a AtomicBool,
    refusals: &'a Tally<Refused>,
    state: Mutex<State>,
}

struct State {
    peer: IpAddr,
    seat: Seat,
    agreed: Option<Offer>,
}

/// Takes a socket through its handshakes. Nothing: it was refused, and is closed. `admin` is the port of the operator's door; `warned`
/// remembers whether a stranger's headers were logged.
pub async fn upgrade(
    arrival: Arrival,
    settings: &Settings,
    admin: u16,
    warned: &AtomicBool,
    refusals: &Tally<Refused>,
) -> Option<Upgraded> {
    let Arrival { stream, mut peer, seat } = arrival;
    let mut stream = TcpStream::from_std(stream).ok()?;
    if settings.proxy_protocol && proxy::is_trusted(peer, &settings.trusted_proxies) {
        match proxy::read_header(&mut stream).await {
            Ok(source) => peer = source.map_or(peer, |source| source.ip().to_canonical()),
            Err(error) => {
                refusals.count(Refused::Proxy);
                debug!(%peer, %error, "no PROXY protocol header");
                return None;
            }
        }
    }
    let stream = match &settings.tls {
        Some(certificate) => {
            let accepted = tls::accept(Arc::clone(&certificate.config), stream).await;
            accepted.or_else(|| refused(refusals, Refused::Tls))?
        }
        None => Stream::Plain(stream),
    };
    let gate = Gate { settings, admin, warned, refusals, state: Mutex::new(State { peer, seat, agreed: None }) };
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_WAIT)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), gate)
        .without_shutdown();
    let parts = timeout(HTTP_WAIT, served).await.ok().and_then(Result::ok).or_else(|| refused(refusals, Refused::Handshake))?;
    let stream = parts.io.into_inner();
    let State { peer, seat, agreed } = parts.service.state.into_inner().expect("the gate does not panic");
    match agreed {
        // A copy, because what hyper returns keeps its whole read buffer alive, even if it is empty.
        Some(offer) => Some(Upgraded { stream, unread: parts.read_buf.to_vec(), offer, peer, seat }),
        None => {
            linger(stream).await;
            None
        }
    }
}

/// Nothing, for a reason that was told to nobody but metrics.
fn refused<T>(refusals: &Tally<Refused>, cause: Refused) -> Option<T> {
    refusals.count(cause);
    None
}

// === impl Gate ===

impl Service<Request<Incoming>> for Gate<'_> {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        let answer = match self.agree(&request) {
            Ok(offer) => self.switch(&mut request, offer),
            Err(refusal) => {
                refusal.label().inspect(|cause| self.refusals.count(*cause));
                refusal.response(request.headers(), self.settings)
            }
        };
        ready(Ok(answer))
    }
}

impl Gate<'_> {
    /// All conditions: the request itself, who sent it, and room for one more.
    fn agree(&self, request: &Request<Incoming>) -> Result<Offer, Refusal> {
        let offer = judge(request, self.settings, self.admin)?;
        let mut state = self.lock();
        state.peer = self.client(state.peer, request.headers())?;
        let peer = state.peer;
        // A trusted proxy that names no client stands for all its clients, and is not counted against a limit for one.
        if !proxy::is_trusted(peer, &self.settings.trusted_proxies) && !state.seat.settle(peer, self.settings) {
            return Err(Refusal::Full(NoSeat::Address));
        }
        state.seat.check(self.settings).map_err(Refusal::Full)?;
        if offer.token.is_none() {
            state.seat.hide(self.settings).map_err(Refusal::Full)?;
        }
        Ok(offer)
    }

    fn client(&self, peer: IpAddr, headers: &HeaderMap) -> Result<IpAddr, Refusal> {
        match proxy::forwarded(peer, headers, &self.settings.trusted_proxies) {
            Forwarded::Client(client) => Ok(client),
            Forwarded::Contradiction => Err(Refusal::Contradiction),
            Forwarded::Stranger => {
                if !self.warned.swap(true, Ordering::Relaxed) {
                    let line = proxy::remedy(peer);
                    warn!(%peer, "forwarding headers from an address that is no trusted proxy are ignored; if it is yours, add to gateway.yaml: {line}");
                }
                Ok(peer)
            }
        }
    }

    fn switch(&self, request: &mut Request<Incoming>, offer: Offer) -> Response<Full<Bytes>> {
        let (answer, _upgrade) = switch_protocols(request).expect("`judge` saw the key and the version");
        let mut answer = answer.map(|_| Full::default());
        answer.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(offer.codec.subprotocol()));
        self.lock().agreed = Some(offer);
        answer
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("the gate does not panic")
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::{TcpListener, TcpStream};
    use std::thread;

    use super::*;
    use crate::edge::seats::Seats;
    use crate::wire::Codec;

    const HANDSHAKE: &str = "GET /ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: protogate.v1.proto\r\n";

    /// Sends `request` to a gate and returns what it answered, until it closed or fell silent, and what it agreed to.
    async fn converse(request: &str, settings: Settings) -> (String, Option<Upgraded>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let request = request.to_owned();
        let client = thread::spawn(move || {
            let mut stream = TcpStream::connect(address).unwrap();
            stream.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
            stream.write_all(request.as_bytes()).unwrap();
            let mut answer = Vec::new();
            _ = stream.read_to_end(&mut answer);
            (String::from_utf8(answer).unwrap(), stream)
        });
        let (stream, peer) = listener.accept().unwrap();
        stream.set_nonblocking(true).unwrap();
        let seat = Seats::new(1).take(&settings).unwrap();
        let upgraded =
            upgrade(Arrival { stream, peer: peer.ip(), seat }, &settings, 7081, &AtomicBool::new(false), &Tally::default()).await;
        let answer = tokio::task::spawn_blocking(|| client.join().unwrap().0).await.unwrap();
        (answer, upgraded)
    }

    #[tokio::test]
    async fn a_handshake_ends_with_the_stream_and_what_came_behind_it() {
        let request = format!("{HANDSHAKE}Sec-WebSocket-Extensions: permessage-deflate\r\n\r\nframes");
        let (answer, upgraded) = converse(&request, Settings::default()).await;
        let upgraded = upgraded.unwrap();
        assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
        let answer = answer.to_ascii_lowercase();
        assert!(answer.contains("sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo="), "{answer}");
        assert!(answer.contains("sec-websocket-protocol: protogate.v1.proto\r\n") && answer.contains("connection: upgrade"), "{answer}");
        assert!(!answer.contains("extensions") && !answer.contains("close"), "{answer}");
        assert_eq!(upgraded.unread, b"frames");
        assert!(upgraded.offer == Offer { codec: Codec::Proto, token: None });
    }

    #[tokio::test]
    async fn nothing_behind_a_refused_request_is_a_second_request() {
        for refused in ["GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n", "POST /ws HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nbody"] {
            let (answer, upgraded) = converse(&format!("{refused}{HANDSHAKE}\r\n"), Settings::default()).await;
            assert!(upgraded.is_none());
            assert!(answer.starts_with("HTTP/1.1 40"), "{answer}");
            assert_eq!(answer.matches("HTTP/1.1").count(), 1, "{answer}");
        }
    }

    #[tokio::test]
    async fn only_a_trusted_proxy_says_who_the_client_is() {
        let request = format!("{HANDSHAKE}X-Forwarded-For: 192.0.2.7\r\n\r\n");
        let (_, upgraded) = converse(&request, Settings::default()).await;
        assert_eq!(upgraded.unwrap().peer.to_string(), "127.0.0.1");
        let trusting = Settings { trusted_proxies: vec!["127.0.0.0/8".parse().unwrap()], ..Settings::default() };
        let (_, upgraded) = converse(&request, trusting.clone()).await;
        assert_eq!(upgraded.unwrap().peer.to_string(), "192.0.2.7");
        let speaking = Settings { proxy_protocol: true, ..trusting };
        let request = format!("PROXY TCP4 192.0.2.8 10.0.0.1 4711 443\r\n{HANDSHAKE}\r\n");
        let (_, upgraded) = converse(&request, speaking).await;
        assert_eq!(upgraded.unwrap().peer.to_string(), "192.0.2.8");
    }

    #[tokio::test]
    async fn a_full_gateway_says_when_to_come_back() {
        let full = Settings { connections_max: 0, ..Settings::default() };
        let (answer, upgraded) = converse(&format!("{HANDSHAKE}\r\n"), full).await;
        assert!(upgraded.is_none());
        assert!(answer.starts_with("HTTP/1.1 503 ") && answer.contains("retry-after: "), "{answer}");
    }
}
