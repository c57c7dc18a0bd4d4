//! Watching calls as they end: what is seen and what is not, by HTTP and by command line; and that it costs nobody anything.

use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{Instant, sleep, timeout};

use crate::support::client::TestClient;
use crate::support::{ECHO, PATIENCE, TestGateway, operator};

/// An operator who watches.
struct Watcher {
    lines: BufReader<TcpStream>,
    status: u16,
}

impl Watcher {
    /// Asks, and takes the head of the answer: the tap is open by then.
    async fn open(gateway: &TestGateway, query: &str) -> Watcher {
        Watcher::over(TcpStream::connect(gateway.admin()).await.unwrap(), gateway, query).await
    }

    async fn over(mut stream: TcpStream, gateway: &TestGateway, query: &str) -> Watcher {
        let head = format!(
            "GET /api/v1/tap{query} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {}\r\nconnection: close\r\n\r\n",
            gateway.admin_token()
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut watcher = Watcher { lines: BufReader::new(stream), status: 0 };
        watcher.status = watcher.line().await.split(' ').nth(1).unwrap().parse().unwrap();
        while !watcher.line().await.is_empty() {}
        watcher
    }

    async fn line(&mut self) -> String {
        let mut line = String::new();
        timeout(PATIENCE, self.lines.read_line(&mut line)).await.expect("something comes in time").unwrap();
        line.trim_end().to_owned()
    }

    /// The next line of JSON. Between them stand the sizes of chunks.
    async fn next(&mut self) -> Value {
        loop {
            let line = self.line().await;
            if line.starts_with('{') {
                return serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
            }
            assert!(line.bytes().all(|byte| byte.is_ascii_hexdigit()), "{line}");
            assert_ne!(line, "0", "it is over");
        }
    }

    /// All that comes until it is over.
    async fn rest(mut self) -> String {
        let mut rest = String::new();
        timeout(PATIENCE, self.lines.read_to_string(&mut rest)).await.expect("it ends in time").unwrap();
        rest
    }
}

/// As many as may watch at once. That some have left takes a moment to be noticed.
async fn all_that_may(gateway: &TestGateway) -> Vec<Watcher> {
    let (mut taps, began) = (Vec::new(), Instant::now());
    while taps.len() < 8 {
        let tap = Watcher::open(gateway, "?seconds=3600").await;
        if tap.status == 200 {
            taps.push(tap);
        }
        assert!(began.elapsed() < PATIENCE, "who has left still watches");
    }
    taps
}

const LIMITED: &str = r"
version: 1
descriptors: [{ proto: ../proto }]
backends: { echo: { builtin: echo } }
rate_limits:
  plenty: { key: [caller], rate: 100000/s, burst: 100000 }
  few: { key: [caller], rate: 1/h, burst: 1 }
  trial: { key: [caller], rate: 1/h, burst: 1, mode: dry_run }
defaults: { backend: echo }
routes:
  9001: { name: echo, rpc: protogate.echo.v1.EchoService/Echo, access: anonymous, rate_limits: [plenty] }
  9002: { name: echo.few, rpc: protogate.echo.v1.EchoService/Echo, access: anonymous, rate_limits: [plenty, few] }
  9003: { name: echo.trial, rpc: protogate.echo.v1.EchoService/Echo, access: anonymous, rate_limits: [plenty, trial] }
";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_watches_sees_what_was_said_what_limits_decided_and_who_answered() {
    let gateway = TestGateway::start(LIMITED);
    let mut client = TestClient::connect(gateway.edge()).await;
    client.call(9001, json!({ "text": "before" })).await;
    let mut tap = Watcher::open(&gateway, "").await;
    assert_eq!(tap.status, 200);
    let call = client.send(9001, json!({ "text": "hello" })).await;
    client.hear_message().await;
    let seen = tap.next().await;
    let expected = json!({
        "at_ms": seen["at_ms"], "route": "echo", "protocol": 9001, "id": call, "user": null, "connection": 1, "peer": "127.0.0.1", "code": "OK",
        "reason": null, "message": null, "limits": { "refused_by": null, "would_refuse": [] }, "backend": "echo",
        "endpoint": seen["endpoint"], "attempts": 1, "duration_ms": seen["duration_ms"], "request": { "text": "hello" },
        "reply": { "text": "hello" },
    });
    assert_eq!(seen, expected, "what ended before is not seen");
    assert!(seen["endpoint"].is_string() && seen["at_ms"].as_u64().unwrap() > 1_700_000_000_000, "{seen}");

    client.call(9002, json!({ "text": "first" })).await;
    assert_eq!(tap.next().await["code"], "OK");
    assert_eq!(client.refused(9002, json!({ "text": "second" })).await, "RATE_LIMITED");
    let refused = tap.next().await;
    assert_eq!((&refused["reason"], &refused["limits"]["refused_by"]), (&json!("RATE_LIMITED"), &json!("few")), "{refused}");
    assert_eq!((&refused["backend"], &refused["attempts"]), (&Value::Null, &json!(0)), "{refused}");
    client.call(9003, json!({ "text": "first" })).await;
    assert_eq!(tap.next().await["limits"]["would_refuse"], json!([]));
    client.call(9003, json!({ "text": "second" })).await;
    let passed = tap.next().await;
    assert_eq!((&passed["code"], &passed["limits"]["would_refuse"]), (&json!("OK"), &json!(["trial"])), "{passed}");
    client.refused(7777, json!({ "text": "nowhere" })).await;
    let nowhere = tap.next().await;
    assert_eq!((&nowhere["route"], &nowhere["protocol"], &nowhere["reason"]), (&Value::Null, &json!(7777), &json!("UNKNOWN_PROTOCOL")));

    // A text that is long, and would be two lines.
    client.call(9001, json!({ "text": "a\nb\u{1b}" })).await;
    assert_eq!(tap.next().await["request"]["text"], "a\nb\u{1b}");
    client.call(9001, json!({ "text": "x".repeat(20_000) })).await;
    let long = tap.next().await;
    assert!(long["request"].is_string() && long.to_string().len() < 8_000, "it is cut off, and so no JSON");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tap_of_a_route_or_a_user_sees_nothing_else() {
    let gateway = TestGateway::start(ECHO);
    let mut alice = TestClient::connect_as(gateway.edge(), &gateway.token("alice", &[])).await;
    let mut bob = TestClient::connect_as(gateway.edge(), &gateway.token("bob", &[])).await;
    let mut by_number = Watcher::open(&gateway, "?route=9002").await;
    let mut by_name = Watcher::open(&gateway, "?route=echo.known").await;
    let mut of_bob = Watcher::open(&gateway, "?user=bob").await;
    let mut both = Watcher::open(&gateway, "?route=9002&user=bob").await;
    for (text, route) in [("one", 9001), ("two", 9002)] {
        alice.echo(route, &format!("alice {text}")).await;
        bob.echo(route, &format!("bob {text}")).await;
    }
    let texts = async |tap: &mut Watcher, count| {
        let mut texts = Vec::new();
        for _ in 0..count {
            texts.push(tap.next().await["request"]["text"].as_str().unwrap().to_owned());
        }
        texts
    };
    assert_eq!(texts(&mut by_number, 2).await, ["alice two", "bob two"]);
    assert_eq!(texts(&mut by_name, 2).await, ["alice two", "bob two"]);
    assert_eq!(texts(&mut of_bob, 2).await, ["bob one", "bob two"]);
    assert_eq!(texts(&mut both, 1).await, ["bob two"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_secret_is_seen_by_nobody() {
    let gateway = TestGateway::start_shipped("");
    let mut tap = Watcher::open(&gateway, "?seconds=600").await;
    let mut client = TestClient::connect(gateway.edge()).await;
    let (password, canary) = ("canary-password-4d1f", "canary-other-4d1f");
    let account = json!({ "username": "alice", "password": password, "email": "alice@example.com" });
    let registered = client.call(1002, account).await["payload"].clone();
    let room = client.call(3003, json!({ "name": "Tea" })).await["payload"]["room"]["id"].clone();
    client.call(3001, json!({ "roomId": room, "text": canary })).await;
    client.call(3007, json!({ "receiver": "nobody", "text": canary })).await;
    client.call(3002, json!({ "roomId": room })).await;
    let mut other = TestClient::connect(gateway.edge()).await;
    for wrong in [json!(canary), json!([canary]), json!({ "text": canary }), json!(4_815_162_342_u64)] {
        let refused = other.call(1001, json!({ "username": "alice", "password": wrong })).await;
        assert!(refused["status"].is_object(), "{refused}");
    }
    other.call(1003, json!({ "email": "alice@example.com", "code": canary, "newPassword": canary })).await;
    other.call(1004, json!({ "refreshToken": canary })).await;
    let renewed = other.call(1004, json!({ "refreshToken": registered["refreshToken"] })).await["payload"].clone();
    client.call(9001, json!({ "text": "that is all" })).await;
    let mut seen = String::new();
    while !seen.contains("that is all") {
        seen += &tap.next().await.to_string();
    }
    for route in ["auth.login", "auth.register", "auth.refresh", "chat.send_message"] {
        assert!(seen.contains(route), "{route} is not in\n{seen}");
    }
    let tokens = [&registered, &renewed].map(|of| ["accessToken", "refreshToken"].map(|key| of[key].as_str().unwrap().to_owned()));
    for secret in tokens.iter().flatten().map(String::as_str).chain([password, canary, "4815162342"]) {
        assert!(!seen.contains(secret), "{secret} is in\n{seen}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tap_ends_when_its_time_is_over_or_its_operator_leaves_and_there_are_eight() {
    let gateway = TestGateway::start(ECHO);
    for query in ["?seconds=0", "?seconds=3601", "?seconds=x", "?rout=1", "?user=%00"] {
        assert_eq!(Watcher::open(&gateway, query).await.status, 400, "{query}");
    }
    let short = Watcher::open(&gateway, "?seconds=1").await;
    assert!(short.rest().await.ends_with("0\r\n\r\n"), "it ends as an answer does");
    let taps = all_that_may(&gateway).await;
    assert_eq!(Watcher::open(&gateway, "").await.status, 503, "they are as many as may be");
    assert_eq!(operator(&gateway, "/api/v1/statistics", None).await.0, 200, "others are let in");
    drop(taps);
    let taps = all_that_may(&gateway).await;
    gateway.stop().await;
    for tap in taps {
        assert_eq!(tap.rest().await, "", "it ends with the gateway");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tap_that_is_not_read_loses_calls_says_how_many_and_holds_nobody_up() {
    let gateway = TestGateway::start(ECHO);
    let mut client = TestClient::connect(gateway.edge()).await;
    // The kernel keeps little for it.
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let mut stalled = Watcher::over(socket.connect(gateway.admin()).await.unwrap(), &gateway, "?seconds=600").await;
    let mut seeing = Watcher::open(&gateway, "?user=nobody").await;
    // Each line is some 4 KiB; far more than half a megabyte, with what the kernel holds.
    let (calls, text) = (1500, "x".repeat(1900));
    for _ in 0..calls {
        assert!(client.echo(9001, &text).await.ends_with("xxx"), "every call is answered as ever");
    }
    let (mut seen, mut lost) = (0, 0);
    while seen + lost < calls {
        let line = stalled.next().await;
        match line["lost"].as_u64() {
            Some(more) => lost += more,
            None => seen += 1,
        }
    }
    assert!(lost > 0 && seen > 100, "{seen} were seen, {lost} lost");
    assert_eq!(seen + lost, calls, "none is missing without being told");
    client.echo(9001, "after").await;
    assert_eq!(stalled.next().await["request"]["text"], "after", "and it goes on");
    assert!(timeout(Duration::from_millis(50), seeing.next()).await.is_err(), "who asked for nothing of it saw nothing");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_command_line_shows_calls_as_they_end() {
    let gateway = TestGateway::start(ECHO);
    let mut client = TestClient::connect(gateway.edge()).await;
    let start = |arguments: &[&str]| {
        let mut command = tokio::process::Command::from(Command::new(env!("CARGO_BIN_EXE_protogate")));
        command.args(["tap", "--admin", &gateway.admin().to_string()]).args(arguments).current_dir(gateway.folder());
        command.env_remove("GATEWAY_MODE").stdout(Stdio::piped()).stderr(Stdio::inherit()).kill_on_drop(true).spawn().unwrap()
    };
    let (mut human, mut json) = (start(&["--route", "9001"]), start(&["--json", "--seconds", "20"]));
    let mut human_lines = BufReader::new(human.stdout.take().unwrap()).lines();
    let mut json_lines = BufReader::new(json.stdout.take().unwrap()).lines();
    // Nobody says when a tap is open, so calls are made until both have shown one.
    let calling = async {
        loop {
            client.echo(9001, "hi \u{9b}31m").await;
            sleep(Duration::from_millis(50)).await;
        }
    };
    let reading = async {
        let head = human_lines.next_line().await.unwrap().unwrap();
        let below = [human_lines.next_line().await.unwrap().unwrap(), human_lines.next_line().await.unwrap().unwrap()];
        (head, below, json_lines.next_line().await.unwrap().unwrap())
    };
    let (head, below, line) = tokio::select! {
        read = timeout(PATIENCE, reading) => read.expect("a call is shown"),
        () = calling => unreachable!("it goes on for ever"),
    };
    assert!(head.contains(" 9001 echo - OK ") && head.contains(" ms echo"), "{head}");
    assert_eq!(below, [r#"    → {"text":"hi \u009b31m"}"#, r#"    ← {"text":"hi \u009b31m"}"#]);
    assert_eq!(serde_json::from_str::<Value>(&line).unwrap()["request"]["text"], "hi \u{9b}31m");
    // As Ctrl-C does.
    let interrupted = Command::new("kill").args(["-INT", &human.id().unwrap().to_string()]).status().unwrap();
    assert!(interrupted.success());
    let ended = timeout(PATIENCE, human.wait()).await.expect("it ends").unwrap();
    assert_eq!(ended.code(), Some(0));
    drop(json);
}
