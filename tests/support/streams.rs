//! A gRPC service of streams on a free port, and a client in either codec that says and hears them.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::{SinkExt as _, Stream, StreamExt as _};
use prost::Message as _;
use protogate::wire::{Codec, Envelope, Payload, Status as WireStatus, number};
use socket2::SockRef;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};
use tokio_stream::wrappers::ReceiverStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, client_async};
use tonic::body::Body;
use tonic::server::{Grpc, NamedService, StreamingService};
use tonic::transport::server::TcpIncoming;
use tonic::{Code, Request, Response, Status, Streaming};
use tonic_prost::ProstCodec;

use super::PATIENCE;

/// The descriptors of [`Taps`].
pub const PROTO: &str = r#"
syntax = "proto3";
package stream.v1;
service Taps {
  rpc List(Line) returns (stream Line);
  rpc Gather(stream Line) returns (Line);
  rpc Talk(stream Line) returns (stream Line);
}
message Line { string text = 1; string user = 2; bytes padding = 3; }
"#;

#[derive(Clone, PartialEq, prost::Message)]
pub struct Line {
    #[prost(string, tag = "1")]
    pub text: String,
    #[prost(string, tag = "2")]
    pub user: String,
    #[prost(bytes = "vec", tag = "3")]
    pub padding: Vec<u8>,
}

/// A service with a method of each streaming kind.
///
/// - `List`: `count N BYTES` answers with so many lines, `0`, `1` and so on, each padded; `fail N` with so many and then NOT_FOUND
/// - `Gather`: all texts with blanks between; `fail` fails at once; `twice` answers twice
/// - `Talk`: each line comes back with its user; `bye` ends well, `fail` fails, `deaf` hears nothing more, `flood N BYTES` is a `count`
pub struct Taps {
    pub address: SocketAddr,
    pub state: Arc<State>,
    task: tokio::task::JoinHandle<()>,
}

/// What the service has seen.
#[derive(Default)]
pub struct State {
    /// Lines that HTTP/2 has taken, or that wait for it.
    pub said: AtomicUsize,
    pub heard: AtomicUsize,
    pub opened: AtomicUsize,
    /// Streams that the other side gave up.
    pub cancelled: AtomicUsize,
}

#[derive(Clone)]
struct Service(Arc<State>);

struct Method(Arc<State>, String);

type Lines = Pin<Box<dyn Stream<Item = Result<Line, Status>> + Send>>;
type Answer<T> = Pin<Box<dyn Future<Output = T> + Send>>;

// === impl Taps ===

impl Taps {
    pub async fn start() -> Taps {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::<State>::default();
        let server = tonic::transport::Server::builder().add_service(Service(Arc::clone(&state)));
        let task = tokio::spawn(async move {
            server.serve_with_incoming(TcpIncoming::from(listener).with_nodelay(Some(true))).await.unwrap();
        });
        Taps { address, state, task }
    }

    /// Waits until one of the numbers is so large.
    pub async fn until(&self, which: impl Fn(&State) -> &AtomicUsize, enough: usize) {
        let reached = async {
            while which(&self.state).load(Ordering::SeqCst) < enough {
                sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(PATIENCE, reached).await.expect("the service sees it in time");
    }
}

impl Drop for Taps {
    fn drop(&mut self) {
        self.task.abort();
    }
}

// === impl Service ===

impl NamedService for Service {
    const NAME: &'static str = "stream.v1.Taps";
}

impl tower::Service<http::Request<Body>> for Service {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Answer<Result<http::Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let method = Method(Arc::clone(&self.0), request.uri().path().rsplit('/').next().unwrap().to_owned());
        Box::pin(async move { Ok(Grpc::new(ProstCodec::<Line, Line>::default()).streaming(method, request).await) })
    }
}

impl StreamingService<Line> for Method {
    type Response = Line;
    type ResponseStream = Lines;
    type Future = Answer<Result<Response<Lines>, Status>>;

    fn call(&mut self, request: Request<Streaming<Line>>) -> Self::Future {
        let (state, method) = (Arc::clone(&self.0), self.1.clone());
        Box::pin(async move {
            state.opened.fetch_add(1, Ordering::SeqCst);
            let (out, lines) = mpsc::channel(1);
            tokio::spawn(async move {
                let mut talk = Talk { state: Arc::clone(&state), out, heard: request.into_inner() };
                let gone = talk.out.clone();
                // Whoever cancels a stream is noticed by what it was to hear being dropped.
                let over = tokio::select! {
                    over = talk.run(&method) => over,
                    () = gone.closed() => Err(Gone),
                };
                if over.is_err() {
                    state.cancelled.fetch_add(1, Ordering::SeqCst);
                }
            });
            Ok(Response::new(Box::pin(ReceiverStream::new(lines)) as Lines))
        })
    }
}

struct Talk {
    state: Arc<State>,
    out: mpsc::Sender<Result<Line, Status>>,
    heard: Streaming<Line>,
}

/// The other side has gone.
struct Gone;

// === impl Talk ===

impl Talk {
    async fn run(&mut self, method: &str) -> Result<(), Gone> {
        match method {
            "List" => {
                let Some(line) = self.hear().await? else { return Ok(()) };
                self.obey(&line).await
            }
            "Gather" => {
                let mut texts = Vec::new();
                while let Some(line) = self.hear().await? {
                    match &*line.text {
                        "fail" => return self.fail().await,
                        "twice" => self.say(line).await?,
                        _ => texts.push(line.text),
                    }
                }
                self.say(Line { text: texts.join(" "), ..Line::default() }).await
            }
            _ => {
                while let Some(line) = self.hear().await? {
                    match line.text.split(' ').next().unwrap() {
                        "bye" => return Ok(()),
                        "deaf" => std::future::pending().await,
                        "fail" | "flood" => self.obey(&line).await?,
                        _ => self.say(line).await?,
                    }
                }
                Ok(())
            }
        }
    }

    async fn obey(&mut self, line: &Line) -> Result<(), Gone> {
        let words: Vec<&str> = line.text.split(' ').collect();
        let number = |index: usize| words.get(index).map_or(0, |word| word.parse::<usize>().unwrap());
        for place in 0..number(1) {
            self.say(Line { text: place.to_string(), padding: vec![7; number(2)], ..Line::default() }).await?;
        }
        if words[0] == "fail" { self.fail().await } else { Ok(()) }
    }

    async fn hear(&mut self) -> Result<Option<Line>, Gone> {
        let line = self.heard.message().await.map_err(|_| Gone)?;
        // To tonic's servers a client that has cancelled says its last; what it hears no more says which it was.
        if line.is_none() && timeout(Duration::from_millis(30), self.out.closed()).await.is_ok() {
            return Err(Gone);
        }
        self.state.heard.fetch_add(usize::from(line.is_some()), Ordering::SeqCst);
        Ok(line)
    }

    async fn say(&mut self, line: Line) -> Result<(), Gone> {
        self.out.send(Ok(line)).await.map_err(|_| Gone)?;
        self.state.said.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }

    async fn fail(&mut self) -> Result<(), Gone> {
        self.out.send(Err(Status::new(Code::NotFound, "no such tap"))).await.map_err(|_| Gone)
    }
}

/// A client that speaks of lines, in either codec.
pub struct Tapper {
    codec: Codec,
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
}

/// What the gateway said.
#[derive(Debug, PartialEq)]
pub enum Told {
    /// On stream `.0`: this text.
    Line(u32, String),
    /// Stream `.0` has ended well.
    Done(u32),
    /// Number, id and reason.
    Failed(u32, u32, String),
    /// The reply to number and id.
    Reply(u32, u32, String),
    /// The client may send so many more on stream `.0`.
    Grant(u32, u32),
    /// One of the gateway's own messages.
    Own(u32),
    Closed(u16),
}

// === impl Tapper ===

impl Tapper {
    pub async fn connect(edge: SocketAddr, codec: Codec, token: Option<&str>) -> Tapper {
        let stream = TcpStream::connect(edge).await.unwrap();
        Tapper::connect_over(stream, codec, token).await
    }

    /// One whose host takes little that it does not read: what waits, waits in the gateway.
    pub async fn connect_narrowly(edge: SocketAddr) -> Tapper {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(2048).unwrap();
        SockRef::from(&socket).set_tcp_mss(536).unwrap();
        Tapper::connect_over(socket.connect(edge).await.unwrap(), Codec::Proto, None).await
    }

    async fn connect_over(stream: TcpStream, codec: Codec, token: Option<&str>) -> Tapper {
        let mut request = format!("ws://{}/ws", stream.peer_addr().unwrap()).into_client_request().unwrap();
        request.headers_mut().insert("sec-websocket-protocol", codec.subprotocol().parse().unwrap());
        if let Some(token) = token {
            request.headers_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
        }
        let (socket, _) = client_async(request, MaybeTlsStream::Plain(stream)).await.unwrap();
        let mut tapper = Tapper { codec, socket };
        let greeting = if token.is_some() { &[number::HELLO, number::READY][..] } else { &[number::HELLO] };
        for expected in greeting {
            assert_eq!(tapper.hear().await, Told::Own(*expected));
        }
        tapper
    }

    /// Opens a stream with its first message.
    pub async fn open(&mut self, protocol: u32, id: u32, text: &str) {
        self.say(&Envelope { protocol, id, more: true, ..Envelope::default() }, Some(text)).await;
    }

    /// Opens a stream with its only message.
    pub async fn ask(&mut self, protocol: u32, id: u32, text: &str) {
        self.say(&Envelope { protocol, id, ..Envelope::default() }, Some(text)).await;
    }

    pub async fn tell(&mut self, id: u32, text: &str) {
        self.open(number::STREAM, id, text).await;
    }

    pub async fn end(&mut self, id: u32) {
        self.say(&Envelope { id, ..Envelope::default() }, None).await;
    }

    pub async fn grant(&mut self, id: u32, credit: u32) {
        self.say(&Envelope { id, credit, ..Envelope::default() }, None).await;
    }

    pub async fn cancel(&mut self, id: u32) {
        self.try_cancel(id).await.unwrap();
    }

    /// The same, where the gateway may have had enough.
    pub async fn try_cancel(&mut self, id: u32) -> Result<(), Error> {
        let (proto, json) = (protogate::wire::v1::Cancel { id }.encode_to_vec(), format!(r#"{{"id":{id}}}"#));
        let payload = if self.codec == Codec::Proto { Payload::Proto(&proto) } else { Payload::Json(&json) };
        self.try_send(&Envelope { protocol: number::CANCEL, payload, ..Envelope::default() }).await
    }

    pub async fn authenticate(&mut self, token: &str) {
        let message = protogate::wire::v1::Authenticate { token: token.to_owned(), ..Default::default() };
        let (proto, json) = (message.encode_to_vec(), format!(r#"{{"token":"{token}"}}"#));
        let payload = if self.codec == Codec::Proto { Payload::Proto(&proto) } else { Payload::Json(&json) };
        self.send(&Envelope { protocol: number::AUTHENTICATE, id: 1, payload, ..Envelope::default() }).await;
    }

    /// Says this envelope, with a line of this text.
    pub async fn say(&mut self, envelope: &Envelope<'_>, text: Option<&str>) {
        let line = Line { text: text.unwrap_or_default().to_owned(), ..Line::default() };
        let (proto, json) = (line.encode_to_vec(), serde_json::json!({ "text": line.text }).to_string());
        let payload = match self.codec {
            _ if text.is_none() => Payload::None,
            Codec::Proto => Payload::Proto(&proto),
            Codec::Json => Payload::Json(&json),
        };
        self.send(&Envelope { payload, ..envelope.clone() }).await;
    }

    async fn send(&mut self, envelope: &Envelope<'_>) {
        self.try_send(envelope).await.unwrap();
    }

    async fn try_send(&mut self, envelope: &Envelope<'_>) -> Result<(), Error> {
        let mut bytes = Vec::new();
        self.codec.encode(envelope, &mut bytes);
        let message = match self.codec {
            Codec::Proto => Message::binary(bytes),
            Codec::Json => Message::text(String::from_utf8(bytes).unwrap()),
        };
        self.socket.send(message).await
    }

    /// The next message that is not about life.
    pub async fn hear(&mut self) -> Told {
        timeout(PATIENCE, self.next()).await.expect("the gateway says something in time")
    }

    /// Whether the gateway says nothing for a while.
    pub async fn is_quiet(&mut self) -> bool {
        timeout(Duration::from_millis(200), self.next()).await.is_err()
    }

    async fn next(&mut self) -> Told {
        loop {
            let data = match self.socket.next().await.expect("a Close comes before the end").unwrap() {
                Message::Close(frame) => return Told::Closed(frame.map_or(1005, |frame| frame.code.into())),
                message if message.is_ping() || message.is_pong() => continue,
                message => message.into_data(),
            };
            let envelope = self.codec.decode(&data).unwrap();
            match told(&envelope) {
                Told::Own(number::PING) => {}
                told => return told,
            }
        }
    }
}

fn told(envelope: &Envelope<'_>) -> Told {
    let Envelope { protocol, id, .. } = *envelope;
    match (protocol, &envelope.status) {
        (1..number::APPLICATION_MIN, _) => Told::Own(protocol),
        (number::STREAM, Some(status)) => {
            assert_eq!(*status, WireStatus::default(), "a failure carries its number");
            Told::Done(id)
        }
        (_, Some(status)) => Told::Failed(protocol, id, status.reason.clone()),
        (number::STREAM, None) if envelope.more => Told::Line(id, text(envelope.payload)),
        (number::STREAM, None) => Told::Grant(id, envelope.credit),
        (_, None) => Told::Reply(protocol, id, text(envelope.payload)),
    }
}

/// The line, with its user in front if it has one.
fn text(payload: Payload<'_>) -> String {
    let (user, text) = match payload {
        Payload::None => Default::default(),
        Payload::Proto(bytes) => {
            let line = Line::decode(bytes).unwrap();
            (line.user, line.text)
        }
        Payload::Json(json) => {
            let line: serde_json::Value = serde_json::from_str(json).unwrap();
            let field = |name: &str| line[name].as_str().unwrap_or_default().to_owned();
            (field("user"), field("text"))
        }
    };
    if user.is_empty() { text } else { format!("{user}: {text}") }
}
