//! The reference: the gateway that a good engineer writes by hand in a day.
//!
//! hyper answers the handshake, fastwebsockets splits the socket, a writer task drains a queue of 64, every request is a task of
//! its own, tonic carries it to the backend as raw bytes. One current-thread runtime, 10 000 routes, no policy whatsoever.
//! It is neither tuned nor handicapped: the bench refuses to compare against it when it costs more than 52 000 instructions a request.
//!
//! `reference --listen 127.0.0.1:0 --backend ADDRESS` prints `listening ADDRESS` once it can be called.

mod raw;

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
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
use protogate_bench::wire::{Envelope, Status};
use protogate_bench::{ECHO, Outcome, SUBPROTOCOL};
use raw::Raw;
use tokio::net::{TcpListener, TcpStream};
use tokio::spawn;
use tokio::sync::mpsc;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::{Channel, Endpoint};

struct Gateway {
    routes: HashMap<u32, PathAndQuery>,
    backend: Channel,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Outcome {
    let args = Args::read(0)?;
    let backend: String = args.required("backend")?;
    let backend = Endpoint::from_shared(format!("http://{backend}"))?.connect().await?;
    let gateway = Arc::new(Gateway { routes: routes(), backend });
    let listener = TcpListener::bind(args.required::<String>("listen")?).await?;
    println!("listening {}", listener.local_addr()?);
    accept(listener, gateway).await
}

/// As many routes as a large product has, so that the look-up is one in a map that does not fit the first cache.
fn routes() -> HashMap<u32, PathAndQuery> {
    let echo = PathAndQuery::from_static("/protogate.echo.v1.EchoService/Echo");
    (1000..11_000)
        .map(|number| (number, if number == ECHO { echo.clone() } else { PathAndQuery::from_static("/none.None/None") }))
        .collect()
}

async fn accept(listener: TcpListener, gateway: Arc<Gateway>) -> Outcome {
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        spawn(handshake(stream, Arc::clone(&gateway)));
    }
}

async fn handshake(stream: TcpStream, gateway: Arc<Gateway>) {
    let service = service_fn(move |request| answer(request, Arc::clone(&gateway)));
    let connection = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).with_upgrades();
    if let Err(error) = connection.await {
        eprintln!("handshake: {error}");
    }
}

async fn answer(mut request: Request<Incoming>, gateway: Arc<Gateway>) -> Result<Response<Empty<Bytes>>, WebSocketError> {
    let (mut response, socket) = upgrade(&mut request)?;
    response.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(SUBPROTOCOL));
    spawn(connection(socket, gateway));
    Ok(response)
}

/// Reads requests until the client leaves; that the client left is no error.
async fn connection(socket: UpgradeFut, gateway: Arc<Gateway>) -> Result<(), WebSocketError> {
    let (reader, mut writer) = socket.await?.split(tokio::io::split);
    let mut reader = FragmentCollectorRead::new(reader);
    let (replies, mut outgoing) = mpsc::channel::<Frame<'static>>(64);
    spawn(async move {
        while let Some(frame) = outgoing.recv().await {
            if writer.write_frame(frame).await.is_err() {
                return;
            }
        }
    });
    // Pongs and closes take the same queue as replies: the writer owns the socket's other half.
    let control = replies.clone();
    let mut obligated = |frame: Frame<'static>| {
        let control = control.clone();
        async move {
            let _ = control.send(frame).await;
            Ok::<_, Infallible>(())
        }
    };
    loop {
        let frame = reader.read_frame(&mut obligated).await?;
        match frame.opcode {
            OpCode::Binary => drop(spawn(request(into_bytes(frame.payload), Arc::clone(&gateway), replies.clone()))),
            OpCode::Close => return Ok(()),
            _ => {}
        }
    }
}

fn into_bytes(payload: Payload<'_>) -> Bytes {
    match payload {
        Payload::Bytes(bytes) => bytes.freeze(),
        Payload::Owned(bytes) => bytes.into(),
        Payload::Borrowed(bytes) => BytesMut::from(bytes).freeze(),
        Payload::BorrowedMut(bytes) => BytesMut::from(&*bytes).freeze(),
    }
}

async fn request(message: Bytes, gateway: Arc<Gateway>, replies: mpsc::Sender<Frame<'static>>) {
    let (protocol, id, answer) = match Envelope::decode(message) {
        Ok(Envelope { protocol, id, payload, .. }) => (protocol, id, call(&gateway, protocol, payload).await),
        Err(error) => (0, 0, Err(tonic::Status::invalid_argument(error.to_string()))),
    };
    let _ = replies.send(Frame::binary(Payload::Owned(reply(protocol, id, answer)))).await;
}

fn reply(protocol: u32, id: u32, answer: Result<Bytes, tonic::Status>) -> Vec<u8> {
    let envelope = match answer {
        Ok(payload) => Envelope { protocol, id, payload, ..Envelope::default() },
        Err(failure) => {
            let status = Status { code: failure.code() as u32, message: failure.message().to_owned(), ..Status::default() };
            Envelope { protocol, id, status: Some(status), ..Envelope::default() }
        }
    };
    envelope.encode_to_vec()
}

async fn call(gateway: &Gateway, protocol: u32, payload: Bytes) -> Result<Bytes, tonic::Status> {
    let path = gateway.routes.get(&protocol).ok_or_else(|| tonic::Status::not_found("no such route"))?;
    let mut client = Grpc::new(gateway.backend.clone());
    client.ready().await.map_err(|error| tonic::Status::unavailable(error.to_string()))?;
    Ok(client.unary(tonic::Request::new(payload), path.clone(), Raw).await?.into_inner())
}
