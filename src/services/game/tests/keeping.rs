//! What is kept when the store, the gateway, the process or the client goes.

use super::*;

#[tokio::test]
async fn a_push_that_fails_fails_nothing_and_clients_catch_up() {
    let world = World::new();
    let room = world.room("alice").await;
    world.recorder.set_broken(true);
    assert_eq!(world.act(&room.id, "alice", "e4").await, Ok(2));
    world.join(&room.id, "bob").await.unwrap();
    assert_eq!(world.game.rooms.herald.lost(), 2);
    world.recorder.set_broken(false);
    assert_eq!(world.act(&room.id, "alice", "e5").await, Ok(4));
    assert_eq!(world.heard(), ["1 alice joined", "4 alice does move e5"], "2 and 3 are missed");
    let missed = world.history(&room.id, "alice", 1, 0).await.unwrap();
    let missed: Vec<_> = missed.events.iter().map(|event| words(event.event.as_ref().unwrap())).collect();
    assert_eq!(missed, ["alice does move e4", "bob joined", "alice does move e5"]);
}

#[tokio::test]
async fn without_its_store_the_service_says_so_and_tells_nothing() {
    let mut world = World::new();
    let room = world.room("alice").await;
    world.heard();
    world.memory.set_broken(true);
    for refusal in [
        refused(world.try_create("alice", |_| {}).await),
        refused(world.join(&room.id, "bob").await),
        refused(world.act(&room.id, "alice", "e4").await),
        refused(world.leave(&room.id, "alice").await),
        refused(world.state(&room.id, "alice").await),
        refused(world.history(&room.id, "alice", 0, 0).await),
        refused(world.list(0, "").await),
        refused(world.statistics("alice", "").await),
        world.sweep.round().await.err().unwrap().reason().to_owned(),
    ] {
        assert!(refusal.ends_with("UNAVAILABLE"), "{refusal}");
    }
    world.memory.set_broken(false);
    assert!(world.heard().is_empty());
    assert_eq!(world.act(&room.id, "alice", "e4").await, Ok(2), "nothing was lost");
}

#[tokio::test]
async fn a_room_goes_on_in_another_process() {
    let world = World::new();
    let room = world.try_create("alice", |request| request.password = "sesame".to_owned()).await.unwrap();
    world.operate(&room.id, "alice", None, What::State(Bytes::from_static(b"board"))).await.unwrap();
    let other = world.another();
    assert!(world.tasks.drain(Duration::from_secs(30)).await);
    assert_eq!(other.listed().await, [room.id.as_str()]);
    assert_eq!(refused(other.join_with(&room.id, "bob", "guess").await), "PermissionDenied WRONG_PASSWORD");
    assert_eq!(other.join_with(&room.id, "bob", "sesame").await.unwrap().version, 3);
    assert_eq!(other.state(&room.id, "bob").await.unwrap().state, "board");
    assert_eq!(other.history(&room.id, "bob", 0, 0).await.unwrap().events.len(), 3);
    assert_eq!(other.statistics("alice", "").await.unwrap().operations, 1);
}

#[tokio::test]
async fn what_was_begun_is_told_also_if_nobody_waits_for_the_answer() {
    let world = World::new();
    let room = world.room("alice").await;
    world.heard();
    let act = world.act(&room.id, "alice", "e4");
    assert!(futures_util::FutureExt::now_or_never(act).is_none(), "it was begun, and given up");
    assert!(world.tasks.drain(Duration::from_secs(30)).await);
    assert_eq!(world.heard(), ["2 alice does move e4"]);
}

#[tokio::test(start_paused = true)]
async fn who_waits_too_long_for_a_turn_is_told_to_come_back() {
    let world = World::new();
    let room = world.room("alice").await;
    let turn = world.game.turns.take(&room.id).await.unwrap_or_else(|_| panic!("it is free"));
    assert_eq!(refused(world.act(&room.id, "alice", "e4").await), "ResourceExhausted OVERLOADED for 1s");
    drop(turn);
    assert_eq!(world.act(&room.id, "alice", "e4").await, Ok(2), "nothing had happened");
}
