//! Rules of `buf.validate` in a service's descriptors, as clients and operators meet them.

use std::fs;

use futures_util::{SinkExt as _, StreamExt as _};
use prost::Message as _;
use protogate::id::{CallId, Protocol};
use protogate::wire::{Codec, Envelope, Payload};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tonic_types::pb::BadRequest;

use crate::support::client::TestClient;
use crate::support::{TestGateway, reload, top};

/// An echo whose owner has written rules, and imports them from nowhere.
const PROTO: &str = r#"
syntax = "proto3";
package protogate.echo.v1;
import "buf/validate/validate.proto";
service EchoService { rpc Echo(EchoRequest) returns (EchoResponse); }
message EchoRequest {
  string text = 1 [(buf.validate.field).string = { min_len: 3, pattern: "^[a-z-]*$" }];
  repeated Item items = 2 [(buf.validate.field).repeated.max_items = 5];
  map<string, Item> by_key = 3;
}
message Item { string name = 1 [(buf.validate.field).string.min_len = 1]; }
message EchoResponse { string text = 1 [(buf.validate.field).string.max_len = 1]; }
"#;

const ROUTES: &str = r"
version: 1
descriptors: [{ proto: ../ruled }]
backends: { echo: { builtin: echo } }
rate_limits: { plenty: { key: [caller], rate: 100000/s, burst: 100000 } }
defaults: { backend: echo, rate_limits: [plenty], access: anonymous }
routes:
  9001: { name: ruled, rpc: protogate.echo.v1.EchoService/Echo }
  9002: { name: loose, rpc: protogate.echo.v1.EchoService/Echo, validate: false }
";

fn start() -> TestGateway {
    TestGateway::start_with(&[
        ("routes/gateway.yaml", "version: 1\nreload: { watch: false }\n"),
        ("routes/routes.yaml", ROUTES),
        ("ruled/echo.proto", PROTO),
    ])
}

fn violations(answer: &Value) -> Vec<(String, String)> {
    let detail = &answer["status"]["details"][0];
    assert_eq!(detail["@type"], "type.googleapis.com/google.rpc.BadRequest", "{answer}");
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    detail["fieldViolations"].as_array().unwrap().iter().map(|violation| (text(&violation["field"]), text(&violation["reason"]))).collect()
}

#[tokio::test]
async fn every_rule_that_a_request_breaks_is_told_and_no_value_of_it() {
    let gateway = start();
    let mut client = TestClient::connect(gateway.edge()).await;
    assert_eq!(client.echo(9001, "hello").await, "hello", "replies are not judged");
    let request = json!({ "text": "4X", "items": [{ "name": "a" }, {}], "byKey": { "canary": {} } });
    let answer = client.call(9001, request).await;
    assert_eq!((&answer["status"]["code"], &answer["status"]["reason"]), (&json!(3), &json!("VALIDATION_FAILED")));
    let expected =
        [("items[1].name", "string.min_len"), ("text", "string.min_len"), ("text", "string.pattern"), ("by_key[*].name", "string.min_len")];
    assert_eq!(violations(&answer), expected.map(|(field, rule)| (field.to_owned(), rule.to_owned())));
    assert_eq!(
        answer["status"]["message"],
        "the payload breaks rules of `protogate.echo.v1.EchoRequest`: `items[1].name` must be at least 1 characters (string.min_len), and 3 more"
    );
    assert!(!answer.to_string().contains("4X") && !answer.to_string().contains("canary"), "{answer}");
}

#[test]
fn the_fragment_of_the_page_has_no_rule_that_cannot_be_enforced() {
    let page = fs::read_to_string(top().join("docs/validation.md")).unwrap();
    let fragment = page.split("```proto\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let service = "message JoinReply {} service Game { rpc Join(JoinRequest) returns (JoinReply); }";
    let proto = format!("syntax = \"proto3\";\npackage game.v1;\n{fragment}{service}");
    let game = ROUTES.replace("protogate.echo.v1.EchoService/Echo", "game.v1.Game/Join");
    let routes = game.replace("builtin: echo", "grpc: { endpoints: [\"http://127.0.0.1:1\"] }");
    TestGateway::start_with(&[("routes/routes.yaml", &routes), ("ruled/game.proto", &proto)]);
}

#[tokio::test]
async fn binary_clients_are_told_the_same() {
    let gateway = start();
    let mut request = format!("ws://{}/ws", gateway.edge()).into_client_request().unwrap();
    request.headers_mut().insert("sec-websocket-protocol", "protogate.v1.proto".parse().unwrap());
    let (mut socket, _) = tokio_tungstenite::connect_async(request).await.unwrap();
    let mut bytes = Vec::new();
    // text: "abc", then text: "": the last occurrence is what the service would read.
    let envelope = Envelope { protocol: 9001, id: 7, payload: Payload::Proto(b"\x0a\x03abc\x0a\x00"), ..Envelope::default() };
    Codec::Proto.encode(&envelope, &mut bytes);
    socket.send(Message::binary(bytes)).await.unwrap();
    let answer = loop {
        let Message::Binary(heard) = socket.next().await.unwrap().unwrap() else { continue };
        let envelope = Codec::Proto.decode(&heard).unwrap();
        if (Protocol(envelope.protocol), CallId(envelope.id)) == (Protocol(9001), CallId(7)) {
            break envelope.status.unwrap();
        }
    };
    assert_eq!((answer.code, &*answer.reason), (3, "VALIDATION_FAILED"));
    let detail = BadRequest::decode(&*answer.details[0].any.value).unwrap();
    let told: Vec<(&str, &str, &str)> =
        detail.field_violations.iter().map(|violation| (&*violation.field, &*violation.description, &*violation.reason)).collect();
    assert_eq!(told, [("text", "must be at least 3 characters", "string.min_len")]);
}

#[tokio::test]
async fn a_route_may_leave_validation_to_its_service() {
    let gateway = start();
    let mut client = TestClient::connect(gateway.edge()).await;
    assert_eq!(client.echo(9002, "X").await, "X");
    assert_eq!(client.refused(9001, json!({ "text": "X" })).await, "VALIDATION_FAILED");
}

#[tokio::test]
async fn a_rule_that_cannot_be_enforced_stops_a_reload_unless_the_route_does_not_validate() {
    let gateway = start();
    let cel = PROTO.replace("min_len: 3,", "min_len: 3, example: 'abc',").replace(
        "map<string, Item> by_key = 3;",
        "map<string, Item> by_key = 3; string odd = 4 [(buf.validate.field).cel = { id: 'odd', expression: 'this.size() % 2 == 1' }];",
    );
    fs::write(gateway.folder().join("ruled/echo.proto"), cel).unwrap();
    let (code, said) = reload(&gateway).await;
    assert!(code >= 400 && said.to_string().contains("PG043"), "{code} {said}");
    let mut client = TestClient::connect(gateway.edge()).await;
    assert_eq!(client.refused(9001, json!({ "text": "X" })).await, "VALIDATION_FAILED", "the old table stays");

    let routes = fs::read_to_string(gateway.folder().join("routes/routes.yaml")).unwrap();
    gateway.write("routes/routes.yaml", &routes.replace("access: anonymous }", "access: anonymous, validate: false }"));
    let (code, said) = reload(&gateway).await;
    assert_eq!(code, 200, "{said}");
    assert_eq!(client.echo(9001, "X").await, "X");
}
