//! Services in processes of their own, behind a gateway that finds them by their addresses.

use std::net::SocketAddr;
use std::process::{Child, Command};

use protogate::services::notify::v1::notify_admin_client::NotifyAdminClient;
use protogate::services::notify::v1::send_request::Content;
use protogate::services::notify::v1::{Recipient, SendRequest, Words};
use serde_json::{Value, json};
use tempfile::TempDir;
use tonic::transport::Channel;

use crate::support::client::TestClient;
use crate::support::redis::RedisServer;
use crate::support::walkthrough::wait_for;
use crate::support::{TestGateway, reload, shipped_with, top};

/// What the services of a test show to the gateway.
const TOKEN: &str = "a token of services";

async fn payload(client: &mut TestClient, protocol: u32, request: Value) -> Value {
    let answer = client.call(protocol, request).await;
    assert!(answer["status"].is_null(), "{answer}");
    answer["payload"].clone()
}

/// What the next push of this number says.
async fn hear(client: &mut TestClient, protocol: u32) -> Value {
    loop {
        let said = client.hear_message().await;
        if said["protocol"] == protocol && said["id"].is_null() {
            return said["payload"].clone();
        }
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text"))
}

/// `protogate services …` as a process, which ends with the test.
struct Alone {
    child: Child,
    address: SocketAddr,
    _folder: TempDir,
}

impl Alone {
    /// Starts on the shipped files, with this in `gateway.yaml`.
    fn start(service: &str, process: &str, arguments: &[&str]) -> Alone {
        let folder = shipped_with(process);
        let mut command = Command::new(env!("CARGO_BIN_EXE_protogate"));
        command.args(["services", service, "--listen", "127.0.0.1:0", "--ready-file", "ready.json"]).args(arguments);
        let mut child = command.current_dir(folder.path()).env_remove("GATEWAY_MODE").env("PROTOGATE_PUSH_TOKEN", TOKEN).spawn().unwrap();
        let ready = folder.path().join("ready.json");
        wait_for("the service is ready", || {
            assert!(child.try_wait().unwrap().is_none(), "it ended");
            ready.exists()
        });
        let ready: Value = serde_json::from_str(&std::fs::read_to_string(ready).unwrap()).unwrap();
        Alone { child, address: text(&ready["services"]).parse().unwrap(), _folder: folder }
    }

    /// Asks it to end, and waits until it has.
    fn stop(mut self) {
        rustix::process::kill_process(rustix::process::Pid::from_child(&self.child), rustix::process::Signal::TERM).unwrap();
        wait_for("the service ends", || self.child.try_wait().unwrap().is_some());
        assert!(self.child.wait().unwrap().success(), "gently");
    }
}

impl Drop for Alone {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The gateway finds these services where they are now, from its next message on.
async fn direct(gateway: &TestGateway, services: &[(&str, &Alone)]) {
    for (name, alone) in services {
        let file = format!("routes/{name}.yaml");
        let remote = format!("{name}: {{ grpc: {{ endpoints: [\"http://{}\"] }} }}", alone.address);
        let here = std::fs::read_to_string(top().join(&file)).unwrap();
        assert!(here.contains(&format!("{name}: {{ builtin: {name} }}")), "{file} is as it was");
        gateway.write(&file, &here.replace(&format!("{name}: {{ builtin: {name} }}"), &remote));
    }
    let (status, answer) = reload(gateway).await;
    assert_eq!(status, 200, "{answer}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn accounts_are_served_by_a_process_of_their_own() {
    let redis = RedisServer::start();
    let process = format!("store: {{ redis: {{ url: \"{}\" }} }}", redis.url());
    let alone = Alone::start("auth", &process, &[]);
    let gateway = TestGateway::start_shipped(&process);
    direct(&gateway, &[("auth", &alone)]).await;
    let mut client = TestClient::connect(gateway.edge()).await;
    let alice = json!({ "username": "alice", "password": "correct horse", "email": "alice@example.com" });
    let registered = payload(&mut client, 1002, alice.clone()).await;
    let answer = client.call(1002, alice).await;
    assert_eq!((&answer["status"]["reason"], &answer["status"]["code"]), (&json!("USERNAME_TAKEN"), &json!(6)), "{answer}");
    let mut hers = TestClient::connect_as(gateway.edge(), text(&registered["accessToken"])).await;
    assert_eq!(payload(&mut hers, 1007, json!({})).await["user"], registered["user"]);
    alone.stop();
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn games_are_served_by_processes_of_their_own_also_while_nobody_can_be_told() {
    let redis = RedisServer::start();
    let process = format!("store: {{ redis: {{ url: \"{}\" }} }}", redis.url());
    // Where no gateway listens.
    let nowhere = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let alone = Alone::start("game", &process, &["--push", &format!("http://{nowhere}")]);
    let gateway = TestGateway::start_shipped(&process);
    let here = std::fs::read_to_string(top().join("routes/game.yaml")).unwrap();
    direct(&gateway, &[("game", &alone)]).await;
    let mut client = TestClient::connect(gateway.edge()).await;
    let alice = json!({ "username": "alice", "password": "correct horse", "email": "alice@example.com" });
    let registered = payload(&mut client, 1002, alice).await;
    let mut alice = TestClient::connect_as(gateway.edge(), text(&registered["accessToken"])).await;
    let room = payload(&mut alice, 2002, json!({ "name": "a table", "capacity": 2 })).await["room"].clone();
    assert_eq!(room["host"], registered["user"]["userId"], "whoever registers is a player");
    let moved = payload(&mut alice, 2006, json!({ "roomId": room["id"], "action": { "kind": "move" } })).await;
    assert_eq!(moved["version"], "2");
    // Another takes over where this one ends.
    alone.stop();
    gateway.write("routes/game.yaml", &here);
    assert_eq!(reload(&gateway).await.0, 200);
    let history = payload(&mut alice, 2007, json!({ "roomId": room["id"] })).await;
    assert_eq!(history["events"].as_array().unwrap().len(), 2);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn games_chat_and_notifications_are_served_by_processes_that_push_through_the_gateway() {
    let redis = RedisServer::start();
    let store = format!("store: {{ redis: {{ url: \"{}\" }} }}", redis.url());
    let gateway = TestGateway::start_shipped(&format!("{store}\npush: {{ address: \"127.0.0.1:0\", token: \"{TOKEN}\" }}"));
    let door = format!("http://{}", gateway.gateway().push_address().unwrap());
    let [game, chat, notify] = ["game", "chat", "notify"].map(|service| Alone::start(service, &store, &["--push", &door]));
    direct(&gateway, &[("game", &game), ("chat", &chat), ("notify", &notify)]).await;
    let mut alice = TestClient::connect_as(gateway.edge(), &gateway.token("alice", &["player"])).await;
    let mut bob = TestClient::connect_as(gateway.edge(), &gateway.token("bob", &["player"])).await;

    let room = payload(&mut alice, 2002, json!({ "name": "chess", "capacity": 2 })).await["room"]["id"].clone();
    payload(&mut bob, 2003, json!({ "roomId": room })).await;
    assert_eq!(hear(&mut alice, 2101).await["joined"]["userId"], "bob");
    payload(&mut alice, 2006, json!({ "roomId": room, "action": { "kind": "e4" } })).await;
    assert_eq!(hear(&mut bob, 2101).await["operation"]["kind"], "e4");

    let tea = payload(&mut alice, 3003, json!({ "name": "Tea" })).await["room"]["id"].clone();
    payload(&mut bob, 3004, json!({ "roomId": tea })).await;
    payload(&mut alice, 3001, json!({ "roomId": tea, "text": "your move" })).await;
    assert_eq!(hear(&mut bob, 3101).await["text"], "your move");
    payload(&mut alice, 3007, json!({ "receiver": "bob", "text": "psst" })).await;
    assert_eq!(hear(&mut bob, 3103).await["text"], "psst");

    let senders = Channel::from_shared(format!("http://{}", notify.address)).unwrap().connect().await.unwrap();
    let words = Words { title: "Tournament".to_owned(), body: "It begins".to_owned(), ..Words::default() };
    let recipients = vec![Recipient { user_id: "bob".to_owned(), ..Recipient::default() }];
    let request = SendRequest { recipients, content: Some(Content::Literal(words)), ..SendRequest::default() };
    NotifyAdminClient::new(senders).send(request).await.unwrap();
    assert_eq!(hear(&mut bob, 4001).await["title"], "Tournament");
    assert_eq!(payload(&mut bob, 4101, json!({})).await["unreadCount"], 1);

    // It was they who answered.
    game.stop();
    chat.stop();
    notify.stop();
    assert_eq!(bob.refused(4101, json!({})).await, "UNAVAILABLE");
    assert_eq!(alice.refused(2001, json!({ "roomId": room })).await, "UNAVAILABLE");
    assert_eq!(alice.refused(3006, json!({})).await, "UNAVAILABLE");
    gateway.stop().await;
}
