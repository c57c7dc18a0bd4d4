//! The reference of the fan-out: the broadcast that a good engineer writes by hand in an hour.
//!
//! Handshake, split socket and writer task are those of `reference`; whoever joins puts the sender of its queue into a list, and a message is
//! encoded once and cloned, by reference count, into the queue of each. One current-thread runtime, one topic, no policy whatsoever. A
//! hearer whose queue is full is not heard of again.
//!
//! `fanout --listen 127.0.0.1:0` prints `listening ADDRESS` once it can be called.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use fastwebsockets::upgrade::{UpgradeFut, upgrade};
use fastwebsockets::{FragmentCollectorRead, Frame, OpCode, Payload, WebSocketError};
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper::header::{HeaderValue, SEC_WEBSOCKET_PROTOCOL};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use prost::Message;
use protogate_bench::args::Args;
use protogate_bench::wire::Envelope;
use protogate_bench::{JOIN, Outcome, PUBLISH, PUSH, SUBPROTOCOL, TOPIC};
use tokio::net::{TcpListener, TcpStream};
use tokio::spawn;
use tokio::sync::mpsc::{self, Sender};

/// Messages that may wait for one connection, as in `reference`.
const WAITING_MAX: usize = 64;

#[derive(Default)]
struct Topic {
    said: u64,
    hearers: Vec<Sender<Bytes>>,
}

type Shared = Arc<Mutex<Topic>>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Outcome {
    let topic = Shared::default();
    let listener = TcpListener::bind(Args::read(0)?.required::<String>("listen")?).await?;
    println!("listening {}", listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        spawn(handshake(stream, Arc::clone(&topic)));
    }
}

async fn handshake(stream: TcpStream, topic: Shared) {
    let service = service_fn(move |request| answer(request, Arc::clone(&topic)));
    let connection = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).with_upgrades();
    if let Err(error) = connection.await {
        eprintln!("handshake: {error}");
    }
}

async fn answer(mut request: Request<Incoming>, topic: Shared) -> Result<Response<Empty<Bytes>>, WebSocketError> {
    let (mut response, socket) = upgrade(&mut request)?;
    response.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(SUBPROTOCOL));
    spawn(connection(socket, topic));
    Ok(response)
}

/// Reads requests until the client leaves; that the client left is no error.
async fn connection(socket: UpgradeFut, topic: Shared) -> Result<(), WebSocketError> {
    let (reader, mut writer) = socket.await?.split(tokio::io::split);
    let mut reader = FragmentCollectorRead::new(reader);
    let (replies, mut outgoing) = mpsc::channel::<Bytes>(WAITING_MAX);
    spawn(async move {
        while let Some(message) = outgoing.recv().await {
            if writer.write_frame(Frame::binary(Payload::Borrowed(&message))).await.is_err() {
                return;
            }
        }
    });
    // The client of the bench neither pings nor closes.
    let mut obligated = |_: Frame<'static>| async { Ok::<_, Infallible>(()) };
    loop {
        let frame = reader.read_frame(&mut obligated).await?;
        match frame.opcode {
            OpCode::Binary => {
                let Ok(request) = Envelope::decode(&*frame.payload) else { return Ok(()) };
                let reply = hear(&topic, request, &replies).encode_to_vec();
                if replies.send(reply.into()).await.is_err() {
                    return Ok(());
                }
            }
            OpCode::Close => return Ok(()),
            _ => {}
        }
    }
}

/// Does what is asked, and answers with what was sent, as the echo behind the other gateway does.
fn hear(topic: &Shared, request: Envelope, replies: &Sender<Bytes>) -> Envelope {
    let mut topic = topic.lock().expect("nothing that holds it panics");
    match request.protocol {
        JOIN => topic.hearers.push(replies.clone()),
        PUBLISH => topic.say(request.payload.clone()),
        _ => {}
    }
    request
}

// === impl Topic ===

impl Topic {
    fn say(&mut self, payload: Bytes) {
        self.said += 1;
        let push = Envelope { protocol: PUSH, topic: TOPIC.to_owned(), offset: self.said, payload, ..Envelope::default() };
        let message = Bytes::from(push.encode_to_vec());
        self.hearers.retain(|hearer| hearer.try_send(message.clone()).is_ok());
    }
}
