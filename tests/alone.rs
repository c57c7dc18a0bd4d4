//! Built-in services in processes of their own, behind a gateway that finds them by their addresses.

use std::path::Path;
use std::process::{Child, Command};

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

/// `protogate services …` as a process, which ends with the test.
struct Alone {
    process: Child,
    address: String,
}

impl Alone {
    fn start(folder: &Path, arguments: &[&str]) -> Alone {
        let mut command = Command::new(env!("CARGO_BIN_EXE_protogate"));
        command.arg("services").args(arguments).args(["--listen", "127.0.0.1:0", "--ready-file", "ready.json"]);
        command.env_remove("GATEWAY_MODE").env("PROTOGATE_PUSH_TOKEN", "sesame");
        let mut alone = Alone { process: command.current_dir(folder).spawn().unwrap(), address: String::new() };
        let ready = folder.join("ready.json");
        wait_for("the service is ready", || ready.exists());
        let ready: Value = serde_json::from_str(&std::fs::read_to_string(ready).unwrap()).unwrap();
        text(&ready["services"]).clone_into(&mut alone.address);
        alone
    }

    /// Asks it to end, and waits until it has.
    fn stop(mut self) {
        rustix::process::kill_process(rustix::process::Pid::from_child(&self.process), rustix::process::Signal::TERM).unwrap();
        wait_for("the service ends", || self.process.try_wait().unwrap().is_some());
        assert!(self.process.wait().unwrap().success(), "gently");
    }
}

impl Drop for Alone {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A gateway for which a service of this name is elsewhere.
fn serve_with(folder: &Path, name: &str, address: &str) -> Gateway {
    let routes = folder.join(format!("routes/{name}.yaml"));
    let remote = format!("{name}: {{ grpc: {{ endpoints: [\"http://{address}\"] }} }}");
    let text = std::fs::read_to_string(&routes).unwrap();
    std::fs::write(&routes, text.replace(&format!("{name}: {{ builtin: {name} }}"), &remote)).unwrap();
    serve(folder)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn accounts_are_served_by_a_process_of_their_own() {
    let redis = RedisServer::start();
    let process = format!("store: {{ redis: {{ url: \"{}\" }} }}\n", redis.url());
    let (theirs, ours) = (shipped(&process), shipped(&process));
    let alone = Alone::start(theirs.path(), &["auth"]);
    let gateway = serve_with(ours.path(), "auth", &alone.address);
    let mut client = TestClient::connect(gateway.edge_address()).await;
    let alice = json!({ "username": "alice", "password": "correct horse", "email": "alice@example.com" });
    let registered = payload(&mut client, 1002, alice.clone()).await;
    let answer = client.call(1002, alice).await;
    assert_eq!((&answer["status"]["reason"], &answer["status"]["code"]), (&json!("USERNAME_TAKEN"), &json!(6)), "{answer}");
    let mut hers = TestClient::connect_as(gateway.edge_address(), text(&registered["accessToken"])).await;
    assert_eq!(payload(&mut hers, 1007, json!({})).await["user"], registered["user"]);
    alone.stop();
    stop(gateway).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn games_are_served_by_processes_of_their_own_also_while_nobody_can_be_told() {
    let redis = RedisServer::start();
    let process = format!("store: {{ redis: {{ url: \"{}\" }} }}\n", redis.url());
    let (theirs, ours) = (shipped(&process), shipped(&process));
    // Where no gateway listens.
    let nowhere = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let alone = Alone::start(theirs.path(), &["game", "--push", &format!("http://{nowhere}")]);
    let gateway = serve_with(ours.path(), "game", &alone.address);
    let registered = {
        let mut client = TestClient::connect(gateway.edge_address()).await;
        payload(&mut client, 1002, json!({ "username": "alice", "password": "correct horse", "email": "alice@example.com" })).await
    };
    let mut alice = TestClient::connect_as(gateway.edge_address(), text(&registered["accessToken"])).await;
    let room = payload(&mut alice, 2002, json!({ "name": "a table", "capacity": 2 })).await["room"].clone();
    assert_eq!(room["host"], registered["user"]["userId"], "whoever registers is a player");
    let moved = payload(&mut alice, 2006, json!({ "roomId": room["id"], "action": { "kind": "move" } })).await;
    assert_eq!(moved["version"], "2");
    // Another takes over where this one ends.
    alone.stop();
    stop(gateway).await;
    let ours = shipped(&process);
    let gateway = serve(ours.path());
    let mut alice = TestClient::connect_as(gateway.edge_address(), text(&registered["accessToken"])).await;
    let history = payload(&mut alice, 2007, json!({ "roomId": room["id"] })).await;
    assert_eq!(history["events"].as_array().unwrap().len(), 2);
    stop(gateway).await;
}
