//! Gateways that drain, in processes of their own: under load, over one Redis, by the operator's word, and at once.
//!
//! `DRAINS=20` makes them as many as it says instead of the four that every run of the tests has.

mod load;

// The socket stays when the process goes.
mod activation;

use std::collections::HashSet;
use std::net::SocketAddr;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde_json::json;
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use crate::support::client::TestClient;
use crate::support::mirror::Mirror;
use crate::support::nodes::{Cluster, PUSH, Process, ROUTES, eventually, news};
use crate::support::player::{Player, Session};
use crate::support::{ECHO, TestGateway};

const MINUTE: Duration = Duration::from_secs(60);

fn files(drain: &str) -> String {
    format!("version: 1\nreload: {{ watch: false }}\ndrain: {drain}\n")
}

async fn start(drain: &str) -> Process {
    Process::start(&[("routes/gateway.yaml", &files(drain)), ("routes/routes.yaml", ECHO)]).await
}

async fn ends(mut process: Process) -> String {
    eventually("the process has ended", || std::future::ready(process.ended().is_some())).await;
    assert!(process.ended().unwrap().success(), "{}", process.log());
    process.log()
}

#[tokio::test]
async fn for_the_grace_it_is_not_ready_and_takes_connections_all_the_same() {
    let process = start("{ grace: 4s, over: 0s }").await;
    let mut early = TestClient::connect(process.edge).await;
    process.terminate();
    eventually("it says that it is not ready", async || ready(process.admin).await == 503).await;
    let mut late = TestClient::connect(process.edge).await;
    assert_eq!(late.echo(9001, "still").await, "still");
    for client in [&mut early, &mut late] {
        client.assert_sent_away(1001).await;
    }
    assert!(TcpStream::connect(process.edge).await.is_err(), "the listener is closed before anybody is sent away");
    ends(process).await;
}

async fn ready(admin: SocketAddr) -> u16 {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut stream = TcpStream::connect(admin).await.unwrap();
    stream.write_all(b"GET /readyz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer.split(' ').nth(1).unwrap().parse().unwrap()
}

#[tokio::test]
async fn the_operator_asks_for_it_and_waits() {
    let process = start("{ grace: 0s, over: 600ms }").await;
    let mut clients = Vec::new();
    for _ in 0..3 {
        clients.push(TestClient::connect(process.edge).await);
    }
    let (admin, data) = (process.admin.to_string(), process.folder().join("data"));
    let asking = tokio::task::spawn_blocking(move || {
        let arguments = ["drain", "--admin", &admin, "--data", data.to_str().unwrap()];
        Command::new(env!("CARGO_BIN_EXE_protogate")).args(arguments).output().unwrap()
    });
    for (client, delay) in clients.iter_mut().zip([0, 200, 400]) {
        let mut reconnect = client.hear_message().await;
        assert_eq!(reconnect["protocol"], 10, "{reconnect}");
        // Which is whose is for the workers to say; all of them are there.
        let told = reconnect["payload"]["delayMs"].take().as_u64().unwrap_or(0);
        assert!([0, 200, 400].contains(&told), "{told} near {delay}");
        assert_eq!(reconnect["payload"]["reason"], "GOING_AWAY");
        client.assert_sent_away(1001).await;
    }
    let Output { status, stdout, stderr } = asking.await.unwrap();
    let (told, complaint) = (String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap());
    assert!(status.success() && told.contains("draining: 3 connections\n") && told.contains("ended after "), "{told}{complaint}");
    let log = ends(process).await;
    assert_eq!(log.matches(r#"action="/api/v1/drain" outcome="done""#).count(), 1, "{log}");
}

#[tokio::test]
async fn whoever_has_no_clients_ends_at_once_and_whoever_is_asked_twice_too() {
    let process = start("{ grace: 0s, over: 15s }").await;
    let began = Instant::now();
    process.terminate();
    ends(process).await;
    assert!(began.elapsed() < Duration::from_secs(14), "nobody is there: {:?}", began.elapsed());

    let mut process = start("{ grace: 0s, over: 15s }").await;
    let mut client = TestClient::connect(process.edge).await;
    let mut other = TestClient::connect(process.edge).await;
    process.terminate();
    for client in [&mut client, &mut other] {
        assert_eq!(client.hear_message().await["protocol"], 10);
    }
    process.terminate();
    // Asked twice, it is short of words and has some.
    client.assert_sent_away(1001).await;
    eventually("it ends", || std::future::ready(process.ended().is_some())).await;
    assert!(process.log().contains("asked twice"), "{}", process.log());
}

#[tokio::test]
async fn a_supervisor_that_does_not_know_of_the_operators_drain_does_not_cut_it_short() {
    let process = start("{ grace: 0s, over: 8s }").await;
    let (mut client, mut other) = (TestClient::connect(process.edge).await, TestClient::connect(process.edge).await);
    let arguments = ["drain", "--admin", &process.admin.to_string(), "--data", "data"];
    let mut asking = Command::new(env!("CARGO_BIN_EXE_protogate")).args(arguments).current_dir(process.folder()).spawn().unwrap();
    let (told, other_told) = (client.hear_message().await, other.hear_message().await);
    assert_eq!([&told["protocol"], &other_told["protocol"]], [10, 10]);
    process.terminate();
    // Whose turn is the later has time for it.
    let later = if told["payload"]["delayMs"].as_u64() > other_told["payload"]["delayMs"].as_u64() { &mut client } else { &mut other };
    assert_eq!(later.echo(9001, "still").await, "still");
    for client in [&mut client, &mut other] {
        client.assert_sent_away(1001).await;
    }
    let log = ends(process).await;
    assert!(!log.contains("asked twice") && log.contains("drained"), "{log}");
    assert!(asking.wait().unwrap().success());
}

/// How a client behaves when it is told to move.
#[derive(Clone, Copy, PartialEq)]
enum Mover {
    /// Comes back elsewhere when its turn is, and lets the old connection be.
    InTime,
    /// Waits until it is sent away.
    Late,
}

/// Hears pushes on the first gateway, moves, and hears the rest on the second.
async fn moves(mut player: Player, mover: Mover, next: SocketAddr, last: String) -> Option<Vec<String>> {
    let told = player.hear(10).await;
    let session = match mover {
        Mover::InTime => {
            assert_eq!(told.payload["canResume"], true);
            let delay = Duration::from_millis(told.payload["delayMs"].as_u64().unwrap_or(0));
            // What is pushed meanwhile is heard.
            _ = timeout(delay, player.hear_pushes(usize::MAX)).await;
            player.session.clone()
        }
        Mover::Late => {
            while player.try_hear().await.is_some() {}
            assert_eq!(player.closed(), Some(1001));
            player.session.clone()
        }
    };
    let mut back = Player::connect(next).await;
    back.pushes = std::mem::take(&mut player.pushes);
    let came = finish(back, session, &last).await;
    if mover == Mover::InTime {
        let ended = player.hear_end().await;
        // The second only if coming back took longer than a second.
        assert!([Some(4502), Some(1001)].contains(&ended.close), "{ended:?}");
    }
    came
}

/// Comes back, and hears until the last push. Nothing: it was told that something is lost.
async fn finish(mut back: Player, session: Session, last: &str) -> Option<Vec<String>> {
    let resumed = loop {
        match back.resume(&session, "").await {
            // A busy machine's Redis answers late; the answer says to try again.
            Err(reason) if reason == "UNAVAILABLE" => sleep(Duration::from_millis(50)).await,
            answer => break answer.unwrap(),
        }
    };
    // The gateway it leaves has 300 ms to hand over what was missed. A machine that is too busy for that is told of, never hidden.
    if resumed["recovered"] != true {
        return None;
    }
    while back.pushes.last().is_none_or(|push| push.1 != last) {
        back.hear_pushes(back.pushes.len() + 1).await;
    }
    Some(back.pushes.into_iter().map(|push| push.1).collect())
}

/// Sends until it is known to be on its way. Whether it may be there twice: whoever did not answer in time may have done it.
async fn push(gateway: &TestGateway, user: &str, text: &str) -> bool {
    let mut twice = false;
    loop {
        match gateway.gateway().push(user, PUSH, news(text)).await {
            Ok(1..) => return twice,
            Ok(0) => {}
            Err(_) => twice = true,
        }
        sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_move_to_another_gateway_by_their_slots_and_lose_nothing() {
    const CLIENTS: usize = 30;
    const PUSHES: usize = 40;
    let mirror = Mirror::start("mirror").await;
    let backends = format!("backends: {{ mirror: {{ grpc: {{ endpoints: [\"http://{}\"] }} }}, echo:", mirror.address);
    let slow = "routes:\n  9005: { name: slow, rpc: protogate.echo.v1.EchoService/Echo, backend: mirror, access: anonymous, timeout: 20s }";
    let routes = ROUTES.replace("backends: { echo:", &backends).replace("routes:", slow);
    let cluster = Cluster::serving("{}\ndrain: { grace: 200ms, over: 2s }", &routes);
    let (a, b): (Process, TestGateway) = (cluster.process().await, cluster.gateway());
    let mut moving = Vec::new();
    for number in 0..CLIENTS {
        let player = Player::login(a.edge, &a.token_for(MINUTE, &format!("user{number}"))).await;
        let mover = if number % 2 == 0 { Mover::InTime } else { Mover::Late };
        moving.push(tokio::spawn(moves(player, mover, b.edge(), (PUSHES - 1).to_string())));
    }
    // Somebody leaves behind all others, so that the first gateway is there for as long as anybody moves away from it.
    let mut anchor = TestClient::connect(a.edge).await;
    a.terminate();
    let reconnect = anchor.hear_message().await;
    assert_eq!(reconnect["protocol"], 10);
    anchor.send(9005, json!({ "text": "slow 5000" })).await;
    let anchored = tokio::spawn(async move {
        assert_eq!(anchor.hear_message().await["payload"]["text"], "slow 5000", "it is answered behind its turn");
        anchor.assert_sent_away(1001).await;
    });
    let mut maybe_twice = HashSet::new();
    for text in (0..PUSHES).map(|push| push.to_string()) {
        let b = &b;
        let all = (0..CLIENTS).map(|number| {
            let text = text.clone();
            async move { push(b, &format!("user{number}"), &text).await.then_some((number, text)) }
        });
        maybe_twice.extend(join_all(all).await.into_iter().flatten());
        sleep(Duration::from_millis(60)).await;
    }
    let mut told_of_a_loss = 0;
    let due: Vec<String> = (0..PUSHES).map(|push| push.to_string()).collect();
    for (number, moved) in moving.into_iter().enumerate() {
        let Some(mut texts) = moved.await.unwrap() else {
            told_of_a_loss += 1;
            continue;
        };
        texts.dedup_by(|next, before| next == before && maybe_twice.contains(&(number, before.clone())));
        assert_eq!(texts, due, "user{number} got each once and in order");
    }
    assert!(told_of_a_loss * 3 <= CLIENTS, "{told_of_a_loss} of {CLIENTS}");
    anchored.await.unwrap();
    ends(a).await;
}
