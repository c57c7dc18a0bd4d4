//! A connection that fails, one whose gateway stood still, and one that is asked about itself.

use futures_util::{SinkExt, StreamExt};
use tokio::io::AsyncWriteExt;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

use super::*;
use crate::edge::control::PANIC;
use crate::edge::departure::{Drain, Next};
use crate::edge::questions::Question;
use crate::edge::request::Offer;
use crate::edge::seats::Seats;
use crate::edge::socket::Stream;
use crate::edge::{self, Edge};
use crate::session::connected::Search;
use crate::table::{Table, live};
use crate::telemetry::labels::Closed;
use crate::wire::Codec;

#[tokio::test]
async fn a_panic_in_a_connection_closes_it_alone_and_gives_everything_back() {
    let (_writer, tables) = live(Arc::new(Table::empty()));
    let edge = Edge::start(edge::bind("127.0.0.1:0".parse().unwrap()).unwrap(), 1, tables, 0).unwrap();
    let connect = async || {
        let mut request = format!("ws://{}/ws", edge.address()).into_client_request().unwrap();
        request.headers_mut().insert("sec-websocket-protocol", "protogate.v1.json".parse().unwrap());
        tokio_tungstenite::connect_async(request).await.unwrap().0
    };
    let (mut failing, mut other) = (connect().await, connect().await);
    failing.send(Message::text(format!(r#"{{"protocol":{PANIC}}}"#))).await.unwrap();
    let mut last = String::new();
    let code = loop {
        match failing.next().await.unwrap().unwrap() {
            Message::Text(text) => last = text.to_string(),
            Message::Close(frame) => break u16::from(frame.unwrap().code),
            _ => {}
        }
    };
    assert_eq!(code, 1011);
    assert!(last.contains(r#""protocol":11"#) && last.contains("1011"), "Goodbye comes before Close: {last}");
    while failing.next().await.is_some() {}
    other.send(Message::text(r#"{"protocol":6,"id":1}"#)).await.unwrap();
    while !other.next().await.unwrap().unwrap().to_string().contains(r#""protocol":7"#) {}
    drop((failing, other));
    edge.drain(Drain { over: Duration::ZERO, calls: Duration::ZERO, next: Next::Elsewhere, url: None }).await;
    assert_eq!(edge.connections(), 0);
}

/// A connection that nobody polls but the test, on a clock that the test drives.
async fn by_hand() -> (Connection, tokio::net::TcpStream) {
    let hour = Duration::from_secs(3600);
    let mut table = Table::empty();
    (table.settings.auth_timeout, table.settings.anonymous_max_age) = (hour, hour);
    let seat = Seats::new(1).take(&table.settings).unwrap();
    let (_writer, tables) = live(Arc::new(table));
    let worker = Arc::new(Worker::by_hand(tables));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = tokio::net::TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (stream, peer) = listener.accept().await.unwrap();
    let offer = Offer { codec: Codec::Json, token: None };
    (Connection::new(Upgraded { stream: Stream::Plain(stream), unread: Vec::new(), offer, peer: peer.ip(), seat }, worker), client)
}

#[tokio::test]
async fn a_client_that_spoke_while_the_gateway_was_stopped_is_alive() {
    let (mut connection, mut client) = by_hand().await;
    let wait = |connection: &Connection, seconds| (0..seconds * 4).for_each(|_| connection.worker.pulse.beat());
    let poll = async |connection: &mut Connection| poll_fn(|cx| Poll::Ready(connection.poll(cx).is_ready())).await;
    assert!(!poll(&mut connection).await);
    wait(&connection, 31);
    assert!(!poll(&mut connection).await, "asked");
    client.write_all(b"\x8a\x80\0\0\0\0").await.unwrap();
    match &connection.socket.stream {
        Stream::Plain(stream) => stream.readable().await.unwrap(),
        _ => unreachable!("it is plain"),
    }
    wait(&connection, 300);
    assert!(!poll(&mut connection).await);
    assert!(matches!(connection.phase, Phase::Open));
    let observers = Arc::clone(&connection.worker.tables().load().observers);
    assert_eq!(observers.edge.heartbeat.spread().count(), 1, "how long the answer took is known");
    wait(&connection, 300);
    assert!(!poll(&mut connection).await, "asked again");
    wait(&connection, 300);
    poll(&mut connection).await;
    assert!(matches!(connection.phase, Phase::Leaving { .. }), "nothing was heard");
    assert_eq!((observers.edge.closes.of(Closed::Dead), observers.edge.heartbeat.spread().count()), (1, 1));
}

#[tokio::test]
async fn who_is_asked_says_what_it_is_like_and_is_not_there_any_more_once_it_leaves() {
    let (mut connection, _client) = by_hand().await;
    let found = connection.worker.pulse.find(connection.id()).unwrap();
    let asked = async |connection: &mut Connection| {
        let (question, mut answers) = Question::to(1, Search::of("127.0.0.1"));
        assert_eq!(connection.worker.pulse.ask(&[found], &question).len(), 1);
        drop(question);
        poll_fn(|cx| Poll::Ready(connection.poll(cx).is_ready())).await;
        answers.recv().await
    };
    let connected = asked(&mut connection).await.unwrap();
    assert_eq!((connected.id, connected.codec, connected.session), (connection.id(), Codec::Json, None));
    (0..40).for_each(|_| connection.worker.pulse.beat());
    let later = asked(&mut connection).await.unwrap();
    assert_eq!((later.age, later.idle), (Duration::from_secs(10), Duration::from_secs(10)));
    connection.leave(&End::close(Close::Policy, "enough"));
    assert!(asked(&mut connection).await.is_none());
}

fn future_bytes<F: Future>(_: impl FnOnce(Connection) -> F) -> usize {
    size_of::<F>()
}

#[test]
fn an_idle_connection_is_small() {
    // With tokio's task around it, the outbox and the socket's registration, this must stay well under 1.5 KiB.
    assert!(future_bytes(Connection::run) <= 496, "{} bytes", future_bytes(Connection::run));
}
