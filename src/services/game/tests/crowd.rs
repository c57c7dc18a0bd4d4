//! Many at once, also of several processes.

use std::collections::BTreeSet;

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, join_all};
use proptest::prelude::*;

use super::*;
use crate::store::{self, Batch, Count, Document, Engine, Entries, Key, Signal};

#[tokio::test]
async fn operations_of_many_make_versions_without_gaps_and_are_told_in_their_order() {
    let world = World::new();
    let room = world.try_create("player-0", |request| request.capacity = 50).await.unwrap();
    let joins = join_all((1..50).map(|index| {
        let (world, room) = (&world, &room);
        async move { world.join(&room.id, &format!("player-{index}")).await }
    }));
    assert!(joins.await.iter().all(Result::is_ok));
    let operators = (0..50).map(|index| {
        let (world, room) = (&world, &room);
        async move {
            let user = format!("player-{index}");
            let mut versions = Vec::new();
            for step in 0..4 {
                versions.push(world.act(&room.id, &user, &format!("{index}.{step}")).await.unwrap());
            }
            assert!(versions.is_sorted(), "one's own operations keep their order");
            versions
        }
    });
    let versions: BTreeSet<u64> = join_all(operators).await.into_iter().flatten().collect();
    assert_eq!(versions, (51..=250).collect());
    let told: Vec<u64> = world.told().into_iter().map(|(_, version, _)| version).collect();
    assert_eq!(told, (1..=250).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_processes_agree_on_the_versions_of_one_room() {
    let world = World::new();
    let other = world.another();
    let room = world.room("alice").await;
    other.join(&room.id, "bob").await.unwrap();
    let act = |world: World, user: &'static str, id: String| async move {
        let mut versions = Vec::new();
        for step in 0..50 {
            versions.push(world.act(&id, user, &step.to_string()).await.unwrap());
        }
        versions
    };
    let (recorder, id) = (world.recorder.clone(), room.id.clone());
    let (hers, his) = tokio::join!(tokio::spawn(act(world.another(), "alice", id.clone())), tokio::spawn(act(other, "bob", id.clone())));
    let versions: BTreeSet<u64> = hers.unwrap().into_iter().chain(his.unwrap()).collect();
    assert_eq!(versions, (3..=102).collect());
    assert_eq!(recorder.pushed().len(), 102);
    let history = world.history(&room.id, "alice", 2, 100).await.unwrap();
    assert_eq!(history.events.iter().map(|event| event.version).collect::<Vec<_>>(), (3..=102).collect::<Vec<_>>());
}

/// A store that is a millisecond away.
struct Far(Arc<Memory>);

/// How long anything takes.
async fn far<T>(operation: impl Future<Output = T>) -> T {
    tokio::time::sleep(Duration::from_millis(1)).await;
    operation.await
}

impl Engine for Far {
    fn patience(&self) -> Duration {
        self.0.patience()
    }

    fn get<'a>(&'a self, keys: &'a [Key]) -> BoxFuture<'a, store::Result<Vec<Option<Document>>>> {
        far(self.0.get(keys)).boxed()
    }

    fn write(&self, batch: Batch) -> BoxFuture<'_, store::Result<Vec<u64>>> {
        far(async { self.0.write(batch).await }).boxed()
    }

    fn count<'a>(&'a self, key: &'a Key, by: u32, window: Duration) -> BoxFuture<'a, store::Result<Count>> {
        far(self.0.count(key, by, window)).boxed()
    }

    fn read<'a>(&'a self, log: &'a Key, after: u64, limit: usize) -> BoxFuture<'a, store::Result<Entries>> {
        far(self.0.read(log, after, limit)).boxed()
    }

    fn publish<'a>(&'a self, channel: &'a str, message: Bytes) -> BoxFuture<'a, store::Result<u64>> {
        self.0.publish(channel, message)
    }

    fn listen(&self, channel: &str) -> BoxFuture<'_, store::Result<tokio::sync::mpsc::Receiver<Signal>>> {
        self.0.listen(channel)
    }
}

#[tokio::test(start_paused = true)]
async fn processes_that_are_busy_with_one_room_do_not_starve_one_another() {
    let World { memory, clock, hasher, recorder, .. } = World::new();
    let store = Store::new(Far(Arc::clone(&memory)));
    let process = || World::over(Arc::clone(&memory), store.clone(), clock.clone(), hasher.clone(), recorder.clone());
    let processes: Vec<World> = (0..5).map(|_| process()).collect();
    let room = processes[0].try_create("player-0", |request| request.capacity = 50).await.unwrap();
    for index in 1..50 {
        processes[0].join(&room.id, &format!("player-{index}")).await.unwrap();
    }
    let operators = (0..50).map(|index| {
        let (world, room) = (&processes[index % 5], &room);
        async move {
            let mut versions = Vec::new();
            for step in 0..4 {
                versions.push(world.act(&room.id, &format!("player-{index}"), &step.to_string()).await.unwrap());
            }
            versions
        }
    });
    let versions: BTreeSet<u64> = join_all(operators).await.into_iter().flatten().collect();
    assert_eq!(versions, (51..=250).collect());
}

#[tokio::test]
async fn of_those_who_want_the_last_seat_at_once_one_has_it() {
    let world = World::new();
    let room = world.try_create("alice", |request| request.capacity = 2).await.unwrap();
    let answers = join_all((0..16).map(|index| {
        let (world, room) = (&world, &room);
        async move { world.join(&room.id, &format!("player-{index}")).await }
    }));
    let answers = answers.await;
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1);
    assert!(answers.into_iter().filter_map(Result::err).all(|refusal| refusal == "FailedPrecondition ROOM_FULL"));
}

#[tokio::test]
async fn seats_are_counted_also_when_they_are_taken_at_once() {
    let world = World::new();
    let answers = join_all((0..16).map(|_| world.try_create("alice", |_| {}))).await;
    assert!(answers.iter().all(|answer| answer.is_ok() || answer.as_ref().is_err_and(|refusal| refusal.contains("TOO_MANY_ROOMS"))));
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), player::SEATS_MAX);
    assert_eq!(world.listed().await.len(), player::SEATS_MAX);
}

/// What somebody may do.
#[derive(Clone, Debug)]
enum Step {
    Join(u8),
    Leave(u8),
    Act(u8),
    /// So many seconds pass, and these are there.
    Sweep(u16, Vec<u8>),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0..6_u8).prop_map(Step::Join),
        (0..6_u8).prop_map(Step::Leave),
        (0..6_u8).prop_map(Step::Act),
        (0..90_u16, proptest::collection::vec(0..6_u8, 0..6)).prop_map(|(seconds, there)| Step::Sweep(seconds, there)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_happens_a_room_has_a_host_and_every_event_one_version(steps in proptest::collection::vec(step(), 1..60)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut world = World::new();
            let room = world.room("0").await;
            for step in steps {
                match step {
                    Step::Join(user) => drop(world.join(&room.id, &user.to_string()).await),
                    Step::Leave(user) => drop(world.leave(&room.id, &user.to_string()).await),
                    Step::Act(user) => drop(world.act(&room.id, &user.to_string(), "x").await),
                    Step::Sweep(seconds, there) => {
                        let there: Vec<String> = there.iter().map(u8::to_string).collect();
                        world.present(&room.id, &there.iter().map(String::as_str).collect::<Vec<_>>());
                        world.clock.advance(Duration::from_secs(seconds.into()));
                        world.sweep.round().await.unwrap_or_else(|refusal| panic!("{}", refusal.reason()));
                    }
                }
                let document = world.store.get(&room::key(&room.id)).await.unwrap();
                let Some(document) = document else { continue };
                let stored: room::Room = serde_json::from_slice(&document.value).unwrap();
                assert!(stored.closed == stored.seats.is_empty() && stored.seats.len() <= 4);
                assert!(stored.closed || stored.seat(&stored.host).is_some(), "one of them is the host");
                let users: BTreeSet<&String> = stored.seats.iter().map(|seat| &seat.user).collect();
                assert_eq!(users.len(), stored.seats.len(), "nobody sits twice");
            }
            let told: Vec<u64> = world.told().into_iter().map(|(_, version, _)| version).collect();
            assert_eq!(told, (1..=told.len() as u64).collect::<Vec<_>>());
        });
    }
}
