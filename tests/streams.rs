//! Streams: messages both ways by one id, how they are held back, and how they end.

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use protogate::reload::Outcome;
use protogate::wire::{Codec, Envelope};

use crate::support::TestGateway;
use crate::support::nodes::{Process, eventually};
use crate::support::openmetrics::{scrape, value};
use crate::support::streams::{PROTO, Tapper, Taps, Told};

const LIST: u32 = 5001;
const GATHER: u32 = 5002;
const TALK: u32 = 5003;
const KNOWN: u32 = 5004;
const SHORT: u32 = 5005;

const CODECS: [Codec; 2] = [Codec::Proto, Codec::Json];

fn routes(taps: &Taps, talk: &str, more: &str) -> String {
    let address = taps.address;
    format!(
        r#"
version: 1
descriptors: [{{ proto: ../stream }}]
backends: {{ taps: {{ grpc: {{ endpoints: ["http://{address}"] }} }} }}
permissions: {{ roles: {{ player: {{ grant: [tap.talk] }}, anonymous: {{ grant: [lobby] }} }} }}
rate_limits: {{ plenty: {{ key: [caller], rate: 100000/s, burst: 100000 }}, few: {{ key: [caller], rate: 1/h, burst: 3 }} }}
defaults: {{ backend: taps, rate_limits: [plenty], reply_bytes_max: 64KiB }}
routes:
  5001: {{ name: tap.list, rpc: stream.v1.Taps/List, access: anonymous }}
  5002: {{ name: tap.gather, rpc: stream.v1.Taps/Gather, access: anonymous }}
  5003: {{ name: tap.talk, rpc: stream.v1.Taps/Talk, access: anonymous, request_bytes_max: 1KiB }}
  5004: {{ name: tap.known, rpc: stream.v1.Taps/Talk, set: {{ request.user: session.user }}, {talk} }}
  {more}
"#
    )
}

fn start_with(taps: &Taps, process: &str, talk: &str, more: &str) -> TestGateway {
    TestGateway::start_with(&[
        ("routes/gateway.yaml", &format!("version: 1\nreload: {{ watch: false }}\n{process}\n")),
        ("routes/routes.yaml", &routes(taps, talk, more)),
        ("stream/taps.proto", PROTO),
    ])
}

async fn start() -> (Taps, TestGateway) {
    let taps = Taps::start().await;
    let gateway = start_with(&taps, "", "permissions: [tap.talk]", "");
    (taps, gateway)
}

async fn anonymous(gateway: &TestGateway, codec: Codec) -> Tapper {
    Tapper::connect(gateway.edge(), codec, None).await
}

fn line(id: u32, text: &str) -> Told {
    Told::Line(id, text.to_owned())
}

fn failed(protocol: u32, id: u32, reason: &str) -> Told {
    Told::Failed(protocol, id, reason.to_owned())
}

#[tokio::test]
async fn a_service_says_many_messages_and_the_client_hears_each_and_the_end() {
    let (_taps, gateway) = start().await;
    for codec in CODECS {
        let mut client = anonymous(&gateway, codec).await;
        client.ask(LIST, 7, "count 3").await;
        for text in ["0", "1", "2"] {
            assert_eq!(client.hear().await, line(7, text));
        }
        assert_eq!(client.hear().await, Told::Done(7));
        client.ask(LIST, 7, "fail 1").await;
        assert_eq!(client.hear().await, line(7, "0"));
        assert_eq!(client.hear().await, failed(LIST, 7, "NOT_FOUND"));
        client.ask(LIST, 7, "count 0").await;
        assert_eq!(client.hear().await, Told::Done(7), "an id is free again, and a stream of nothing is one");
    }
}

#[tokio::test]
async fn a_client_says_many_messages_and_is_answered_once() {
    let (_taps, gateway) = start().await;
    for codec in CODECS {
        let mut client = anonymous(&gateway, codec).await;
        client.open(GATHER, 7, "a").await;
        client.tell(7, "b").await;
        client.end(7).await;
        assert_eq!(client.hear().await, Told::Reply(GATHER, 7, "a b".to_owned()));
        client.ask(GATHER, 8, "only").await;
        assert_eq!(client.hear().await, Told::Reply(GATHER, 8, "only".to_owned()));
        client.say(&Envelope { protocol: GATHER, id: 9, ..Envelope::default() }, None).await;
        assert_eq!(client.hear().await, Told::Reply(GATHER, 9, String::new()), "a stream of nothing is one");
        client.open(GATHER, 10, "a").await;
        client.tell(10, "fail").await;
        assert_eq!(client.hear().await, failed(GATHER, 10, "NOT_FOUND"), "before the client has ended");
        client.open(GATHER, 11, "twice").await;
        client.say(&Envelope { id: 11, ..Envelope::default() }, Some("and last")).await;
        assert_eq!(client.hear().await, failed(GATHER, 11, "BAD_REPLY"), "one reply, and no other");
        assert!(client.is_quiet().await);
    }
}

#[tokio::test]
async fn both_sides_talk_and_either_may_end_it() {
    let (taps, gateway) = start().await;
    for codec in CODECS {
        let mut client = anonymous(&gateway, codec).await;
        client.open(TALK, 7, "a").await;
        client.open(TALK, 8, "b").await;
        let first = [client.hear().await, client.hear().await];
        assert!(first.contains(&line(7, "a")) && first.contains(&line(8, "b")), "{first:?}");
        client.tell(7, "c").await;
        assert_eq!(client.hear().await, line(7, "c"));
        client.end(7).await;
        assert_eq!(client.hear().await, Told::Done(7));
        client.tell(8, "bye").await;
        assert_eq!(client.hear().await, Told::Done(8));
        client.tell(8, "too late").await;
        client.end(8).await;
        assert!(client.is_quiet().await, "what is for no open stream is dropped");
    }
    assert_eq!(taps.state.opened.load(SeqCst), 4, "and never a new one");
    let now = scrape(&gateway).await;
    let counted = |direction| value(&now, &format!("protogate_stream_messages_total{{route=\"tap.talk\",direction=\"{direction}\"}}"));
    assert_eq!((counted("in"), counted("out")), (8.0, 6.0), "`bye` is not answered");
    assert_eq!(value(&now, "protogate_requests_total{route=\"tap.talk\",code=\"OK\",reason=\"OK\"}"), 4.0);
    assert_eq!(value(&now, "protogate_request_seconds_count{route=\"tap.talk\"}"), 0.0, "a stream is as long as it is");
}

#[tokio::test]
async fn what_cannot_be_a_stream_is_refused() {
    let (taps, gateway) = start().await;
    let mut client = anonymous(&gateway, Codec::Json).await;
    client.ask(LIST, 0, "count 1").await;
    assert_eq!(client.hear().await, failed(LIST, 0, "INVALID_MESSAGE"));
    client.open(LIST, 7, "count 1").await;
    assert_eq!(client.hear().await, failed(LIST, 7, "INVALID_MESSAGE"), "its method takes one message");
    client.open(KNOWN, 7, "a").await;
    assert_eq!(client.hear().await, failed(KNOWN, 7, "UNAUTHENTICATED"));
    assert_eq!(taps.state.opened.load(SeqCst), 0);
    client.open(TALK, 7, "a").await;
    assert_eq!(client.hear().await, line(7, "a"));
    client.ask(LIST, 7, "count 1").await;
    assert_eq!(client.hear().await, failed(TALK, 7, "CONNECTION_CLOSED"), "an id is taken as long as its stream is open");
    assert_eq!((client.hear().await, client.hear().await), (Told::Own(11), Told::Closed(4503)));
    taps.until(|state| &state.cancelled, 1).await;
}

#[tokio::test]
async fn every_message_of_a_client_is_checked() {
    let taps = Taps::start().await;
    let few = "5005: { name: tap.few, rpc: stream.v1.Taps/Talk, access: anonymous, rate_limits: { append: [few] } }";
    let gateway = start_with(&taps, "", "permissions: [tap.talk]", few);
    let mut client = anonymous(&gateway, Codec::Json).await;
    client.open(TALK, 7, "a").await;
    assert_eq!(client.hear().await, line(7, "a"));
    client.tell(7, &"x".repeat(2000)).await;
    assert_eq!(client.hear().await, failed(TALK, 7, "TOO_LARGE"));
    taps.until(|state| &state.cancelled, 1).await;
    for text in ["a", "b", "c", "d"] {
        if text == "a" { client.open(SHORT, 8, text).await } else { client.tell(8, text).await }
    }
    let mut told = Vec::new();
    while !matches!(told.last(), Some(Told::Failed(..))) {
        told.push(client.hear().await);
    }
    assert_eq!(told.last(), Some(&failed(SHORT, 8, "RATE_LIMITED")), "{told:?}");
    taps.until(|state| &state.cancelled, 2).await;
    client.tell(8, "e").await;
    assert!(client.is_quiet().await, "it ends once");
}

#[tokio::test]
async fn a_stream_carries_who_says_it_and_ends_with_the_permission() {
    let (taps, gateway) = start().await;
    let mut client = Tapper::connect(gateway.edge(), Codec::Proto, Some(&gateway.token("alice", &["player"]))).await;
    client.open(KNOWN, 7, "a").await;
    assert_eq!(client.hear().await, line(7, "alice: a"));
    client.open(TALK, 8, "b").await;
    assert_eq!(client.hear().await, line(8, "b"));

    gateway.write("routes/routes.yaml", &routes(&taps, "permissions: [tap.talk], timeout: 7s", ""));
    assert!(matches!(gateway.gateway().reload(), Outcome::Swapped(_)));
    client.tell(7, "c").await;
    assert_eq!(client.hear().await, line(7, "alice: c"), "it goes on by the table that it began with");

    gateway.write("routes/routes.yaml", &routes(&taps, "permissions: [tap.talk, tap.shout]", ""));
    assert!(matches!(gateway.gateway().reload(), Outcome::Swapped(_)));
    assert_eq!(client.hear().await, failed(KNOWN, 7, "PERMISSION_DENIED"), "though nobody says anything");
    taps.until(|state| &state.cancelled, 1).await;
    client.tell(8, "d").await;
    assert_eq!(client.hear().await, line(8, "d"), "the others go on");

    let gone = routes(&taps, "permissions: [tap.talk]", "").replace("  5003:", "  5033:");
    gateway.write("routes/routes.yaml", &gone);
    assert!(matches!(gateway.gateway().reload(), Outcome::Swapped(_)));
    assert_eq!(client.hear().await, failed(TALK, 8, "PERMISSION_DENIED"), "so is what is routed no longer");
}

#[tokio::test]
async fn a_client_cancels_a_stream_and_hears_so_once() {
    let (taps, gateway) = start().await;
    for (codec, times) in CODECS.into_iter().zip(1..) {
        let mut client = anonymous(&gateway, codec).await;
        client.open(TALK, 7, "a").await;
        assert_eq!(client.hear().await, line(7, "a"));
        client.cancel(7).await;
        client.tell(7, "late").await;
        assert_eq!(client.hear().await, failed(TALK, 7, "CANCELLED"));
        client.cancel(7).await;
        assert!(client.is_quiet().await);
        taps.until(|state| &state.cancelled, times).await;
        client.ask(LIST, 7, "count 1").await;
        assert_eq!((client.hear().await, client.hear().await), (line(7, "0"), Told::Done(7)));
    }
}

#[tokio::test]
async fn a_client_that_goes_cancels_its_streams() {
    let (taps, gateway) = start().await;
    let mut client = anonymous(&gateway, Codec::Json).await;
    client.open(TALK, 7, "a").await;
    client.ask(LIST, 8, "count 1000000").await;
    client.hear().await;
    taps.until(|state| &state.opened, 2).await;
    drop(client);
    taps.until(|state| &state.cancelled, 2).await;
}

#[tokio::test]
async fn a_service_says_no_more_than_the_client_grants() {
    let taps = Taps::start().await;
    let gateway = start_with(&taps, "connections: { stream_credit: 4 }", "permissions: [tap.talk]", "");
    for codec in CODECS {
        let mut client = anonymous(&gateway, codec).await;
        client.ask(LIST, 7, "count 10").await;
        for text in ["0", "1", "2", "3"] {
            assert_eq!(client.hear().await, line(7, text));
        }
        assert!(client.is_quiet().await);
        client.grant(7, 1).await;
        client.grant(7, 1).await;
        assert_eq!((client.hear().await, client.hear().await), (line(7, "4"), line(7, "5")));
        assert!(client.is_quiet().await);
        client.grant(7, 4).await;
        for text in ["6", "7", "8", "9"] {
            assert_eq!(client.hear().await, line(7, text));
        }
        assert_eq!(client.hear().await, Told::Done(7), "an end needs no grant");
    }
}

#[tokio::test]
async fn a_client_is_granted_more_as_the_service_takes_it_and_one_that_takes_more_ends_its_stream() {
    let taps = Taps::start().await;
    let gateway = start_with(&taps, "connections: { stream_credit: 4 }", "permissions: [tap.talk]", "");
    for codec in CODECS {
        let mut client = anonymous(&gateway, codec).await;
        client.open(GATHER, 7, "0").await;
        client.tell(7, "1").await;
        assert_eq!(client.hear().await, Told::Grant(7, 2));
        client.tell(7, "2").await;
        client.tell(7, "3").await;
        assert_eq!(client.hear().await, Told::Grant(7, 2));
        client.end(7).await;
        assert_eq!(client.hear().await, Told::Reply(GATHER, 7, "0 1 2 3".to_owned()));
    }
    let mut client = anonymous(&gateway, Codec::Proto).await;
    let before = taps.state.heard.load(SeqCst);
    client.open(TALK, 8, "deaf").await;
    taps.until(|state| &state.heard, before + 1).await;
    let mut told = Vec::new();
    for _ in 0..200 {
        client.tell(8, &"x".repeat(1000)).await;
    }
    while !matches!(told.last(), Some(Told::Failed(..))) {
        told.push(client.hear().await);
    }
    assert_eq!(told.last(), Some(&failed(TALK, 8, "CREDIT_OVERRUN")));
    taps.until(|state| &state.cancelled, 1).await;
}

#[tokio::test]
async fn a_connection_has_as_many_streams_as_it_may_and_calls_beside_them() {
    let taps = Taps::start().await;
    let gateway = start_with(&taps, "connections: { streams_max: 2, inflight_max: 1 }", "permissions: [tap.talk]", "");
    let mut client = anonymous(&gateway, Codec::Json).await;
    for id in [1, 2] {
        client.open(TALK, id, "a").await;
        assert_eq!(client.hear().await, line(id, "a"));
    }
    client.open(TALK, 3, "a").await;
    assert_eq!(client.hear().await, failed(TALK, 3, "TOO_MANY_STREAMS"));
    client.end(1).await;
    assert_eq!(client.hear().await, Told::Done(1));
    client.open(TALK, 3, "a").await;
    assert_eq!(client.hear().await, line(3, "a"));
}

#[tokio::test]
async fn a_stream_ends_when_nothing_is_said_or_when_it_is_old() {
    let taps = Taps::start().await;
    let talk = "5005: { name: tap.short, rpc: stream.v1.Taps/Talk, access: anonymous, stream: { idle: 2s } }
  5006: { name: tap.young, rpc: stream.v1.Taps/Talk, access: anonymous, stream: { idle: 2s, max_age: 3s } }";
    let gateway = start_with(&taps, "", "permissions: [tap.talk]", talk);
    let mut client = anonymous(&gateway, Codec::Proto).await;
    client.open(SHORT, 7, "a").await;
    assert_eq!(client.hear().await, line(7, "a"));
    assert_eq!(client.hear().await, failed(SHORT, 7, "STREAM_IDLE"));
    taps.until(|state| &state.cancelled, 1).await;

    client.open(5006, 8, "a").await;
    let end = loop {
        match client.hear().await {
            Told::Line(..) => {
                tokio::time::sleep(Duration::from_millis(50)).await;
                client.tell(8, "b").await;
            }
            Told::Grant(..) => {}
            end => break end,
        }
    };
    assert_eq!(end, failed(5006, 8, "STREAM_TOO_OLD"), "whatever is said");
    taps.until(|state| &state.cancelled, 2).await;

    client.say(&Envelope { protocol: TALK, id: 9, deadline_ms: 200, more: true, ..Envelope::default() }, Some("a")).await;
    assert_eq!(client.hear().await, line(9, "a"));
    assert_eq!(client.hear().await, failed(TALK, 9, "DEADLINE_EXCEEDED"), "that is the client's own wish");
}

#[tokio::test]
async fn streams_end_with_the_gateway() {
    let (taps, gateway) = start().await;
    let mut client = anonymous(&gateway, Codec::Json).await;
    client.open(TALK, 7, "a").await;
    assert_eq!(client.hear().await, line(7, "a"));
    let hear = async {
        assert_eq!(client.hear().await, failed(TALK, 7, "SHUTDOWN"));
        assert_eq!((client.hear().await, client.hear().await), (Told::Own(11), Told::Closed(1001)));
    };
    tokio::join!(hear, gateway.stop());
    taps.until(|state| &state.cancelled, 1).await;
}

#[tokio::test]
async fn a_stream_is_of_the_session_that_opened_it() {
    let (taps, gateway) = start().await;
    let mut client = Tapper::connect(gateway.edge(), Codec::Json, Some(&gateway.token("alice", &["player"]))).await;
    client.open(KNOWN, 7, "a").await;
    assert_eq!(client.hear().await, line(7, "alice: a"));
    client.authenticate(&gateway.token("bob", &["player"])).await;
    let told = [client.hear().await, client.hear().await];
    assert_eq!(told, [Told::Own(3), failed(KNOWN, 7, "SESSION_REPLACED")], "bob does not speak as alice, nor hear what she hears");
    taps.until(|state| &state.cancelled, 1).await;
    client.open(KNOWN, 7, "b").await;
    assert_eq!(client.hear().await, line(7, "bob: b"));
    client.authenticate(&gateway.token("bob", &[])).await;
    let told = [client.hear().await, client.hear().await];
    assert_eq!(told, [Told::Own(3), failed(KNOWN, 7, "PERMISSION_DENIED")], "a later token of his may do less");
}

/// How many messages services have said, once they say no more.
async fn held_up(taps: &Taps) -> usize {
    let mut before = 0;
    loop {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let said = taps.state.said.load(SeqCst);
        if said > 1 && said == before {
            return said;
        }
        before = said;
    }
}

#[tokio::test]
async fn whoever_reads_again_is_told_all_the_rest() {
    let taps = Taps::start().await;
    let gateway = start_with(&taps, "connections: { stream_credit: 1024, outbox_bytes_max: 64KiB }", "permissions: [tap.talk]", "");
    let mut client = anonymous(&gateway, Codec::Proto).await;
    client.say(&Envelope { protocol: LIST, id: 7, credit: 100_000, ..Envelope::default() }, Some("count 10000 4096")).await;
    let before = held_up(&taps).await;
    assert!(before < 10_000, "{before}: it was never held back");
    for place in 0..10_000 {
        let told = client.hear().await;
        assert!(matches!(told, Told::Line(7, _)), "{place}: {told:?}");
    }
    assert_eq!(client.hear().await, Told::Done(7));
}

#[tokio::test]
async fn a_slow_client_slows_its_streams_down_and_nothing_else() {
    let taps = Taps::start().await;
    let gateway = start_with(&taps, "connections: { stream_credit: 1024, outbox_bytes_max: 64KiB }", "permissions: [tap.talk]", "");
    let mut client = anonymous(&gateway, Codec::Proto).await;
    client.open(TALK, 6, "ready").await;
    assert_eq!(client.hear().await, line(6, "ready"));
    client.say(&Envelope { protocol: LIST, id: 7, credit: 100_000, ..Envelope::default() }, Some("count 100000 4096")).await;
    taps.until(|state| &state.opened, 2).await;
    // It reads nothing until the service is held up.
    let before = held_up(&taps).await;
    assert!(before < 10_000, "{before} messages of 4 KiB wait somewhere");
    // It is heard though it does not read.
    client.cancel(7).await;
    taps.until(|state| &state.cancelled, 1).await;
    loop {
        match client.hear().await {
            told if told == failed(LIST, 7, "CANCELLED") => break,
            told => assert!(matches!(told, Told::Line(7, _)), "the stream goes on until it is cancelled: {told:?}"),
        }
    }
    client.tell(6, "still here").await;
    assert_eq!(client.hear().await, line(6, "still here"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_talks_on_a_stream() {
    let (_taps, gateway) = start().await;
    let run = |arguments: &str, typed: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_protogate"));
        command.args(["call", "--url", &format!("ws://{}/ws", gateway.edge())]).args(arguments.split_whitespace());
        let mut child =
            command.current_dir(gateway.folder()).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(typed.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (output.status.code(), text(output.stdout), text(output.stderr))
    };
    let lines = |texts: &[&str]| texts.iter().map(|text| format!("{{\"text\":\"{text}\"}}\n")).collect::<String>();
    let (code, said, complaint) = run(r#"5001 {"text":"count\u0020100"}"#, "");
    assert_eq!((code, said.lines().count()), (Some(0), 100), "more than it was granted at first: {complaint}");
    for known in ["--stream", "--config routes", "--config routes --format proto"] {
        let (code, said, complaint) = run(&format!("5003 {known}"), "{\"text\":\"a\"}\n\n{\"text\":\"b\"}\n");
        assert_eq!((code, said), (Some(0), lines(&["a", "b"])), "{known}: {complaint}");
        let gathered = run(&format!("5002 {{\"text\":\"a\"}} {known}"), "{\"text\":\"b\"}");
        assert_eq!((gathered.0, gathered.1), (Some(0), lines(&["a b"])), "{known}: {}", gathered.2);
    }
    let (code, said, complaint) = run(r#"5001 {"text":"fail\u00201"}"#, "");
    assert_eq!((code, said), (Some(1), lines(&["0"])));
    assert!(complaint.contains("NOT_FOUND") && complaint.contains("no such tap"), "{complaint}");
}

#[tokio::test]
async fn a_message_that_is_larger_than_what_may_wait_ends_its_stream() {
    let taps = Taps::start().await;
    let gateway = start_with(&taps, "connections: { outbox_bytes_max: 64KiB }", "permissions: [tap.talk]", "");
    let mut client = anonymous(&gateway, Codec::Json).await;
    client.ask(LIST, 7, "count 1000000 60000").await;
    assert_eq!(client.hear().await, failed(LIST, 7, "REPLY_TOO_LARGE"), "in JSON it is a third larger");
    taps.until(|state| &state.cancelled, 1).await;
    client.ask(LIST, 8, "count 1000000 100000").await;
    assert_eq!(client.hear().await, failed(LIST, 8, "REPLY_TOO_LARGE"), "and this is more than the route passes on");
    client.ask(LIST, 9, "count 1 40000").await;
    assert_eq!((client.hear().await, client.hear().await), (line(9, "0"), Told::Done(9)));
}

#[tokio::test]
async fn the_log_has_one_line_for_a_stream() {
    let taps = Taps::start().await;
    let process = Process::start(&[
        ("routes/gateway.yaml", "version: 1\ntelemetry: { log: { format: json } }\n"),
        ("routes/routes.yaml", &routes(&taps, "permissions: [tap.talk]", "")),
        ("stream/taps.proto", PROTO),
    ])
    .await;
    let mut client = Tapper::connect(process.edge, Codec::Proto, None).await;
    client.open(TALK, 7, "a").await;
    client.tell(7, "b").await;
    client.tell(7, "fail 1").await;
    while client.hear().await != failed(TALK, 7, "NOT_FOUND") {}
    client.open(TALK, 8, "a").await;
    assert_eq!(client.hear().await, line(8, "a"));
    drop(client);
    let streams = || process.log().lines().filter(|line| line.contains("messages_in")).map(str::to_owned).collect::<Vec<_>>();
    eventually("both are in the log", async || streams().len() == 2).await;
    let lines: Vec<serde_json::Value> = streams().iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    let told = |line: &serde_json::Value| ["route", "reason", "messages_in", "messages_out"].map(|key| line[key].to_string()).join(" ");
    assert_eq!(told(&lines[0]), r#""tap.talk" "NOT_FOUND" 3 3"#, "{}", lines[0]);
    assert_eq!(told(&lines[1]), r#""tap.talk" "CANCELLED" 1 1"#, "{}", lines[1]);
}
