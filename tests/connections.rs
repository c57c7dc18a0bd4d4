//! Who is connected, as an operator sees it and does something about it: page by page, one in detail, closed, kicked; and topics.

use std::collections::BTreeSet;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{Instant, sleep, timeout};

use crate::support::client::{Heard, TestClient};
use crate::support::mirror::Mirror;
use crate::support::nodes::Cluster;
use crate::support::player::Player;
use crate::support::{ECHO, PATIENCE, TestGateway, operator};

const PROCESS: &str =
    "version: 1\nreload: { watch: false }\nlisten: { workers: 2 }\nconnections: { max: 4000, per_ip_max: 4000, heartbeat: 60s }\n";

fn gateway(routes: &str) -> TestGateway {
    TestGateway::start_with(&[("routes/gateway.yaml", PROCESS), ("routes/routes.yaml", routes)])
}

async fn get(gateway: &TestGateway, path: &str) -> Value {
    let (status, answer) = operator(gateway, path, None).await;
    assert_eq!(status, 200, "{path}: {answer}");
    answer
}

/// All pages of a list, each asked for when the one before is there; `meanwhile` happens in between.
async fn pages(gateway: &TestGateway, list: &str, query: &str, mut meanwhile: impl AsyncFnMut()) -> Vec<Value> {
    let (mut all, mut after) = (Vec::new(), None::<String>);
    loop {
        let after_query = after.map_or_else(String::new, |after| format!("&after={after}"));
        let page = get(gateway, &format!("/api/v1/{list}?{query}{after_query}")).await;
        assert_eq!(page["unanswered"].as_u64().unwrap_or(0), 0, "{page}");
        all.extend(page[list].as_array().unwrap().clone());
        meanwhile().await;
        match page["next"].as_str() {
            Some(next) => after = Some(next.to_owned()),
            None => return all,
        }
    }
}

async fn found(gateway: &TestGateway, search: &str) -> Vec<Value> {
    pages(gateway, "connections", &format!("search={search}"), async || {}).await
}

/// Waits until so many are found.
async fn eventually(gateway: &TestGateway, search: &str, count: usize) -> Vec<Value> {
    let began = Instant::now();
    loop {
        let listed = found(gateway, search).await;
        if listed.len() == count {
            return listed;
        }
        assert!(began.elapsed() < PATIENCE, "{} of {count}", listed.len());
        sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_stays_is_listed_once_while_others_come_and_go() {
    let gateway = gateway(ECHO);
    let mut staying = Vec::new();
    for _ in 0..200 {
        staying.push(TestClient::connect(gateway.edge()).await);
    }
    let stays: BTreeSet<u64> = found(&gateway, "").await.iter().map(|connection| connection["id"].as_u64().unwrap()).collect();
    assert_eq!(stays.len(), 200);
    let mut passing: Vec<TestClient> = Vec::new();
    let mut listed = Vec::new();
    for round in 0..2 {
        let come_and_go = async || {
            let fresh = TestClient::connect(gateway.edge()).await;
            passing.push(fresh);
            if passing.len() > 3 {
                passing.remove(0);
            }
        };
        // At a search they are asked in batches, and at a page of a few all of them are.
        let query = ["limit=7", "limit=7&search=127.0.0.1"][round];
        listed = pages(&gateway, "connections", query, come_and_go).await;
        let ids: Vec<u64> = listed.iter().map(|connection| connection["id"].as_u64().unwrap()).collect();
        assert!(ids.is_sorted_by(|one, other| one < other), "in order, and none twice: {ids:?}");
        assert!(stays.is_subset(&ids.into_iter().collect()), "{query}");
    }
    let mut workers = BTreeSet::new();
    for connection in &listed[..20] {
        workers.insert(get(&gateway, &format!("/api/v1/connections/{}", connection["id"])).await["worker"].as_u64());
    }
    assert_eq!(workers.len(), 2, "they are on both workers");
    drop(staying);
    eventually(&gateway, "", passing.len()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_is_found_by_whose_it_is_and_shown_as_it_is_without_what_is_secret() {
    let mirror = Mirror::start("mirror").await;
    let routes =
        ECHO.replace("{ echo: { builtin: echo } }", &format!("{{ echo: {{ grpc: {{ endpoints: [\"http://{}\"] }} }} }}", mirror.address));
    let gateway = gateway(&routes);
    let token = gateway.token("alice", &["player"]);
    let mut alice = TestClient::connect_with_token(gateway.edge(), &token).await;
    let ready = alice.hear_message().await["payload"].clone();
    let _nobody = TestClient::connect(gateway.edge()).await;
    let _bob = TestClient::connect_as(gateway.edge(), &gateway.token("bob", &[])).await;
    assert_eq!(found(&gateway, "").await.len(), 3);
    assert!(get(&gateway, "/api/v1/connections?limit=3").await.get("next").is_none(), "there are no more");
    assert!(get(&gateway, "/api/v1/connections?limit=2").await["next"].is_string());
    assert_eq!(found(&gateway, "127.0.0").await.len(), 3);
    assert_eq!(found(&gateway, "nobody").await.len(), 0);
    let session = ready["sessionId"].as_str().unwrap();
    let by = [found(&gateway, "alice").await, found(&gateway, "lic").await, found(&gateway, session).await];
    assert!(by.iter().all(|found| found.len() == 1 && found[0]["id"] == by[0][0]["id"]), "{by:?}");

    let call = alice.send(9002, json!({ "text": "slow 30000" })).await;
    let began = Instant::now();
    let shown = loop {
        let shown = get(&gateway, &format!("/api/v1/connections/{}", by[0][0]["id"])).await;
        if shown["in_flight"] == 1 {
            break shown;
        }
        assert!(began.elapsed() < PATIENCE, "{shown}");
    };
    let expected = json!({
        "id": by[0][0]["id"], "peer": "127.0.0.1", "user": "alice", "session": session, "codec": "json", "in_flight": 1, "streams": 0,
        "outbox_bytes": 0, "topics": 0, "heard": [], "generation": 1, "worker": shown["worker"], "idle_ms": shown["idle_ms"],
        "calls": [{ "protocol": 9002, "id": call }], "open_streams": [], "roles": ["player"], "expires_ms": shown["expires_ms"],
        "connected_ms": shown["connected_ms"],
    });
    assert_eq!(shown, expected);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() as u64;
    let connected = shown["connected_ms"].as_u64().unwrap();
    assert!((now - 60_000..=now).contains(&connected) && shown["idle_ms"].as_u64().unwrap() < 60_000, "{shown}");
    assert!(shown["expires_ms"].as_u64().unwrap() > now, "{shown}");
    let text = shown.to_string();
    assert!(!text.contains(&token) && !text.contains(ready["resumeToken"].as_str().unwrap()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_closed_may_come_back_to_their_session_and_nobody_else_is_closed() {
    let gateway = gateway(ECHO);
    let mut alice = TestClient::connect_with_token(gateway.edge(), &gateway.token("alice", &[])).await;
    let ready = alice.hear_message().await["payload"].clone();
    let mut bob = TestClient::connect_as(gateway.edge(), &gateway.token("bob", &[])).await;
    let id = found(&gateway, "alice").await[0]["id"].clone();
    let path = format!("/api/v1/connections/{id}/close");
    assert_eq!(operator(&gateway, &path, Some("{}")).await, (200, json!({ "closed": id })));
    let goodbye = timeout(PATIENCE, alice.hear_message()).await.expect("it is told in time");
    let told = &goodbye["payload"];
    assert_eq!((&told["code"], &told["reconnect"], &told["canResume"]), (&json!(4004), &json!(true), &json!(true)), "{goodbye}");
    assert_eq!(alice.hear().await, Heard::Close(4004));
    drop(alice);
    eventually(&gateway, "alice", 0).await;
    for (path, body) in [(&*path, Some("{}")), (&format!("/api/v1/connections/{id}"), None), ("/api/v1/connections/x", None)] {
        assert_eq!(operator(&gateway, path, body).await.0, 404, "{path}");
    }
    let mut back = TestClient::connect(gateway.edge()).await;
    back.say(json!({ "protocol": 4, "id": 1, "payload": { "resumeToken": ready["resumeToken"] } }).to_string()).await;
    assert_eq!(back.hear_message().await["payload"]["recovered"], true);
    assert_eq!(back.echo(9002, "again").await, "again");
    assert_eq!(bob.echo(9002, "still here").await, "still here");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_kicked_goes_on_all_nodes_and_may_come_with_the_same_token() {
    let cluster = Cluster::new("{}");
    let (a, b) = (cluster.gateway(), cluster.gateway());
    let token = a.token("alice", &[]);
    let (one, other) = (Player::login(a.edge(), &token).await, Player::login(b.edge(), &token).await);
    let mut bob = Player::login(b.edge(), &a.token("bob", &[])).await;
    let sessions = [one.session.clone(), other.session.clone()];

    // A session of the other node is found by whose it is, and here without.
    let (status, _) = operator(&a, &format!("/api/v1/sessions/{}", other.session.id), None).await;
    assert_eq!(status, 404);
    let there = get(&a, &format!("/api/v1/sessions/{}?user=alice", other.session.id)).await;
    let here = get(&a, &format!("/api/v1/sessions/{}", one.session.id)).await;
    assert_eq!((&there["user"], &here["user"], &here["heard"]), (&json!("alice"), &json!("alice"), &json!([])));
    assert_ne!(there["node"], here["node"]);

    let (status, kicked) = operator(&a, "/api/v1/kick", Some(r#"{"user":"alice"}"#)).await;
    assert_eq!((status, &kicked["kicked"]), (200, &json!({ "user": "alice" })), "{kicked}");
    let ended: BTreeSet<&str> = kicked["sessions"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert_eq!(ended, sessions.iter().map(|session| session.id.as_str()).collect());
    for player in [one, other] {
        let ended = timeout(PATIENCE, player.hear_sent_away(4501)).await.expect("it is told in time");
        assert!(!ended.goodbye.unwrap()["reconnect"].as_bool().unwrap_or(false), "it is told to stay away");
    }
    Player::connect(a.edge()).await.resume(&sessions[1], "").await.unwrap_err();
    let again = Player::login(b.edge(), &token).await;
    assert_eq!(bob.echo(9002, "still here").await.unwrap(), "still here");

    // One session, of whose user nothing is said, on the other node.
    let session = json!({ "session": again.session.id });
    let answer = operator(&a, "/api/v1/kick", Some(&session.to_string())).await;
    assert_eq!(answer, (200, json!({ "kicked": session, "sessions": [again.session.id] })));
    timeout(PATIENCE, again.hear_sent_away(4501)).await.expect("it is told in time");
    assert_eq!(bob.echo(9002, "still here").await.unwrap(), "still here");
    assert_eq!(operator(&a, "/api/v1/kick", Some(r#"{"user":"nobody"}"#)).await.1["sessions"], json!([]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn topics_are_listed_with_who_hears_them_and_where_they_are() {
    let topics = "topics:\n  \"room/{id}\": { join: room.hear, history: { count: 8 }, pushes: [2101] }\n  \
                  \"news/{id}\": { join: room.hear, pushes: [2101] }\n\
                  pushes:\n  2101: { name: said, message: protogate.echo.v1.EchoResponse }\n";
    let gateway = gateway(&(ECHO.replace("[game.play] } }", "[game.play, room.hear] } }") + topics));
    let mut alice = TestClient::connect_as(gateway.edge(), &gateway.token("alice", &["player"])).await;
    let mut bob = TestClient::connect_as(gateway.edge(), &gateway.token("bob", &["player"])).await;
    for number in 0..5 {
        assert_eq!(alice.call(12, json!({ "topic": format!("room/{number}") })).await["protocol"], 12);
    }
    bob.call(12, json!({ "topic": "room/3" })).await;
    bob.call(12, json!({ "topic": "news/1" })).await;
    let names = |topics: &[Value]| topics.iter().map(|topic| topic["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>();
    let all = pages(&gateway, "topics", "limit=2", async || {}).await;
    assert_eq!(names(&all), ["news/1", "room/0", "room/1", "room/2", "room/3", "room/4"]);
    assert!(get(&gateway, "/api/v1/topics?limit=6").await.get("next").is_none(), "there are no more");
    assert_eq!(names(&pages(&gateway, "topics", "search=m/3", async || {}).await), ["room/3"]);
    assert_eq!((&all[4]["hearers"], &all[4]["offset"]), (&json!(2), &json!(0)), "{}", all[4]);
    assert!(all[4]["epoch"].is_string() && all[0].get("epoch").is_none(), "{all:?}");
    let shown = found(&gateway, "alice").await;
    assert_eq!(shown[0]["topics"], 5);
    let detail = get(&gateway, &format!("/api/v1/connections/{}", shown[0]["id"])).await;
    assert_eq!((&detail["topics"], &detail["heard"]), (&json!(5), &json!(["room/0", "room/1", "room/2", "room/3", "room/4"])));
    let session = get(&gateway, &format!("/api/v1/sessions/{}", shown[0]["session"].as_str().unwrap())).await;
    assert_eq!((&session["state"], &session["heard"]), (&json!("attached"), &detail["heard"]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_asked_wrongly_is_told_so_and_changes_nothing() {
    let gateway = gateway(ECHO);
    let mut alice = TestClient::connect_as(gateway.edge(), &gateway.token("alice", &[])).await;
    for query in ["limit=0", "limit=1001", "limit=x", "after=x", "after=-1", "serach=x", "search=%zz", "search=a&search=b"] {
        assert_eq!(operator(&gateway, &format!("/api/v1/connections?{query}"), None).await.0, 400, "{query}");
    }
    for body in ["{}", r#"{"user":"alice","session":"x"}"#, r#"{"users":"alice"}"#, r#"{"user":""}"#, r#"{"user":"a\u001b"}"#, ""] {
        assert_eq!(operator(&gateway, "/api/v1/kick", Some(body)).await.0, 400, "{body}");
    }
    assert_eq!(operator(&gateway, "/api/v1/topics?hearers=1", None).await.0, 400);
    assert_eq!(operator(&gateway, "/api/v1/sessions/none", None).await.0, 404);
    assert_eq!(operator(&gateway, "/api/v1/sessions/none?user=alice", None).await.0, 404);
    assert_eq!(alice.echo(9002, "still here").await, "still here");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_command_line_shows_connections_and_kicks() {
    let gateway = gateway(ECHO);
    let mut alice = TestClient::connect_as(gateway.edge(), &gateway.token("alice", &["player"])).await;
    let _nobody = TestClient::connect(gateway.edge()).await;
    let admin = gateway.admin().to_string();
    let run = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_protogate"));
        let output =
            command.args(arguments).args(["--admin", &admin]).current_dir(gateway.folder()).env_remove("GATEWAY_MODE").output().unwrap();
        let told = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap()).concat();
        (output.status.code().unwrap(), told)
    };
    let (code, told) = run(&["connections"]);
    assert!(code == 0 && told.lines().count() == 3 && told.contains(" alice "), "{told}");
    let (code, told) = run(&["connections", "--search", "ali", "--json"]);
    let shown: Value = serde_json::from_str(&told).unwrap();
    assert_eq!((code, &shown["user"]), (0, &json!("alice")));
    let (code, told) = run(&["connections", &shown["id"].to_string()]);
    assert!(code == 0 && told.contains("roles          [\"player\"]\n"), "{told}");
    let (code, told) = run(&["connections", "123456789"]);
    assert!(code == 1 && told.contains("no connection of this number"), "{told}");
    assert_eq!([run(&["kick"]).0, run(&["kick", "--user", "a", "--session", "b"]).0, run(&["connections", "x"]).0], [64; 3]);
    assert_eq!(run(&["kick", "--user", "alice"]), (0, "kicked alice: 1 session is over\n".to_owned()));
    timeout(PATIENCE, alice.assert_sent_away(4501)).await.expect("it is told in time");
    assert_eq!(run(&["kick", "--user", "alice"]), (0, "kicked alice: 0 sessions are over\n".to_owned()));
}
