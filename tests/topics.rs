//! Topics on one gateway: who hears them, in which order, and what is said to whom that comes back.

use serde_json::{Value, json};

use crate::support::TestGateway;
use crate::support::client::TestClient;

/// An echo that joins the room it names, one that leaves it, one that speaks to it, and a topic that may be joined by asking.
const ROUTES: &str = r#"
version: 1
descriptors: [{ proto: ../proto }]
backends: { echo: { builtin: echo } }
rate_limits: { plenty: { key: [caller], rate: 100000/s, burst: 100000 } }
defaults: { backend: echo, rate_limits: [plenty] }
permissions: { roles: { player: { grant: [news.hear] } } }
topics:
  "room/{id}": { join: effect, history: { count: 8 }, presence_events: 2102, pushes: [2101] }
  "news/{id}": { join: news.hear, pushes: [2101] }
pushes:
  2101: { name: room.said, message: protogate.echo.v1.EchoResponse }
  2102: { name: room.presence, message: protogate.push.v1.PresenceEvent }
routes:
  2001: { name: join, rpc: protogate.echo.v1.EchoService/Echo, on_success: { subscribe: "room/${response.text}" } }
  2002: { name: leave, rpc: protogate.echo.v1.EchoService/Echo, on_success: { unsubscribe: "room/${request.text}" } }
  2003:
    name: say
    rpc: protogate.echo.v1.EchoService/Echo
    on_success: { publish: { topic: "room/one", number: 2101, message: response } }
  2004:
    name: enter_and_say
    rpc: protogate.echo.v1.EchoService/Echo
    on_success: { subscribe: [room/one], publish: [{ topic: room/one, number: 2101, message: response }] }
"#;

async fn player(gateway: &TestGateway, user: &str) -> TestClient {
    TestClient::connect_as(gateway.edge(), &gateway.token(user, &["player"])).await
}

/// Hears until there is a push of this number.
async fn push(client: &mut TestClient, number: u32) -> Value {
    loop {
        let message = client.hear_message().await;
        if message["protocol"] == number {
            return message;
        }
    }
}

#[tokio::test]
async fn whoever_sees_the_reply_to_joining_hears_the_room() {
    let gateway = TestGateway::start(ROUTES);
    let (mut alice, mut bob) = (player(&gateway, "alice").await, player(&gateway, "bob").await);
    let id = alice.send(2001, json!({ "text": "one" })).await;
    let subscribed = alice.hear_message().await;
    assert_eq!((&subscribed["protocol"], &subscribed["payload"]["topic"]), (&json!(12), &json!("room/one")), "{subscribed}");
    assert_eq!(alice.hear_message().await["id"], json!(id), "the reply comes behind it");
    bob.echo(2003, "hello").await;
    let heard = push(&mut alice, 2101).await;
    assert_eq!(
        (&heard["topic"], &heard["offset"], &heard["payload"]["text"]),
        (&json!("room/one"), &json!("2"), &json!("hello")),
        "{heard}"
    );
    assert_eq!(push(&mut alice, 2101).await, Value::Null);
}

#[tokio::test]
async fn what_calls_publish_is_heard_in_the_order_of_their_replies() {
    let gateway = TestGateway::start(ROUTES);
    let mut alice = player(&gateway, "alice").await;
    alice.call(2001, json!({ "text": "one" })).await;
    for number in 0..30 {
        alice.send(2003, json!({ "text": number.to_string() })).await;
    }
    let (mut answered, mut heard) = (Vec::new(), Vec::new());
    while answered.len() < 30 || heard.len() < 30 {
        let message = alice.hear_message().await;
        match message["protocol"].as_u64() {
            Some(2003) => answered.push(message["payload"]["text"].clone()),
            Some(2101) => heard.push(message["payload"]["text"].clone()),
            _ => {}
        }
    }
    assert_eq!(answered, heard);
}
