//! Pushes that are waited for: to whom they were given, and to whom written, on one gateway and on several that share one Redis.

use std::time::Duration;

use bytes::Bytes;
use protogate::push::v1::push_request::Target;
use protogate::push::v1::push_service_client::PushServiceClient;
use protogate::push::v1::{Everyone, PushRequest, PushResponse, Session, Users, Wait};
use protogate::wire::Codec;
use serde_json::json;
use tokio::net::TcpSocket;
use tokio::time::{Instant, timeout};
use tokio_tungstenite::client_async;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tonic::Request;
use tonic::transport::Endpoint;

use crate::support::nodes::{Cluster, eventually, news};
use crate::support::player::Player;
use crate::support::{PATIENCE, TestGateway};

/// How long a node waits for its sessions.
const SECOND: Duration = Duration::from_secs(1);

/// How often a machine may be too busy to write within it.
const TRIES: usize = 10;

const KEPT: u32 = 2101;
const PASSING: u32 = 2102;
const DURABLE: u32 = 2103;

const JOIN: u32 = 9002;

const ROUTES: &str = r#"
version: 1
descriptors: [{ proto: ../proto }]
backends: { echo: { builtin: echo } }
rate_limits: { plenty: { key: [caller], rate: 100000/s, burst: 100000 } }
defaults: { backend: echo, rate_limits: [plenty], request_bytes_max: 128KiB, reply_bytes_max: 128KiB }
topics:
  "room/{id}": { join: effect, history: { count: 8 }, pushes: [2102] }
  "news/{id}": { join: effect, pushes: [2102] }
routes:
  9002:
    name: join
    rpc: protogate.echo.v1.EchoService/Echo
    on_success: { subscribe: ["room/${request.text}", "news/${request.text}"] }
pushes:
  2101: { name: kept, message: protogate.echo.v1.EchoResponse, delivery: session }
  2102: { name: passing, message: protogate.echo.v1.EchoResponse, delivery: best_effort, on_slow: drop_oldest }
  2103: { name: durable, message: protogate.echo.v1.EchoResponse, delivery: durable }
"#;

const PUSH_SIDE: &str = "push: { address: \"127.0.0.1:0\", token: \"a token of services\" }";

fn alone() -> TestGateway {
    let process = format!("version: 1\nreload: {{ watch: false }}\n{PUSH_SIDE}\n");
    TestGateway::start_with(&[("routes/gateway.yaml", &process), ("routes/routes.yaml", ROUTES)])
}

fn cluster() -> Cluster {
    let cluster = Cluster::serving("{}", ROUTES);
    let process = format!(
        "version: 1\nreload: {{ watch: false }}\nlisten: {{ workers: 1 }}\n{PUSH_SIDE}\nstore: {{ redis: {{ url: \"{}\", prefix: nodes }} }}\n",
        cluster.redis.url()
    );
    cluster.with_file("routes/gateway.yaml", &process)
}

fn users(names: &[&str]) -> Target {
    Target::Users(Users { users: names.iter().map(|name| (*name).to_owned()).collect() })
}

/// Pushes a text, and waits until it is written.
async fn push(gateway: &TestGateway, target: Target, number: u32, text: &str) -> PushResponse {
    push_bytes(gateway, target, number, news(text)).await
}

async fn push_bytes(gateway: &TestGateway, target: Target, number: u32, payload: Bytes) -> PushResponse {
    let address = gateway.gateway().push_address().expect("there is a push side");
    let channel = Endpoint::from_shared(format!("http://{address}")).unwrap().connect().await.unwrap();
    let mut request = Request::new(PushRequest { target: Some(target), number, payload, wait: Wait::Written.into() });
    request.metadata_mut().insert("authorization", "Bearer a token of services".parse().unwrap());
    timeout(PATIENCE, PushServiceClient::new(channel).push(request)).await.expect("there is an answer in time").unwrap().into_inner()
}

/// Of how many sessions it was said that they got it, and had it written.
async fn counted(gateway: &TestGateway, target: Target, number: u32) -> (u32, u32) {
    let response = push(gateway, target, number, "news").await;
    (response.sessions, response.written)
}

/// That so many sessions got it and had it written, and never more. A machine that was too busy to write within the second is asked again.
async fn assert_counted(gateway: &TestGateway, target: Target, number: u32, expected: (u32, u32)) {
    let mut last = (0, 0);
    for _ in 0..TRIES {
        last = counted(gateway, target.clone(), number).await;
        if last == expected {
            return;
        }
        assert!(last.0 <= expected.0 && last.1 <= expected.1, "{last:?} of {expected:?}");
    }
    panic!("{last:?} again and again, and not {expected:?}");
}

async fn player(gateway: &TestGateway, user: &str) -> Player {
    Player::login(gateway.edge(), &gateway.token(user, &[])).await
}

/// What is the same wherever the players are: alice is on one node and the other, bob on the other.
async fn everybody_is_counted(one: &TestGateway, other: &TestGateway) {
    let (mut alice, mut bob) = (player(one, "alice").await, player(other, "bob").await);
    let _alice_too = player(other, "alice").await;
    assert_counted(one, users(&["alice", "bob", "nobody"]), KEPT, (3, 3)).await;
    assert_counted(one, users(&["alice", "bob"]), PASSING, (3, 3)).await;
    assert_counted(one, users(&["alice", "bob"]), DURABLE, (3, 3)).await;
    for player in [&alice, &bob] {
        let session = Session { user: player.session.user.clone(), session: player.session.id.clone() };
        assert_counted(one, Target::Session(session), KEPT, (1, 1)).await;
    }
    assert_counted(one, Target::Everyone(Everyone {}), KEPT, (3, 3)).await;
    assert_counted(one, Target::Everyone(Everyone {}), PASSING, (3, 3)).await;

    // Nobody hears it.
    assert_counted(one, Target::Topic("room/hall".to_owned()), PASSING, (0, 0)).await;
    for player in [&mut alice, &mut bob] {
        player.ask(JOIN, json!({ "text": "hall" })).await.unwrap();
    }
    for (topic, has_place) in [("room/hall", true), ("news/hall", false)] {
        let response = push(one, Target::Topic(topic.to_owned()), PASSING, "news").await;
        assert_counted(one, Target::Topic(topic.to_owned()), PASSING, (2, 2)).await;
        assert_eq!((response.offset > 0, !response.epoch.is_empty()), (has_place, has_place), "{topic}");
    }

    let session = bob.vanish();
    eventually("bob is away", async || counted(one, users(&["bob"]), KEPT).await == (1, 0)).await;
    // It is kept for him.
    assert_counted(one, users(&["bob"]), DURABLE, (1, 0)).await;
    assert_eq!(counted(one, users(&["bob"]), PASSING).await.1, 0, "he misses it");
    assert_counted(one, Target::Everyone(Everyone {}), KEPT, (3, 2)).await;
    assert_counted(one, Target::Everyone(Everyone {}), PASSING, (2, 2)).await;
    let mut bob = Player::connect(other.edge()).await;
    bob.resume(&session, "").await.unwrap();
    assert_counted(one, users(&["bob"]), KEPT, (1, 1)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_that_is_alone_counts_its_own() {
    let gateway = alone();
    everybody_is_counted(&gateway, &gateway).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_count_whatever_node_they_are_on() {
    let cluster = cluster();
    let (one, other) = (cluster.gateway(), cluster.gateway());
    everybody_is_counted(&one, &other).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_does_not_read_is_waited_for_a_second() {
    let gateway = alone();
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(2048).unwrap();
    socket2::SockRef::from(&socket).set_tcp_mss(536).unwrap();
    let mut request = format!("ws://{}/ws", gateway.edge()).into_client_request().unwrap();
    request.headers_mut().insert("sec-websocket-protocol", Codec::Proto.subprotocol().parse().unwrap());
    request.headers_mut().insert("authorization", format!("Bearer {}", gateway.token("bob", &[])).parse().unwrap());
    let stream = socket.connect(gateway.edge()).await.unwrap();
    let _deaf = client_async(request, stream).await.unwrap();
    let _alice = player(&gateway, "alice").await;
    eventually("bob is there", async || counted(&gateway, users(&["bob"]), KEPT).await == (1, 1)).await;

    let began = Instant::now();
    let long = "x".repeat(200 << 10);
    let response = push(&gateway, users(&["alice", "bob"]), KEPT, &long).await;
    assert!(response.sessions == 2 && response.written <= 1, "{response:?}");
    assert!(began.elapsed() >= SECOND, "{:?}", began.elapsed());
    let began = Instant::now();
    assert_counted(&gateway, Target::Everyone(Everyone {}), PASSING, (2, 1)).await;
    assert!(began.elapsed() >= SECOND, "{:?}", began.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_stands_still_or_died_keeps_nobody_waiting() {
    let cluster = cluster();
    let (one, mut other) = (cluster.gateway(), cluster.process().await);
    let _here = player(&one, "alice").await;
    let _there = Player::login(other.edge, &one.token("alice", &[])).await;
    let everywhere = [users(&["alice"]), Target::Everyone(Everyone {})];
    for target in everywhere.clone() {
        assert_counted(&one, target, KEPT, (2, 2)).await;
    }
    other.pause();
    for target in everywhere.clone() {
        let began = Instant::now();
        let (sessions, written) = counted(&one, target, KEPT).await;
        assert!(sessions == 1 && written <= 1, "what came is counted: {sessions} {written}");
        assert!(began.elapsed() >= SECOND, "{:?}", began.elapsed());
    }
    other.kill();
    for target in everywhere {
        assert_counted(&one, target, KEPT, (1, 1)).await;
    }
}
