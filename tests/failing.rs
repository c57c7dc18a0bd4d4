//! What a client and an operator see of a backend that fails: repetitions, idempotency keys, and how endpoints do.

use serde_json::{Value, json};

use crate::support::client::TestClient;
use crate::support::mirror::Mirror;
use crate::support::{TestGateway, operator};

/// Routes to a mirror: 9001 says nothing of repetitions, 9002 allows them, 9003 with a key, 9004 denies them.
fn routes(mirror: &Mirror) -> String {
    let address = mirror.address;
    format!(
        "version: 1
descriptors: [{{ proto: ../echo }}]
backends:
  mirror: {{ grpc: {{ endpoints: [\"http://{address}\"] }}, breaker: {{ consecutive_failures: 5 }} }}
defaults: {{ backend: mirror, access: anonymous, retry: {{ backoff: {{ min: 1ms, max: 5ms }} }} }}
routes:
  9001: {{ name: plain, rpc: protogate.echo.v1.EchoService/Echo }}
  9002: {{ name: again, rpc: protogate.echo.v1.EchoService/Echo, idempotent: true, retry: {{ attempts: 4 }} }}
  9003: {{ name: by_key, rpc: protogate.echo.v1.EchoService/Echo, idempotent: by_key }}
  9004: {{ name: denied, rpc: protogate.echo.v1.EchoService/Echo, idempotent: false }}
"
    )
}

/// The descriptor of the mirror's service, with an option of its method.
fn echo(option: &str) -> String {
    format!(
        "syntax = \"proto3\"; package protogate.echo.v1;
message EchoRequest {{ string text = 1; }}
message EchoResponse {{ string text = 1; }}
service EchoService {{ rpc Echo(EchoRequest) returns (EchoResponse) {{ {option} }} }}
"
    )
}

async fn start(option: &str) -> (Mirror, TestGateway, TestClient) {
    let mirror = Mirror::start("mirror").await;
    let gateway = TestGateway::start_with(&[
        ("routes/gateway.yaml", "version: 1\nreload: { watch: false }\n"),
        ("routes/routes.yaml", &routes(&mirror)),
        ("echo/echo.proto", &echo(option)),
    ]);
    let client = TestClient::connect(gateway.edge()).await;
    (mirror, gateway, client)
}

async fn ask(client: &mut TestClient, protocol: u32, text: &str, key: Option<&str>) -> Value {
    let mut call = json!({ "protocol": protocol, "id": 1, "payload": { "text": text } });
    if let Some(key) = key {
        call["idempotencyKey"] = key.into();
    }
    client.say(call.to_string()).await;
    client.hear_message().await
}

fn text(answer: &Value) -> &str {
    answer["payload"]["text"].as_str().or_else(|| answer["status"]["reason"].as_str()).unwrap_or_else(|| panic!("{answer}"))
}

async fn backend(gateway: &TestGateway) -> Value {
    let (status, answer) = operator(gateway, "/api/v1/backends", None).await;
    assert_eq!(status, 200, "{answer}");
    answer["backends"][0].clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_route_says_whether_its_calls_may_be_repeated() {
    let (_mirror, gateway, mut client) = start("").await;
    assert_eq!(text(&ask(&mut client, 9001, "shy 1 a", None).await), "UNAVAILABLE");
    assert_eq!(text(&ask(&mut client, 9001, "shy 1 a", None).await), "2 - -", "it was asked once, and now once more");
    assert_eq!(text(&ask(&mut client, 9002, "shy 3 b", None).await), "4 3 -");
    assert_eq!(text(&ask(&mut client, 9003, "shy 1 c", None).await), "UNAVAILABLE", "without a key");
    assert_eq!(text(&ask(&mut client, 9003, "shy 1 d", Some("order 7")).await), "2 1 order 7");
    assert_eq!(backend(&gateway).await["retries"], 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_descriptor_says_of_a_method_holds_where_the_route_says_nothing() {
    for (option, said) in [
        ("option idempotency_level = IDEMPOTENT;", "2 1 -"),
        ("option idempotency_level = NO_SIDE_EFFECTS;", "2 1 -"),
        ("option idempotency_level = IDEMPOTENCY_UNKNOWN;", "UNAVAILABLE"),
        ("", "UNAVAILABLE"),
    ] {
        let (_mirror, _gateway, mut client) = start(option).await;
        assert_eq!(text(&ask(&mut client, 9001, "shy 1 a", None).await), said, "{option}");
        assert_eq!(text(&ask(&mut client, 9004, "shy 1 b", None).await), "UNAVAILABLE", "{option}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idempotency_key_is_the_envelopes_alone_and_reaches_the_service_as_it_is() {
    let (_mirror, _gateway, mut client) = start("").await;
    let longest = "k".repeat(128);
    for key in ["a key: ~", &longest] {
        assert_eq!(text(&ask(&mut client, 9001, "tell idempotency-key", Some(key)).await), key);
    }
    for key in [&"k".repeat(129), "a\nb", "caf\u{e9}", "\u{7f}"] {
        assert_eq!(text(&ask(&mut client, 9001, "hi", Some(key)).await), "INVALID_MESSAGE", "{key:?}");
    }
    let call = json!({ "protocol": 9001, "id": 1, "metadata": { "idempotency-key": "mine" }, "payload": { "text": "hi" } });
    client.say(call.to_string()).await;
    assert_eq!(text(&client.hear_message().await), "METADATA_REFUSED");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_sees_how_backends_do() {
    let (mirror, gateway, mut client) = start("").await;
    assert_eq!(text(&ask(&mut client, 9001, "tell x", None).await), "-");
    let endpoint = json!({
        "address": mirror.address.to_string(), "weight": 1, "zone": null, "version": null,
        "state": "well", "in_flight": 0, "calls": 1, "failures": 0, "ejections": 0,
    });
    let expected =
        json!({ "name": "mirror", "in_flight": 0, "pending": 0, "retries": 0, "sheds": 0, "unkeyed": 0, "endpoints": [endpoint] });
    assert_eq!(backend(&gateway).await, expected);
    for _ in 0..5 {
        assert_eq!(text(&ask(&mut client, 9001, "fail 14", None).await), "UNAVAILABLE");
    }
    let refused = ask(&mut client, 9001, "tell x", None).await;
    assert_eq!(text(&refused), "UNAVAILABLE");
    assert!(refused["status"]["retryAfterMs"].as_u64().is_some_and(|wait| wait <= 1_200), "{refused}");
    let endpoint = &backend(&gateway).await["endpoints"][0];
    assert_eq!((&endpoint["state"], &endpoint["failures"], &endpoint["ejections"]), (&json!("open"), &json!(5), &json!(1)));
}
