//! Batches: progress, ends, and whoever dies in between.

use super::*;

async fn cancel(world: &World, id: &str) -> Result<Batch, String> {
    let request = CancelBatchRequest { batch_id: id.to_owned() };
    said(world.notify.cancel_batch(Request::new(request)).await).map(|response| response.batch.unwrap())
}

#[tokio::test]
async fn a_batch_says_how_far_it_is() {
    let world = World::new();
    let id = world.send(to_many(250)).await.unwrap();
    let mut seen = Vec::new();
    loop {
        let batch = world.batch(&id).await;
        seen.push((batch.state(), batch.sent));
        if world.work_once().await == Work::Nothing {
            break;
        }
    }
    use BatchState::{Done, Open};
    assert_eq!(seen, [(Open, 0), (Open, 100), (Open, 200), (Done, 250)]);
    let pushed = world.pushed();
    assert_eq!(pushed.iter().map(|(users, _)| users.len()).collect::<Vec<_>>(), [100, 100, 50]);
    assert_eq!(world.titles("249").await, ["hello"]);

    world.context.clock.advance(Duration::from_secs(7 * 24 * 3600));
    let gone = GetBatchRequest { batch_id: id };
    assert_eq!(refused(said(world.notify.get_batch(Request::new(gone)).await)), "BATCH_NOT_FOUND");
}

#[tokio::test]
async fn what_a_process_that_died_had_in_hand_another_one_finishes() {
    let world = World::new();
    let id = world.send(to_many(150)).await.unwrap();
    assert_eq!(world.work_once().await, Work::Done);
    world.pushed();

    // It has told the rest, and dies before it says so.
    let lost = world.worker.batches.take().await.unwrap().unwrap();
    world.worker.tell(&lost).await.unwrap_or_else(|_| panic!("the store is there"));
    let other = world.another();
    assert_eq!(other.work().await.unwrap(), Work::Nothing, "it is not known to be dead");
    world.context.clock.advance(Duration::from_secs(60));
    assert_eq!(other.work().await.unwrap(), Work::Done);

    let batch = world.batch(&id).await;
    assert_eq!((batch.state(), batch.sent), (BatchState::Done, 150));
    assert_eq!(world.titles("149").await, ["hello"], "once, though it was delivered twice");
    let pushed = world.pushed();
    assert!(pushed.len() == 2 && pushed[0] == pushed[1], "the same slice twice, under the same id, and no other one");

    // It was not dead after all: what it says now is not counted.
    world.worker.batches.done(&lost, batch::Counts { sent: 50, ..Default::default() }, Vec::new()).await.unwrap();
    assert_eq!(world.batch(&id).await, batch);
}

#[tokio::test]
async fn a_slice_is_in_the_hands_of_one() {
    let world = World::new();
    world.send(to_many(100)).await.unwrap();
    let (worker, other) = (world.another(), world.another());
    let workers = [&world.worker, &worker, &other];
    let work: Vec<Work> = futures_util::future::join_all(workers.map(|worker| async { worker.work().await.unwrap() })).await;
    assert_eq!(work.iter().filter(|work| **work == Work::Done).count(), 1);
    assert_eq!(world.pushed().len(), 1);
}

#[tokio::test]
async fn batches_advance_in_turn() {
    let world = World::new();
    let large = world.send(to_many(300)).await.unwrap();
    world.work_once().await;
    world.context.clock.advance(Duration::from_secs(1));
    let small = world.send(literal("small", &["alice"])).await.unwrap();
    world.work_once().await;
    assert_eq!((world.batch(&small).await.state(), world.batch(&large).await.sent), (BatchState::Done, 100));
    world.work().await;
    assert_eq!(world.batch(&large).await.state(), BatchState::Done);
}

#[tokio::test]
async fn a_cancelled_batch_tells_nobody_more() {
    let world = World::new();
    let id = world.send(to_many(300)).await.unwrap();
    world.work_once().await;
    let in_hand = world.worker.batches.take().await.unwrap().unwrap();
    assert_eq!(cancel(&world, &id).await.unwrap().state(), BatchState::Cancelled);
    world.worker.batches.done(&in_hand, batch::Counts { sent: 100, ..Default::default() }, Vec::new()).await.unwrap();
    assert_eq!(world.work_once().await, Work::Nothing);
    let batch = world.batch(&id).await;
    assert_eq!((batch.state(), batch.total, batch.sent), (BatchState::Cancelled, 300, 200), "what was being told is counted");
    assert_eq!(cancel(&world, &id).await.unwrap(), batch, "once more changes nothing");
    assert_eq!(refused(cancel(&world, "nothing").await), "BATCH_NOT_FOUND");

    let done = world.tell(literal("hello", &["alice"])).await;
    assert_eq!(cancel(&world, &done.batch_id).await.unwrap(), done);
}

#[tokio::test]
async fn a_batch_that_comes_too_late_is_skipped() {
    let world = World::new();
    let id = world.send(SendRequest { expires_in: 60, ..to_many(101) }).await.unwrap();
    world.work_once().await;
    world.context.clock.advance(Duration::from_secs(60));
    world.work().await;
    let batch = world.batch(&id).await;
    assert_eq!((batch.state(), batch.sent, batch.skipped, batch.errors.len()), (BatchState::Done, 100, 1, 1));
    assert_eq!(world.pushed().len(), 1);
}

#[tokio::test]
async fn sending_again_with_the_same_key_tells_nobody_twice() {
    let world = World::new();
    let keyed = |title| SendRequest { idempotency_key: "k".to_owned(), ..literal(title, &["alice"]) };
    let id = world.send(keyed("hello")).await.unwrap();
    assert_eq!(world.send(keyed("hello")).await, Ok(id.clone()));
    assert_eq!(refused(world.send(keyed("other")).await), "IDEMPOTENCY_KEY_REUSED");
    world.work().await;
    assert_eq!(world.titles("alice").await, ["hello"]);
    world.context.clock.advance(Duration::from_secs(24 * 3600));
    assert_ne!(world.send(keyed("other")).await.unwrap(), id, "a day later it is another");
}

#[tokio::test]
async fn of_those_who_send_with_one_key_at_once_one_is_heard() {
    let world = World::new();
    let sent = futures_util::future::join_all((0..8).map(|_| {
        let request = SendRequest { idempotency_key: "k".to_owned(), ..literal("hello", &["alice"]) };
        world.send(request)
    }))
    .await;
    assert!(sent.iter().all(|id| *id == sent[0] && id.is_ok()));
    world.work().await;
    assert_eq!(world.titles("alice").await, ["hello"]);
}

#[tokio::test]
async fn when_too_much_waits_nothing_more_is_taken() {
    let world = World::new();
    for _ in 0..1000 {
        world.send(literal("hello", &["alice"])).await.unwrap();
    }
    assert_eq!(refused(world.send(literal("hello", &["alice"])).await), "QUEUE_FULL");
    for _ in 0..40 {
        world.work_once().await;
    }
    world.send(literal("hello", &["alice"])).await.expect("there is room again");
    world.work().await;
    assert_eq!(world.list("alice", |_| {}).await.unwrap().unread_count, 200);
}

#[tokio::test]
async fn one_history_that_is_broken_holds_up_nobody() {
    let world = World::new();
    let batch = Changes::default().put(Key::new("notifyinbox", "bob"), "no document", Expect::Anything, None);
    world.context.store.write(batch).await.unwrap();
    let batch = world.tell(literal("hello", &["alice", "bob"])).await;
    assert_eq!((batch.sent, batch.failed, batch.errors[0].user_id.as_str()), (1, 1, "bob"));
}
