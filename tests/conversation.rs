//! What a client meets that keeps the rules: one answer to every call, and a refusal that says what to do for everything that cannot be.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use crate::support::client::{Heard, TestClient};
use crate::support::mirror::Mirror;
use crate::support::nodes::eventually;
use crate::support::openmetrics::{scrape, value};
use crate::support::{ECHO, PATIENCE, TestGateway, reload};

/// A gateway whose routes call a mirror: 9001, and whatever `routes` adds. `sections` is the rest of `routes.yaml`.
struct Reflected {
    gateway: TestGateway,
    mirror: Mirror,
}

// === impl Reflected ===

impl Reflected {
    async fn start(routes: &[&str]) -> Reflected {
        Reflected::start_with("", "", routes).await
    }

    async fn start_with(process: &str, sections: &str, routes: &[&str]) -> Reflected {
        let mirror = Mirror::start("mirror").await;
        let files = [
            ("routes/gateway.yaml", &*format!("version: 1\nreload: {{ watch: false }}\n{process}\n")),
            ("routes/routes.yaml", &*table(&mirror, sections, routes)),
        ];
        Reflected { gateway: TestGateway::start_with(&files), mirror }
    }

    async fn connect(&self) -> TestClient {
        TestClient::connect(self.gateway.edge()).await
    }

    async fn connect_as(&self, user: &str, roles: &[&str]) -> TestClient {
        TestClient::connect_as(self.gateway.edge(), &self.gateway.token(user, roles)).await
    }
}

/// `routes.yaml`. Every route is `NUMBER: policy`, open to everybody unless it says otherwise.
fn table(mirror: &Mirror, sections: &str, routes: &[&str]) -> String {
    let address = mirror.address;
    let routes = ["9001: "].iter().chain(routes).map(|route| {
        let (number, policy) = route.split_once(": ").unwrap();
        format!("  {number}: {{ name: r{number}, rpc: protogate.echo.v1.EchoService/Echo, {policy} }}\n")
    });
    format!(
        "version: 1\ndescriptors: [{{ proto: ../proto }}]\nbackends: {{ mirror: {{ grpc: {{ endpoints: [\"http://{address}\"] }} }} }}\n\
         defaults: {{ backend: mirror, access: anonymous }}\n{sections}\nroutes:\n{}",
        routes.collect::<String>()
    )
}

fn reason(answer: &Value) -> &str {
    answer["status"]["reason"].as_str().unwrap_or_else(|| panic!("expected a failure, heard {answer}"))
}

#[tokio::test]
async fn hello_says_every_limit_that_a_client_should_know() {
    let process = "connections: { heartbeat: 20s, heartbeat_grace: 3s, auth_timeout: 7s, message_bytes_max: 100KiB, inflight_max: 5 }";
    let gateway = TestGateway::start_with(&[("routes/gateway.yaml", &format!("version: 1\n{process}\n")), ("routes/routes.yaml", ECHO)]);
    let hello = TestClient::connect(gateway.edge()).await.hello["payload"].take();
    let told = ["heartbeatMs", "graceMs", "authTimeoutMs", "messageBytesMax", "inflightMax"].map(|key| hello[key].as_u64().unwrap());
    assert_eq!(told, [20_000, 3_000, 7_000, 100 << 10, 5]);
    assert_eq!(hello["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(hello["node"], gateway.edge().to_string());
    assert!(hello["catalogueHash"].as_str().is_some_and(|hash| !hash.is_empty()), "{hello}");
    assert!(hello["serverTimeMs"].as_str().unwrap().parse::<u64>().unwrap() > 1_700_000_000_000, "{hello}");
}

#[tokio::test]
async fn every_call_is_answered_once_also_one_that_does_not_correlate() {
    let world = Reflected::start(&[]).await;
    let mut client = world.connect().await;
    for _ in 0..3 {
        client.say(json!({ "protocol": 9001, "payload": { "text": "hi" } }).to_string()).await;
    }
    client.say(json!({ "protocol": 9001, "id": 7, "payload": { "text": "last" } }).to_string()).await;
    let answers = [client.hear_message().await, client.hear_message().await, client.hear_message().await, client.hear_message().await];
    assert!(answers.iter().all(|answer| answer["protocol"] == 9001 && answer["status"].is_null()), "{answers:?}");
    let mut ids: Vec<u64> = answers.iter().map(|answer| answer["id"].as_u64().unwrap_or(0)).collect();
    ids.sort();
    assert_eq!(ids, [0, 0, 0, 7]);
    client.say(json!({ "protocol": 6, "id": 9, "payload": { "timeMs": "4711" } }).to_string()).await;
    assert_eq!(client.hear_message().await, json!({ "protocol": 7, "id": 9, "payload": { "timeMs": "4711" } }), "nothing is left over");
}

#[tokio::test]
async fn what_the_gateway_does_not_do_is_said() {
    let world = Reflected::start(&[]).await;
    let mut client = world.connect().await;
    for (number, expected) in
        [(12, "UNAUTHENTICATED"), (14, "UNKNOWN_PROTOCOL"), (999, "UNKNOWN_PROTOCOL"), (1, "UNKNOWN_PROTOCOL"), (9999, "UNKNOWN_PROTOCOL")]
    {
        let answer = client.call(number, json!({})).await;
        assert_eq!((reason(&answer), &answer["protocol"]), (expected, &json!(number)), "{answer}");
        assert!(answer["status"]["message"].as_str().is_some_and(|message| !message.is_empty()), "{answer}");
    }
    client.say_bytes(b"\x08\x01").await;
    assert_eq!(reason(&client.hear_message().await), "INVALID_MESSAGE", "a binary message where text was agreed");
    client.say("{").await;
    assert_eq!(reason(&client.hear_message().await), "INVALID_MESSAGE");
    client.say(json!({ "protocol": 7 }).to_string()).await;
    client.say(json!({ "protocol": 0, "id": 3 }).to_string()).await;
    assert_eq!(client.refused(9001, json!({ "no": "such field" })).await, "INVALID_MESSAGE");
    assert_eq!(client.echo(9001, "hi").await, "mirror r9001 1 - hi");
}

#[tokio::test]
async fn a_cancelled_call_is_answered_at_once_and_only_once() {
    let world = Reflected::start(&[]).await;
    let mut client = world.connect().await;
    let id = client.send(9001, json!({ "text": "slow 2000" })).await;
    for cancelled in [id, id, 4711] {
        client.say(json!({ "protocol": 15, "payload": { "id": cancelled } }).to_string()).await;
    }
    let answer = client.hear_message().await;
    assert_eq!((reason(&answer), &answer["id"], &answer["status"]["code"]), ("CANCELLED", &json!(id), &json!(1)));
    client.say(json!({ "protocol": 9001, "id": id, "payload": { "text": "hi" } }).to_string()).await;
    assert_eq!(client.hear_message().await["payload"]["text"], "mirror r9001 1 - hi", "the id is free again");
}

#[tokio::test]
async fn calls_in_flight_have_a_limit_and_are_told_of_it() {
    let world = Reflected::start_with("connections: { inflight_max: 2 }", "", &[]).await;
    let mut client = world.connect().await;
    client.send(9001, json!({ "text": "slow 500" })).await;
    client.send(9001, json!({ "text": "slow 500" })).await;
    assert_eq!(client.refused(9001, json!({ "text": "hi" })).await, "TOO_MANY_CALLS");
    assert_eq!(client.hear_message().await["payload"]["text"], "slow 500");
    assert_eq!(client.hear_message().await["payload"]["text"], "slow 500");
    assert_eq!(client.echo(9001, "hi").await, "mirror r9001 1 - hi");
}

#[tokio::test]
async fn an_id_in_flight_twice_ends_the_connection_and_its_calls() {
    let world = Reflected::start(&[]).await;
    let mut client = world.connect().await;
    client.send(9001, json!({ "text": "slow 2000" })).await;
    client.say(json!({ "protocol": 9001, "id": 1, "payload": {} }).to_string()).await;
    let answer = client.hear_message().await;
    assert_eq!((reason(&answer), &answer["status"]["code"]), ("CONNECTION_CLOSED", &json!(10)), "the backend may have acted: {answer}");
    client.assert_sent_away(4503).await;
}

#[tokio::test]
async fn a_route_may_answer_failures_only() {
    let world = Reflected::start(&["9002: reply: on_failure"]).await;
    let mut client = world.connect().await;
    client.send(9002, json!({ "text": "hi" })).await;
    let failing = client.send(9002, json!({ "text": "fail 5 no such thing" })).await;
    let answer = client.hear_message().await;
    assert_eq!((&answer["id"], reason(&answer)), (&json!(failing), "NOT_FOUND"));
    client.send(9002, json!({ "text": "hi" })).await;
    // Answered by the same connection to the same backend, so what the silent calls said would be here by now or never.
    assert_eq!(client.echo(9001, "slow 50").await, "slow 50");
}

#[tokio::test]
async fn sizes_are_bounded_both_ways() {
    let world = Reflected::start_with(
        "connections: { message_bytes_max: 100KiB }",
        "",
        &["9002: request_bytes_max: 100B", "9003: reply_bytes_max: 1KiB"],
    )
    .await;
    let mut client = world.connect().await;
    assert_eq!(client.refused(9002, json!({ "text": "x".repeat(99) })).await, "TOO_LARGE");
    assert_eq!(client.echo(9002, &"x".repeat(98)).await.len(), "mirror r9002 1 - ".len() + 98);
    assert_eq!(client.refused(9003, json!({ "text": "big 2000" })).await, "REPLY_TOO_LARGE");
    assert_eq!(client.echo(9003, "big 1000").await.len(), 1000);
    // With its four bytes around the text, the largest reply there is by default; the envelope comes on top.
    assert_eq!(client.echo(9001, &format!("big {}", (256 << 10) - 4)).await.len(), (256 << 10) - 4);
    client.send(9001, json!({ "text": "x".repeat(110_000) })).await;
    client.assert_sent_away(1009).await;
}

#[tokio::test]
async fn a_call_ends_by_the_sooner_of_the_routes_patience_and_the_callers() {
    let world = Reflected::start(&["9002: timeout: 100ms", "9003: timeout: 10m"]).await;
    let mut client = world.connect().await;
    // What would be answered after a minute is not waited for.
    assert_eq!(client.refused(9002, json!({ "text": "slow 60000" })).await, "DEADLINE_EXCEEDED");
    client.say(json!({ "protocol": 9003, "id": 50, "deadlineMs": 100, "payload": { "text": "slow 60000" } }).to_string()).await;
    assert_eq!(reason(&client.hear_message().await), "DEADLINE_EXCEEDED");
    client.say(json!({ "protocol": 9001, "id": 51, "deadlineMs": 60_000, "payload": { "text": "tell grpc-timeout" } }).to_string()).await;
    let told = client.hear_message().await["payload"]["text"].take();
    assert!(told.as_str().is_some_and(|told| told != "-" && !told.starts_with("60000m")), "the route's own bound still holds: {told}");
}

#[tokio::test]
async fn only_listed_metadata_reaches_the_backend_and_nothing_of_the_gateways() {
    let world = Reflected::start(&["9002: metadata: [x-client]"]).await;
    let mut client = world.connect_as("alice", &[]).await;
    let mut call = async |metadata: Value, text: &str| {
        client.say(json!({ "protocol": 9002, "id": 1, "metadata": metadata, "payload": { "text": text } }).to_string()).await;
        client.hear_message().await
    };
    let told =
        call(json!({ "x-client": "ios 17" }), "tell x-client protogate-user protogate-route protogate-generation protogate-peer").await;
    assert_eq!(told["payload"]["text"], "ios 17 alice r9002 1 127.0.0.1");
    for refused in [
        "x-other",
        "protogate-user",
        "protogate_user",
        "Protogate-User",
        "authorization",
        "grpc-timeout",
        "x_client",
        "te",
        "x-forwarded-for",
    ] {
        assert_eq!(reason(&call(json!({ refused: "root" }), "hi").await), "METADATA_REFUSED", "{refused}");
    }
    assert_eq!(reason(&call(json!({ "x-client": "a\r\nprotogate-user: root" }), "hi").await), "METADATA_REFUSED");
}

#[tokio::test]
async fn a_trace_goes_on_at_the_backend() {
    let world = Reflected::start(&[]).await;
    let mut client = world.connect().await;
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    client.say(json!({ "protocol": 9001, "id": 1, "traceparent": trace, "payload": { "text": "tell traceparent" } }).to_string()).await;
    assert_eq!(client.hear_message().await["payload"]["text"], trace);
    client.say(json!({ "protocol": 9001, "id": 1, "traceparent": "mine", "payload": {} }).to_string()).await;
    assert_eq!(reason(&client.hear_message().await), "INVALID_MESSAGE");

    let zeros = "00-00000000000000000000000000000000-b7ad6b7169203331-01";
    client.say(json!({ "protocol": 9001, "id": 1, "traceparent": zeros, "payload": {} }).to_string()).await;
    assert_eq!(reason(&client.hear_message().await), "INVALID_MESSAGE");

    // Where spans are exported nowhere, no trace begins at the gateway.
    assert_eq!(client.echo(9001, "tell traceparent").await, "-");
}

#[tokio::test]
async fn a_stamped_field_is_the_gateways_whatever_the_client_wrote() {
    let world =
        Reflected::start(&["9002: access: authenticated, set: { request.text: session.user }", "9003: set: { request.text: peer.ip }"])
            .await;
    let mut client = world.connect_as("alice", &[]).await;
    assert_eq!(client.echo(9002, "root").await, "mirror r9002 1 alice alice");
    assert_eq!(client.echo(9003, "192.0.2.1").await, "mirror r9003 1 alice 127.0.0.1");
    let mut nobody = world.connect().await;
    assert_eq!(nobody.refused(9002, json!({ "text": "root" })).await, "UNAUTHENTICATED", "no identity is never an unstamped message");
}

/// One call: which of the connections, which route, which text, and whether it passes.
type Step = (usize, u32, &'static str, bool);

#[tokio::test]
async fn a_limit_counts_by_its_key_and_by_nothing_else() {
    // Connections: 0 and 1 are alice's, 2 is bob's, 3 and 4 are nobody's; all have one address.
    let cases: &[(&str, &[Step])] = &[
        ("global", &[(0, 9101, "a", true), (2, 9102, "b", false)]),
        ("route", &[(0, 9101, "a", true), (2, 9102, "b", true), (2, 9101, "b", false), (3, 9102, "a", false)]),
        ("caller", &[(0, 9101, "a", true), (1, 9102, "a", false), (2, 9101, "a", true), (3, 9101, "a", true), (4, 9101, "a", false)]),
        ("user", &[(0, 9101, "a", true), (1, 9102, "a", false), (2, 9101, "a", true)]),
        ("peer.ip", &[(0, 9101, "a", true), (2, 9102, "b", false), (3, 9101, "c", false)]),
        ("connection", &[(0, 9101, "a", true), (0, 9102, "b", false), (1, 9101, "a", true), (3, 9101, "a", true), (4, 9101, "a", true)]),
        ("session", &[(0, 9101, "a", true), (0, 9102, "b", false), (1, 9101, "a", true)]),
        ("request.text", &[(0, 9101, "a", true), (2, 9102, "a", false), (0, 9101, "b", true), (3, 9101, "", true), (4, 9102, "", false)]),
        ("user, request.text", &[(0, 9101, "a", true), (2, 9101, "a", true), (1, 9102, "a", false), (0, 9101, "b", true)]),
    ];
    // A limit by user or session on a route for everybody is a mistake that `check` finds.
    let routes = |key: &str| match key.starts_with("user") || key == "session" {
        true => ["9101: access: authenticated, rate_limits: [tight]", "9102: access: authenticated, rate_limits: [tight]"],
        false => ["9101: rate_limits: [tight]", "9102: rate_limits: [tight]"],
    };
    let limits = |key: &str, mode: &str| format!("rate_limits: {{ tight: {{ key: [{key}], rate: 1/h, burst: 1, mode: {mode} }} }}");
    let world = Reflected::start_with("", &limits("global", "enforce"), &routes("global")).await;
    let mut clients = [
        world.connect_as("alice", &[]).await,
        world.connect_as("alice", &[]).await,
        world.connect_as("bob", &[]).await,
        world.connect().await,
        world.connect().await,
    ];
    for mode in ["enforce", "dry_run"] {
        for (key, steps) in cases {
            world.gateway.write("routes/routes.yaml", &table(&world.mirror, &limits(key, mode), &routes(key)));
            assert_eq!(reload(&world.gateway).await.0, 200, "{key}");
            for (step, (who, route, text, passes)) in steps.iter().enumerate() {
                let answer = clients[*who].call(*route, json!({ "text": text })).await;
                if *passes || mode == "dry_run" {
                    assert!(answer["status"].is_null(), "{mode} by {key}, step {step}: {answer}");
                    continue;
                }
                assert_eq!(reason(&answer), "RATE_LIMITED", "{mode} by {key}, step {step}");
                let wait = answer["status"]["retryAfterMs"].as_u64().unwrap();
                assert!((3_000_000..=3_600_000).contains(&wait), "one token an hour: {answer}");
            }
        }
    }
}

#[tokio::test]
async fn a_refusal_by_one_limit_spends_nothing_of_another() {
    let limits = "rate_limits: { two: { key: [global], rate: 1/h, burst: 2 }, one: { key: [global], rate: 1/h, burst: 1 } }";
    let world = Reflected::start_with("", limits, &["9101: rate_limits: [two, one]", "9102: rate_limits: [two]"]).await;
    let mut client = world.connect().await;
    assert_eq!(client.echo(9101, "hi").await, "mirror r9101 1 - hi");
    assert_eq!(client.refused(9101, json!({})).await, "RATE_LIMITED");
    assert_eq!(client.refused(9101, json!({})).await, "RATE_LIMITED");
    assert_eq!(client.echo(9102, "hi").await, "mirror r9102 1 - hi");
    assert_eq!(client.refused(9102, json!({})).await, "RATE_LIMITED");
}

#[tokio::test]
async fn a_role_grants_by_pattern_and_a_denial_beats_it() {
    let roles = "permissions: { roles: { player: { grant: [game.*] }, admin: { grant: [\"**\"] }, banned: { deny: [\"**\"] }, muted: { inherit: [player], deny: [game.chat] } } }";
    let routes = [
        "9101: access: authenticated, permissions: [game.play]",
        "9102: access: authenticated, permissions: [game.chat]",
        "9103: access: authenticated, permissions: [game.room.close]",
        "9104: access: authenticated",
    ];
    let world = Reflected::start_with("", roles, &routes).await;
    for (held, permitted) in [
        (&["player"][..], [true, true, false, true]),
        (&["admin"], [true, true, true, true]),
        (&["muted"], [true, false, false, true]),
        (&["admin", "muted"], [true, false, true, true]),
        (&["admin", "banned"], [false, false, false, true]),
        (&["stranger"], [false, false, false, true]),
        (&[], [false, false, false, true]),
    ] {
        let mut client = world.connect_as("alice", held).await;
        for (number, permitted) in (9101..).zip(permitted) {
            let answer = client.call(number, json!({ "text": "hi" })).await;
            let expected = if permitted { json!(null) } else { json!("PERMISSION_DENIED") };
            assert_eq!(answer["status"]["reason"], expected, "{held:?} at {number}");
        }
    }
    let mut nobody = world.connect().await;
    assert_eq!(nobody.refused(9101, json!({})).await, "UNAUTHENTICATED");
    assert_eq!(nobody.refused(9104, json!({})).await, "UNAUTHENTICATED");
}

#[tokio::test]
async fn what_a_backend_says_in_its_own_defence_is_hidden_unless_the_route_exposes_it() {
    let world = Reflected::start(&["9101: expose_errors: false", "9102: expose_errors: true"]).await;
    let mut client = world.connect().await;
    for (code, name, inward) in [
        (2, "UNKNOWN", true),
        (13, "INTERNAL", true),
        (15, "DATA_LOSS", true),
        (3, "INVALID_ARGUMENT", false),
        (9, "FAILED_PRECONDITION", false),
    ] {
        for (number, exposed) in [(9101, false), (9102, true)] {
            let answer = client.call(number, json!({ "text": format!("fail {code} table users is locked") })).await;
            let status = &answer["status"];
            assert_eq!((&status["code"], reason(&answer), &status["source"]), (&json!(code), name, &json!("BACKEND")), "{answer}");
            assert_eq!(status["message"] == "table users is locked", exposed || !inward, "{answer}");
        }
    }
}

#[tokio::test]
async fn a_backend_that_is_down_is_an_answer_at_once_and_no_strike() {
    let nowhere = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let with = format!("{{ grpc: {{ endpoints: [\"http://{nowhere}\"] }} }}");
    let gateway = TestGateway::start(&ECHO.replace("{ builtin: echo }", &with));
    let mut client = TestClient::connect(gateway.edge()).await;
    let began = Instant::now();
    for _ in 0..150 {
        let answer = client.call(9001, json!({ "text": "hi" })).await;
        assert_eq!((reason(&answer), &answer["status"]["code"]), ("UNAVAILABLE", &json!(14)));
    }
    // Whoever waited for each until something times out would need minutes.
    assert!(began.elapsed() < PATIENCE, "took {:?}", began.elapsed());
}

#[tokio::test]
async fn a_gateway_that_stops_lets_calls_in_flight_end_and_says_goodbye() {
    let world = Reflected::start(&[]).await;
    let mut busy = world.connect().await;
    let mut idle = world.connect().await;
    busy.send(9001, json!({ "text": "slow 600" })).await;
    busy.say(json!({ "protocol": 6 }).to_string()).await;
    assert_eq!(busy.hear_message().await["protocol"], 7, "the call was read before this");
    let Reflected { gateway, mirror: _mirror } = world;
    let stopping = tokio::spawn(gateway.stop());
    idle.assert_sent_away(1001).await;
    assert_eq!(busy.hear_message().await["payload"]["text"], "slow 600");
    busy.assert_sent_away(1001).await;
    stopping.await.unwrap();
}

#[tokio::test]
async fn a_client_that_gives_no_sign_of_life_is_given_up() {
    let process = "version: 1\nconnections: { heartbeat: 1s, heartbeat_grace: 1s }\n";
    let gateway = TestGateway::start_with(&[("routes/gateway.yaml", process), ("routes/routes.yaml", ECHO)]);
    let (mut alive, dead) = (TestClient::connect(gateway.edge()).await, TestClient::connect(gateway.edge()).await);
    let dying = tokio::spawn(dead.play_dead());
    // What keeps this one alive is that it listens: its library answers WebSocket pings by itself.
    let began = Instant::now();
    alive.send(9001, json!({ "text": "hi" })).await;
    assert_eq!(alive.hear_message().await["payload"]["text"], "hi");
    while alive.pings < 5 {
        alive.hear_ping().await;
    }
    assert!(began.elapsed() > Duration::from_secs(3), "asked once a second: {:?}", began.elapsed());
    let came = String::from_utf8_lossy(&dying.await.unwrap()).into_owned();
    assert!(came.contains(r#""protocol":6"#), "it was asked: {came}");
    assert!(came.contains("4003") && came.contains("DEAD"), "it was told: {came}");
}

#[tokio::test]
async fn a_client_that_does_not_read_is_sent_away_as_slow() {
    let world =
        Reflected::start_with("connections: { outbox_bytes_max: 256KiB }", "", &["9002: reply_bytes_max: 250KiB, timeout: 30s"]).await;
    let mut slow = world.connect().await;
    for _ in 0..32 {
        slow.send(9002, json!({ "text": "big 250000" })).await;
    }
    // It takes no byte for ten seconds; then it has two to read why.
    let gateway = &world.gateway;
    eventually("it is given up", async || value(&scrape(gateway).await, "protogate_closes_total{code=\"4001\"}") == 1.0).await;
    let mut answered = 0;
    let goodbye = loop {
        let message = slow.hear_message().await;
        if message["protocol"] == 11 {
            break message;
        }
        answered += usize::from(message["id"].is_u64());
    };
    assert_eq!((&goodbye["payload"]["code"], &goodbye["payload"]["reconnect"]), (&json!(4001), &json!(true)));
    assert_eq!(slow.hear().await, Heard::Close(4001));
    assert_eq!(answered, 32, "each call has its end");
}
