//! What is measured: all that is listed and nothing else, what calls and connections change of it, and that no client adds to it.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;
use std::{env, fs};

use protogate::telemetry::metrics::{ALL, Kind, Metric};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep};

use crate::support::client::{Introduction, TestClient};
use crate::support::mirror::Mirror;
use crate::support::openmetrics::{Families, bearer, get, parse, scrape, series, value};
use crate::support::{ECHO, PATIENCE, TestGateway, operator, reload};

/// Waits until a sample says this.
async fn becomes(gateway: &TestGateway, sample: &str, expected: f64) -> Families {
    let began = Instant::now();
    loop {
        let families = scrape(gateway).await;
        let is = value(&families, sample);
        if is == expected {
            return families;
        }
        assert!(began.elapsed() < PATIENCE, "{sample} is {is}, not {expected}");
        sleep(Duration::from_millis(20)).await;
    }
}

/// As a family is called in OpenMetrics.
fn family(metric: &Metric) -> &'static str {
    let suffix = match metric.kind {
        Kind::Counter => "_total",
        Kind::Info => "_info",
        Kind::Gauge | Kind::Histogram => "",
    };
    metric.name.strip_suffix(suffix).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_written_is_what_is_listed() {
    let gateway = TestGateway::start(ECHO);
    TestClient::connect(gateway.edge()).await.echo(9001, "hi").await;
    let families = scrape(&gateway).await;
    let listed: BTreeSet<&str> = ALL.iter().map(|metric| family(metric)).collect();
    assert_eq!(families.keys().map(String::as_str).collect::<BTreeSet<_>>(), listed);
    for metric in ALL {
        let written = &families[family(metric)];
        let unit = metric.unit().map_or("", |unit| unit.as_str());
        assert_eq!((&*written.kind, &*written.unit, &*written.help), (metric.kind.name(), unit, metric.help()), "{}", metric.name);
        let labels: Vec<String> = metric.labels.iter().map(|label| (*label).to_owned()).collect();
        assert!(written.labels.iter().all(|written| *written == labels), "{}: {:?}", metric.name, written.labels);
    }
    let version = format!("protogate_build_info{{version=\"{}\"}}", env!("CARGO_PKG_VERSION"));
    assert_eq!(value(&families, &version), 1.0);
    assert!(value(&families, "process_resident_memory_bytes") > 1e6 && value(&families, "process_open_fds") > 3.0);
}

/// The page about metrics is made of their list.
#[test]
fn the_page_is_what_the_list_says() {
    let rows: String = ALL
        .iter()
        .map(|metric| {
            let labels: Vec<String> = metric.labels.iter().map(|label| format!("`{label}`")).collect();
            format!("| `{}` | {} | {} | {} |\n", metric.name, metric.kind.name(), labels.join(", "), metric.help())
        })
        .collect();
    let path = PathBuf::from("docs/metrics.md");
    let found = fs::read_to_string(&path).unwrap();
    let head = "| metric | kind | labels | what it is |\n|---|---|---|---|\n";
    let (before, after) = found.split_once(head).expect("the page has its table");
    let (_, after) = after.split_once("\n\n").expect("something comes behind the table");
    let page = format!("{before}{head}{rows}\n{after}");
    if env::var_os("UPDATE").is_some() {
        fs::write(&path, &page).unwrap();
    }
    let found = fs::read_to_string(&path).unwrap();
    assert!(found == page, "{} differs from the list; UPDATE=1 rewrites it", path.display());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_who_has_the_token_reads_and_in_the_format_that_is_asked_for() {
    let gateway = TestGateway::start(ECHO);
    let (head, _) = get(&gateway, "").await;
    assert!(head.starts_with("http/1.1 401 "), "{head}");
    let token = bearer(&gateway);
    let prometheus = "accept: application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.1\r\n";
    for accept in ["", "accept: */*\r\n", prometheus] {
        let (head, body) = get(&gateway, &format!("{token}{accept}")).await;
        assert!(head.contains("content-type: application/openmetrics-text; version=1.0.0; charset=utf-8"), "{head}");
        assert!(body.contains("# TYPE protogate_requests counter\n") && body.ends_with("# EOF\n"));
    }
    let (head, body) = get(&gateway, &format!("{token}accept: text/plain\r\n")).await;
    assert!(head.contains("content-type: text/plain; version=0.0.4"), "{head}");
    assert!(body.contains("# TYPE protogate_requests_total counter\n") && !body.contains("# EOF"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_are_counted_by_their_route_and_how_they_end() {
    let limits = "rate_limits: { plenty: { key: [caller], rate: 100000/s, burst: 100000 }, tight: { key: [caller], rate: 1/h, burst: 1 }, \
                  watched: { key: [caller], rate: 1/h, burst: 1, mode: dry_run } }\n";
    let routes = ECHO.replace("rate_limits: { plenty: { key: [caller], rate: 100000/s, burst: 100000 } }\n", limits)
        + "  9004: { name: echo.tight, rpc: protogate.echo.v1.EchoService/Echo, access: anonymous, rate_limits: { replace: [tight] } }\n"
        + "  9005: { name: echo.watched, rpc: protogate.echo.v1.EchoService/Echo, access: anonymous, rate_limits: { replace: [watched] } }\n";
    let gateway = TestGateway::start(&routes);
    let mut client = TestClient::connect(gateway.edge()).await;
    for _ in 0..3 {
        client.echo(9001, "hello").await;
    }
    assert_eq!(client.refused(9002, json!({ "text": "a" })).await, "UNAUTHENTICATED");
    assert_eq!(client.refused(5555, json!({})).await, "UNKNOWN_PROTOCOL");
    assert_eq!(client.refused(5556, json!({})).await, "UNKNOWN_PROTOCOL");
    for protocol in [9004, 9005] {
        client.echo(protocol, "a").await;
    }
    assert_eq!(client.refused(9004, json!({ "text": "a" })).await, "RATE_LIMITED");
    client.echo(9005, "a").await;

    let now = scrape(&gateway).await;
    let requests =
        |route, code, reason| value(&now, &format!("protogate_requests_total{{route=\"{route}\",code=\"{code}\",reason=\"{reason}\"}}"));
    assert_eq!(requests("echo", "OK", "OK"), 3.0);
    assert_eq!(requests("echo.known", "UNAUTHENTICATED", "UNAUTHENTICATED"), 1.0);
    assert_eq!(requests("unknown", "UNIMPLEMENTED", "UNKNOWN_PROTOCOL"), 2.0);
    assert_eq!(requests("echo.tight", "RESOURCE_EXHAUSTED", "RATE_LIMITED"), 1.0);
    assert_eq!(requests("echo.watched", "OK", "OK"), 2.0);
    assert_eq!(value(&now, "protogate_limit_refusals_total{limit=\"tight\",mode=\"enforce\"}"), 1.0);
    assert_eq!(value(&now, "protogate_limit_refusals_total{limit=\"watched\",mode=\"dry_run\"}"), 1.0);
    for histogram in ["protogate_request_seconds", "protogate_request_queue_seconds", "protogate_request_backend_seconds"] {
        assert_eq!(value(&now, &format!("{histogram}_count{{route=\"echo\"}}")), 3.0, "{histogram}");
        assert_eq!(value(&now, &format!("{histogram}_count{{route=\"echo.known\"}}")), 0.0, "{histogram}");
    }
    // A text of five bytes, its tag and its length.
    assert_eq!(value(&now, "protogate_request_bytes_total{route=\"echo\",direction=\"in\"}"), 21.0);
    assert!(value(&now, "protogate_request_bytes_total{route=\"echo\",direction=\"out\"}") >= 21.0);

    let (_, statistics) = operator(&gateway, "/api/v1/statistics", None).await;
    let calls = &statistics["calls"];
    assert_eq!((&calls["total"], &calls["failed"]), (&json!(10), &json!(4)), "{statistics}");
    let counts: Vec<u64> = serde_json::from_value(calls["latency"]["counts"].clone()).unwrap();
    assert_eq!((counts.iter().sum::<u64>(), counts.len()), (6, calls["latency"]["bounds"].as_array().unwrap().len() + 1));
    assert_eq!((&statistics["generation"], &statistics["ready"], &statistics["accepted"]), (&json!(1), &json!(true), &json!(1)));
    assert!(statistics["connections_max"].as_u64() > Some(0) && statistics["node"].is_string(), "{statistics}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_are_counted_from_their_beginning_to_their_end() {
    let gateway = TestGateway::start(ECHO);
    let token = gateway.token("alice", &["player"]);
    let stranger = TestClient::connect(gateway.edge()).await;
    let mut client = TestClient::connect_with_token(gateway.edge(), &token).await;
    let ready = client.hear_message().await["payload"].clone();
    // What a client has read is off the outbox a moment later.
    let now = becomes(&gateway, "protogate_outbox_bytes", 0.0).await;
    let is = |sample: &str| value(&now, sample);
    assert_eq!((is("protogate_connections"), is("protogate_connections_anonymous"), is("protogate_sessions")), (2.0, 1.0, 1.0));
    assert_eq!(is("protogate_accepts_total"), 2.0);
    assert!(is("protogate_outbox_bytes_max") > 0.0);

    drop((client, stranger));
    becomes(&gateway, "protogate_connections", 0.0).await;
    becomes(&gateway, "protogate_closes_total{code=\"gone\"}", 2.0).await;
    let mut back = TestClient::connect(gateway.edge()).await;
    assert_eq!(back.call(4, json!({ "resumeToken": ready["resumeToken"] })).await["protocol"], 5);
    assert_eq!(back.refused(4, json!({ "resumeToken": "nothing" })).await, "RESUME_FAILED");
    operator(&gateway, "/api/v1/revoke", Some(r#"{"user":"alice"}"#)).await;
    back.assert_sent_away(4501).await;
    TestClient::connect_with_token(gateway.edge(), "no.token.atall").await.assert_sent_away(4500).await;
    for (path, header) in
        [("/nowhere", ""), ("/ws", "origin: https://elsewhere.example\r\n"), ("/ws", "sec-websocket-version: 8\r\n"), ("/ws", "")]
    {
        shake(&gateway, path, header).await;
    }
    // A connection is counted as closed when it has ended, which may be after its client has read why.
    becomes(&gateway, "protogate_closes_total{code=\"4501\"}", 1.0).await;
    let now = becomes(&gateway, "protogate_closes_total{code=\"4500\"}", 1.0).await;
    let is = |sample: &str| value(&now, sample);
    assert_eq!(is("protogate_resumes_total{outcome=\"recovered\"}"), 1.0);
    assert_eq!(is("protogate_resumes_total{outcome=\"failed\"}"), 1.0);
    assert_eq!(is("protogate_tokens_refused_total{cause=\"malformed\"}"), 1.0);
    for cause in ["path", "origin", "version", "subprotocol"] {
        assert_eq!(is(&format!("protogate_refusals_total{{cause=\"{cause}\"}}")), 1.0, "{cause}");
    }
    let (_, statistics) = operator(&gateway, "/api/v1/statistics", None).await;
    assert_eq!((&statistics["refused"]["origin"], &statistics["closes"]["gone"]), (&json!(1), &json!(2)), "{statistics}");
}

/// Asks for a WebSocket, without a subprotocol that there is. Whatever is answered.
async fn shake(gateway: &TestGateway, path: &str, header: &str) {
    let mut stream = TcpStream::connect(gateway.edge()).await.unwrap();
    let version = if header.starts_with("sec-websocket-version") { "" } else { "sec-websocket-version: 13\r\n" };
    let head = format!(
        "GET {path} HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n{version}\
         sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n{header}\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 4"), "{}", String::from_utf8_lossy(&answer));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn backends_show_how_each_endpoint_does() {
    let mirror = Mirror::start("mirror").await;
    let address = mirror.address;
    let gateway = TestGateway::start(&format!(
        "version: 1
descriptors: [{{ proto: ../proto }}]
backends: {{ mirror: {{ grpc: {{ endpoints: [\"http://{address}\"] }} }} }}
defaults: {{ backend: mirror, access: anonymous, retry: {{ attempts: 4, backoff: {{ min: 1ms, max: 5ms }} }} }}
routes: {{ 9001: {{ name: again, rpc: protogate.echo.v1.EchoService/Echo, idempotent: true }} }}
"
    ));
    let mut client = TestClient::connect(gateway.edge()).await;
    client.echo(9001, "shy 2 a").await;
    assert_eq!(client.refused(9001, json!({ "text": "fail 5 no such thing" })).await, "NOT_FOUND");
    let now = scrape(&gateway).await;
    let of_endpoint = |name: &str, more: &str| value(&now, &format!("{name}{{backend=\"mirror\",endpoint=\"{address}\"{more}}}"));
    assert_eq!(of_endpoint("protogate_endpoint_attempts_total", ",outcome=\"success\""), 2.0);
    assert_eq!(of_endpoint("protogate_endpoint_attempts_total", ",outcome=\"failure\""), 2.0);
    let state = |state| of_endpoint("protogate_endpoint_state", &format!(",state=\"{state}\""));
    assert_eq!(["well", "ill", "open", "down"].map(state), [1.0, 0.0, 0.0, 0.0]);
    assert_eq!(value(&now, "protogate_backend_retries_total{backend=\"mirror\"}"), 2.0);
    assert_eq!(value(&now, "protogate_backend_retries_in_flight{backend=\"mirror\"}"), 0.0);
    assert!(value(&now, "protogate_backend_retry_budget{backend=\"mirror\"}") > 0.0);
    assert_eq!(value(&now, "protogate_requests_total{route=\"again\",code=\"NOT_FOUND\",reason=\"BACKEND\"}"), 1.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reload_keeps_the_counters_and_takes_away_what_is_no_more() {
    let gateway = TestGateway::start(ECHO);
    let mut client = TestClient::connect(gateway.edge()).await;
    client.echo(9001, "hi").await;
    client.refused(9003, json!({})).await;
    let before = scrape(&gateway).await;
    assert!(series(&before).iter().any(|sample| sample.contains("echo.player")));

    gateway.write("routes/routes.yaml", &ECHO.replace("backend: echo,", "backend: nothing,"));
    assert_eq!(reload(&gateway).await.0, 422);
    let refused = scrape(&gateway).await;
    let errors: f64 = refused["protogate_config_errors"].samples.values().sum();
    assert!(errors >= 1.0 && refused["protogate_config_errors"].samples.keys().all(|sample| sample.contains("code=\"PG")));
    assert_eq!(value(&refused, "protogate_config_last_reload_successful"), 0.0);
    assert_eq!(value(&refused, "protogate_config_reloads_total{outcome=\"refused\"}"), 1.0);
    assert_eq!(value(&refused, "protogate_config_generation"), 1.0);

    let gone = ECHO.lines().filter(|line| !line.contains("9003")).collect::<Vec<_>>().join("\n");
    gateway.write("routes/routes.yaml", &gone.replace("9001: {", "9001: { timeout: 2s,"));
    assert_eq!(reload(&gateway).await.0, 200);
    client.echo(9001, "again").await;
    let after = becomes(&gateway, "protogate_tables_alive", 1.0).await;
    assert_eq!(value(&after, "protogate_requests_total{route=\"echo\",code=\"OK\",reason=\"OK\"}"), 2.0);
    assert!(!series(&after).iter().any(|sample| sample.contains("echo.player")));
    assert_eq!(value(&after, "protogate_config_last_reload_successful"), 1.0);
    assert_eq!(value(&after, "protogate_config_generation"), 2.0);
    assert!(after["protogate_config_errors"].samples.is_empty());
    assert_ne!(after["protogate_config"].samples, before["protogate_config"].samples, "it has another hash");
    let timestamps = ["success", "attempt"].map(|what| value(&after, &format!("protogate_config_last_{what}_timestamp_seconds")));
    assert!(timestamps.iter().all(|seconds| *seconds > 1.7e9), "{timestamps:?}");
}

/// A topic with a history, and calls that join it and speak there.
const ROOM: &str = r#"
version: 1
descriptors: [{ proto: ../proto }]
backends: { echo: { builtin: echo } }
rate_limits: { plenty: { key: [caller], rate: 100000/s, burst: 100000 } }
defaults: { backend: echo, rate_limits: [plenty] }
topics: { "room/{id}": { join: effect, history: { count: 8 }, pushes: [2101] } }
pushes: { 2101: { name: said, message: protogate.echo.v1.EchoResponse, delivery: best_effort } }
routes:
  2001: { name: join, rpc: protogate.echo.v1.EchoService/Echo, on_success: { subscribe: "room/${response.text}" } }
  2003: { name: say, rpc: protogate.echo.v1.EchoService/Echo, on_success: { publish: { topic: room/one, number: 2101, message: response } } }
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pushes_are_counted_on_their_way() {
    let gateway = TestGateway::start(ROOM);
    let mut client = TestClient::connect_as(gateway.edge(), &gateway.token("alice", &[])).await;
    client.echo(2001, "one").await;
    for _ in 0..3 {
        client.echo(2003, "hello").await;
    }
    becomes(&gateway, "protogate_pushes_delivered_total", 3.0).await;
    let now = becomes(&gateway, "protogate_pushes_published_total", 3.0).await;
    let is = |sample: &str| value(&now, sample);
    assert_eq!((is("protogate_bus_lag_seconds_count"), is("protogate_topics")), (3.0, 1.0));
    // Messages of seven bytes each.
    assert_eq!(is("protogate_history_bytes"), 21.0);
    for rule in ["drop_oldest", "conflate", "disconnect", "unpublished"] {
        let sample = format!("protogate_pushes_dropped_total{{rule=\"{rule}\"}}");
        assert!(series(&now).contains(&sample) && is(&sample) == 0.0, "{rule}");
    }
    let (status, _) = operator(&gateway, "/api/v1/push", Some(r#"{"user":"alice","protocol":2101,"payload":{"text":"x"}}"#)).await;
    assert_eq!(status, 200);
    becomes(&gateway, "protogate_pushes_published_total", 4.0).await;
    let (_, statistics) = operator(&gateway, "/api/v1/statistics", None).await;
    assert_eq!(statistics["pushes"], json!({ "published": 4, "delivered": 4, "dropped": 0 }));
}

/// What a client may choose, over real sockets; a million of it is in the unit test beside `admin/metrics`.
async fn choose(gateway: &TestGateway, seed: u64, rounds: u64) {
    const MARK: &str = "zq7x";
    for round in 0..rounds {
        let number = |many: u64| seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(round * 1000 + many) >> 8;
        let text = |many: u64| format!("{MARK}{:x}", number(many));
        shake(gateway, &format!("/{}?{}", text(1), text(2)), "").await;
        shake(gateway, "/ws", &format!("origin: https://{}.example\r\n", text(3))).await;
        shake(gateway, "/ws", &format!("sec-websocket-protocol: {}\r\n", text(4))).await;
        let headers = [("x-forwarded-for", &*format!("10.0.0.{}", number(5) % 256)), ("user-agent", &*text(6))];
        let introduction = Introduction { headers: &headers, ..Introduction::default() };
        let mut client = TestClient::introduce(gateway.edge(), &introduction).await.unwrap();
        for many in 10..50 {
            let id = number(many) as u32 | 1;
            let protocol = 1000 + number(many + 1) as u32 % 4_000_000;
            let protocol = if protocol.is_multiple_of(3) { 9001 } else { protocol };
            let payload = if many % 2 == 0 { json!({ "text": text(many) }) } else { json!({ (text(many)): text(many) }) };
            let call =
                json!({ "protocol": protocol, "id": id, "payload": payload, "metadata": { (text(many)): "v" }, "topic": text(many) });
            client.say(call.to_string()).await;
            while client.hear_message().await["id"] != id {}
        }
        client.refused(12, json!({ "topic": format!("room/{}", text(60)) })).await;
        client.refused(4, json!({ "resumeToken": text(61) })).await;
        drop(client);
        let user = text(62);
        let mut known = TestClient::connect_as(gateway.edge(), &gateway.token(&user, &[&text(63)])).await;
        known.echo(9002, &user).await;
        known.call(9003, json!({ "text": user })).await;
        TestClient::connect_with_token(gateway.edge(), &text(64)).await.assert_sent_away(4500).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_clients_choose_makes_no_series() {
    let gateway = TestGateway::start(ECHO);
    choose(&gateway, 1, 2).await;
    becomes(&gateway, "protogate_connections", 0.0).await;
    let before = scrape(&gateway).await;
    choose(&gateway, 2, 40).await;
    becomes(&gateway, "protogate_connections", 0.0).await;
    let (_, body) = get(&gateway, &bearer(&gateway)).await;
    assert!(!body.contains("zq7x"), "nothing that was chosen is shown");
    let after = parse(&body);
    assert_eq!(series(&after), series(&before));
    let unknown = "protogate_requests_total{route=\"unknown\",code=\"UNIMPLEMENTED\",reason=\"UNKNOWN_PROTOCOL\"}";
    assert!(value(&after, unknown) > value(&before, unknown) + 500.0, "it was counted");
    let _: Value = operator(&gateway, "/api/v1/statistics", None).await.1;
}
