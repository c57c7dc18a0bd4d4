//! What a success changes here: a route that makes a session, or ends one.

use serde_json::{Value, json};

use crate::support::TestGateway;
use crate::support::client::TestClient;

/// An echo that lets in whoever it names, one that lets in whoever shows a token, one that lets out, and one for whoever is in.
const ROUTES: &str = r#"
version: 1
descriptors: [{ proto: ../proto }]
backends: { echo: { builtin: echo } }
rate_limits: { plenty: { key: [caller], rate: 100000/s, burst: 100000 } }
defaults: { backend: echo, rate_limits: [plenty] }
permissions: { roles: { staff: { grant: [desk.use] } } }
routes:
  1001:
    name: login.named
    rpc: protogate.echo.v1.EchoService/Echo
    access: anonymous
    on_success: { bind_session: { user: response.text, roles: response.text, ttl: 1h } }
  1002:
    name: login.token
    rpc: protogate.echo.v1.EchoService/Echo
    access: anonymous
    on_success: { bind_session: { token: response.text } }
  1003:
    name: login.only_staff
    rpc: protogate.echo.v1.EchoService/Echo
    access: anonymous
    on_success: { bind_session: { user: response.text }, when: { response.text: staff } }
  1006: { name: logout, rpc: protogate.echo.v1.EchoService/Echo, access: anonymous, on_success: { unbind_session: true } }
  2001: { name: inside, rpc: protogate.echo.v1.EchoService/Echo }
  2002: { name: desk, rpc: protogate.echo.v1.EchoService/Echo, permissions: [desk.use] }
  2003: { name: stamped, rpc: protogate.echo.v1.EchoService/Echo, set: { request.text: session.id } }
"#;

/// Calls a route that makes a session: Ready, and the reply behind it.
async fn enter(client: &mut TestClient, protocol: u32, text: &str) -> Value {
    let id = client.send(protocol, json!({ "text": text })).await;
    let ready = client.hear_message().await;
    assert_eq!((&ready["protocol"], &ready["id"]), (&json!(3), &Value::Null), "Ready comes before the reply: {ready}");
    let reply = client.hear_message().await;
    assert_eq!((&reply["id"], &reply["payload"]["text"]), (&json!(id), &json!(text)), "{reply}");
    ready["payload"].clone()
}

#[tokio::test]
async fn whoever_sees_the_reply_to_a_login_is_in() {
    let gateway = TestGateway::start(ROUTES);
    let mut client = TestClient::connect(gateway.edge()).await;
    assert_eq!(client.refused(2001, json!({})).await, "UNAUTHENTICATED");
    let ready = enter(&mut client, 1001, "staff").await;
    assert_eq!((&ready["user"], &ready["roles"]), (&json!("staff"), &json!(["staff"])));
    assert_eq!(client.echo(2002, "hi").await, "hi", "in the roles that the reply named");
    assert_eq!(client.echo(2003, "a forged session").await, ready["sessionId"].as_str().unwrap());
    let left =
        ready["expiresMs"].as_str().unwrap().parse::<u128>().unwrap() - std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_millis();
    assert!((3_500_000..=3_600_000).contains(&left), "an hour, as the route says: {left}");
}

#[tokio::test]
async fn the_same_user_stays_in_the_session_and_another_begins_one() {
    let gateway = TestGateway::start(ROUTES);
    let mut client = TestClient::connect(gateway.edge()).await;
    let first = enter(&mut client, 1001, "alice").await;
    let again = enter(&mut client, 1001, "alice").await;
    assert_eq!(first["sessionId"], again["sessionId"]);
    let other = enter(&mut client, 1001, "bob").await;
    assert_ne!(first["sessionId"], other["sessionId"]);
    assert_eq!(client.echo(2003, "").await, other["sessionId"].as_str().unwrap());

    let mut late = TestClient::connect(gateway.edge()).await;
    let resume = json!({ "resumeToken": first["resumeToken"] });
    assert_eq!(late.refused(4, resume).await, "RESUME_FAILED", "nobody comes back to what the client gave up");
}

#[tokio::test]
async fn a_reply_that_does_not_say_so_changes_nothing() {
    let gateway = TestGateway::start(ROUTES);
    let mut client = TestClient::connect(gateway.edge()).await;
    assert_eq!(client.echo(1003, "visitor").await, "visitor", "the very next message is the reply");
    assert_eq!(client.refused(2001, json!({})).await, "UNAUTHENTICATED");
    enter(&mut client, 1003, "staff").await;
    assert_eq!(client.echo(2001, "hi").await, "hi");
}

#[tokio::test]
async fn a_token_in_a_reply_is_verified_like_any_other() {
    let gateway = TestGateway::start(ROUTES);
    let mut client = TestClient::connect(gateway.edge()).await;
    for no_token in ["", "no token", "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhIn0."] {
        let answer = client.call(1002, json!({ "text": no_token })).await;
        assert_eq!((&answer["status"]["reason"], &answer["status"]["code"]), (&json!("EFFECT_FAILED"), &json!(14)), "{answer}");
        assert!(answer.get("payload").is_none(), "what did not happen is not told: {answer}");
    }
    assert_eq!(client.refused(2001, json!({})).await, "UNAUTHENTICATED");
    let ready = enter(&mut client, 1002, &gateway.token("alice", &["staff"])).await;
    assert_eq!((&ready["user"], &ready["roles"]), (&json!("alice"), &json!(["staff"])));
    assert_eq!(client.echo(2002, "hi").await, "hi");
}

#[tokio::test]
async fn whoever_logs_out_is_nobody_again_and_may_be_somebody_once_more() {
    let gateway = TestGateway::start(ROUTES);
    let mut client = TestClient::connect(gateway.edge()).await;
    assert_eq!(client.echo(1006, "bye").await, "bye", "whoever is nobody can leave as well");
    let ready = enter(&mut client, 1001, "alice").await;
    assert_eq!(client.echo(1006, "bye").await, "bye");
    assert_eq!(client.refused(2001, json!({})).await, "UNAUTHENTICATED");
    assert_eq!(client.refused(4, json!({ "resumeToken": ready["resumeToken"] })).await, "RESUME_FAILED");
    let again = enter(&mut client, 1001, "alice").await;
    assert_ne!(ready["sessionId"], again["sessionId"]);
    assert_eq!(client.echo(2001, "hi").await, "hi");
}

#[tokio::test]
async fn what_is_said_behind_a_token_is_said_by_its_bearer() {
    let gateway = TestGateway::start(ROUTES);
    for round in 0..20 {
        let mut client = TestClient::connect(gateway.edge()).await;
        let token = gateway.token(&format!("user {round}"), &["staff"]);
        // Nobody waits for Ready, nor for a reply.
        client.say(json!({ "protocol": 2, "id": 900, "payload": { "token": token } }).to_string()).await;
        let calls: Vec<u64> = [client.send(2002, json!({ "text": "one" })).await, client.send(2002, json!({ "text": "two" })).await].into();
        client.say(json!({ "protocol": 8, "id": 901, "payload": { "token": token } }).to_string()).await;
        let last = client.send(2002, json!({ "text": "three" })).await;
        let ready = client.hear_message().await;
        assert_eq!((&ready["protocol"], &ready["id"]), (&json!(3), &json!(900)), "{ready}");
        let mut answered = Vec::new();
        while answered.len() < 4 {
            let answer = client.hear_message().await;
            assert!(answer["status"].is_null(), "{answer}");
            answered.push(answer["id"].as_u64().unwrap());
        }
        answered.sort_unstable();
        assert_eq!(answered, [calls[0], calls[1], last, 901]);
    }
}
