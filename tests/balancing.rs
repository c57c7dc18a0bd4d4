//! Who answers whom, over real sockets: users are shared out among backends, and calls with the same key meet at one endpoint.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;

use crate::support::client::TestClient;
use crate::support::mirror::Mirror;
use crate::support::{TestGateway, reload};

/// The routes of a gateway before these mirrors: 9001 is split between `old` and `new` by these shares, 9002 goes by its text to one
/// of the endpoints of `rooms`.
fn routes(mirrors: &[Mirror], shares: &str) -> String {
    let [old, new] = [&mirrors[0].address, &mirrors[1].address];
    format!(
        r#"version: 1
descriptors: [{{ proto: ../proto }}]
backends:
  old: {{ grpc: {{ endpoints: ["http://{old}"] }} }}
  new: {{ grpc: {{ endpoints: ["http://{new}"] }} }}
  rooms: {{ grpc: {{ endpoints: [{{ url: "http://{old}", weight: 2 }}, "http://{new}"] }}, balance: {{ policy: consistent_hash }} }}
defaults: {{ access: authenticated, split: {shares} }}
routes:
  9001: {{ name: echo, rpc: protogate.echo.v1.EchoService/Echo }}
  9002: {{ name: room, rpc: protogate.echo.v1.EchoService/Echo, backend: rooms, hash: request.text }}
"#
    )
}

async fn mirrors() -> [Mirror; 2] {
    [Mirror::start("old").await, Mirror::start("new").await]
}

fn gateway(mirrors: &[Mirror], shares: &str) -> TestGateway {
    let process = "version: 1\nreload: { watch: false }\n";
    TestGateway::start_with(&[("routes/gateway.yaml", process), ("routes/routes.yaml", &routes(mirrors, shares))])
}

async fn connect(gateway: &TestGateway, user: &str) -> TestClient {
    TestClient::connect_as(gateway.edge(), &gateway.token(user, &["player"])).await
}

/// The label of the mirror that answers.
async fn answers(client: &mut TestClient, number: u32, text: &str) -> String {
    let echo = client.echo(number, text).await;
    echo.split(' ').next().expect("a label").to_owned()
}

/// Who answers each of many users, asked twice.
async fn shared_out(gateway: &TestGateway) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for user in (0..40).map(|number| format!("user-{number}")) {
        let mut client = connect(gateway, &user).await;
        let first = answers(&mut client, 9001, "hi").await;
        assert_eq!(answers(&mut client, 9001, "again").await, first);
        found.insert(user, first);
    }
    found
}

#[tokio::test]
async fn a_user_stays_with_one_backend_and_a_raised_share_moves_users_into_it_alone() {
    let mirrors = mirrors().await;
    let gateway = gateway(&mirrors, "{ old: 3, new: 1 }");
    let before = shared_out(&gateway).await;
    assert_eq!(shared_out(&gateway).await, before, "other connections of the same users");
    let labels: BTreeSet<&String> = before.values().collect();
    assert_eq!(labels.len(), 2, "{before:?}");

    gateway.write("routes/routes.yaml", &routes(&mirrors, "{ old: 3, new: 3 }"));
    assert_eq!(reload(&gateway).await.0, 200);
    let after = shared_out(&gateway).await;
    let moved: Vec<_> = before.iter().filter(|(user, label)| after[*user] != **label).map(|(user, _)| &after[user]).collect();
    assert!(!moved.is_empty() && moved.iter().all(|label| *label == "new"), "{moved:?}");

    gateway.write("routes/routes.yaml", &routes(&mirrors, "{ old: 1, new: 0 }"));
    assert_eq!(reload(&gateway).await.0, 200);
    assert!(shared_out(&gateway).await.values().all(|label| label == "old"), "a share of nothing takes everybody back");
    gateway.stop().await;
}

#[tokio::test]
async fn calls_with_the_same_key_meet_at_one_endpoint_through_any_gateway() {
    let mirrors = mirrors().await;
    let (one, other) = (gateway(&mirrors, "{ old: 1 }"), gateway(&mirrors, "{ new: 1 }"));
    let (mut ada, mut bob) = (connect(&one, "ada").await, connect(&other, "bob").await);
    let mut labels = BTreeSet::new();
    for room in (0..20).map(|room| format!("room-{room}")) {
        let label = answers(&mut ada, 9002, &room).await;
        assert_eq!(answers(&mut bob, 9002, &room).await, label, "{room}");
        labels.insert(label);
    }
    assert_eq!(labels.len(), 2, "different rooms are at different endpoints");
    assert!(ada.call(9002, json!({})).await["status"].is_null(), "a call without a key is answered by somebody");
    one.stop().await;
    other.stop().await;
}
