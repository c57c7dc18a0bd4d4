//! An offset of an epoch means one entry for ever, whatever becomes of the store.

use super::*;
use crate::push::history::{Histories, Since};

async fn append(histories: &Histories, topic: &Arc<str>, seen: Option<&Position>) -> Position {
    histories.append(topic, ROOM, 2101, Bytes::from_static(b"said"), seen).await.unwrap()
}

fn offsets(since: &Since) -> Vec<u64> {
    since.entries.iter().map(|(offset, _)| *offset).collect()
}

fn beginning(epoch: &Arc<str>) -> Position {
    Position { epoch: Arc::clone(epoch), offset: 0 }
}

#[tokio::test]
async fn a_history_is_whole_until_its_oldest_goes() {
    let world = World::new().await;
    let (histories, topic) = (Histories::new(world.store.clone(), world.clock.clone()), Arc::from("room/one"));
    let first = append(&histories, &topic, None).await;
    assert_eq!(first.offset, 1);
    for _ in 0..2 {
        append(&histories, &topic, None).await;
    }
    let since = histories.since(&topic, ROOM, &beginning(&first.epoch)).await.unwrap();
    assert_eq!((since.whole, offsets(&since), since.end.offset), (true, vec![1, 2, 3], 3));
    append(&histories, &topic, None).await;
    let since = histories.since(&topic, ROOM, &beginning(&first.epoch)).await.unwrap();
    assert_eq!((since.whole, offsets(&since)), (false, vec![2, 3, 4]), "the first of four is gone");
    assert!(histories.since(&topic, ROOM, &first).await.unwrap().whole, "and nothing behind it");
}

#[tokio::test]
async fn what_comes_from_another_history_or_from_the_future_is_not_whole() {
    let world = World::new().await;
    let (histories, topic) = (Histories::new(world.store.clone(), world.clock.clone()), Arc::from("room/one"));
    let first = append(&histories, &topic, None).await;
    let ahead = [2, 1 << 53, u64::MAX].map(|offset| Position { offset, ..first.clone() });
    for from in [Position { epoch: "another".into(), offset: 0 }].into_iter().chain(ahead) {
        let since = histories.since(&topic, ROOM, &from).await.unwrap();
        assert!(!since.whole, "{from:?}");
        assert_eq!(since.end, first, "it ends where it ends, so that whoever has heard more knows that it has lost something");
    }
}

#[tokio::test]
async fn a_history_expires_with_the_document_that_names_it() {
    let world = World::new().await;
    let (histories, topic) = (Histories::new(world.store.clone(), world.clock.clone()), Arc::from("room/one"));
    let first = append(&histories, &topic, None).await;
    // Said again and again, it stays.
    for expected in 2..12 {
        world.clock.advance(ROOM.age * 3 / 4);
        assert_eq!(append(&histories, &topic, Some(&first)).await, Position { offset: expected, ..first.clone() });
    }
    // For as long as was asked for it is kept, for at most half as long again.
    let last = Position { offset: 11, ..first.clone() };
    world.clock.advance(ROOM.age);
    assert_eq!(histories.end(&topic, ROOM).await.unwrap(), last);
    world.clock.advance(ROOM.age);
    let anew = append(&histories, &topic, None).await;
    assert_eq!(anew.offset, 1);
    assert_ne!(anew.epoch, first.epoch, "an offset is not used twice");
    assert!(!histories.since(&topic, ROOM, &last).await.unwrap().whole);
}

#[tokio::test]
async fn a_quiet_topic_never_uses_an_offset_twice() {
    // However its messages lie, in time: the document does not outlive the log.
    for quiet in [1, 29, 30, 31, 45, 59, 60, 61, 74, 75, 89, 90, 91, 119] {
        let world = World::new().await;
        let (histories, topic) = (Histories::new(world.store.clone(), world.clock.clone()), Arc::from("room/one"));
        let mut before: Option<Position> = None;
        for _ in 0..6 {
            let at = append(&histories, &topic, None).await;
            if let Some(before) = before.replace(at.clone()) {
                assert!(before.epoch != at.epoch || before.offset < at.offset, "{before:?}, then {at:?} after {quiet} s");
            }
            world.clock.advance(Duration::from_secs(quiet));
        }
    }
}

#[tokio::test]
async fn a_store_that_lost_its_memory_gets_another_epoch() {
    let world = World::new().await;
    let (histories, topic) = (Histories::new(world.store.clone(), world.clock.clone()), Arc::from("room/one"));
    let first = append(&histories, &topic, None).await;
    world.memory.forget_everything();
    let anew = append(&histories, &topic, Some(&first)).await;
    assert_ne!(anew.epoch, first.epoch);
    assert_eq!(anew.offset, 1);
}

#[tokio::test]
async fn nodes_that_begin_a_history_together_begin_one() {
    let world = World::new().await;
    let one = Histories::new(world.store.clone(), world.clock.clone());
    let other = Histories::new(world.store.clone(), world.clock.clone());
    let topic = Arc::from("room/one");
    let (first, second) = tokio::join!(append(&one, &topic, None), append(&other, &topic, None));
    assert_eq!(first.epoch, second.epoch);
    let doubted = one.doubt(&topic, ROOM, &first).await;
    doubted.unwrap();
    let anew = append(&other, &topic, None).await;
    assert_ne!(anew.epoch, first.epoch, "what one node gives up no node goes on with");
    other.doubt(&topic, ROOM, &first).await.unwrap();
    assert_eq!(append(&one, &topic, None).await.epoch, anew.epoch, "and once is enough");
}
