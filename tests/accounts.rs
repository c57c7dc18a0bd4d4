//! Accounts as their owners meet them: the shipped routes 1001 to 1007 over real sockets, on both stores.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{Instant, timeout};

use crate::support::client::TestClient;
use crate::support::redis::RedisServer;
use crate::support::{PATIENCE, TestGateway};

const LOGIN: u32 = 1001;
const REGISTER: u32 = 1002;
const FORGOTTEN: u32 = 1003;
const REFRESH: u32 = 1004;
const HEARTBEAT: u32 = 1005;
const LOGOUT: u32 = 1006;
const USER_INFO: u32 = 1007;

const PASSWORD: &str = "correct horse battery";

fn account(name: &str) -> Value {
    json!({ "username": name, "password": PASSWORD, "email": format!("{name}@example.com") })
}

fn credentials(name: &str) -> Value {
    json!({ "username": name, "password": PASSWORD })
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("expected a text, found {value}")).to_owned()
}

/// Calls what binds the connection: Ready comes unasked, and before the reply. Returns both payloads.
async fn enter(client: &mut TestClient, protocol: u32, payload: Value) -> (Value, Value) {
    let id = client.send(protocol, payload).await;
    let ready = client.hear_message().await;
    assert_eq!((&ready["protocol"], &ready["id"]), (&json!(3), &Value::Null), "Ready comes first, under no id: {ready}");
    let reply = client.hear_message().await;
    assert_eq!((&reply["protocol"], &reply["id"]), (&json!(protocol), &json!(id)), "{reply}");
    (ready["payload"].clone(), reply["payload"].clone())
}

async fn who(client: &mut TestClient) -> String {
    text(&client.call(USER_INFO, json!({})).await["payload"]["user"]["username"])
}

/// The reason of a failure, and the field that it blames.
async fn blamed(client: &mut TestClient, protocol: u32, payload: Value) -> (String, Option<String>) {
    let status = client.call(protocol, payload).await["status"].clone();
    let details = status["details"].as_array().cloned().unwrap_or_default();
    let field = details.iter().find_map(|detail| detail["fieldViolations"][0]["field"].as_str());
    let info = details.iter().find_map(|detail| detail["domain"].as_str());
    assert_eq!(info, Some("auth.protogate"), "details are JSON for a JSON client: {status}");
    (text(&status["reason"]), field.map(str::to_owned))
}

/// The code in the newest mail.
fn code(outbox: &Path) -> String {
    let mail =
        fs::read_dir(outbox).unwrap().map(|entry| entry.unwrap().path()).max_by_key(|path| fs::metadata(path).unwrap().modified().unwrap());
    let mail = fs::read_to_string(mail.expect("there is a mail")).unwrap();
    let is_code = |word: &&str| word.len() == 14 && word.split('-').count() == 3 && word.split('-').all(|part| part.len() == 4);
    mail.split_whitespace().find(is_code).unwrap_or_else(|| panic!("no code in\n{mail}")).to_owned()
}

/// An account's life on one gateway, its end, and what is left of it after that.
async fn a_life(process: &str) {
    let mut gateway = TestGateway::start_shipped(process);
    let mut client = TestClient::connect(gateway.edge()).await;
    let (ready, registered) = enter(&mut client, REGISTER, account("alice")).await;
    assert_eq!((&ready["user"], &ready["roles"]), (&registered["user"]["userId"], &json!(["player"])));
    assert_eq!(who(&mut client).await, "alice", "the connection needs no token");

    // A second login elsewhere, which outlives the gateway.
    let mut other = TestClient::connect(gateway.edge()).await;
    let (_, kept) = enter(&mut other, LOGIN, credentials("ALICE")).await;

    let (again, refreshed) = enter(&mut client, REFRESH, json!({ "refreshToken": registered["refreshToken"] })).await;
    assert_eq!(again["sessionId"], ready["sessionId"], "refreshed in place");
    assert_ne!(refreshed["accessToken"], registered["accessToken"]);
    let beat = client.call(HEARTBEAT, json!({ "clientTimeMs": "7" })).await["payload"].clone();
    assert_eq!(beat["clientTimeMs"], "7");
    assert!(text(&beat["serverTimeMs"]).parse::<u64>().unwrap() > 1_700_000_000_000);

    let answer = client.call(LOGOUT, json!({})).await;
    assert!(answer["status"].is_null(), "{answer}");
    assert_eq!(client.refused(USER_INFO, json!({})).await, "UNAUTHENTICATED", "the connection is nobody's again");
    for token in [&refreshed["accessToken"], &registered["accessToken"]] {
        TestClient::connect_with_token(gateway.edge(), &text(token)).await.assert_sent_away(4500).await;
    }
    assert_eq!(client.refused(REFRESH, json!({ "refreshToken": refreshed["refreshToken"] })).await, "INVALID_REFRESH_TOKEN");

    gateway.restart().await;
    TestClient::connect_with_token(gateway.edge(), &text(&refreshed["accessToken"])).await.assert_sent_away(4500).await;
    let mut kept_on = TestClient::connect_as(gateway.edge(), &text(&kept["accessToken"])).await;
    assert_eq!(who(&mut kept_on).await, "alice", "a token outlives the process that gave it");
    let mut client = TestClient::connect(gateway.edge()).await;
    let (_, reply) = enter(&mut client, REFRESH, json!({ "refreshToken": kept["refreshToken"] })).await;
    assert_eq!(reply["user"], kept["user"]);
    let mut client = TestClient::connect(gateway.edge()).await;
    let (_, reply) = enter(&mut client, LOGIN, credentials("alice")).await;
    assert_eq!(reply["user"], registered["user"]);
    assert_eq!(blamed(&mut client, REGISTER, account("Alice")).await.0, "USERNAME_TAKEN");
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_outlives_the_gateway_in_the_embedded_store() {
    a_life("").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_outlives_the_gateway_in_redis() {
    let redis = RedisServer::start();
    a_life(&format!("store: {{ redis: {{ url: \"{}\" }} }}", redis.url())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn logging_out_ends_every_connection_of_that_login_and_no_other() {
    let gateway = TestGateway::start_shipped("");
    let mut client = TestClient::connect(gateway.edge()).await;
    let (_, first) = enter(&mut client, REGISTER, account("alice")).await;
    let mut same = TestClient::connect_as(gateway.edge(), &text(&first["accessToken"])).await;
    let mut other = TestClient::connect(gateway.edge()).await;
    enter(&mut other, LOGIN, credentials("alice")).await;

    client.call(LOGOUT, json!({})).await;
    timeout(PATIENCE, same.assert_sent_away(4501)).await.expect("it is told in time");
    assert_eq!(who(&mut other).await, "alice", "another login goes on");

    other.call(LOGOUT, json!({ "everywhere": true })).await;
    assert_eq!(other.refused(USER_INFO, json!({})).await, "UNAUTHENTICATED");
    // Whoever was logged out may log in, on the same connection.
    enter(&mut other, LOGIN, credentials("alice")).await;
    assert_eq!(who(&mut other).await, "alice");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_login_is_refreshed_in_place_by_message_too() {
    let gateway = TestGateway::start_shipped("");
    let mut client = TestClient::connect(gateway.edge()).await;
    let (ready, registered) = enter(&mut client, REGISTER, account("alice")).await;
    // The tokens are renewed elsewhere, as an application's own HTTP client might.
    let mut elsewhere = TestClient::connect(gateway.edge()).await;
    let (_, renewed) = enter(&mut elsewhere, REFRESH, json!({ "refreshToken": registered["refreshToken"] })).await;

    client.say(json!({ "protocol": 8, "id": 80, "payload": { "token": renewed["accessToken"] } }).to_string()).await;
    let answer = client.hear_message().await;
    assert_eq!((&answer["protocol"], &answer["id"]), (&json!(8), &json!(80)), "{answer}");
    assert_eq!(answer["payload"]["sessionId"], ready["sessionId"]);

    // Somebody else's token is no refresh.
    let mut bob = TestClient::connect(gateway.edge()).await;
    let (_, bobs) = enter(&mut bob, REGISTER, account("bob")).await;
    client.say(json!({ "protocol": 8, "id": 81, "payload": { "token": bobs["accessToken"] } }).to_string()).await;
    assert!(client.hear_message().await["status"]["reason"].is_string());
    assert_eq!(who(&mut client).await, "alice");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_spent_refresh_token_ends_the_login_wherever_it_is() {
    let gateway = TestGateway::start_shipped("");
    let mut client = TestClient::connect(gateway.edge()).await;
    let (_, registered) = enter(&mut client, REGISTER, account("alice")).await;
    let mut thief = TestClient::connect(gateway.edge()).await;
    enter(&mut thief, REFRESH, json!({ "refreshToken": registered["refreshToken"] })).await;
    let mut third = TestClient::connect(gateway.edge()).await;
    assert_eq!(third.refused(REFRESH, json!({ "refreshToken": registered["refreshToken"] })).await, "INVALID_REFRESH_TOKEN");
    timeout(PATIENCE, client.assert_sent_away(4501)).await.expect("its owner is told");
    timeout(PATIENCE, thief.assert_sent_away(4501)).await.expect("and whoever copied it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_forgotten_password_is_set_anew_and_ends_every_session() {
    let gateway = TestGateway::start_shipped("");
    let outbox = gateway.folder().join("data/outbox");
    let mut client = TestClient::connect(gateway.edge()).await;
    let (_, registered) = enter(&mut client, REGISTER, account("alice")).await;
    let mut stranger = TestClient::connect(gateway.edge()).await;
    let known = stranger.call(FORGOTTEN, json!({ "email": "alice@example.com" })).await;
    let unknown = stranger.call(FORGOTTEN, json!({ "email": "nobody@example.com" })).await;
    assert_eq!((&known["payload"], &known["status"]), (&unknown["payload"], &unknown["status"]), "who has an account is not told");

    let began = Instant::now();
    while !outbox.exists() || fs::read_dir(&outbox).unwrap().next().is_none() {
        assert!(began.elapsed() < PATIENCE, "no mail");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(fs::read_dir(&outbox).unwrap().count(), 1, "an address without an account gets no mail");
    let change = |code: &str| json!({ "email": "alice@example.com", "code": code, "newPassword": "another horse entirely" });
    assert_eq!(blamed(&mut stranger, FORGOTTEN, change("AAAA-AAAA-AAAA")).await, ("INVALID_CODE".to_owned(), Some("code".to_owned())));
    let code = code(&outbox);
    let changed = stranger.call(FORGOTTEN, change(&code)).await;
    assert!(changed["status"].is_null(), "{changed}");

    timeout(PATIENCE, client.assert_sent_away(4501)).await.expect("who is logged in is logged out");
    TestClient::connect_with_token(gateway.edge(), &text(&registered["accessToken"])).await.assert_sent_away(4500).await;
    assert_eq!(stranger.refused(REFRESH, json!({ "refreshToken": registered["refreshToken"] })).await, "INVALID_REFRESH_TOKEN");
    assert_eq!(stranger.refused(FORGOTTEN, change(&code)).await, "INVALID_CODE", "a code is good once");
    assert_eq!(stranger.refused(LOGIN, credentials("alice")).await, "INVALID_CREDENTIALS");
    enter(&mut stranger, LOGIN, json!({ "username": "alice", "password": "another horse entirely" })).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_with_an_application_is_said_by_field_and_reason() {
    let gateway = TestGateway::start_shipped("");
    let mut client = TestClient::connect(gateway.edge()).await;
    enter(&mut client, REGISTER, account("alice")).await;
    let with = |field: &str, value: &str| {
        let mut application = account("bob");
        application[field] = value.into();
        application
    };
    for (application, reason, field) in [
        (with("username", "ALICE"), "USERNAME_TAKEN", "username"),
        (with("email", "Alice@example.com"), "EMAIL_TAKEN", "email"),
        (with("username", "b"), "INVALID_USERNAME", "username"),
        (with("username", "bob\u{1b}[31m"), "INVALID_USERNAME", "username"),
        (with("email", "nowhere"), "INVALID_EMAIL", "email"),
        (with("email", "bob@example.com\r\nBcc: x@example.com"), "INVALID_EMAIL", "email"),
        (with("password", "short"), "WEAK_PASSWORD", "password"),
        (with("password", &"x".repeat(1025)), "WEAK_PASSWORD", "password"),
    ] {
        let mut stranger = TestClient::connect(gateway.edge()).await;
        assert_eq!(blamed(&mut stranger, REGISTER, application).await, (reason.to_owned(), Some(field.to_owned())));
        assert_eq!(stranger.refused(USER_INFO, json!({})).await, "UNAUTHENTICATED", "a refusal binds nobody");
    }
    let mut stranger = TestClient::connect(gateway.edge()).await;
    for (username, password) in [("alice", "wrong password"), ("nobody", PASSWORD), ("nobody", "x"), ("alice", "")] {
        let answer = stranger.call(LOGIN, json!({ "username": username, "password": password })).await;
        assert_eq!(answer["status"]["reason"], "INVALID_CREDENTIALS", "{username}");
        assert_eq!(answer["status"]["message"], "the username or the password is wrong");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn too_many_guesses_are_told_how_long_to_wait_in_both_codecs() {
    let gateway = TestGateway::start_shipped("");
    let mut client = TestClient::connect(gateway.edge()).await;
    let guess = json!({ "username": "alice", "password": "a guess of many" });
    let mut reasons = Vec::new();
    for _ in 0..11 {
        reasons.push(client.refused(LOGIN, guess.clone()).await);
    }
    assert!(reasons[..10].iter().all(|reason| reason == "INVALID_CREDENTIALS"), "{reasons:?}");
    assert_eq!(reasons[10], "TOO_MANY_ATTEMPTS", "though nobody has that name");

    let status = client.call(LOGIN, guess.clone()).await["status"].clone();
    let wait = status["retryAfterMs"].as_u64().unwrap();
    assert!((1..=900_000).contains(&wait), "{status}");
    let retry = status["details"].as_array().unwrap().iter().find_map(|detail| detail["retryDelay"].as_str()).unwrap();
    assert!(retry.ends_with('s'), "{status}");

    let url = format!("ws://{}/ws", gateway.edge());
    let mut binary = Command::new(env!("CARGO_BIN_EXE_protogate"));
    binary.args(["call", "1001", &guess.to_string(), "--format", "proto", "--url", &url]).current_dir(gateway.folder());
    let output = tokio::task::spawn_blocking(move || binary.env_remove("GATEWAY_MODE").output().unwrap()).await.unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.contains("TOO_MANY_ATTEMPTS (8)") && told.contains("retry after "), "{told}");
}
