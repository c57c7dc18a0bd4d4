//! Chat as its users meet it: the shipped routes 3001 to 3008 over real sockets.

use serde_json::{Value, json};

use crate::support::TestGateway;
use crate::support::client::TestClient;
use crate::support::redis::RedisServer;

const SEND: u32 = 3001;
const HISTORY: u32 = 3002;
const CREATE: u32 = 3003;
const JOIN: u32 = 3004;
const LEAVE: u32 = 3005;
const LIST: u32 = 3006;
const SEND_PRIVATE: u32 = 3007;
const PRIVATE_HISTORY: u32 = 3008;

/// The payload of an answer that is not a failure.
async fn ask(client: &mut TestClient, protocol: u32, payload: Value) -> Value {
    let answer = client.call(protocol, payload).await;
    assert!(answer["status"]["code"].is_null(), "{answer}");
    answer["payload"].clone()
}

fn texts(page: &Value) -> Vec<&str> {
    let messages = page["messages"].as_array().map(Vec::as_slice).unwrap_or_default();
    messages.iter().map(|message| message["text"].as_str().unwrap_or_default()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_players_talk_in_a_room_and_in_private_until_both_have_left() {
    an_evening("").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_players_talk_alike_where_state_is_in_redis() {
    let redis = RedisServer::start();
    an_evening(&format!("store: {{ redis: {{ url: \"{}\" }} }}", redis.url())).await;
}

/// Two players on one gateway, which is started again meanwhile.
async fn an_evening(process: &str) {
    let mut gateway = TestGateway::start_shipped(process);
    let player = async |gateway: &TestGateway, name: &str| {
        let token = gateway.token(name, &["player"]);
        TestClient::connect_with_token(gateway.edge(), &token).await
    };
    let (mut alice, mut bob) = (player(&gateway, "alice").await, player(&gateway, "bob").await);

    let room = ask(&mut alice, CREATE, json!({ "name": "Tea" })).await["room"].clone();
    assert_eq!((&room["name"], &room["owner"]), (&json!("Tea"), &json!("alice")), "the gateway said who asks: {room}");
    let id = room["id"].clone();
    assert_eq!(bob.refused(SEND, json!({ "roomId": id, "text": "hello" })).await, "NOT_A_MEMBER");
    assert_eq!(ask(&mut bob, LIST, json!({})).await["rooms"][0]["id"], id);
    assert_eq!(ask(&mut bob, JOIN, json!({ "roomId": id })).await["members"], json!(["alice", "bob"]));

    // Who says that they are somebody else is who they are.
    let said = ask(&mut bob, SEND, json!({ "userId": "alice", "roomId": id, "text": "hello" })).await;
    assert_eq!(said["number"], "1");
    let page = ask(&mut alice, HISTORY, json!({ "roomId": id })).await;
    assert_eq!((&page["messages"][0]["sender"], texts(&page)), (&json!("bob"), vec!["hello"]));
    assert_eq!(alice.refused(SEND, json!({ "roomId": id, "text": "" })).await, "INVALID_TEXT");

    // Both have used the chat, so they are known.
    ask(&mut alice, SEND_PRIVATE, json!({ "receiver": "bob", "text": "psst" })).await;
    let conversations = ask(&mut bob, PRIVATE_HISTORY, json!({})).await["conversations"].clone();
    assert_eq!((&conversations[0]["with"], &conversations[0]["unread"]), (&json!("alice"), &json!("1")));

    // All of it is there after the gateway was started again.
    drop((alice, bob));
    gateway.restart().await;
    let (mut alice, mut bob) = (player(&gateway, "alice").await, player(&gateway, "bob").await);
    assert_eq!(texts(&ask(&mut bob, PRIVATE_HISTORY, json!({ "with": "alice" })).await), ["psst"]);
    assert_eq!(ask(&mut bob, JOIN, json!({ "roomId": id })).await["room"]["members"], 2, "a member still");
    assert_eq!(ask(&mut alice, SEND, json!({ "roomId": id, "text": "again" })).await["number"], "2");
    assert_eq!(texts(&ask(&mut bob, HISTORY, json!({ "roomId": id, "after": "1" })).await), ["again"]);

    ask(&mut alice, LEAVE, json!({ "roomId": id })).await;
    assert_eq!(ask(&mut bob, LIST, json!({ "mine": true })).await["rooms"][0]["owner"], "bob");
    ask(&mut bob, LEAVE, json!({ "roomId": id })).await;
    assert_eq!(alice.refused(JOIN, json!({ "roomId": id })).await, "ROOM_CLOSED");
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_gateways_with_one_redis_give_every_number_once() {
    const EACH: u64 = 15;
    let redis = RedisServer::start();
    let process = format!("store: {{ redis: {{ url: \"{}\" }} }}", redis.url());
    let gateways = [TestGateway::start_shipped(&process), TestGateway::start_shipped(&process)];
    let token = gateways[0].token("alice", &["player"]);
    let mut alice = TestClient::connect_with_token(gateways[0].edge(), &token).await;
    let room = ask(&mut alice, CREATE, json!({ "name": "Tea" })).await["room"]["id"].clone();
    let mut clients = Vec::new();
    for n in 0..4 {
        let token = gateways[0].token(&format!("user-{n}"), &["player"]);
        let mut client = TestClient::connect_with_token(gateways[n % 2].edge(), &token).await;
        ask(&mut client, JOIN, json!({ "roomId": room })).await;
        clients.push(client);
    }
    let talk = clients.iter_mut().map(async |client| {
        let mut numbers = Vec::new();
        for _ in 0..EACH {
            let number = ask(client, SEND, json!({ "roomId": room, "text": "me first" })).await["number"].clone();
            numbers.push(number.as_str().unwrap().parse::<u64>().unwrap());
        }
        numbers
    });
    let mut numbers = futures_util::future::join_all(talk).await.concat();
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=4 * EACH).collect::<Vec<u64>>());
    for gateway in gateways {
        gateway.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn chat_is_for_those_who_are_logged_in_and_may_use_it() {
    let gateway = TestGateway::start_shipped("");
    let mut nobody = TestClient::connect(gateway.edge()).await;
    assert_eq!(nobody.refused(LIST, json!({})).await, "UNAUTHENTICATED");
    let mut guest = TestClient::connect_with_token(gateway.edge(), &gateway.token("gus", &["guest"])).await;
    assert_eq!(guest.refused(LIST, json!({})).await, "PERMISSION_DENIED");
    gateway.stop().await;
}
