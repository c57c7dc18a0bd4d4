//! What is refused, and that nothing comes of it.

use super::*;

#[tokio::test]
async fn who_is_not_logged_in_is_refused_everything() {
    let world = World::new();
    let room = world.room("alice").await;
    for refusal in [
        refused(world.try_create("", |_| {}).await),
        refused(world.join(&room.id, "").await),
        refused(world.leave(&room.id, "").await),
        refused(world.act(&room.id, "", "e4").await),
        refused(world.state(&room.id, "").await),
        refused(world.history(&room.id, "", 0, 0).await),
        refused(world.statistics("", "alice").await),
        refused(said(world.game.list_rooms(Request::new(ListRoomsRequest::default())).await)),
    ] {
        assert_eq!(refusal, "Unauthenticated NOT_LOGGED_IN");
    }
}

#[tokio::test]
async fn a_room_that_may_not_be_is_refused_by_its_field() {
    let world = World::new();
    type Wish = fn(&mut CreateRoomRequest);
    let wishes: [(&str, Wish); 10] = [
        ("INVALID_NAME name", |request| request.name = "  ".to_owned()),
        ("INVALID_NAME name", |request| request.name = "ä".repeat(65)),
        ("INVALID_NAME name", |request| request.name = "a\nb".to_owned()),
        ("INVALID_CAPACITY capacity", |request| request.capacity = 0),
        ("INVALID_CAPACITY capacity", |request| request.capacity = 65),
        ("INVALID_PASSWORD password", |request| request.password = "x".repeat(129)),
        ("INVALID_METADATA metadata", |request| request.metadata = (0..17).map(|key| (key.to_string(), String::new())).collect()),
        ("INVALID_METADATA metadata", |request| request.metadata = [(String::new(), String::new())].into()),
        ("INVALID_METADATA metadata", |request| request.metadata = [("k".repeat(65), String::new())].into()),
        ("INVALID_METADATA metadata", |request| request.metadata = [("k".to_owned(), "v".repeat(257))].into()),
    ];
    for (refusal, wish) in wishes {
        assert_eq!(refused(world.try_create("alice", wish).await), format!("InvalidArgument {refusal}"));
    }
    assert!(world.listed().await.is_empty() && world.told().is_empty());
    let named = world.try_create("alice", |request| request.name = format!(" {} ", "ä".repeat(64))).await.unwrap();
    assert_eq!(named.name, "ä".repeat(64));
}

#[tokio::test]
async fn a_room_that_there_is_not_is_not_found() {
    let world = World::new();
    for id in ["abcdefghijklmnopqrstuvwxyz", "", "x", "a:b", &"x".repeat(10_000)] {
        for refusal in [
            refused(world.join(id, "alice").await),
            refused(world.leave(id, "alice").await),
            refused(world.act(id, "alice", "e4").await),
            refused(world.state(id, "alice").await),
            refused(world.history(id, "alice", 0, 0).await),
        ] {
            assert_eq!(refusal, "NotFound ROOM_NOT_FOUND");
        }
    }
}

#[tokio::test]
async fn who_has_no_seat_sees_and_does_nothing() {
    let world = World::new();
    let room = world.room("alice").await;
    for refusal in [
        refused(world.act(&room.id, "mallory", "e4").await),
        refused(world.operate(&room.id, "mallory", None, What::State(Bytes::new())).await),
        refused(world.operate(&room.id, "mallory", Some(7), What::Action(action("e4"))).await),
        refused(world.state(&room.id, "mallory").await),
        refused(world.history(&room.id, "mallory", 0, 0).await),
    ] {
        assert_eq!(refusal, "PermissionDenied NOT_A_MEMBER");
    }
    world.leave(&room.id, "mallory").await.expect("leaving where one is not is fine");
    assert_eq!(world.heard(), ["1 alice joined"]);
}

#[tokio::test]
async fn a_full_room_takes_nobody() {
    let world = World::new();
    let room = world.try_create("alice", |request| request.capacity = 1).await.unwrap();
    assert_eq!(refused(world.join(&room.id, "bob").await), "FailedPrecondition ROOM_FULL");
    world.join(&room.id, "alice").await.expect("she has a seat");
}

#[tokio::test]
async fn a_stale_version_changes_nothing_and_says_which_is_current() {
    let world = World::new();
    let room = world.room("alice").await;
    for expected in [0, 2] {
        let stale = world.operate(&room.id, "alice", Some(expected), What::Action(action("e4"))).await;
        assert_eq!(refused(stale), "FailedPrecondition STALE_VERSION at 1");
    }
    assert_eq!(world.operate(&room.id, "alice", Some(1), What::Action(action("e4"))).await, Ok(2));
    assert_eq!(world.statistics("alice", "").await.unwrap().operations, 1);
}

#[tokio::test]
async fn only_the_host_replaces_the_state_and_nothing_is_too_large() {
    let world = World::new();
    let room = world.room("alice").await;
    world.join(&room.id, "bob").await.unwrap();
    assert_eq!(refused(world.operate(&room.id, "bob", None, What::State(Bytes::new())).await), "PermissionDenied NOT_HOST");
    let too_large = What::State(Bytes::from(vec![0; (64 << 10) + 1]));
    assert_eq!(refused(world.operate(&room.id, "alice", None, too_large).await), "InvalidArgument STATE_TOO_LARGE state");
    let large = world.act(&room.id, "alice", &"x".repeat(4097)).await;
    assert_eq!(refused(large), "InvalidArgument INVALID_OPERATION action.payload");
    let long = What::Action(Action { kind: "k".repeat(65), payload: Bytes::new() });
    assert_eq!(refused(world.operate(&room.id, "alice", None, long).await), "InvalidArgument INVALID_OPERATION action.kind");
    let nothing = OperateRequest { user_id: "alice".to_owned(), room_id: room.id.clone(), ..OperateRequest::default() };
    let nothing = said(GameService::operate(&world.game, Request::new(nothing)).await);
    assert_eq!(refused(nothing), "InvalidArgument INVALID_OPERATION action");
    assert_eq!(world.act(&room.id, "alice", &"x".repeat(4096)).await, Ok(3));
}

#[tokio::test]
async fn a_password_is_asked_for_and_guesses_are_counted() {
    let world = World::new();
    let room = world.try_create("alice", |request| request.password = "sesame".to_owned()).await.unwrap();
    assert!(room.locked);
    let hashed = world.hasher.done();
    for none in ["", &"x".repeat(129)] {
        assert_eq!(refused(world.join_with(&room.id, "bob", none).await), "PermissionDenied WRONG_PASSWORD");
    }
    assert_eq!(world.hasher.done(), hashed, "nothing was hashed for what cannot be one");
    for _ in 0..9 {
        assert_eq!(refused(world.join_with(&room.id, "mallory", "guess").await), "PermissionDenied WRONG_PASSWORD");
    }
    world.join_with(&room.id, "bob", "sesame").await.expect("others' guesses are not his");
    world.join_with(&room.id, "bob", "").await.expect("who has a seat is not asked");
    assert_eq!(refused(world.join_with(&room.id, "mallory", "guess").await), "PermissionDenied WRONG_PASSWORD");
    let too_many = refused(world.join_with(&room.id, "mallory", "sesame").await);
    assert_eq!(too_many, "ResourceExhausted TOO_MANY_ATTEMPTS for 600s");
    world.clock.advance(Duration::from_secs(600));
    world.join_with(&room.id, "mallory", "sesame").await.expect("she may guess again");
    let stored = world.store.get(&room::key(&room.id)).await.unwrap().unwrap();
    assert!(!str::from_utf8(&stored.value).unwrap().contains("sesame"));
}

#[tokio::test]
async fn a_player_has_a_bounded_number_of_seats_and_lost_rooms_do_not_count() {
    let world = World::new();
    let mut rooms = Vec::new();
    for _ in 0..player::SEATS_MAX {
        rooms.push(world.room("alice").await.id);
    }
    let other = world.room("bob").await;
    assert_eq!(refused(world.try_create("alice", |_| {}).await), "ResourceExhausted TOO_MANY_ROOMS");
    assert_eq!(refused(world.join(&other.id, "alice").await), "ResourceExhausted TOO_MANY_ROOMS");
    assert_eq!(world.listed().await.len(), player::SEATS_MAX + 1, "nothing was made");
    world.leave(&rooms[0], "alice").await.unwrap();
    world.join(&other.id, "alice").await.unwrap();
    // Nobody swept for so long that the store let go of all of them.
    world.clock.advance(Duration::from_secs(25 * 3600));
    world.room("alice").await;
    assert_eq!(world.statistics("alice", "").await.unwrap().rooms.len(), 1);
}

#[tokio::test]
async fn a_token_that_was_made_up_is_no_page() {
    let world = World::new();
    for token in ["x", ".", "x.y", "-1.a", "99999999999.a"] {
        assert_eq!(refused(world.list(0, token).await), "InvalidArgument INVALID_PAGE_TOKEN page_token");
    }
    assert!(world.list(0, "4000000000.a").await.unwrap().rooms.is_empty());
    assert_eq!(refused(world.statistics("alice", &"x".repeat(257)).await), "InvalidArgument INVALID_PLAYER player_id");
}
