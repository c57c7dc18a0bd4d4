//! What users were told, and what they have read.

use super::*;

#[tokio::test]
async fn pages_are_newest_first_and_nothing_is_seen_twice() {
    let world = World::new();
    for number in 1..=5 {
        world.tell(literal(&number.to_string(), &["alice"])).await;
    }
    let first = world.list("alice", |request| request.page_size = 2).await.unwrap();
    assert_eq!((titles(&first), first.unread_count), (vec!["5".to_owned(), "4".to_owned()], 5));
    world.tell(literal("6", &["alice"])).await;
    let second = world.list("alice", |request| (request.page_size, request.page_token) = (2, first.next_page_token)).await.unwrap();
    assert_eq!(titles(&second), ["3", "2"]);
    let third = world.list("alice", |request| (request.page_size, request.page_token) = (2, second.next_page_token)).await.unwrap();
    assert_eq!((titles(&third), third.next_page_token.as_str()), (vec!["1".to_owned()], ""));

    assert_eq!(refused(world.list("", |_| {}).await), "NOT_LOGGED_IN");
    assert_eq!(refused(world.list("alice", |request| request.page_size = 51).await), "INVALID_PAGE page_size");
    assert_eq!(refused(world.list("alice", |request| request.page_token = "x".to_owned()).await), "INVALID_PAGE page_token");
}

#[tokio::test]
async fn what_is_read_is_marked_by_id_or_all_up_to_one() {
    let world = World::new();
    for number in 1..=4 {
        world.tell(literal(&number.to_string(), &["alice"])).await;
    }
    world.context.clock.advance(Duration::from_secs(1));
    let all = world.list("alice", |_| {}).await.unwrap().notifications;
    let [fourth, third, _, first] = all.as_slice() else { panic!("there are four") };
    assert_eq!(world.mark("alice", &[&fourth.notification_id, "gone"], "").await, Ok(3));
    let unread = world.list("alice", |request| request.unread_only = true).await.unwrap();
    assert_eq!(titles(&unread), ["3", "2", "1"]);
    assert_eq!(world.mark("alice", &[], &third.notification_id).await, Ok(0));
    let read = world.list("alice", |_| {}).await.unwrap().notifications;
    assert!(read.iter().all(|notification| notification.read_ms == 1_800_000_001_000));

    world.context.clock.advance(Duration::from_secs(1));
    assert_eq!(world.mark("alice", &[&first.notification_id], "").await, Ok(0));
    assert_eq!(world.list("alice", |_| {}).await.unwrap().notifications, read, "it was read when it was first read");

    assert_eq!(refused(world.mark("", &["x"], "").await), "NOT_LOGGED_IN");
    assert_eq!(refused(world.mark("alice", &[], "").await), "NOTHING_NAMED notification_ids");
    assert_eq!(refused(world.mark("alice", &["x"], "y").await), "NAMED_TWICE up_to");
    assert_eq!(refused(world.mark("alice", &["x"; 201], "").await), "TOO_MANY_NOTIFICATIONS notification_ids");
    assert_eq!(refused(world.mark("bob", &[], &first.notification_id).await), "NOTIFICATION_NOT_FOUND", "it is not his");
}

#[tokio::test]
async fn a_history_is_bounded_and_the_oldest_goes_first() {
    let world = World::new();
    for number in 1..=201 {
        world.tell(literal(&number.to_string(), &["alice"])).await;
    }
    let page = world.list("alice", |request| request.page_size = 1).await.unwrap();
    assert_eq!((titles(&page), page.unread_count), (vec!["201".to_owned()], 200));
    let last = world.list("alice", |request| request.page_token = "3".to_owned()).await.unwrap();
    assert_eq!((titles(&last), last.next_page_token.as_str()), (vec!["2".to_owned()], ""), "the first is gone");

    for _ in 0..40 {
        let mut large = literal("large", &["bob"]);
        large.content = Some(Content::Literal(Words { title: "large".to_owned(), body: "x".repeat(4096), html: String::new() }));
        world.tell(large).await;
    }
    assert_eq!(world.list("bob", |_| {}).await.unwrap().unread_count, 31, "as many as fit into 128 KiB");
}

#[tokio::test]
async fn what_is_no_longer_worth_telling_is_not_there() {
    let world = World::new();
    world.tell(SendRequest { expires_in: 60, ..literal("now", &["alice"]) }).await;
    world.tell(SendRequest { r#type: NotificationType::Chat.into(), ..literal("chat", &["alice"]) }).await;
    assert_eq!(world.titles("alice").await, ["chat", "now"]);
    world.context.clock.advance(Duration::from_secs(60));
    assert_eq!(world.titles("alice").await, ["chat"]);
    world.context.clock.advance(Duration::from_secs(14 * 24 * 3600));
    assert!(world.titles("alice").await.is_empty());
}
