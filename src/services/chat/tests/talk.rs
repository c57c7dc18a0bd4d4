//! What is said in rooms: numbers, order, repetition, floods, history.

use super::*;

#[tokio::test]
async fn what_a_member_says_is_stored_and_pushed_with_its_number() {
    converses(&World::new()).await;
}

#[tokio::test]
async fn the_embedded_store_does_as_well() {
    converses(&World::embedded()).await;
}

/// The core of chat, over any store.
async fn converses(world: &World) {
    let room = world.create("alice", "Tea").await;
    assert_eq!((room.name.as_str(), room.owner.as_str(), room.members, room.last), ("Tea", "alice", 1, 0));
    let joined = world.join("bob", &room).await.unwrap();
    assert_eq!((joined.members, joined.room.unwrap().members), (vec!["alice".to_owned(), "bob".to_owned()], 2));

    assert_eq!(world.say("alice", &room, "hello").await, Ok(1));
    let second = world.say_as("bob", &room, "two\nlines", "key").await.unwrap();
    assert_eq!(world.say_as("bob", &room, "two\nlines", "key").await, Ok(second), "said once");
    let pushed = world.pushed().await;
    let [Pushed::Member(came, change), Pushed::Said(heard, first), Pushed::Said(_, last)] = pushed.as_slice() else { panic!("{pushed:?}") };
    assert_eq!((came, heard), (&format!("chat/{}", room.id), came));
    assert_eq!((change.kind(), change.user.as_str()), (v1::member_change::Kind::Joined, "bob"));
    assert_eq!((first.number, first.text.as_str()), (1, "hello"));
    let sent_ms = second.sent_ms;
    let (room_id, sender, text, client_key) = (room.id.clone(), "bob".to_owned(), "two\nlines".to_owned(), "key".to_owned());
    assert_eq!(*last, RoomMessage { room_id, number: 2, sender, text, sent_ms, client_key });

    let history = world.history("alice", &room, |_| {}).await.unwrap();
    assert_eq!(history.messages, [first.clone(), last.clone()]);
    assert_eq!((history.first, history.last, history.more, history.beginning_gone), (1, 2, false, false));

    world.register(&["bob"]).await;
    assert_eq!(world.whisper("alice", "bob", "psst").await, Ok(1));
    assert_eq!(world.private_history("bob", "alice").await.unwrap().messages[0].text, "psst");
    assert_eq!(world.leave("alice", &room).await, Ok(()));
    assert_eq!(world.leave("bob", &room).await, Ok(()));
    assert_eq!(world.join("alice", &room).await, refused("ROOM_CLOSED"));
}

#[tokio::test]
async fn fifty_who_talk_at_once_get_every_number_once_and_are_heard_in_order() {
    for world in [World::new(), World::embedded()] {
        let room = world.create("user-0", "Crowd").await;
        let users: Vec<String> = (0..50).map(|n| format!("user-{n}")).collect();
        for user in &users {
            world.join(user, &room).await.unwrap();
        }
        world.pushed().await;
        let sent = join_all(users.iter().map(|user| world.say(user, &room, "me too"))).await;
        let numbers: BTreeSet<u64> = sent.into_iter().map(Result::unwrap).collect();
        assert_eq!(numbers, (1..=50).collect());
        let heard: Vec<u64> =
            world.pushed().await.iter().map(|pushed| if let Pushed::Said(_, said) = pushed { said.number } else { 0 }).collect();
        assert_eq!(heard, (1..=50).collect::<Vec<u64>>());
    }
}

#[tokio::test]
async fn two_processes_share_the_numbers_of_a_room() {
    let (one, users) = (World::new(), ["alice", "bob"]);
    let two = one.another();
    let room = one.create("alice", "Tea").await;
    two.join("bob", &room).await.unwrap();
    let mut sent = Vec::new();
    for _ in 0..10 {
        let (a, b) = tokio::join!(one.say(users[0], &room, "a"), two.say(users[1], &room, "b"));
        sent.extend([a.unwrap(), b.unwrap()]);
    }
    sent.sort_unstable();
    assert_eq!(sent, (1..=20).collect::<Vec<u64>>());
    assert_eq!(numbers(&two.history("bob", &room, |_| {}).await.unwrap().messages), sent);
}

#[tokio::test]
async fn processes_that_are_all_in_a_hurry_outrun_nobody_for_good() {
    let world = World::new();
    let processes: Vec<World> = (0..4).map(|_| world.another()).collect();
    let room = world.create("alice", "Tea").await;
    let users: Vec<String> = (0..40).map(|n| format!("user-{n}")).collect();
    for user in &users {
        world.join(user, &room).await.unwrap();
    }
    let sent = join_all(users.iter().enumerate().map(|(n, user)| processes[n % 4].say(user, &room, "me first"))).await;
    assert_eq!(sent.into_iter().map(Result::unwrap).collect::<BTreeSet<u64>>(), (1..=40).collect());
}

#[tokio::test]
async fn the_same_message_at_the_same_time_on_two_processes_is_said_once() {
    let one = World::new();
    let two = one.another();
    let room = one.create("alice", "Tea").await;
    let (a, b) = tokio::join!(one.say_as("alice", &room, "hello", "key"), two.say_as("alice", &room, "hello", "key"));
    assert_eq!(a.unwrap(), b.unwrap());
    assert_eq!(one.history("alice", &room, |_| {}).await.unwrap().last, 1);
}

#[tokio::test]
async fn a_key_is_the_senders_own_in_one_room_and_for_ten_minutes() {
    let world = World::new();
    let [tea, coffee] = [world.create("alice", "Tea").await, world.create("alice", "Coffee").await];
    world.join("bob", &tea).await.unwrap();
    assert_eq!(world.say_as("alice", &tea, "hello", "key").await.unwrap().number, 1);
    assert_eq!(world.say_as("bob", &tea, "hello", "key").await.unwrap().number, 2);
    assert_eq!(world.say_as("alice", &coffee, "hello", "key").await.unwrap().number, 1);
    world.clock.advance(Duration::from_secs(599));
    assert_eq!(world.say_as("alice", &tea, "another", "key").await.unwrap().number, 1);
    world.clock.advance(Duration::from_secs(2));
    assert_eq!(world.say_as("alice", &tea, "hello", "key").await.unwrap().number, 3);
}

#[tokio::test]
async fn only_members_talk_and_read() {
    let world = World::new();
    let room = world.create("alice", "Tea").await;
    assert_eq!(world.say("bob", &room, "hello").await, refused("NOT_A_MEMBER"));
    assert_eq!(world.history("bob", &room, |_| {}).await.map(drop), refused("NOT_A_MEMBER"));
    for id in [String::new(), "room".to_owned(), random::id(), "\u{1f40e}".repeat(5000)] {
        let nowhere = Room { id, ..Room::default() };
        assert_eq!(world.say("alice", &nowhere, "hello").await, refused("ROOM_NOT_FOUND"));
        assert_eq!(world.history("alice", &nowhere, |_| {}).await.map(drop), refused("ROOM_NOT_FOUND"));
    }
    assert_eq!(world.say("", &room, "hello").await, refused("NOT_LOGGED_IN"));
    assert_eq!(world.history("", &room, |_| {}).await.map(drop), refused("NOT_LOGGED_IN"));
    assert!(world.pushed().await.is_empty());
}

#[tokio::test]
async fn what_cannot_be_a_message_is_refused_before_it_counts() {
    let world = World::new();
    let room = world.create("alice", "Tea").await;
    for bad in ["", "bell\u{7}", &"x".repeat(2001)] {
        for _ in 0..30 {
            assert_eq!(world.say("alice", &room, bad).await, refused("INVALID_TEXT in text"));
        }
    }
    assert_eq!(world.say_as("alice", &room, "hello", &"k".repeat(65)).await, refused("INVALID_CLIENT_KEY in client_key"));
    assert_eq!(world.say("alice", &room, "hello").await, Ok(1));
}

#[tokio::test]
async fn whoever_talks_too_fast_is_told_how_long_to_wait() {
    let world = World::new();
    let room = world.create("alice", "Tea").await;
    world.join("bob", &room).await.unwrap();
    for number in 1..=20 {
        assert_eq!(world.say("alice", &room, "spam").await, Ok(number));
    }
    world.clock.advance(Duration::from_secs(4));
    let request =
        SendMessageRequest { user_id: "alice".to_owned(), room_id: room.id.clone(), text: "spam".to_owned(), ..Default::default() };
    let status = world.chat.send_message(Request::new(request)).await.map(drop).unwrap_err();
    assert_eq!(status.code(), tonic::Code::ResourceExhausted);
    let details = status.get_error_details();
    assert_eq!(details.error_info().unwrap().reason, "TOO_MANY_MESSAGES");
    assert_eq!(details.retry_info().unwrap().retry_delay, Some(Duration::from_secs(6)));
    world.register(&["bob"]).await;
    assert_eq!(world.whisper("alice", "bob", "spam").await, refused("TOO_MANY_MESSAGES"), "whatever way");
    assert_eq!(world.say("bob", &room, "hello").await, Ok(21), "others are not held up");
    world.clock.advance(Duration::from_secs(6));
    assert_eq!(world.say("alice", &room, "sorry").await, Ok(22));
}

#[tokio::test]
async fn history_is_read_backwards_and_forwards() {
    let world = World::new();
    let room = world.create("alice", "Tea").await;
    world.say_many("alice", &room, 130).await;
    let page = async |ask: &dyn Fn(&mut GetHistoryRequest)| {
        let page = world.history("alice", &room, |request| ask(request)).await.unwrap();
        assert_eq!((page.first, page.last, page.beginning_gone), (1, 130, false));
        let numbers = numbers(&page.messages);
        assert!(numbers.windows(2).all(|pair| pair[0] + 1 == pair[1]), "{numbers:?}");
        (numbers.first().copied().unwrap_or_default(), numbers.last().copied().unwrap_or_default(), page.more)
    };
    assert_eq!(page(&|_| {}).await, (81, 130, true));
    assert_eq!(page(&|ask| ask.limit = 1000).await, (31, 130, true));
    assert_eq!(page(&|ask| ask.before = Some(81)).await, (31, 80, true));
    assert_eq!(page(&|ask| ask.before = Some(31)).await, (1, 30, false));
    assert_eq!(page(&|ask| ask.before = Some(1)).await, (0, 0, false));
    assert_eq!(page(&|ask| ask.before = Some(0)).await, (0, 0, false));
    assert_eq!(page(&|ask| ask.before = Some(u64::MAX)).await, (81, 130, true));
    assert_eq!(page(&|ask| ask.after = Some(0)).await, (1, 50, true));
    assert_eq!(page(&|ask| (ask.after, ask.limit) = (Some(100), 30)).await, (101, 130, false));
    assert_eq!(page(&|ask| (ask.after, ask.limit) = (Some(100), 29)).await, (101, 129, true));
    assert_eq!(page(&|ask| ask.after = Some(130)).await, (0, 0, false));
    assert_eq!(page(&|ask| ask.after = Some(u64::MAX)).await, (0, 0, false));
    let both = world.history("alice", &room, |ask| (ask.after, ask.before) = (Some(1), Some(5))).await;
    assert_eq!(both.map(drop), refused("INVALID_PAGE in after"));
}

#[tokio::test]
async fn long_messages_make_shorter_pages() {
    let world = World::new();
    let room = world.create("alice", "Tea").await;
    let long = "\u{1f40e}".repeat(2000);
    for _ in 0..30 {
        world.clock.advance(Duration::from_secs(1));
        world.say("alice", &room, &long).await.unwrap();
    }
    let newest = world.history("alice", &room, |_| {}).await.unwrap();
    assert_eq!((numbers(&newest.messages), newest.more), ((19..=30).collect(), true));
    let oldest = world.history("alice", &room, |ask| ask.after = Some(0)).await.unwrap();
    assert_eq!((numbers(&oldest.messages), oldest.more), ((1..=12).collect(), true));
    let length: usize = newest.messages.iter().map(prost::Message::encoded_len).sum();
    assert!(length <= 96 << 10, "{length}");
}

#[tokio::test]
async fn history_says_when_its_beginning_is_gone_and_numbers_go_on() {
    let world = World::new();
    let room = world.create("alice", "Tea").await;
    world.say_many("alice", &room, 5).await;
    world.clock.advance(20 * DAY);
    world.say_many("alice", &room, 2).await;
    world.clock.advance(15 * DAY);
    let page = world.history("alice", &room, |_| {}).await.unwrap();
    assert_eq!((numbers(&page.messages), page.first, page.last, page.beginning_gone, page.more), (vec![6, 7], 6, 7, true, false));

    // Everything is too old: a store would count from 1 again.
    world.clock.advance(40 * DAY);
    let page = world.history("alice", &room, |ask| ask.after = Some(3)).await.unwrap();
    assert_eq!((page.messages.len(), page.first, page.last, page.beginning_gone, page.more), (0, 8, 7, true, false));
    assert_eq!(world.say("alice", &room, "is anybody there?").await, Ok(8));
    assert_eq!(world.say("alice", &room, "hello?").await, Ok(9));
    let page = world.history("alice", &room, |ask| ask.before = Some(9)).await.unwrap();
    assert_eq!((numbers(&page.messages), page.first, page.last, page.beginning_gone), (vec![8], 8, 9, true));
    let page = world.history("alice", &room, |ask| ask.before = Some(7)).await.unwrap();
    assert_eq!((page.messages.len(), page.more), (0, false));
}

#[tokio::test]
async fn a_room_keeps_ten_thousand_messages() {
    let world = World::new();
    let room = world.create("alice", "Tea").await;
    world.say_many("alice", &room, 10_003).await;
    let page = world.history("alice", &room, |ask| ask.after = Some(0)).await.unwrap();
    assert_eq!((page.first, page.last, page.messages[0].number, page.beginning_gone), (4, 10_003, 4, true));
}

#[tokio::test]
async fn a_push_that_fails_fails_no_message() {
    let world = World::new();
    let room = world.create("alice", "Tea").await;
    world.recorder.set_broken(true);
    assert_eq!(world.say("alice", &room, "hello").await, Ok(1));
    assert!(world.pushed().await.is_empty());
    world.recorder.set_broken(false);
    assert_eq!(world.say("alice", &room, "again").await, Ok(2));
    let pushed = world.pushed().await;
    assert!(matches!(pushed.as_slice(), [Pushed::Said(_, said)] if said.number == 2), "the client sees the gap");
    assert_eq!(numbers(&world.history("alice", &room, |ask| ask.after = Some(0)).await.unwrap().messages), [1, 2]);
}

#[tokio::test]
async fn what_is_not_stored_is_not_pushed() {
    let world = World::new();
    let room = world.create("alice", "Tea").await;
    world.memory.set_broken(true);
    assert_eq!(world.say("alice", &room, "hello").await, refused("UNAVAILABLE"));
    assert_eq!(world.history("alice", &room, |_| {}).await.map(drop), refused("UNAVAILABLE"));
    world.memory.set_broken(false);
    assert!(world.pushed().await.is_empty());
    assert_eq!(world.say("alice", &room, "hello").await, Ok(1));
}

#[tokio::test]
async fn a_process_that_starts_again_finds_rooms_members_and_messages() {
    let mut world = World::new();
    let room = world.create("alice", "Tea").await;
    world.join("bob", &room).await.unwrap();
    world.say_as("bob", &room, "hello", "key").await.unwrap();
    world = world.another();
    assert_eq!(world.mine("bob").await, std::slice::from_ref(&room.id));
    assert_eq!(world.say_as("bob", &room, "hello", "key").await.unwrap().number, 1, "said before");
    assert_eq!(world.say("alice", &room, "welcome back").await, Ok(2));
    assert_eq!(numbers(&world.history("bob", &room, |_| {}).await.unwrap().messages), [1, 2]);
}

#[tokio::test(start_paused = true)]
async fn who_waits_too_long_for_a_turn_is_told_so() {
    let world = World::new();
    let room = world.create("alice", "Tea").await;
    let turn = world.chat.talk.lanes.enter(&room.id).await.unwrap();
    assert_eq!(world.say("alice", &room, "hello").await, refused("OVERLOADED"));
    drop(turn);
    assert_eq!(world.say("alice", &room, "hello").await, Ok(1));
}
