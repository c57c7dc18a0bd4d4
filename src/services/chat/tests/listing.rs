//! Finding rooms.

use super::*;
use crate::services::chat::listing::{SHELF_MAX, shelf_key};

#[tokio::test]
async fn public_rooms_are_listed_page_by_page_each_once() {
    let world = World::new();
    let mut made = BTreeSet::new();
    for n in 0..120 {
        made.insert(world.create(&format!("user-{n}"), &format!("Room {n}")).await.id);
    }
    world.create_private("alice", "Plans", &[]).await;
    let (mut page, mut sizes, mut listed) = (String::new(), Vec::new(), Vec::new());
    loop {
        let answer = world.list("bob", 0, &page).await.unwrap();
        sizes.push(answer.rooms.len());
        listed.extend(answer.rooms.into_iter().map(|room| room.id));
        page = answer.next_page;
        if page.is_empty() {
            break;
        }
    }
    assert_eq!(sizes, [50, 50, 20]);
    assert_eq!(listed, made.into_iter().collect::<Vec<String>>());
    assert_eq!(world.list("bob", 1000, "").await.unwrap().rooms.len(), 100);
}

#[tokio::test]
async fn a_room_is_shown_as_it_is_now() {
    let world = World::new();
    let room = world.create("alice", "Tea").await;
    world.join("bob", &room).await.unwrap();
    world.clock.advance(Duration::from_secs(5));
    world.say("bob", &room, "hello").await.unwrap();
    let now_ms = shown_ms(world.clock.now_ms());
    let shown = Room { members: 2, last: 1, last_ms: now_ms, created_ms: now_ms - 5000, ..room };
    assert_eq!(world.list("carol", 0, "").await.unwrap().rooms, [shown]);
}

#[tokio::test]
async fn one_finds_ones_own_rooms_in_the_order_of_joining() {
    let world = World::new();
    let plans = world.create_private("alice", "Plans", &["bob"]).await;
    let tea = world.create("bob", "Tea").await;
    world.join("bob", &plans).await.unwrap();
    assert_eq!(world.mine("bob").await, [tea.id.clone(), plans.id.clone()]);
    assert_eq!(world.mine("alice").await, [plans.id]);
    assert!(world.mine("carol").await.is_empty());
    assert_eq!(world.list("", 0, "").await.map(drop), refused("NOT_LOGGED_IN"));
    assert_eq!(world.list("bob", 0, "page two").await.map(drop), refused("INVALID_PAGE in page"));
}

#[tokio::test]
async fn when_the_shelves_are_full_only_private_rooms_are_made() {
    let world = World::new();
    let mut batch = Batch::default();
    for letter in ('2'..='7').chain('a'..='z') {
        let ids: BTreeSet<String> = (0..SHELF_MAX).map(|n| format!("{letter}{n:025}")).collect();
        batch = batch.put(shelf_key(&letter.to_string()), crate::services::documents::written(&ids), Expect::Absent, None);
    }
    world.store.write(batch).await.unwrap();
    assert_eq!(world.try_create("alice", "Tea", false, &[]).await, refused("TOO_MANY_PUBLIC_ROOMS"));
    assert_eq!(world.try_create("alice", "Plans", true, &[]).await.map(drop), Ok(()));
}
