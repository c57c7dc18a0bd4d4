//! Whose seat is kept, and for how long.

use super::*;

#[tokio::test]
async fn who_is_gone_for_too_long_loses_the_seat_and_not_before() {
    let mut world = World::new();
    let room = world.room("alice").await;
    world.join(&room.id, "bob").await.unwrap();
    world.present(&room.id, &["alice"]);
    world.heard();
    assert!(world.after(5).await.is_empty(), "bob may not hear it yet");
    assert_eq!(world.after(5).await, ["3 bob away"]);
    assert!(world.after(59).await.is_empty());
    assert_eq!(world.after(1).await, ["4 bob left, gone"]);
    let silenced = world.recorder.unsubscribed();
    assert_eq!((silenced[0].users.as_slice(), silenced[0].reason.as_str()), (&["bob".to_owned()][..], "SEAT_LOST"));
    assert_eq!(world.statistics("bob", "").await.unwrap().played_ms, 70_000);
    assert!(world.after(600).await.is_empty(), "alice is there");
}

#[tokio::test]
async fn who_comes_back_in_time_keeps_the_seat() {
    let mut world = World::new();
    let room = world.room("alice").await;
    world.join(&room.id, "bob").await.unwrap();
    world.present(&room.id, &["alice"]);
    world.heard();
    assert_eq!(world.after(10).await, ["3 bob away"]);
    world.clock.advance(Duration::from_secs(55));
    world.join(&room.id, "bob").await.unwrap();
    assert_eq!(world.heard(), ["4 bob back"]);
    assert!(world.after(9).await.is_empty(), "he may not hear it yet");
    world.present(&room.id, &["alice", "bob"]);
    assert!(world.after(600).await.is_empty());
    // Away again, and back without joining: his session was resumed.
    world.present(&room.id, &["alice"]);
    assert_eq!(world.after(5).await, ["5 bob away"]);
    world.present(&room.id, &["alice", "bob"]);
    assert_eq!(world.after(59).await, ["6 bob back"]);
    assert!(world.after(60).await.is_empty());
}

#[tokio::test]
async fn a_session_that_waits_for_its_client_keeps_the_seat() {
    let world = World::new();
    let room = world.room("alice").await;
    let room = world.game.rooms.open(&room.id).await.unwrap_or_else(|refusal| panic!("{}", refusal.reason()));
    let mut draft = draft::Draft::of(room, world.clock.now_ms() + 3_600_000);
    let waiting = crate::push::v1::Member { user: "alice".to_owned(), session: "s".to_owned(), since_ms: 0, connected: false };
    draft.heed(std::slice::from_ref(&waiting));
    assert_eq!(draft.room.seats[0].absent_ms, None);
    assert_eq!(draft.events.iter().map(|event| words(event.event.as_ref().unwrap())).collect::<Vec<_>>(), ["alice away"]);
}

#[tokio::test]
async fn a_host_who_is_gone_hands_over_at_once_and_keeps_the_seat() {
    let mut world = World::new();
    let room = world.room("alice").await;
    for user in ["bob", "carol"] {
        world.join(&room.id, user).await.unwrap();
    }
    world.present(&room.id, &["carol"]);
    world.heard();
    assert_eq!(world.after(10).await, ["4 alice away", "5 bob away", "6 carol is host"], "the longest of those who are there");
    world.present(&room.id, &["alice", "carol"]);
    assert_eq!(world.after(5).await, ["7 alice back"]);
    assert_eq!(world.state(&room.id, "alice").await.unwrap().room.unwrap().host, "carol");
}

#[tokio::test]
async fn a_room_from_which_all_are_gone_is_closed() {
    let mut world = World::new();
    let room = world.room("alice").await;
    world.join(&room.id, "bob").await.unwrap();
    world.heard();
    assert_eq!(world.after(10).await, ["3 alice away", "4 bob away"]);
    assert_eq!(world.after(60).await, ["5 alice left, gone", "6 bob is host", "7 bob left, gone", "8 closed, empty"]);
    assert!(world.listed().await.is_empty());
    assert!(world.after(5).await.is_empty());
}

#[tokio::test]
async fn a_room_in_which_nothing_happens_for_a_day_is_closed_whoever_is_in_it() {
    let mut world = World::new();
    let room = world.room("alice").await;
    world.act(&room.id, "alice", "e4").await.unwrap();
    world.present(&room.id, &["alice"]);
    world.heard();
    assert!(world.after(24 * 3600 - 1).await.is_empty());
    assert_eq!(world.after(1).await, ["3 closed, idle"]);
    assert_eq!(world.recorder.unsubscribed()[0].reason, "ROOM_CLOSED");
    assert_eq!(world.statistics("alice", "").await.unwrap().operations, 1);
}

#[tokio::test]
async fn without_the_gateway_nobody_loses_a_seat() {
    let mut world = World::new();
    let room = world.room("alice").await;
    world.present(&room.id, &["alice"]);
    world.after(10).await;
    world.recorder.set_broken(true);
    world.clock.advance(Duration::from_secs(3600));
    assert_eq!(world.sweep.round().await.err().unwrap().reason(), "UNAVAILABLE");
    world.recorder.set_broken(false);
    world.present(&room.id, &[]);
    assert_eq!(world.after(0).await, ["2 alice away"], "the time in which nobody could look does not count");
    assert_eq!(world.after(60).await, ["3 alice left, gone", "4 closed, empty"]);
}

#[tokio::test]
async fn of_several_processes_one_sweeps_and_another_when_it_is_gone() {
    let mut world = World::new();
    let mut other = world.another();
    world.room("alice").await;
    world.heard();
    world.after(10).await;
    world.clock.advance(Duration::from_secs(14));
    assert!(other.after(0).await.is_empty(), "the lease is not its own");
    assert!(world.after(0).await.is_empty(), "it is renewed");
    assert!(other.after(14).await.is_empty());
    assert!(other.after(46).await.contains(&"4 closed, empty".to_owned()), "the lease was free");
}

#[tokio::test]
async fn the_index_forgets_rooms_that_the_store_let_go_of() {
    let mut world = World::new();
    let room = world.room("alice").await;
    world.operate(&room.id, "alice", None, What::State(Bytes::from_static(b"x"))).await.unwrap();
    world.clock.advance(Duration::from_secs(25 * 3600));
    world.recorder.set_broken(true);
    world.sweep.round().await.unwrap_or_else(|refusal| panic!("nobody is to be asked about: {}", refusal.reason()));
    let (places, _) = world.game.rooms.index.page(&index::Cursor::default(), 10).await.unwrap_or_else(|_| panic!("it is there"));
    assert!(places.is_empty());
    assert_eq!(world.game.rooms.herald.lost(), 1, "whoever still hears it was to be told");
    assert!(world.store.get(&room::state_key(&room.id)).await.unwrap().is_none());
}

#[tokio::test]
async fn a_room_that_cannot_be_read_is_not_forgotten_and_keeps_nobody_from_the_others() {
    let mut world = World::new();
    let (broken, room) = (world.room("alice").await, world.room("bob").await);
    let batch = crate::store::Batch::default().put(room::key(&broken.id), "of a newer program", crate::store::Expect::Anything, None);
    world.store.write(batch).await.unwrap();
    world.heard();
    assert_eq!(world.after(10).await, ["2 bob away"]);
    assert_eq!(world.listed().await, [room.id.as_str()]);
    let (places, _) = world.game.rooms.index.page(&index::Cursor::default(), 10).await.unwrap_or_else(|_| panic!("it is there"));
    assert_eq!(places.len(), 2);
    assert_eq!(refused(world.join(&broken.id, "bob").await), "Internal INTERNAL");
    // Nor does a player who cannot be read.
    let batch = crate::store::Batch::default().put(player::key("bob"), "of a newer program", crate::store::Expect::Anything, None);
    world.store.write(batch).await.unwrap();
    let other = world.room("carol").await;
    world.present(&other.id, &["carol"]);
    world.heard();
    assert!(world.after(60).await.is_empty());
    world.present(&other.id, &[]);
    assert_eq!(world.after(5).await, ["2 carol away"]);
}

#[tokio::test(start_paused = true)]
async fn a_round_is_bounded_and_the_next_goes_on_where_it_ended() {
    let mut world = World::new();
    for index in 0..1050 {
        world.room(&format!("player-{index}")).await;
    }
    world.heard();
    assert_eq!(world.after(10).await.len(), 1000);
    assert_eq!(world.after(5).await.len(), 50);
    assert!(world.after(5).await.is_empty(), "everybody was seen to be away");
}

#[tokio::test(start_paused = true)]
async fn the_sweep_goes_by_itself_and_ends_with_its_tasks() {
    let world = World::new();
    let room = world.room("alice").await;
    world.clock.advance(Duration::from_secs(10));
    world.tasks.spawn_gently(&Handle::current(), Sweep::new(world.game.rooms.clone(), world.tasks.token()).run());
    world.heard();
    let is_away = async {
        while !world.state(&room.id, "alice").await.unwrap().room.unwrap().members[0].away {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), is_away).await.expect("somebody looked");
    assert!(world.tasks.drain(Duration::from_secs(30)).await, "it ended");
}
