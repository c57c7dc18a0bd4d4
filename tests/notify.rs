//! Notifications as operators send them and users find them: the shipped routes 4101 and 4102 over real sockets, on both stores.

use std::process::{Command, Output};

use serde_json::{Value, json};

use crate::support::client::TestClient;
use crate::support::redis::RedisServer;
use crate::support::{TestGateway, operator};

const LIST: u32 = 4101;
const MARK_READ: u32 = 4102;

/// `protogate` as the operator types it beside the gateway.
async fn type_in(gateway: &TestGateway, words: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_protogate"));
    command.args(words).current_dir(gateway.folder()).env_remove("GATEWAY_MODE").env("PROTOGATE_ADMIN", gateway.admin().to_string());
    tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

async fn send(gateway: &TestGateway, notification: Value) -> (u16, Value) {
    operator(gateway, "/api/v1/notify", Some(&notification.to_string())).await
}

/// What somebody has, as their client shows it.
async fn list(client: &mut TestClient) -> (Vec<Value>, Value) {
    let answer = client.call(LIST, json!({})).await;
    assert!(answer["status"].is_null(), "{answer}");
    let payload = &answer["payload"];
    (payload["notifications"].as_array().cloned().unwrap_or_default(), payload["unreadCount"].clone())
}

async fn from_operator_to_user(process: &str) {
    let mut gateway = TestGateway::start_shipped(process);
    // Nobody is connected yet.
    let words = ["notify", "--user", "alice", "--user", "bob", "--title", "Maintenance", "--body", "At noon.", "--type", "system"];
    let output = type_in(&gateway, &words).await;
    assert!(output.status.success() && text(&output.stdout).starts_with("batch "), "{}{}", text(&output.stdout), text(&output.stderr));
    let mut alice = TestClient::connect_as(gateway.edge(), &gateway.token("alice", &["player"])).await;
    let (found, unread) = list(&mut alice).await;
    assert_eq!(
        (&found[0]["title"], &found[0]["body"], &found[0]["importance"]),
        (&json!("Maintenance"), &json!("At noon."), &json!("IMPORTANCE_HIGH"))
    );
    assert_eq!(unread, 1);
    let read = alice.call(MARK_READ, json!({ "upTo": found[0]["notificationId"] })).await;
    assert_eq!(read["payload"], json!({}), "nothing is unread: {read}");

    // It outlives the process, and is nobody else's.
    drop(alice);
    gateway.restart().await;
    let mut alice = TestClient::connect_as(gateway.edge(), &gateway.token("alice", &["player"])).await;
    assert_eq!(list(&mut alice).await.1, Value::Null);
    assert!(list(&mut alice).await.0[0]["readMs"].is_string());
    let forged = alice.call(LIST, json!({ "userId": "bob" })).await;
    assert_eq!(forged["payload"]["notifications"][0]["readMs"], list(&mut alice).await.0[0]["readMs"], "whatever she says, it is hers");
    let mut carol = TestClient::connect_as(gateway.edge(), &gateway.token("carol", &["player"])).await;
    assert!(list(&mut carol).await.0.is_empty());
    let mut stranger = TestClient::connect_as(gateway.edge(), &gateway.token("dave", &[])).await;
    assert_eq!(stranger.refused(LIST, json!({})).await, "PERMISSION_DENIED");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_operator_sends_is_found_by_its_user() {
    from_operator_to_user("").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_operator_sends_is_found_by_its_user_over_redis() {
    let redis = RedisServer::start();
    let process = format!("store: {{ redis: {{ url: \"{}\" }} }}", redis.url());
    from_operator_to_user(&process).await;

    // As many as one body of the operator's names are taken at once.
    let gateway = TestGateway::start_shipped(&process);
    let users: Vec<String> = (0..5000).map(|user| user.to_string()).collect();
    let (status, answer) = send(&gateway, json!({ "users": users, "title": "Hi", "idempotency_key": "once" })).await;
    assert_eq!((status, &answer["total"]), (200, &json!(5000)), "{answer}");
    let (status, again) = send(&gateway, json!({ "users": users, "title": "Hi", "idempotency_key": "once" })).await;
    assert_eq!((status, &again["batch"]), (200, &answer["batch"]), "{again}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mail_goes_into_the_outbox_in_development() {
    let gateway = TestGateway::start_shipped("");
    let mut client = TestClient::connect(gateway.edge()).await;
    let account = json!({ "username": "alice", "password": "correct horse battery", "email": "alice@example.com" });
    client.send(1002, account).await;
    let ready = client.hear_message().await;
    let alice = ready["payload"]["user"].clone();
    let (status, answer) =
        send(&gateway, json!({ "users": [alice, "nobody"], "title": "Hi", "body": "You won.", "channels": ["mail"] })).await;
    assert_eq!((status, &answer["done"]), (200, &json!(true)), "{answer}");
    assert_eq!((&answer["sent"], &answer["skipped"]), (&json!(1), &json!(1)), "{answer}");
    let mails: Vec<_> = std::fs::read_dir(gateway.folder().join("data/outbox")).unwrap().collect();
    let mail = std::fs::read_to_string(mails[0].as_ref().unwrap().path()).unwrap();
    assert!(mails.len() == 1 && mail.contains("To: alice@example.com") && mail.contains("You won."), "{mail}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_template_of_the_operators_is_filled() {
    let gateway = TestGateway::start_shipped("");
    let file = gateway.folder().join("welcome.yaml");
    let words =
        "words: { en: { title: \"Hello {{ name }}\", body: \"You have {{ coins }} coins.\" }, de: { title: \"Hallo {{ name }}\" } }";
    let parameters = "parameters: { name: { required: true }, coins: { type: integer, required: true } }";
    std::fs::write(&file, format!("name: welcome\ntype: game\ndefault_locale: en\n{parameters}\n{words}\n")).unwrap();
    let output = type_in(&gateway, &["template", "welcome.yaml"]).await;
    assert_eq!((text(&output.stdout).as_str(), text(&output.stderr).as_str()), ("version 1\n", ""));

    let missing = type_in(&gateway, &["notify", "--user", "alice", "--template", "welcome", "--param", "coins=many"]).await;
    let said = "`template.parameters.coins` must be an integer of 64 bits, such as `42`; `template.parameters.name` is missing";
    assert!(text(&missing.stderr).contains(said), "{}", text(&missing.stderr));
    let words = ["notify", "--user", "alice", "--template", "welcome", "--locale", "de-AT", "--param", "name=Alice", "--param", "coins=7"];
    assert!(type_in(&gateway, &words).await.status.success());
    let mut alice = TestClient::connect_as(gateway.edge(), &gateway.token("alice", &["player"])).await;
    let (found, _) = list(&mut alice).await;
    assert_eq!((&found[0]["title"], &found[0]["type"]), (&json!("Hallo Alice"), &json!("NOTIFICATION_TYPE_GAME")));

    std::fs::write(&file, "name: welcome\ndefault_locale: en\nwords: { en: { title: \"{{ nobody }}\" } }\n").unwrap();
    let output = type_in(&gateway, &["template", "welcome.yaml"]).await;
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("`words.en.title` uses `nobody`, which is no parameter"), "{}", text(&output.stderr));
    std::fs::write(&file, "name: [").unwrap();
    assert_eq!(type_in(&gateway, &["template", "welcome.yaml"]).await.status.code(), Some(66));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_is_told_what_is_wrong() {
    let gateway = TestGateway::start_shipped("");
    for (asked, status, said) in [
        (json!({ "users": [] , "title": "a" }), 422, "`recipients` must name somebody"),
        (json!({ "users": ["alice"] }), 422, "`literal.title` says nothing"),
        (json!({ "users": ["alice"], "template": "nothing" }), 404, "there is no template of this name"),
        (json!({ "users": ["alice"], "template": "a", "title": "b" }), 400, "say `template`"),
        (json!({ "users": ["alice"], "title": "a", "channels": ["pigeon"] }), 400, "`channels` has a value that there is not"),
        (json!({ "users": ["alice"], "titel": "a" }), 400, "unknown field `titel`"),
    ] {
        let (answered, answer) = send(&gateway, asked).await;
        assert!(answered == status && answer["error"].as_str().is_some_and(|error| error.contains(said)), "{answered} {answer}");
    }
    let output = type_in(&gateway, &["notify", "--user", "alice", "--template", "nothing", "--param", "a=b"]).await;
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("the gateway refused: there is no template of this name"), "{}", text(&output.stderr));
    assert_eq!(type_in(&gateway, &["notify", "--user", "alice"]).await.status.code(), Some(64));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_route_to_the_side_of_senders_leads_nowhere() {
    let route = "routes:\n  4999: { name: notify.forge, rpc: protogate.notify.v1.NotifyAdmin/Send, backend: notify, access: anonymous }\n";
    let routes = format!("version: 1\ndescriptors: [{{ proto: ../proto }}]\nbackends: {{ notify: {{ builtin: notify }} }}\n{route}");
    let gateway = TestGateway::start(&routes);
    let mut client = TestClient::connect(gateway.edge()).await;
    assert_eq!(
        client.refused(4999, json!({ "recipients": [{ "userId": "alice" }], "literal": { "title": "You won" } })).await,
        "NOT_FOR_CLIENTS"
    );
}
