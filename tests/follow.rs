//! `protogate call --follow`: what a person at a terminal sees, types and is told, and what their gateway hears of it.

use std::path::Path;
use std::process::Command;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::{WebSocketStream, accept_hdr_async};

use crate::support::terminal::Terminal;
use crate::support::{ECHO, PATIENCE, TestGateway, operator};

/// The other side, where a test says everything that a gateway says.
struct Scripted {
    socket: WebSocketStream<TcpStream>,
}

fn gateway() -> TestGateway {
    TestGateway::start(&format!("{ECHO}pushes:\n  2101: {{ name: echo.said, message: protogate.echo.v1.EchoResponse }}\n"))
}

/// `protogate call … --follow`, which ends with the test.
fn follow(folder: &Path, url: &str, arguments: &[&str]) -> Terminal {
    let mut command = Command::new(env!("CARGO_BIN_EXE_protogate"));
    command.args([&["call", "--follow", "--url", url], arguments].concat()).current_dir(folder).env_remove("GATEWAY_MODE");
    Terminal::open(&mut command)
}

async fn push(gateway: &TestGateway, text: &str) {
    let what = json!({ "user": "alice", "protocol": 2101, "payload": { "text": text } });
    assert_eq!(operator(gateway, "/api/v1/push", Some(&what.to_string())).await.0, 200);
}

// === impl Scripted ===

impl Scripted {
    /// Takes a connection and greets it.
    async fn accept(listener: &TcpListener) -> Scripted {
        let (stream, _) = timeout(PATIENCE, listener.accept()).await.expect("somebody comes in time").unwrap();
        #[allow(clippy::result_large_err)] // The library's own.
        let choose = |_: &Request, mut response: Response| {
            response.headers_mut().insert("sec-websocket-protocol", "protogate.v1.json".parse().unwrap());
            Ok(response)
        };
        let mut scripted = Scripted { socket: accept_hdr_async(stream, choose).await.unwrap() };
        scripted.says(json!({ "protocol": 1, "payload": { "node": "n1", "version": "9" } })).await;
        scripted
    }

    async fn says(&mut self, message: Value) {
        self.socket.send(Message::text(message.to_string())).await.unwrap();
    }

    async fn hears(&mut self) -> Value {
        loop {
            match timeout(PATIENCE, self.socket.next()).await.expect("something is said in time").unwrap().unwrap() {
                Message::Text(text) => return serde_json::from_str(&text).unwrap(),
                Message::Pong(_) | Message::Ping(_) => {}
                other => panic!("expected a message, heard {other:?}"),
            }
        }
    }

    async fn closes(mut self, code: u16, reason: &'static str) {
        self.socket.send(Message::Close(Some(CloseFrame { code: code.into(), reason: reason.into() }))).await.unwrap();
        while timeout(PATIENCE, self.socket.next()).await.expect("it is closed in time").is_some_and(|heard| heard.is_ok()) {}
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_are_typed_and_pushes_come_and_an_interrupt_ends_it_well() {
    let gateway = gateway();
    let url = format!("ws://{}/ws", gateway.edge());
    let calls = ["9002", r#"{"text":"one"}"#, "--then", r#"9002 {"text":"two"}"#, "--as", "alice"];
    let mut alice = follow(gateway.folder(), &url, &calls);
    alice.sees("* connected to ").await;
    alice.sees("* ready: alice in session ").await;
    alice.sees(r#"= 9002 {"text":"one"}"#).await;
    alice.sees(r#"= 9002 {"text":"two"}"#).await;
    alice.types("9001 {\"text\":\"typed\"}\n");
    alice.sees(r#"= 9001 {"text":"typed"}"#).await;
    push(&gateway, "pushed").await;
    alice.sees(r#"← 2101 {"text":"pushed"}"#).await;

    alice.types("9003 {}");
    alice.is_told("error: 9003: PERMISSION_DENIED (7): ").await;
    alice.types("hello");
    alice.is_told("a request begins with its number").await;
    alice.types("9001 {");
    alice.is_told("the request is not JSON").await;
    alice.keyboard = None;
    push(&gateway, "after the end of standard input").await;
    alice.sees(r#"← 2101 {"text":"after"#).await;
    alice.interrupt();
    assert_eq!(alice.ends().await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_binary_pushes_are_read_by_the_files_and_have_their_names() {
    let gateway = gateway();
    let url = format!("ws://{}/ws", gateway.edge());
    let mut alice = follow(gateway.folder(), &url, &["--as", "alice", "--format", "proto", "--config", "routes", "--for", "86400"]);
    alice.sees("* connected to ").await;
    alice.sees("* ready: alice").await;
    push(&gateway, "pushed").await;
    alice.sees(r#"← 2101 echo.said {"text":"pushed"}"#).await;
    alice.types("9002 {\"text\":\"typed\"}");
    alice.sees(r#"= 9002 {"text":"typed"}"#).await;
    alice.types("2101");
    alice.is_told("2101 is not routed in this configuration").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn time_ends_it_as_well_as_a_person_does() {
    let gateway = gateway();
    let mut anybody = follow(gateway.folder(), &format!("ws://{}/ws", gateway.edge()), &["--for", "1"]);
    anybody.sees("* connected to ").await;
    assert_eq!(anybody.ends().await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_breaks_is_resumed_and_what_was_missed_comes_once() {
    let gateway = gateway();
    let edge = gateway.edge();
    let between = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/ws", between.local_addr().unwrap());
    let (cut, cuts) = watch::channel(());
    let wire = tokio::spawn(async move {
        loop {
            let (mut client, _) = between.accept().await.unwrap();
            let mut cuts = cuts.clone();
            cuts.mark_unchanged();
            let mut server = TcpStream::connect(edge).await.unwrap();
            tokio::spawn(async move {
                tokio::select! {
                    biased;
                    _ = cuts.changed() => {}
                    _ = copy_bidirectional(&mut client, &mut server) => {}
                }
            });
        }
    });
    let mut alice = follow(gateway.folder(), &url, &["--as", "alice"]);
    alice.sees("* connected to ").await;
    alice.sees("* ready: alice").await;
    push(&gateway, "before").await;
    alice.sees(r#"← 2101 {"text":"before"}"#).await;
    cut.send(()).unwrap();
    alice.sees("* connection lost: ").await;
    push(&gateway, "meanwhile").await;
    alice.sees("* connected to ").await;
    alice.sees("* resumed: nothing was lost").await;
    let mut next = alice.next().await;
    if next.starts_with("* ready") {
        next = alice.next().await;
    }
    assert_eq!(next, r#"← 2101 {"text":"meanwhile"}"#);
    push(&gateway, "after").await;
    alice.sees(r#"← 2101 {"text":"after"}"#).await;
    alice.interrupt();
    assert_eq!(alice.ends().await, 0);
    wire.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_gateway_keeps_is_acknowledged_and_where_topics_were_left_is_said() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/ws", listener.local_addr().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let mut alice = follow(folder.path(), &url, &["1001", "{}"]);
    let mut gateway = Scripted::accept(&listener).await;
    assert_eq!(gateway.hears().await, json!({ "protocol": 1001, "id": 1, "payload": {} }));
    let ready = json!({ "sessionId": "s1", "user": "alice", "resumeToken": "r1", "roles": ["player"] });
    gateway.says(json!({ "protocol": 3, "payload": ready })).await;
    gateway.says(json!({ "protocol": 12, "payload": { "topic": "chat/1", "at": { "epoch": "e1", "offset": "4" }, "members": 2 } })).await;
    gateway.says(json!({ "protocol": 12, "payload": { "topic": "chat/2", "at": { "epoch": "e2", "offset": "9" } } })).await;
    gateway.says(json!({ "protocol": 1001, "id": 1, "payload": { "ok": true } })).await;
    gateway.says(json!({ "protocol": 3101, "topic": "chat/1", "offset": "5", "payload": { "text": "hi" } })).await;
    gateway.says(json!({ "protocol": 13, "payload": { "topic": "chat/2" }, "status": { "code": 7, "reason": "KICKED" } })).await;
    gateway.says(json!({ "protocol": 2101, "seq": 1, "payload": {} })).await;
    gateway.says(json!({ "protocol": 2101, "seq": 2, "payload": {} })).await;
    for shown in [
        "* connected to n1, version 9",
        "* ready: alice in session s1, player",
        "* subscribed chat/1 at #4, members 2",
        "* subscribed chat/2 at #9",
        r#"= 1001 {"ok":true}"#,
        r#"← 3101 chat/1#5 {"text":"hi"}"#,
        "* unsubscribed chat/2: KICKED (7): ",
        "← 2101 {}",
        "← 2101 {}",
    ] {
        alice.sees(shown).await;
    }
    let mut acknowledged = gateway.hears().await;
    if acknowledged["ack"] == 1 {
        acknowledged = gateway.hears().await;
    }
    assert_eq!((&acknowledged["protocol"], &acknowledged["ack"]), (&json!(6), &json!(2)), "{acknowledged}");
    gateway.says(json!({ "protocol": 6, "payload": { "timeMs": "5" } })).await;
    assert_eq!(gateway.hears().await, json!({ "protocol": 7, "payload": { "timeMs": "5" }, "ack": 2 }));
    let goodbye = json!({ "code": 4000, "reason": "SHUTDOWN", "reconnect": true, "canResume": true });
    gateway.says(json!({ "protocol": 11, "payload": goodbye })).await;
    gateway.closes(4000, "SHUTDOWN").await;

    let mut gateway = Scripted::accept(&listener).await;
    let mut resume = gateway.hears().await;
    assert_eq!(resume["protocol"], 4);
    let id = resume["id"].take();
    assert_eq!(resume["payload"], json!({ "resumeToken": "r1", "lastSeq": 2, "topics": { "chat/1": { "epoch": "e1", "offset": "5" } } }));
    let resumed =
        json!({ "recovered": true, "replayed": 1, "lostTopics": ["chat/1"], "ready": { "sessionId": "s1", "resumeToken": "r2" } });
    gateway.says(json!({ "protocol": 5, "id": id, "payload": resumed })).await;
    gateway.says(json!({ "protocol": 2101, "seq": 2, "payload": { "text": "twice" } })).await;
    gateway.says(json!({ "protocol": 2101, "seq": 3, "payload": { "text": "missed" } })).await;
    gateway.closes(4502, "REPLACED").await;
    for shown in [
        "* goodbye: SHUTDOWN (4000); the session may be resumed",
        "* connection lost: closed with 4000: SHUTDOWN; trying again in ",
        "* connected to n1",
        "* resumed: nothing was lost, 1 missed; gaps in chat/1",
        r#"← 2101 {"text":"missed"}"#,
    ] {
        alice.sees(shown).await;
    }
    alice.is_told("closed with 4502: REPLACED").await;
    assert_eq!(alice.ends().await, 69);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_that_a_peer_writes_commands_the_terminal() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/ws", listener.local_addr().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let mut alice = follow(folder.path(), &url, &["9001", "{}"]);
    let mut gateway = Scripted::accept(&listener).await;
    let evil = "\u{1b}[2J\u{9b}31m\r\n= 9001 {}";
    gateway.says(json!({ "protocol": 3101, "topic": evil, "offset": "1", "payload": { "text": "x" } })).await;
    gateway.says(json!({ "protocol": 9001, "id": 1, "status": { "code": 5, "reason": evil, "message": evil } })).await;
    gateway.socket.send(Message::text("{\"protocol\":2101,\n\"payload\":{\r\n\"a\":1}}")).await.unwrap();
    gateway.closes(4500, "\u{1b}[2J").await;
    alice.sees("* connected to n1").await;
    assert_eq!(alice.next().await, r"← 3101 \u001b[2J\u009b31m  = 9001 {}#1 {".to_owned() + r#""text":"x"}"#);
    assert_eq!(alice.next().await, r#"← 2101 {  "a":1}"#);
    while let Some(told) = timeout(PATIENCE, alice.complaints.recv()).await.unwrap() {
        assert!(!told.contains(char::is_control), "{}", told.escape_debug());
    }
    assert_eq!(alice.ends().await, 69);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_is_gone_ends_it_and_calls_in_flight_are_told_of() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/ws", listener.local_addr().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let mut alice = follow(folder.path(), &url, &["1001", "{}"]);
    let mut gateway = Scripted::accept(&listener).await;
    gateway.hears().await;
    gateway.says(json!({ "protocol": 3, "payload": { "sessionId": "s1", "user": "alice", "resumeToken": "r1" } })).await;
    gateway.closes(1012, "RESTART").await;
    alice.is_told("error: 1001: the connection was lost before the answer").await;

    for (status, told) in
        [(json!({ "code": 14, "reason": "UNAVAILABLE" }), None), (json!({ "code": 9, "reason": "RESUME_FAILED" }), Some(()))]
    {
        let mut gateway = Scripted::accept(&listener).await;
        let resume = gateway.hears().await;
        assert_eq!((&resume["protocol"], &resume["payload"]), (&json!(4), &json!({ "resumeToken": "r1" })), "no call is repeated");
        gateway.says(json!({ "protocol": 4, "id": resume["id"], "status": status })).await;
        if told.is_some() {
            alice.is_told("RESUME_FAILED (9)").await;
        }
    }
    assert_eq!(timeout(PATIENCE, alice.complaints.recv()).await.unwrap(), None, "that is all");
    while timeout(PATIENCE, alice.screen.recv()).await.unwrap().is_some() {}
    assert_eq!(alice.ends().await, 69);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_is_asked_to_move_does_when_its_turn_is_and_nothing_is_open() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/ws", listener.local_addr().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let mut alice = follow(folder.path(), &url, &["1001", "{}"]);
    let mut gateway = Scripted::accept(&listener).await;
    let call = gateway.hears().await;
    gateway.says(json!({ "protocol": 3, "payload": { "sessionId": "s1", "user": "alice", "resumeToken": "r1" } })).await;
    gateway.says(json!({ "protocol": 10, "payload": { "delayMs": 50, "canResume": true, "reason": "GOING_AWAY" } })).await;
    alice.sees("* connected to n1").await;
    alice.sees("* ready: alice").await;
    alice.sees("* asked to move to another connection in 50 ms: GOING_AWAY").await;
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    gateway.says(json!({ "protocol": 1001, "id": call["id"], "payload": { "ok": true } })).await;
    alice.sees(r#"= 1001 {"ok":true}"#).await;
    let mut next = Scripted::accept(&listener).await;
    let resume = next.hears().await;
    assert_eq!((&resume["protocol"], &resume["payload"]["resumeToken"]), (&json!(4), &json!("r1")), "{resume}");
    alice.sees("* connection lost: the gateway asked for another; trying again in 0 ms").await;
}
