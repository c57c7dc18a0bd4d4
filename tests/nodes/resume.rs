//! Coming back: to the same node or another, that lives, stopped or died. What was missed is there, or it is said that it is not.

use protogate::wire::Codec;
use serde_json::json;

use super::*;
use crate::support::mirror::Mirror;
use crate::support::nodes::{PUSH, ROUTES, news};

/// Pushes these texts to all sessions of a user, by this node.
async fn push(gateway: &TestGateway, user: &str, texts: &[&str]) {
    for text in texts {
        let reached = gateway.gateway().push(user, PUSH, news(text)).await.unwrap_or_else(|failure| panic!("{}", failure.reason()));
        assert_eq!(reached, 1, "{text}");
    }
}

#[tokio::test]
async fn who_comes_back_while_the_old_socket_looks_alive_takes_its_place() {
    let mirror = Mirror::start("slow").await;
    let slow = format!("backends: {{ echo: {{ builtin: echo }}, mirror: {{ grpc: {{ endpoints: [\"http://{}\"] }} }} }}", mirror.address);
    let routes = ROUTES
        .replace("backends: { echo: { builtin: echo } }", &slow)
        .replace("pushes:", "  9010: { name: slow, rpc: protogate.echo.v1.EchoService/Echo, backend: mirror, timeout: 20s }\npushes:");
    let cluster = Cluster::serving("{}", &routes);
    let (a, b) = (cluster.gateway(), cluster.gateway());
    for (gateway, same) in [(&a, true), (&b, false)] {
        let mut old = Player::login(a.edge(), &token(&a, "alice")).await;
        push(&a, "alice", &["one", "two"]).await;
        assert_eq!(old.hear_pushes(2).await, ["one", "two"]);
        let session = Session { last_seq: 1, ..old.session.clone() };
        let open = old.send(9010, json!({ "text": "slow 10000" })).await;
        old.ask(6, json!({})).await.unwrap();

        let mut new = Player::connect(gateway.edge()).await;
        let resumed = new.resume(&session, "").await.unwrap();
        assert_eq!((&resumed["recovered"], &resumed["replayed"]), (&json!(true), &json!(1)), "the same node: {same}");
        assert_eq!(resumed["ready"]["sessionId"], *session.id);
        assert_eq!(new.hear_pushes(1).await, ["two"], "what it says it has seen does not come again");

        let ended = old.hear_sent_away(4502).await;
        let said: Vec<_> = ended.said.iter().map(|said| (said.id, said.reason.as_str())).collect();
        assert_eq!(said, [(open, "SESSION_REPLACED")], "its open call is answered before");
        assert!(!ended.goodbye.unwrap()["canResume"].as_bool().unwrap_or(false));

        push(&a, "alice", &["three"]).await;
        new.hear_pushes(2).await;
        assert_eq!(new.pushes, [(2, "two".to_owned()), (3, "three".to_owned())]);
        assert_eq!(roster(&cluster.store().await, "alice").await.len(), 1);
        new.ask(9004, json!({})).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_comes_back_before_it_is_known_that_they_left_is_not_sent_away_for_that() {
    let cluster = Cluster::new("{}");
    let a = cluster.gateway();
    let players = (0..10).map(|number| {
        let (edge, token) = (a.edge(), token(&a, &format!("user{number}")));
        async move {
            let mut player = Player::login(edge, &token).await;
            for round in 0..20 {
                let session = player.vanish();
                player = Player::connect(edge).await;
                let Ok(resumed) = player.resume(&session, "").await else { panic!("round {round}: {:?}", player.hear_end().await) };
                assert_eq!((&resumed["recovered"], &resumed["ready"]["sessionId"]), (&json!(true), &json!(session.id)), "round {round}");
                assert_eq!(player.echo(KNOWN, "hi").await.as_deref(), Ok("hi"), "round {round}");
            }
        }
    });
    futures_util::future::join_all(players).await;
}

/// Comes back, and says whether that was granted.
async fn come_back(edge: std::net::SocketAddr, session: &Session) -> (Player, bool) {
    let mut player = Player::connect(edge).await;
    let granted = player.resume(session, "").await.is_ok();
    (player, granted)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_those_who_come_back_at_the_same_moment_one_has_the_session() {
    let cluster = Cluster::new("{}");
    let (a, b) = (cluster.gateway(), cluster.gateway());
    let store = cluster.store().await;
    let mut recovered = 0;
    for round in 0..20 {
        let user = format!("user{round}");
        let old = Player::login(a.edge(), &token(&a, &user)).await;
        let session = old.session.clone();
        push(&b, &user, &["one"]).await;
        let edges = if round % 2 == 0 { [a.edge(), b.edge()] } else { [b.edge(); 2] };
        let (one, other) = tokio::join!(come_back(edges[0], &session), come_back(edges[1], &session));
        old.hear_sent_away(4502).await;
        // Whoever was replaced is told, and the other stays.
        let mut live = Vec::new();
        for (mut player, granted) in [one, other] {
            match player.echo(KNOWN, "hi").await {
                Ok(_) if granted => {
                    push(&a, &user, &["two"]).await;
                    // Either both are there, or it was said that the first is not.
                    while player.pushes.last().is_none_or(|push| push.1 != "two") {
                        player.hear_pushes(player.pushes.len() + 1).await;
                    }
                    recovered += usize::from(player.pushes.len() == 2);
                    live.push(player);
                }
                // It may have been refused, when it had lost before it was granted anything.
                _ => drop(player),
            }
        }
        assert_eq!(live.len(), 1, "{user}");
        let listed = roster(&store, &user).await;
        assert_eq!(listed.iter().map(|record| &*record.id).collect::<Vec<_>>(), [&*session.id]);
        assert!(listed[0].detached_until_ms.is_none(), "{user}");
    }
    println!("20 sessions that two came back to at once: {recovered} had lost nothing");
}

#[tokio::test]
async fn on_another_node_and_in_another_codec_exactly_what_was_missed_comes_in_order() {
    let cluster = Cluster::new("{}");
    let (a, b) = (cluster.gateway(), cluster.gateway());
    let mut player = Player::login(a.edge(), &token(&a, "alice")).await;
    push(&b, "alice", &["one", "two"]).await;
    player.hear_pushes(2).await;
    player.acknowledge().await;
    push(&b, "alice", &["three"]).await;
    player.hear_pushes(3).await;
    // It has seen the third and does not say so before the train is in the tunnel.
    let mut session = player.vanish();
    detached(&cluster, &session).await;
    for (round, codec) in [Codec::Proto, Codec::Json, Codec::Proto, Codec::Json].into_iter().enumerate() {
        let (here, there) = if round % 2 == 0 { (&b, &a) } else { (&a, &b) };
        let expected: Vec<String> = (0..5).map(|number| format!("round {round}, number {number}")).collect();
        // By the node that has the session, or by letters to it, behind which comes the one that asks for what was missed.
        let by = if round < 2 { here } else { there };
        push(by, "alice", &expected.iter().map(String::as_str).collect::<Vec<_>>()).await;
        let mut back = Player::speaking(codec, here.edge()).await;
        let resumed = back.resume(&session, "").await.unwrap();
        assert_eq!((&resumed["recovered"], &resumed["replayed"]), (&json!(true), &json!(5)), "round {round}");
        assert_eq!(back.hear_pushes(5).await, expected);
        assert_eq!(back.echo(KNOWN, "hi").await.unwrap(), "hi");
        assert_eq!(back.pushes.len(), 5, "nothing comes twice");
        session = back.vanish();
        detached(&cluster, &session).await;
    }
}

#[tokio::test]
async fn an_orderly_stop_loses_nothing() {
    let cluster = Cluster::new("{}");
    let (a, b) = (cluster.gateway(), cluster.gateway());
    let mut connected = Player::login(a.edge(), &token(&a, "connected")).await;
    let mut gone = Player::login(a.edge(), &token(&a, "gone")).await;
    let quiet = Player::login(a.edge(), &token(&a, "quiet")).await;
    push(&a, "connected", &["one", "two"]).await;
    connected.hear_pushes(2).await;
    gone.echo(KNOWN, "hi").await.unwrap();
    let gone = gone.vanish();
    detached(&cluster, &gone).await;
    push(&a, "gone", &["missed"]).await;
    let (seen, quiet_session) = (Session { last_seq: 1, ..connected.session.clone() }, quiet.session.clone());

    a.stop().await;
    for player in [connected, quiet] {
        let ended = player.hear_sent_away(1001).await;
        assert_eq!(ended.goodbye.unwrap()["canResume"], true);
    }
    for (session, missed) in [(&seen, vec!["two"]), (&gone, vec!["missed"]), (&quiet_session, vec![])] {
        let mut back = Player::connect(b.edge()).await;
        let resumed = back.resume(session, "").await.unwrap();
        assert_eq!((&resumed["recovered"], &resumed["ready"]["sessionId"]), (&json!(true), &json!(session.id)), "{}", session.user);
        assert_eq!(back.hear_pushes(missed.len()).await, missed);
    }
}

#[tokio::test]
async fn a_node_that_died_takes_what_was_missed_with_it_and_the_session_stays() {
    let cluster = Cluster::new("{}");
    let (mut a, b) = (cluster.process().await, cluster.gateway());
    let player = Player::login(a.edge, &a.token_for(MINUTE, "alice")).await;
    a.kill();
    let mut back = Player::connect(b.edge()).await;
    let session = player.vanish();
    let resumed = back.resume(&session, "").await.unwrap();
    assert!(!resumed["recovered"].as_bool().unwrap_or(false), "nobody knows what was missed: {resumed}");
    assert_eq!((&resumed["ready"]["sessionId"], &resumed["ready"]["user"]), (&json!(session.id), &json!("alice")));
    push(&b, "alice", &["news"]).await;
    assert_eq!(back.hear_pushes(1).await, ["news"]);
    // From here on nothing is lost any more.
    let session = back.vanish();
    let mut again = Player::connect(b.edge()).await;
    assert_eq!(again.resume(&session, "").await.unwrap()["recovered"], true);
}

#[tokio::test]
async fn what_does_not_fit_the_ring_is_known_to_be_lost() {
    let cluster = Cluster::new("{ ring_bytes_max: 4KiB }");
    let (a, b) = (cluster.gateway(), cluster.gateway());
    for there in [&a, &b] {
        let player = Player::login(a.edge(), &token(&a, "alice")).await;
        let session = player.vanish();
        detached(&cluster, &session).await;
        let long = "x".repeat(500);
        push(&a, "alice", &[long.as_str(); 10]).await;
        let mut back = Player::connect(there.edge()).await;
        let resumed = back.resume(&session, "").await.unwrap();
        assert!(!resumed["recovered"].as_bool().unwrap_or(false), "{resumed}");
        push(&a, "alice", &["later"]).await;
        assert_eq!(back.hear_pushes(1).await, ["later"], "of what came before nothing comes");
        back.ask(9004, json!({})).await.unwrap();
    }
}

#[tokio::test]
async fn after_the_window_a_session_is_over() {
    let cluster = Cluster::new("{ resume_window: 1s }");
    let (a, b) = (cluster.gateway(), cluster.gateway());
    let session = Player::login(a.edge(), &token(&a, "alice")).await.vanish();
    let store = cluster.store().await;
    eventually("nobody waits any more", async || roster(&store, "alice").await.is_empty()).await;
    for gateway in [&a, &b] {
        let mut back = Player::connect(gateway.edge()).await;
        assert_eq!(back.resume(&session, "").await.unwrap_err(), "RESUME_FAILED");
        assert_eq!(back.echo(KNOWN, "hi").await.unwrap_err(), "UNAUTHENTICATED");
        let resumed = back.resume(&session, &token(&a, "alice")).await.unwrap();
        assert!(!resumed["recovered"].as_bool().unwrap_or(false));
        assert_ne!(back.session.id, session.id);
        assert_eq!(back.echo(KNOWN, "hi").await.unwrap(), "hi");
    }
}

#[tokio::test]
async fn a_session_is_nobody_elses() {
    let cluster = Cluster::new("{}");
    let (a, b) = (cluster.gateway(), cluster.gateway());
    let mut alice = Player::login(a.edge(), &token(&a, "alice")).await;
    let session = alice.session.clone();
    let mut parts: Vec<&str> = session.resume_token.split('.').collect();
    let guessed = "A".repeat(parts[3].len());
    parts[3] = &guessed;
    let guess = Session { resume_token: parts.join("."), ..session.clone() };
    for gateway in [&a, &b] {
        let mut eve = Player::connect(gateway.edge()).await;
        assert_eq!(eve.resume(&guess, "").await.unwrap_err(), "RESUME_FAILED");
        // Hers is good, and for a session of her own.
        let mut eve = Player::connect(gateway.edge()).await;
        let resumed = eve.resume(&session, &token(&a, "eve")).await.unwrap();
        assert_eq!((eve.session.user.as_str(), resumed["recovered"].as_bool().unwrap_or(false)), ("eve", false));
        assert_ne!(eve.session.id, session.id);
    }
    assert_eq!(alice.echo(KNOWN, "mine").await.unwrap(), "mine");
    // What was left on purpose is left.
    alice.ask(9004, json!({})).await.unwrap();
    for gateway in [&a, &b] {
        let mut back = Player::connect(gateway.edge()).await;
        assert_eq!(back.resume(&session, "").await.unwrap_err(), "RESUME_FAILED");
    }
}

#[tokio::test]
async fn who_would_come_back_to_where_they_are_stays_there() {
    let cluster = Cluster::new("{}");
    let a = cluster.gateway();
    let mut player = Player::login(a.edge(), &token(&a, "alice")).await;
    let session = player.session.clone();
    assert_eq!(player.resume(&session, "").await.unwrap_err(), "RESUME_FAILED");
    assert_eq!(player.echo(KNOWN, "hi").await.as_deref(), Ok("hi"));
    let session = player.vanish();
    let mut back = Player::connect(a.edge()).await;
    assert_eq!(back.resume(&session, "").await.unwrap()["recovered"], true);
}
