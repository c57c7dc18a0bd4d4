//! Making rooms, coming and going, and who may know.

use super::*;
use v1::member_change::Kind;

#[tokio::test]
async fn joining_twice_is_joining_once() {
    let world = World::new();
    let room = world.create("alice", "Tea").await;
    let first = world.join("bob", &room).await.unwrap();
    assert_eq!(world.join("bob", &room).await, Ok(first));
    assert_eq!(world.join("alice", &room).await.unwrap().room.unwrap().members, 2);
    let pushed = world.pushed().await;
    assert!(matches!(pushed.as_slice(), [Pushed::Member(_, change)] if change.user == "bob"), "{pushed:?}");
}

#[tokio::test]
async fn whoever_leaves_is_told_of_and_hears_no_more() {
    let world = World::new();
    let room = world.create("alice", "Tea").await;
    world.join("bob", &room).await.unwrap();
    world.pushed().await;
    assert_eq!(world.leave("bob", &room).await, Ok(()));
    let pushed = world.pushed().await;
    let [Pushed::Member(topic, change)] = pushed.as_slice() else { panic!("{pushed:?}") };
    assert_eq!((topic, change.kind(), change.user.as_str()), (&format!("chat/{}", room.id), Kind::Left, "bob"));
    assert_eq!(change.room.as_ref().unwrap().members, 1);
    let unsubscribed = world.recorder.unsubscribed();
    assert_eq!((&unsubscribed[0].topic, &*unsubscribed[0].users, &*unsubscribed[0].reason), (topic, &["bob".to_owned()][..], "LEFT"));
    assert_eq!(world.leave("bob", &room).await, refused("NOT_A_MEMBER"));
    assert_eq!(world.say("bob", &room, "hello").await, refused("NOT_A_MEMBER"));
    assert!(world.mine("bob").await.is_empty());
}

#[tokio::test]
async fn the_room_of_an_owner_who_leaves_is_the_longest_members() {
    let world = World::new();
    let room = world.create("alice", "Tea").await;
    for user in ["bob", "carol"] {
        world.join(user, &room).await.unwrap();
    }
    let owner = async |world: &World| world.join("carol", &room).await.unwrap().room.unwrap().owner;
    world.leave("alice", &room).await.unwrap();
    assert_eq!(owner(&world).await, "bob");
    world.join("alice", &room).await.unwrap();
    world.leave("bob", &room).await.unwrap();
    assert_eq!(owner(&world).await, "carol");
}

#[tokio::test]
async fn a_room_ends_with_its_last_member() {
    let world = World::new();
    let room = world.create("alice", "Tea").await;
    world.say("alice", &room, "nobody here").await.unwrap();
    world.leave("alice", &room).await.unwrap();
    let unsubscribed = world.recorder.unsubscribed();
    assert_eq!((unsubscribed[0].users.len(), &*unsubscribed[0].reason), (0, "ROOM_CLOSED"));
    assert_eq!(world.join("bob", &room).await.map(drop), refused("ROOM_CLOSED"));
    assert_eq!(world.say("alice", &room, "hello").await, refused("ROOM_CLOSED"));
    assert_eq!(world.history("alice", &room, |_| {}).await.map(drop), refused("ROOM_CLOSED"));
    assert_eq!(world.leave("alice", &room).await, refused("ROOM_CLOSED"));
    assert!(world.list("bob", 0, "").await.unwrap().rooms.is_empty());
    world.clock.advance(Duration::from_secs(3601));
    assert_eq!(world.join("bob", &room).await.map(drop), refused("ROOM_NOT_FOUND"));
}

#[tokio::test]
async fn a_gateway_that_is_away_does_not_keep_anybody_in_a_room() {
    let world = World::new();
    let room = world.create("alice", "Tea").await;
    world.recorder.set_broken(true);
    assert_eq!(world.leave("alice", &room).await, Ok(()));
    assert!(world.mine("alice").await.is_empty());
}

#[tokio::test]
async fn strangers_learn_nothing_of_a_private_room() {
    let world = World::new();
    let room = world.create_private("alice", "Plans", &["bob"]).await;
    let stranger = async |room: &Room| {
        assert_eq!(world.join("mallory", room).await.map(drop), refused("ROOM_NOT_FOUND"));
        assert_eq!(world.leave("mallory", room).await, refused("ROOM_NOT_FOUND"));
        assert_eq!(world.say("mallory", room, "hello").await, refused("ROOM_NOT_FOUND"));
        assert_eq!(world.history("mallory", room, |_| {}).await.map(drop), refused("ROOM_NOT_FOUND"));
    };
    stranger(&room).await;
    assert!(world.list("mallory", 0, "").await.unwrap().rooms.is_empty(), "nor is it listed");
    assert!(world.list("alice", 0, "").await.unwrap().rooms.is_empty(), "to anybody");
    assert_eq!(world.mine("alice").await, std::slice::from_ref(&room.id));

    assert_eq!(world.say("bob", &room, "hello").await, refused("NOT_A_MEMBER"), "he was invited");
    assert_eq!(world.join("bob", &room).await.unwrap().members, ["alice", "bob"]);
    assert_eq!(world.say("bob", &room, "hello").await, Ok(1));
    world.leave("alice", &room).await.unwrap();
    assert_eq!(world.join("alice", &room).await.map(drop), Ok(()), "whoever made it may come back");
    world.leave("alice", &room).await.unwrap();
    world.leave("bob", &room).await.unwrap();
    stranger(&room).await;
    assert_eq!(world.join("bob", &room).await.map(drop), refused("ROOM_NOT_FOUND"));
}

#[tokio::test]
async fn a_private_room_takes_no_more_questions_to_refuse_than_none_at_all() {
    let world = World::new();
    let room = world.create_private("alice", "Plans", &[]).await;
    let nowhere = Room { id: random::id(), ..Room::default() };
    let mut steps = Vec::new();
    for room in [&room, &nowhere] {
        // Every question to the store is one turn of the runtime.
        let mut asking = std::pin::pin!(world.history("mallory", room, |_| {}));
        let mut turns = 0;
        while futures_util::poll!(&mut asking).is_pending() {
            turns += 1;
        }
        steps.push(turns);
    }
    assert!(steps[0] > 0 && steps[0] == steps[1], "{steps:?}");
}

#[tokio::test]
async fn the_invited_are_told() {
    let world = World::new();
    let room = world.create_private("alice", "Plans", &["bob", "alice", "carol", "bob"]).await;
    let pushed = world.pushed().await;
    let [Pushed::Invited(users, change)] = pushed.as_slice() else { panic!("{pushed:?}") };
    assert_eq!(users, &["bob", "carol"]);
    assert_eq!((change.kind(), change.user.as_str(), change.room.as_ref()), (Kind::Invited, "alice", Some(&room)));
}

#[tokio::test]
async fn a_full_room_takes_nobody() {
    let world = World::new();
    let room = world.create("user-0", "Crowd").await;
    for n in 1..1000 {
        world.join(&format!("user-{n}"), &room).await.unwrap();
    }
    assert_eq!(world.join("bob", &room).await.map(drop), refused("ROOM_FULL"));
    assert_eq!(world.join("user-7", &room).await.unwrap().members.len(), 500, "who is in it is in it");
    world.leave("user-7", &room).await.unwrap();
    assert_eq!(world.join("bob", &room).await.unwrap().room.unwrap().members, 1000);
}

#[tokio::test]
async fn nobody_is_in_more_rooms_than_one_can_be() {
    let world = World::new();
    let other = world.create("bob", "Tea").await;
    let mut rooms = Vec::new();
    for n in 0..100 {
        rooms.push(world.create_private("alice", &format!("Room {n}"), &[]).await);
    }
    assert_eq!(world.try_create("alice", "One more", false, &[]).await, refused("TOO_MANY_ROOMS"));
    assert_eq!(world.join("alice", &other).await.map(drop), refused("TOO_MANY_ROOMS"));
    world.leave("alice", &rooms[0]).await.unwrap();
    assert_eq!(world.join("alice", &other).await.map(drop), Ok(()));
}

#[tokio::test]
async fn what_cannot_be_a_room_is_refused() {
    let world = World::new();
    let many: Vec<String> = (0..101).map(|n| format!("user-{n}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    assert_eq!(world.try_create("alice", " \u{200b} ", false, &[]).await, refused("INVALID_NAME in name"));
    assert_eq!(world.try_create("alice", "Tea", true, &["bob", ""]).await, refused("INVALID_USER in invited"));
    assert_eq!(world.try_create("alice", "Tea", true, &many).await, refused("TOO_MANY_INVITED in invited"));
    assert_eq!(world.try_create("", "Tea", false, &[]).await, refused("NOT_LOGGED_IN"));
    let nowhere = Room { id: random::id(), ..Room::default() };
    assert_eq!(world.join("", &nowhere).await.map(drop), refused("NOT_LOGGED_IN"));
    assert_eq!(world.leave("", &nowhere).await, refused("NOT_LOGGED_IN"));
    assert_eq!(world.join("alice", &nowhere).await.map(drop), refused("ROOM_NOT_FOUND"));
    assert_eq!(world.leave("alice", &nowhere).await, refused("ROOM_NOT_FOUND"));
    assert_eq!(world.join("alice", &Room::default()).await.map(drop), refused("ROOM_NOT_FOUND"));
}

#[tokio::test]
async fn those_who_come_and_go_at_once_on_two_processes_are_all_counted() {
    let one = World::new();
    let two = one.another();
    let room = one.create("alice", "Tea").await;
    for n in 0..10 {
        let (a, b) = (format!("a-{n}"), format!("b-{n}"));
        let (a, b) = tokio::join!(one.join(&a, &room), two.join(&b, &room));
        assert!(a.is_ok() && b.is_ok());
    }
    let room_now = one.join("alice", &room).await.unwrap();
    assert_eq!((room_now.room.unwrap().members, room_now.members.len()), (21, 21));
    let joined = join_all((0..10).map(|n| format!("a-{n}")).map(|user| async {
        let user = user;
        two.leave(&user, &room).await
    }))
    .await;
    assert!(joined.iter().all(Result::is_ok));
    assert_eq!(one.join("alice", &room).await.unwrap().members.len(), 11);
}
