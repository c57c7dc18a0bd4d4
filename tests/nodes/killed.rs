//! A node dies under load: its users go on elsewhere, and nobody is answered twice.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use protogate::wire::Codec;
use serde_json::json;

use super::*;

/// How many users call all the time.
const USERS: usize = 50;

/// What came of one user.
#[derive(Default, Debug)]
struct Ledger {
    /// Calls that were sent, and those of them that were answered with what they asked.
    sent: u32,
    answered: u32,
    /// Those whose connection ended before the answer. Whether they were carried out, their caller cannot know.
    unanswered: u32,
    /// Connections after the first: those that went on with the session, and those that began anew.
    resumed: u32,
    anew: u32,
    /// Answers since the node died.
    after: u32,
}

/// What all users share.
struct World {
    /// Where each may connect: one node dies, the other stays.
    edges: [SocketAddr; 2],
    dead: AtomicU32,
}

/// Calls until it has been answered often enough after the node has died. Each call has a text of its own; an answer that no open call
/// waits for, or with another's text, is the end of the test.
async fn play(world: Arc<World>, user: String, token: String, calls_after: u32) -> Ledger {
    let mut ledger = Ledger::default();
    let mut player = Player::login(world.edges[0], &token).await;
    let session = player.session.id.clone();
    while ledger.after < calls_after {
        let mut open = BTreeMap::new();
        for _ in 0..4 {
            let text = format!("{user} {}", ledger.sent);
            ledger.sent += 1;
            let id = player.send(KNOWN, json!({ "text": text })).await;
            open.insert(id, text);
        }
        while !open.is_empty() {
            let Some(said) = player.try_hear().await else { break };
            if said.protocol != KNOWN {
                continue;
            }
            let asked = open.remove(&said.id).unwrap_or_else(|| panic!("{user} was answered twice: {said:?}"));
            assert_eq!((said.reason.as_str(), said.payload["text"].as_str()), ("OK", Some(&*asked)));
            ledger.answered += 1;
            ledger.after += world.dead.load(Ordering::SeqCst);
        }
        if !open.is_empty() {
            ledger.unanswered += u32::try_from(open.len()).unwrap();
            player = come_back(&world, player.vanish(), &token, &mut ledger).await;
        }
    }
    assert!(ledger.anew > 0 || player.session.id == session);
    ledger
}

/// To the node that is left: with the session, or else with the token.
async fn come_back(world: &World, session: Session, token: &str, ledger: &mut Ledger) -> Player {
    loop {
        let Ok(mut player) = Player::try_connect(Codec::Json, world.edges[1]).await else { continue };
        match player.resume(&session, token).await {
            Ok(resumed) => {
                let same = resumed["ready"]["sessionId"] == *session.id;
                ledger.resumed += u32::from(same);
                ledger.anew += u32::from(!same);
                return player;
            }
            // It may be tried again, and nothing else may be said to somebody whose token is good.
            Err(reason) => assert!(reason == "UNAVAILABLE" || reason == "CONNECTION_CLOSED", "{reason}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_was_connected_to_a_node_that_died_goes_on_at_another() {
    let cluster = Cluster::new("{}");
    let (mut a, b) = (cluster.process().await, cluster.process().await);
    let world = Arc::new(World { edges: [a.edge, b.edge], dead: AtomicU32::new(0) });
    let players: Vec<_> = (0..USERS)
        .map(|number| {
            let user = format!("user{number}");
            let token = a.token_for(MINUTE, &user);
            tokio::spawn(play(Arc::clone(&world), user, token, 40))
        })
        .collect();
    let store = cluster.store().await;
    // In the middle of it: everybody is known, and has been for a while.
    eventually("everybody plays", async || !roster(&store, &format!("user{}", USERS - 1)).await.is_empty()).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    a.kill();
    world.dead.store(1, Ordering::SeqCst);

    let mut sum = Ledger::default();
    for (number, player) in players.into_iter().enumerate() {
        let ledger = player.await.unwrap();
        assert_eq!(ledger.sent, ledger.answered + ledger.unanswered, "user{number}");
        assert_eq!((ledger.resumed, ledger.anew), (1, 0), "user{number} comes back once, to the same session");
        sum.sent += ledger.sent;
        sum.answered += ledger.answered;
        sum.unanswered += ledger.unanswered;
        sum.resumed += ledger.resumed;
        sum.after += ledger.after;
        assert_eq!(roster(&store, &format!("user{number}")).await.len(), 1);
    }
    println!("{USERS} users, one node killed: {sum:?}");
}
