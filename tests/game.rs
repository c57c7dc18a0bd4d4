//! Games as their players meet them: the shipped routes 2001 to 2008 over a real socket.

use serde_json::{Value, json};

use crate::support::TestGateway;
use crate::support::client::TestClient;
use crate::support::redis::RedisServer;

const GET_STATE: u32 = 2001;
const CREATE_ROOM: u32 = 2002;
const JOIN_ROOM: u32 = 2003;
const LEAVE_ROOM: u32 = 2004;
const LIST_ROOMS: u32 = 2005;
const OPERATE: u32 = 2006;
const GET_HISTORY: u32 = 2007;
const GET_STATISTICS: u32 = 2008;

async fn payload(client: &mut TestClient, protocol: u32, request: Value) -> Value {
    let answer = client.call(protocol, request).await;
    assert!(answer["status"].is_null(), "{answer}");
    answer["payload"].clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn players_make_a_room_play_and_leave() {
    play("").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn they_do_so_also_where_gateways_share_a_redis() {
    let redis = RedisServer::start();
    play(&format!("store: {{ redis: {{ url: \"{}\" }} }}\n", redis.url())).await;
}

async fn play(process: &str) {
    let gateway = TestGateway::start_shipped(process);
    let mut alice = TestClient::connect_as(gateway.edge(), &gateway.token("alice", &["player"])).await;
    let mut bob = TestClient::connect_as(gateway.edge(), &gateway.token("bob", &["player"])).await;
    // Who asks is for the gateway to say.
    let wish = json!({ "userId": "mallory", "name": "a table", "capacity": 2, "password": "sesame" });
    let room = payload(&mut alice, CREATE_ROOM, wish).await["room"].clone();
    assert_eq!((&room["host"], &room["locked"], &room["version"]), (&json!("alice"), &json!(true), &json!("1")));
    let id = &room["id"];
    assert_eq!(payload(&mut bob, LIST_ROOMS, json!({})).await["rooms"][0]["id"], *id);
    assert_eq!(bob.refused(JOIN_ROOM, json!({ "roomId": id, "password": "guess" })).await, "WRONG_PASSWORD");
    assert_eq!(bob.refused(OPERATE, json!({ "roomId": id, "action": { "kind": "move" } })).await, "NOT_A_MEMBER");
    let joined = payload(&mut bob, JOIN_ROOM, json!({ "roomId": id, "password": "sesame" })).await;
    assert_eq!(joined["room"]["version"], "2");
    let moved = json!({ "roomId": id, "expectedVersion": "2", "action": { "kind": "move", "payload": "ZTQ=" } });
    assert_eq!(payload(&mut bob, OPERATE, moved.clone()).await["version"], "3");
    let stale = bob.call(OPERATE, moved).await["status"].clone();
    assert_eq!(stale["reason"], "STALE_VERSION");
    let details = stale["details"].as_array().unwrap();
    assert!(details.iter().any(|detail| detail["metadata"]["version"] == "3"), "{stale}");
    assert_eq!(payload(&mut alice, OPERATE, json!({ "roomId": id, "state": "Ym9hcmQ=" })).await["version"], "4");
    assert_eq!(payload(&mut bob, GET_STATE, json!({ "roomId": id })).await["state"], "Ym9hcmQ=");
    let history = payload(&mut bob, GET_HISTORY, json!({ "roomId": id, "afterVersion": "2" })).await;
    assert_eq!(history["events"][0]["operation"], json!({ "userId": "bob", "kind": "move", "payload": "ZTQ=" }));
    assert_eq!(history["events"][1]["stateReplaced"]["state"], "Ym9hcmQ=");
    assert_eq!(payload(&mut bob, LEAVE_ROOM, json!({ "roomId": id })).await, json!({}));
    let statistics = payload(&mut bob, GET_STATISTICS, json!({})).await;
    assert_eq!((&statistics["roomsJoined"], &statistics["operations"]), (&json!("1"), &json!("1")));
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_no_player_plays_no_games() {
    let gateway = TestGateway::start_shipped("");
    let mut guest = TestClient::connect_as(gateway.edge(), &gateway.token("guest", &["guest"])).await;
    assert_eq!(guest.refused(LIST_ROOMS, json!({})).await, "PERMISSION_DENIED");
    let mut nobody = TestClient::connect(gateway.edge()).await;
    assert_eq!(nobody.refused(LIST_ROOMS, json!({})).await, "UNAUTHENTICATED");
    gateway.stop().await;
}
