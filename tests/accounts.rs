//! The shipped accounts, from outside: registering, logging in, and what follows from it.

use std::path::Path;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use protogate::gateway::Gateway;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::client::TestClient;
use crate::support::redis::RedisServer;
use crate::support::walkthrough::wait_for;
use crate::support::{copy, folder_with, options, told, top};

/// A folder with the shipped routes.
fn shipped(gateway: &str) -> TempDir {
    let folder = folder_with(&[]);
    copy(&top().join("routes"), &folder.path().join("routes"));
    std::fs::write(folder.path().join("routes/gateway.yaml"), format!("version: 1\nreload: {{ watch: false }}\n{gateway}")).unwrap();
    folder
}

fn serve(folder: &Path) -> Gateway {
    Gateway::start(options(folder)).unwrap_or_else(|error| panic!("the gateway does not start: {}", told(error)))
}

async fn stop(gateway: Gateway) {
    tokio::task::spawn_blocking(move || gateway.stop()).await.unwrap();
}

async fn payload(client: &mut TestClient, protocol: u32, request: Value) -> Value {
    let answer = client.call(protocol, request).await;
    assert!(answer["status"].is_null(), "{answer}");
    answer["payload"].clone()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text"))
}

/// Registers on one run of a gateway, and goes on on the next.
async fn accounts_survive_a_restart(folder: &Path) {
    let gateway = serve(folder);
    let mut client = TestClient::connect(gateway.edge_address()).await;
    let alice = json!({ "username": "alice", "password": "correct horse", "email": "alice@example.com" });
    let registered = payload(&mut client, 1002, alice.clone()).await;
    assert_eq!((&registered["user"]["username"], &registered["expiresIn"]), (&json!("alice"), &json!("900")));
    assert_eq!(client.refused(1002, alice).await, "USERNAME_TAKEN");
    assert_eq!(client.refused(1001, json!({ "username": "alice", "password": "wrong horse" })).await, "INVALID_CREDENTIALS");
    let info = payload(&mut client, 1007, json!({})).await;
    assert_eq!(info["user"], registered["user"], "registering has logged this connection in");
    stop(gateway).await;

    let gateway = serve(folder);
    let mut client = TestClient::connect(gateway.edge_address()).await;
    let login = payload(&mut client, 1001, json!({ "username": "ALICE", "password": "correct horse" })).await;
    let mut hers = TestClient::connect_as(gateway.edge_address(), text(&login["accessToken"])).await;
    let info = payload(&mut hers, 1007, json!({ "userId": "somebody-else" })).await;
    assert_eq!(info["user"], registered["user"], "the gateway says who asks, not the client");
    assert_eq!(payload(&mut hers, 1005, json!({ "clientTimeMs": "7" })).await["clientTimeMs"], json!("7"));

    // On a connection of its own: it ends with the login.
    let mut other = TestClient::connect(gateway.edge_address()).await;
    let next = payload(&mut other, 1004, json!({ "refreshToken": registered["refreshToken"] })).await;
    let mut thief = TestClient::connect(gateway.edge_address()).await;
    assert_eq!(thief.refused(1004, json!({ "refreshToken": registered["refreshToken"] })).await, "INVALID_REFRESH_TOKEN");
    assert_eq!(thief.refused(1004, json!({ "refreshToken": next["refreshToken"] })).await, "INVALID_REFRESH_TOKEN");
    payload(&mut hers, 1006, json!({})).await;
    assert_eq!(hers.refused(1007, json!({})).await, "UNAUTHENTICATED", "who logs out is answered, and stays as nobody");
    client.assert_sent_away(4501).await;
    assert_eq!(thief.refused(1004, json!({ "refreshToken": login["refreshToken"] })).await, "INVALID_REFRESH_TOKEN");
    stop(gateway).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn accounts_survive_a_restart_in_the_embedded_store() {
    let folder = shipped("");
    accounts_survive_a_restart(folder.path()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn accounts_survive_a_restart_in_redis() {
    let redis = RedisServer::start();
    let folder = shipped(&format!("store: {{ redis: {{ url: \"{}\" }} }}\n", redis.url()));
    accounts_survive_a_restart(folder.path()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_says_which_field_and_how_long() {
    let folder = shipped("");
    let gateway = serve(folder.path());
    let mut client = TestClient::connect(gateway.edge_address()).await;
    let answer = client.call(1002, json!({ "username": "bob", "password": "12345678", "email": "bob@example.com" })).await;
    assert_eq!((&answer["status"]["reason"], &answer["status"]["code"]), (&json!("WEAK_PASSWORD"), &json!(3)), "{answer}");
    assert!(answer["status"]["details"].to_string().contains("BadRequest"), "{answer}");
    for _ in 0..3 {
        payload(&mut client, 1003, json!({ "email": "nobody@example.com" })).await;
    }
    let answer = client.call(1003, json!({ "email": "nobody@example.com" })).await;
    assert_eq!(answer["status"]["reason"], "TOO_MANY_ATTEMPTS", "{answer}");
    let wait = answer["status"]["retryAfterMs"].as_u64().unwrap_or_else(|| panic!("{answer}"));
    assert!((3_500_000..=3_600_000).contains(&wait), "{wait}");
    stop(gateway).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_development_a_code_lies_in_the_outbox() {
    let folder = shipped("");
    let gateway = serve(folder.path());
    let mut client = TestClient::connect(gateway.edge_address()).await;
    payload(&mut client, 1002, json!({ "username": "alice", "password": "correct horse", "email": "alice@example.com" })).await;
    payload(&mut client, 1003, json!({ "email": "alice@example.com" })).await;
    let outbox = folder.path().join("data/outbox");
    let began = Instant::now();
    let mail = loop {
        assert!(began.elapsed() < Duration::from_secs(30), "no mail");
        let file = std::fs::read_dir(&outbox).into_iter().flatten().next();
        match file.map(|file| std::fs::read_to_string(file.unwrap().path()).unwrap()) {
            Some(mail) if mail.contains("nothing changes") => break mail,
            _ => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    };
    let code = mail.lines().find_map(|line| line.strip_prefix("    ")).unwrap().trim();
    let confirm = json!({ "email": "alice@example.com", "code": code, "newPassword": "another horse" });
    let mut other = TestClient::connect(gateway.edge_address()).await;
    payload(&mut other, 1003, confirm.clone()).await;
    client.assert_sent_away(4501).await;
    assert_eq!(other.refused(1003, confirm).await, "INVALID_CODE");
    payload(&mut other, 1001, json!({ "username": "alice", "password": "another horse" })).await;
    stop(gateway).await;
}

/// `protogate services auth` as a process, which ends with the test.
struct Alone(Child);

impl Drop for Alone {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn accounts_are_served_by_a_process_of_their_own() {
    let redis = RedisServer::start();
    let process = format!("store: {{ redis: {{ url: \"{}\" }} }}\n", redis.url());
    let theirs = shipped(&process);
    let mut command = Command::new(env!("CARGO_BIN_EXE_protogate"));
    command.args(["services", "auth", "--listen", "127.0.0.1:0", "--ready-file", "ready.json"]);
    let mut alone = Alone(command.current_dir(theirs.path()).env_remove("GATEWAY_MODE").spawn().unwrap());
    let ready = theirs.path().join("ready.json");
    wait_for("the service is ready", || ready.exists());
    let ready: Value = serde_json::from_str(&std::fs::read_to_string(ready).unwrap()).unwrap();

    let ours = shipped(&process);
    let routes = ours.path().join("routes/auth.yaml");
    let remote = format!("auth: {{ grpc: {{ endpoints: [\"http://{}\"] }} }}", text(&ready["services"]));
    std::fs::write(&routes, std::fs::read_to_string(&routes).unwrap().replace("auth: { builtin: auth }", &remote)).unwrap();
    let gateway = serve(ours.path());
    let mut client = TestClient::connect(gateway.edge_address()).await;
    let alice = json!({ "username": "alice", "password": "correct horse", "email": "alice@example.com" });
    let registered = payload(&mut client, 1002, alice.clone()).await;
    let answer = client.call(1002, alice).await;
    assert_eq!((&answer["status"]["reason"], &answer["status"]["code"]), (&json!("USERNAME_TAKEN"), &json!(6)), "{answer}");
    let mut hers = TestClient::connect_as(gateway.edge_address(), text(&registered["accessToken"])).await;
    assert_eq!(payload(&mut hers, 1007, json!({})).await["user"], registered["user"]);

    rustix::process::kill_process(rustix::process::Pid::from_child(&alone.0), rustix::process::Signal::TERM).unwrap();
    wait_for("the service ends", || alone.0.try_wait().unwrap().is_some());
    assert!(alone.0.wait().unwrap().success(), "gently");
    stop(gateway).await;
}
