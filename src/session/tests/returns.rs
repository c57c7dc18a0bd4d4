//! What a client that comes back finds, on the node where it was and on another.

use super::*;
use crate::session::revocation::Revocation;

#[tokio::test(start_paused = true)]
async fn a_client_that_comes_back_gets_what_it_missed_and_nothing_twice() {
    let mut world = World::of(2, settings()).await;
    let client = world.login(0, "alice").await.unwrap();
    for _ in 0..3 {
        assert_eq!(world.sessions(1).push("alice", None, 2101, payload()).await.unwrap().len(), 1);
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(client.pushed(), [1, 2, 3]);
    client.attachment.session().acknowledge(1);
    let token = client.resume_token.clone();
    drop(client);
    world.settle().await;
    assert_eq!(world.sessions(0).push("alice", None, 2101, payload()).await.unwrap().len(), 1, "it is kept while nobody is connected");

    let back = world.resume(0, &token, 2).await.unwrap();
    assert_eq!((back.recovered, back.replayed, back.pushed()), (true, 2, vec![3, 4]));
    let again = world.resume(0, &token, 4).await.unwrap();
    assert_eq!(back.closed(), Some(Close::Replaced));
    drop(back);
    assert_eq!((again.closed(), again.attachment.is_current()), (None, true), "a dying old connection takes nothing with it");
    let back = again;
    world.sessions(0).push("alice", None, 2101, payload()).await.unwrap();
    let elsewhere = world.resume(1, &token, 4).await.unwrap();
    assert_eq!((elsewhere.recovered, elsewhere.pushed()), (true, vec![5]), "the ring was handed over");
    assert_eq!(back.closed(), Some(Close::Replaced), "and the old connection sent away, though it seemed to live");
    world.sessions(0).push("alice", None, 2101, payload()).await.unwrap();
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert_eq!(elsewhere.pushed(), [5, 6]);
    drop(back);
    world.settle().await;
    assert_eq!(elsewhere.closed(), None, "a dying old connection does not remove the new session");
}

#[tokio::test(start_paused = true)]
async fn what_is_pushed_while_a_session_is_between_two_nodes_arrives_behind_what_was_missed() {
    let world = World::of(2, settings()).await;
    let client = world.login(0, "alice").await.unwrap();
    world.sessions(0).push("alice", None, 2101, payload()).await.unwrap();
    let mut letters = world.intercept(0).await;
    let resumed = tokio::join!(world.resume(1, &client.resume_token, 0), async {
        let asked = World::letter(&mut letters).await;
        // By now the store says that it is on the other node, which has not got anything of it yet.
        assert_eq!(world.sessions(0).push("alice", None, 2101, payload()).await.unwrap().len(), 1);
        assert_eq!(world.sessions(1).push("alice", None, 2101, payload()).await.unwrap().len(), 1);
        tokio::time::sleep(Duration::from_millis(1)).await;
        world.sessions(0).receive(asked).await;
    });
    let back = resumed.0.unwrap();
    assert_eq!((back.recovered, back.pushed()), (true, vec![1, 2, 3]));
}

#[tokio::test(start_paused = true)]
async fn a_push_on_its_way_to_the_node_that_a_session_leaves_goes_after_it() {
    let world = World::of(2, settings()).await;
    let client = world.login(0, "alice").await.unwrap();
    let mut letters = world.intercept(0).await;
    assert_eq!(world.sessions(1).push("alice", None, 2101, payload()).await.unwrap().len(), 1);
    let late = World::letter(&mut letters).await;
    let resumed = tokio::join!(world.resume(1, &client.resume_token, 0), async {
        let asked = World::letter(&mut letters).await;
        world.sessions(0).receive(asked).await;
    });
    let back = resumed.0.unwrap();
    assert_eq!((back.recovered, back.pushed()), (true, vec![]));
    world.sessions(0).receive(late).await;
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert_eq!(back.pushed(), [1]);
}

#[tokio::test(start_paused = true)]
async fn a_session_that_is_revoked_between_two_nodes_arrives_nowhere() {
    for late in [false, true] {
        let mut world = World::of(2, settings()).await;
        let client = world.login(0, "alice").await.unwrap();
        let (token, id) = (client.resume_token.clone(), client.id().to_owned());
        let mut letters = world.intercept(0).await;
        let mut following = Node::join(world.sessions(1).clone()).await.unwrap();
        let token = ResumeToken::parse(&token).unwrap();
        let granted = tokio::join!(world.sessions(1).resume(&token, None, 0), async {
            let asked = World::letter(&mut letters).await;
            world.sessions(0).revoke(&Revocation::Session(id)).await.unwrap();
            if !late {
                following.follower.follow().await.unwrap();
            }
            world.sessions(0).receive(asked).await;
        });
        let entered = granted.0.ok().map(|grant| Client::enter(grant).map(|client| client.wire));
        following.follower.follow().await.unwrap();
        match entered {
            Some(Ok(wire)) => assert!(late && wire.closed.lock().unwrap().is_some(), "it was revoked"),
            Some(Err(close)) => assert_eq!(close, Close::Revoked),
            None => panic!("it was there when it was asked for"),
        }
        world.settle().await;
        assert!(world.sessions(0).is_empty() && world.sessions(1).is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_dead_node_held_is_said_to_be_lost() {
    let mut world = World::of(2, settings()).await;
    let client = world.login(0, "alice").await.unwrap();
    world.sessions(0).push("alice", None, 2101, payload()).await.unwrap();
    world.kill(0).await;
    let back = world.resume(1, &client.resume_token, 0).await.unwrap();
    assert_eq!((back.recovered, back.replayed, back.id()), (false, 0, client.id()));
    world.sessions(1).push("alice", None, 2101, payload()).await.unwrap();
    assert_eq!(back.pushed().len(), 1, "from here on it is complete");
    std::mem::forget(client.attachment);
}

#[tokio::test(start_paused = true)]
async fn a_drained_node_parks_what_its_clients_have_not_got() {
    let mut world = World::of(2, settings()).await;
    let client = world.login(0, "alice").await.unwrap();
    world.sessions(0).push("alice", None, 2101, payload()).await.unwrap();
    let token = client.resume_token.clone();
    drop(client);
    world.sessions(0).finish_drain(Duration::from_secs(1)).await;
    world.kill(0).await;
    let back = world.resume(1, &token, 0).await.unwrap();
    assert_eq!((back.recovered, back.pushed()), (true, vec![1]));
}

#[tokio::test(start_paused = true)]
async fn nobody_comes_back_after_the_window_or_with_a_wrong_secret() {
    let mut world = World::of(1, settings()).await;
    let client = world.login(0, "alice").await.unwrap();
    let token = client.resume_token.clone();
    let forged = ResumeToken::make("alice", client.id()).reveal();
    assert_eq!(reason(world.resume(0, &forged, 0).await), "RESUME_FAILED");
    drop(client);
    world.clock.advance(Duration::from_secs(121));
    world.settle().await;
    assert!(world.sessions(0).is_empty());
    assert_eq!(reason(world.resume(0, &token, 0).await), "RESUME_FAILED");
}
