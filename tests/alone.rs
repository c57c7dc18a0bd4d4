//! The auth service in a process of its own, behind a gateway that finds it by its address.

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
