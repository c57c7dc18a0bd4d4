//! Who is in a topic, by what nodes write about their own.

use super::*;

async fn join(world: &World, client: &Client, topic: &str) {
    let prepared = world.hub.prepare(client.session(), topic, None).await.unwrap();
    assert!(prepared.commit(|_| Ok::<(), ()>(())).unwrap());
}

async fn members(world: &World, topic: &str) -> Vec<(String, bool)> {
    world.hub.agree(&topic.into()).await.unwrap();
    let members = world.hub.members(topic).await.unwrap();
    members.into_iter().map(|member| (member.user, member.connected)).collect()
}

fn seen(users: &[(&str, bool)]) -> Vec<(String, bool)> {
    users.iter().map(|(user, connected)| ((*user).to_owned(), *connected)).collect()
}

#[tokio::test]
async fn a_session_that_waits_for_its_client_is_present() {
    let world = World::new().await;
    let (alice, bob) = (world.login("alice").await, world.login("bob").await);
    join(&world, &alice, "room/one").await;
    assert_eq!(members(&world, "room/one").await, seen(&[("alice", true)]));
    join(&world, &bob, "room/one").await;
    assert_eq!(members(&world, "room/one").await, seen(&[("alice", true), ("bob", true)]));
    drop(alice);
    assert_eq!(members(&world, "room/one").await, seen(&[("alice", false), ("bob", true)]));
    world.clock.advance(world.sessions.settings().resume_window * 2);
    world.sessions.sweep(0);
    world.hub.sweep();
    assert_eq!(members(&world, "room/one").await, seen(&[("bob", true)]));
    world.hub.leave(bob.session(), "room/one");
    assert_eq!(members(&world, "room/one").await, seen(&[]));
}

#[tokio::test]
async fn nodes_keep_each_others_sessions() {
    let world = World::new().await;
    let other = World::sharing(world.clock.clone(), Arc::clone(&world.memory)).await;
    let (alice, bob) = (world.login("alice").await, other.login("bob").await);
    join(&world, &alice, "room/one").await;
    join(&other, &bob, "room/one").await;
    assert_eq!(members(&world, "room/one").await, seen(&[("alice", true)]));
    assert_eq!(members(&other, "room/one").await, seen(&[("alice", true), ("bob", true)]));
    world.hub.leave(alice.session(), "room/one");
    assert_eq!(members(&world, "room/one").await, seen(&[("bob", true)]));
}

#[tokio::test]
async fn a_change_is_told_once() {
    let world = World::new().await;
    let alice = world.login("alice").await;
    join(&world, &alice, "hall/one").await;
    members(&world, "hall/one").await;
    members(&world, "hall/one").await;
    let end = world.hub.0.histories.end(&"hall/one".into(), ROOM).await.unwrap();
    assert_eq!(end.offset, 1, "that she came");
    drop(alice);
    members(&world, "hall/one").await;
    assert_eq!(world.hub.0.histories.end(&"hall/one".into(), ROOM).await.unwrap().offset, 1, "being away is nothing to tell");
}
