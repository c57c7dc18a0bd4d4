//! What two say to one another.

use super::*;

#[tokio::test]
async fn a_private_message_is_stored_and_pushed_to_both() {
    let world = World::new();
    world.register(&["alice", "bob"]).await;
    let sent = world.whisper_as("alice", "bob", "psst", "key").await.unwrap();
    assert_eq!(world.whisper_as("alice", "bob", "psst", "key").await, Ok(sent), "said once");
    let pushed = world.pushed().await;
    let [Pushed::Private(users, message)] = pushed.as_slice() else { panic!("{pushed:?}") };
    assert_eq!(users, &["bob", "alice"]);
    let (sender, receiver, text, client_key) = ("alice".to_owned(), "bob".to_owned(), "psst".to_owned(), "key".to_owned());
    assert_eq!(*message, PrivateMessage { number: 1, sender, receiver, text, sent_ms: sent.sent_ms, client_key });
    assert_eq!(world.whisper("bob", "alice", "what?").await, Ok(2), "they share the numbers");
    for (one, other) in [("alice", "bob"), ("bob", "alice")] {
        let history = world.private_history(one, other).await.unwrap();
        assert_eq!(history.messages.iter().map(|message| message.text.as_str()).collect::<Vec<_>>(), ["psst", "what?"]);
        assert_eq!((history.first, history.last, history.more, history.beginning_gone), (1, 2, false, false));
    }
    assert_eq!(world.private_history("alice", "carol").await.map(drop), refused("USER_NOT_FOUND"));
}

#[tokio::test]
async fn conversations_are_listed_newest_first_with_what_is_unread() {
    let world = World::new();
    world.register(&["alice", "bob", "carol"]).await;
    let tell = async |from: &str, to: &str| {
        world.clock.advance(Duration::from_secs(1));
        world.whisper(from, to, "hello").await.unwrap();
    };
    let list = async |user: &str| {
        let conversations = world.conversations(user).await;
        conversations.iter().map(|with| (with.with.clone(), with.last, with.unread)).collect::<Vec<_>>()
    };
    let with = |user: &str, last, unread| (user.to_owned(), last, unread);
    tell("bob", "alice").await;
    tell("bob", "alice").await;
    tell("carol", "alice").await;
    assert_eq!(list("alice").await, [with("carol", 1, 1), with("bob", 2, 2)]);
    assert_eq!(list("bob").await, [with("alice", 2, 0)], "one has read what one wrote");

    world.private_history("alice", "bob").await.unwrap();
    assert_eq!(list("alice").await, [with("carol", 1, 1), with("bob", 2, 0)]);
    tell("bob", "alice").await;
    assert_eq!(list("alice").await, [with("bob", 3, 1), with("carol", 1, 1)]);
    tell("alice", "bob").await;
    assert_eq!(list("alice").await, [with("bob", 4, 0), with("carol", 1, 1)], "answering is reading");
    assert_eq!(list("bob").await, [with("alice", 4, 1)]);
    assert!(list("dave").await.is_empty());
}

#[tokio::test]
async fn reading_an_old_page_does_not_unread_a_new_one() {
    let world = World::new();
    world.register(&["alice"]).await;
    for _ in 0..3 {
        world.whisper("bob", "alice", "hello").await.unwrap();
    }
    let page = async |before: Option<u64>, after: Option<u64>, limit: u32| {
        let (user_id, with) = ("alice".to_owned(), "bob".to_owned());
        let request = GetPrivateHistoryRequest { user_id, with, before, after, limit };
        let page = said(world.chat.get_private_history(Request::new(request)).await).unwrap();
        let unread = world.conversations("alice").await[0].unread;
        (page.messages.iter().map(|message| message.number).collect::<Vec<_>>(), page.more, unread)
    };
    assert_eq!(page(None, Some(0), 1).await, (vec![1], true, 2));
    assert_eq!(page(None, None, 2).await, (vec![2, 3], true, 0));
    assert_eq!(page(Some(2), None, 2).await, (vec![1], false, 0));
}

#[tokio::test]
async fn who_is_known_can_be_written_to() {
    let world = World::new();
    assert_eq!(world.whisper("alice", "bob", "hello").await, refused("USER_NOT_FOUND"));
    world.register(&["bob"]).await;
    assert_eq!(world.whisper("alice", "bob", "hello").await, Ok(1), "who has an account");
    assert_eq!(world.whisper("bob", "alice", "hello").await, Ok(2), "who wrote first");
    world.recorder.set_members("chat/somewhere", &["carol"]);
    assert_eq!(world.whisper("alice", "carol", "hello").await, Ok(1), "who is connected");
    world.create("dave", "Tea").await;
    assert_eq!(world.whisper("alice", "dave", "hello").await, Ok(1), "who has been in a room");
    world.recorder.set_broken(true);
    assert_eq!(world.whisper("alice", "erin", "hello").await, refused("UNAVAILABLE"), "who cannot be asked for");
    assert_eq!(world.whisper("alice", "carol", "hello").await, Ok(2), "who is known already");
}

#[tokio::test]
async fn what_cannot_be_a_private_message_is_refused() {
    let world = World::new();
    world.register(&["alice", "bob"]).await;
    assert_eq!(world.whisper("", "bob", "hello").await, refused("NOT_LOGGED_IN"));
    assert_eq!(world.private_history("", "bob").await.map(drop), refused("NOT_LOGGED_IN"));
    for bad in ["", "alice", "a\nb", &"x".repeat(257)] {
        assert_eq!(world.whisper("alice", bad, "hello").await, refused("INVALID_USER in receiver"), "{bad:?}");
    }
    assert_eq!(world.private_history("alice", "alice").await.map(drop), refused("INVALID_USER in with"));
    assert_eq!(world.whisper("alice", "bob", "  ").await, refused("INVALID_TEXT in text"));
    assert_eq!(world.whisper_as("alice", "bob", "hello", "\0").await, refused("INVALID_CLIENT_KEY in client_key"));
    assert!(world.pushed().await.is_empty());
}

#[tokio::test]
async fn two_pairs_of_names_that_look_alike_when_joined_are_two_conversations() {
    let world = World::new();
    world.register(&["ab", "c", "a", "bc"]).await;
    world.whisper("ab", "c", "hello").await.unwrap();
    assert!(world.private_history("a", "bc").await.unwrap().messages.is_empty());
}

#[tokio::test]
async fn those_who_write_to_one_another_at_once_share_the_numbers() {
    let world = World::new();
    let other = world.another();
    world.register(&["alice", "bob", "carol"]).await;
    let mut sent = Vec::new();
    for _ in 0..10 {
        let (a, b) = tokio::join!(world.whisper("alice", "bob", "a"), other.whisper("bob", "alice", "b"));
        sent.extend([a.unwrap(), b.unwrap()]);
    }
    sent.sort_unstable();
    assert_eq!(sent, (1..=20).collect::<Vec<u64>>());
}

#[tokio::test]
async fn the_list_holds_those_of_late_and_the_history_everybody() {
    let world = World::new();
    world.register(&["alice"]).await;
    let names: Vec<String> = (0..201).map(|n| format!("user-{n}")).collect();
    for name in &names {
        world.clock.advance(Duration::from_secs(1));
        world.whisper(name, "alice", "hello").await.unwrap();
        // An old friend who keeps writing stays on the list.
        world.whisper("user-0", "alice", "me again").await.ok();
        world.clock.advance(Duration::from_secs(10));
    }
    let listed: Vec<String> = world.conversations("alice").await.into_iter().map(|with| with.with).collect();
    assert_eq!(listed.len(), 200);
    assert!(listed.contains(&names[0]) && !listed.contains(&names[1]));
    assert_eq!(world.private_history("alice", &names[1]).await.unwrap().messages.len(), 1);
}
