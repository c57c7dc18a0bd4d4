//! What is in an inbox reaches the user's next login once, in order, and as fast as its client takes it.

use super::*;

/// Puts so many messages into the inbox of a user, and tells nobody yet.
async fn deliver(world: &World, user: &str, count: u8) {
    for number in 0..count {
        world.hub.push(user, None, 2103, Bytes::from(vec![0x12, 1, number])).await.unwrap();
    }
}

async fn look(world: &World, client: &Client) {
    world.hub.look(client.session()).await.unwrap();
}

#[tokio::test]
async fn what_came_while_nobody_was_there_reaches_the_next_login_once() {
    let world = World::new().await;
    deliver(&world, "alice", 3).await;
    let first = world.login("alice").await;
    look(&world, &first).await;
    look(&world, &first).await;
    assert_eq!(first.pushed(), [1, 2, 3]);
    assert_eq!(world.login("bob").await.pushed(), [] as [u32; 0]);

    // Nobody has acknowledged anything: another login gets them as well.
    let second = world.login("alice").await;
    look(&world, &second).await;
    assert_eq!(second.pushed(), [1, 2, 3]);
    second.session().acknowledge(2);
    world.hub.sweep_inboxes().await;
    let third = world.login("alice").await;
    look(&world, &third).await;
    let payloads: Vec<u8> = third.wire.pushed.lock().unwrap().iter().map(|push| push.1[2]).collect();
    assert_eq!(payloads, [2], "the mark has moved behind what some client of the user has");
}

#[tokio::test]
async fn a_mark_never_moves_back() {
    let world = World::new().await;
    deliver(&world, "alice", 3).await;
    let (quick, slow) = (world.login("alice").await, world.login("alice").await);
    look(&world, &quick).await;
    look(&world, &slow).await;
    quick.session().acknowledge(3);
    world.hub.sweep_inboxes().await;
    slow.session().acknowledge(1);
    world.hub.sweep_inboxes().await;
    let late = world.login("alice").await;
    look(&world, &late).await;
    assert_eq!(late.pushed(), [] as [u32; 0]);
}

#[tokio::test]
async fn more_than_may_wait_for_an_acknowledgement_waits_in_the_inbox() {
    let world = World::new().await;
    deliver(&world, "alice", 100).await;
    let client = world.login("alice").await;
    look(&world, &client).await;
    let first = client.pushed().len();
    assert!((1..100).contains(&first), "not all at once: {first}");
    look(&world, &client).await;
    assert_eq!(client.pushed().len(), first, "nor before something is acknowledged");
    let mut rounds = 0;
    while client.pushed().len() < 100 {
        let last = *client.pushed().last().unwrap();
        client.session().acknowledge(last);
        look(&world, &client).await;
        rounds += 1;
        assert!(rounds < 100, "each round brings some");
    }
    let payloads: Vec<u8> = client.wire.pushed.lock().unwrap().iter().map(|push| push.1[2]).collect();
    assert_eq!(payloads, (0..100).collect::<Vec<u8>>(), "all, once, in order");
}

#[tokio::test]
async fn a_payload_of_another_type_is_delivered_to_nobody() {
    let world = World::new().await;
    let refused = world.hub.push("alice", None, 2103, Bytes::from_static(b"\x22\xff")).await;
    assert_eq!(refused.err().map(|failure| failure.reason().to_owned()).as_deref(), Some("INVALID_PAYLOAD"));
    let refused = world.hub.push("alice", None, 2199, Bytes::new()).await;
    assert_eq!(refused.err().map(|failure| failure.reason().to_owned()).as_deref(), Some("UNKNOWN_PUSH"));
    let client = world.login("alice").await;
    look(&world, &client).await;
    assert_eq!(client.pushed(), [] as [u32; 0]);
}
