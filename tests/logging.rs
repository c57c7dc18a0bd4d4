//! What the log says of calls, and the book of errors of those that failed: from outside, by the real program.

use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use protogate::wire::{Codec, Envelope, Payload};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::client_async;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;

use crate::support::client::TestClient;
use crate::support::mirror::Mirror;
use crate::support::walkthrough::{Reader, wait_for};
use crate::support::{TestGateway, folder_with, operator};

/// No line is longer, and a character may be escaped.
const LINE_BYTES_MAX: usize = 40 << 10;

fn routes(mirror: &Mirror) -> String {
    format!(
        "version: 1
descriptors: [{{ proto: ../proto }}]
backends: {{ mirror: {{ grpc: {{ endpoints: [\"http://{}\"] }} }} }}
defaults: {{ backend: mirror, access: anonymous, request_bytes_max: 128KiB, timeout: 5s }}
routes:
  9001: {{ name: quiet, rpc: protogate.echo.v1.EchoService/Echo }}
  9002: {{ name: sampled, rpc: protogate.echo.v1.EchoService/Echo, log: {{ sample: 100%, payload: sampled }} }}
  9003: {{ name: failing, rpc: protogate.echo.v1.EchoService/Echo, log: {{ payload: sampled, slow: 100ms }}, metadata: [x-note] }}
  9004: {{ name: hidden, rpc: protogate.echo.v1.EchoService/Echo, log: {{ sample: 100%, payload: sampled }}, redact: [request.text] }}
",
        mirror.address
    )
}

/// A gateway in a process of its own, whose log is kept.
fn program(mirror: &Mirror, level: &str, format: &str) -> (tempfile::TempDir, Reader) {
    let process = format!("version: 1\ntelemetry: {{ log: {{ level: {level}, format: {format} }} }}\n");
    let folder = folder_with(&[("routes/routes.yaml", &routes(mirror)), ("routes/gateway.yaml", &process)]);
    let mut reader = Reader::new(folder.path());
    reader.types("protogate serve", &[]);
    (folder, reader)
}

/// The lines about calls, once there are so many.
fn calls(reader: &Reader, count: usize) -> Vec<Value> {
    let lines = || -> Vec<Value> {
        let log = reader.log();
        let whole = log.rsplit_once('\n').map_or("", |(whole, _)| whole);
        let lines = whole.lines().map(|line| serde_json::from_str::<Value>(line).unwrap_or_else(|_| panic!("no JSON: {line}")));
        lines.filter(|line| line["target"] == "protogate::access").collect()
    };
    wait_for("the calls are logged", || lines().len() >= count);
    lines()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn successes_are_logged_by_sample_and_failures_and_slow_calls_always() {
    let mirror = Mirror::start("mirror").await;
    let (_folder, reader) = program(&mirror, "info", "json");
    let mut client = TestClient::connect(reader.edge()).await;
    for protocol in [9001, 9002, 9003, 9004] {
        client.call(protocol, json!({ "text": "well" })).await;
    }
    client.call(9003, json!({ "text": "slow 150" })).await;
    client.call(9003, json!({ "text": "fail 5 not there" })).await;
    client.call(9001, json!({ "text": "fail 14 nobody" })).await;
    client.call(4242, json!({})).await;

    let seen: Vec<_> = calls(&reader, 6)
        .into_iter()
        .map(|line| {
            let [level, route, code, payload] =
                ["level", "route", "code", "payload"].map(|key| line[key].as_str().unwrap_or("-").to_owned());
            (level, route, code, payload, line["sampled"] == true, line["slow"] == true)
        })
        .collect();
    let expected = [
        ("INFO", "sampled", "OK", r#"{"text":"well"}"#, true, false),
        ("INFO", "hidden", "OK", r#"{"text":"***"}"#, true, false),
        ("WARN", "failing", "OK", r#"{"text":"slow 150"}"#, false, true),
        ("INFO", "failing", "NOT_FOUND", r#"{"text":"fail 5 not there"}"#, false, false),
        ("WARN", "quiet", "UNAVAILABLE", "-", false, false),
        ("INFO", "-", "UNIMPLEMENTED", "-", false, false),
    ];
    let expected = expected.map(|(a, b, c, d, sampled, slow)| (a.to_owned(), b.to_owned(), c.to_owned(), d.to_owned(), sampled, slow));
    assert_eq!(seen, expected);
}

/// Text that would break a line, a terminal or a reader, at every length.
fn hostile() -> Vec<String> {
    let parts =
        ["\u{0}", "\n{\"level\":\"ERROR\"}\n", "\"},{\"", "\\u0000\\", "\u{1b}[2J\u{9b}", "\u{202e}\u{2028}", "\u{1f40e}", "\u{7f}\r"];
    parts.iter().flat_map(|part| [(*part).to_owned(), part.repeat(700), part.repeat(40_000 / part.len())]).collect()
}

/// Says an envelope in one of the codecs, and hears something.
async fn say(edge: std::net::SocketAddr, codec: Codec, envelope: &Envelope<'_>) {
    let mut request = format!("ws://{edge}/ws").into_client_request().unwrap();
    request.headers_mut().insert("sec-websocket-protocol", codec.subprotocol().parse().unwrap());
    let (mut socket, _) = client_async(request, TcpStream::connect(edge).await.unwrap()).await.unwrap();
    let mut bytes = Vec::new();
    codec.encode(envelope, &mut bytes);
    let message = if codec == Codec::Json { Message::text(String::from_utf8(bytes).unwrap()) } else { Message::binary(bytes) };
    socket.send(message).await.unwrap();
    for _ in 0..2 {
        _ = timeout(Duration::from_secs(10), socket.next()).await.expect("Hello, and an answer or an end");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_a_client_writes_anywhere_is_a_line_of_bounded_length() {
    let mirror = Mirror::start("mirror").await;
    for (format, level) in [("json", "trace"), ("human", "trace")] {
        let (_folder, reader) = program(&mirror, level, format);
        let edge = reader.edge();
        for text in hostile() {
            let payload = json!({ "text": format!("fail 3 {text}") }).to_string();
            let sound = Envelope { protocol: 9003, id: 7, payload: Payload::Json(&payload), ..Envelope::default() };
            say(edge, Codec::Json, &sound).await;
            for envelope in [
                Envelope { traceparent: text.as_str().into(), ..sound.clone() },
                Envelope { idempotency_key: text.as_str().into(), ..sound.clone() },
                Envelope { metadata: vec![("x-note".into(), text.as_str().into())], ..sound.clone() },
                Envelope { metadata: vec![(text.as_str().into(), "x".into())], ..sound.clone() },
                Envelope { topic: text.as_str().into(), ..sound.clone() },
                Envelope { protocol: 12, payload: Payload::None, topic: text.as_str().into(), ..sound.clone() },
                Envelope { payload: Payload::None, ..sound.clone() },
            ] {
                say(edge, Codec::Json, &envelope).await;
                let payload = if envelope.payload.is_empty() { Payload::None } else { Payload::Proto(text.as_bytes()) };
                say(edge, Codec::Proto, &Envelope { payload, ..envelope }).await;
            }
        }
        let log = reader.log();
        let lines: Vec<&str> = log.lines().collect();
        assert!(lines.len() > 100, "it is logged");
        assert!(!log.chars().any(|c| c != '\n' && (c.is_control() || matches!(c, '\u{202e}' | '\u{2028}'))), "nothing moves a terminal");
        let longest = lines.iter().map(|line| line.len()).max().unwrap();
        assert!(longest < LINE_BYTES_MAX, "a line of {longest} bytes");
        for line in lines {
            assert!(format == "human" || serde_json::from_str::<Value>(line).is_ok_and(|line| line.is_object()), "{line}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_operator_sees_what_fails_how_often_and_where_it_was_last() {
    let mirror = Mirror::start("mirror").await;
    let gateway = TestGateway::start(&routes(&mirror));
    let mut client = TestClient::connect_as(gateway.edge(), &gateway.token("alice", &[])).await;
    for _ in 0..3 {
        client.call(9001, json!({ "text": "fail 5 no such thing" })).await;
    }
    client.call(9002, json!({ "text": "blurt 3 what it was told" })).await;
    client.call(9002, json!({ "text": 7 })).await;
    client.call(9002, json!({ "text": "well" })).await;
    client.call(4242, json!({})).await;

    let (status, book) = operator(&gateway, "/api/v1/errors", None).await;
    assert_eq!(status, 200, "{book}");
    assert!(book["since_ms"].as_u64().unwrap() > 1_700_000_000_000);
    let kinds: Vec<String> = book["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|kind| {
            format!(
                "{} {} {} {}",
                kind["source"].as_str().unwrap(),
                kind["code"].as_str().unwrap(),
                kind["reason"].as_str().unwrap(),
                kind["count"]
            )
        })
        .collect();
    assert_eq!(
        kinds,
        [
            "backend NOT_FOUND NOT_FOUND 3",
            "backend INVALID_ARGUMENT BLURTED 1",
            "gateway INVALID_ARGUMENT INVALID_MESSAGE 1",
            "gateway UNIMPLEMENTED UNKNOWN_PROTOCOL 1",
        ]
    );
    let most = &book["errors"][0];
    // All three came within a second.
    assert_eq!(most["examples"].as_array().unwrap().len(), 1, "{most}");
    let example = &most["examples"][0];
    assert_eq!(
        (&example["route"], &example["user"], &example["message"], &example["endpoint"]),
        (&json!("quiet"), &json!("alice"), &json!("no such thing"), &json!(mirror.address.to_string())),
        "{example}"
    );
    assert!(example["connection"].is_u64() && example["at_ms"].as_u64() <= most["last_ms"].as_u64(), "{most}");
    assert!(!book.to_string().contains("what it was told"), "details stay with the client: {book}");
    assert!(book["errors"][3]["examples"][0].get("route").is_none(), "there is no route of that number");
}
