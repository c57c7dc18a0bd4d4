//! Random operations over a handful of keys: an engine answers as the model in memory does, at every step.

use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use super::*;

#[derive(Clone, Debug)]
enum Step {
    Write(Vec<Written>),
    Get(u8),
    Count(u8, u32, u32),
    Read(u8, u64, usize),
    Pass(u16),
}

/// What, which key, what is expected, how long it lives in milliseconds, how many bytes a log may have.
type Written = (u8, u8, Wanted, Option<u32>, Option<u64>);

/// An expectation in words that both stores understand: their versions differ.
#[derive(Clone, Copy, Debug)]
enum Wanted {
    Anything,
    Absent,
    /// What both hold now.
    Current,
    /// A version that nobody has.
    Stale,
}

/// `lives`: how long something may live, in milliseconds.
fn step(lives: impl Strategy<Value = u32> + Clone) -> impl Strategy<Value = Step> {
    let wanted = prop_oneof![4 => Just(Wanted::Anything), 1 => Just(Wanted::Absent), 2 => Just(Wanted::Current), 1 => Just(Wanted::Stale)];
    let change = (0..6u8, 0..4u8, wanted, proptest::option::of(lives.clone()), proptest::option::of(0..8u64));
    prop_oneof![
        4 => proptest::collection::vec(change, 0..4).prop_map(Step::Write),
        2 => (0..4u8).prop_map(Step::Get),
        2 => (0..3u8, 0..4u32, lives).prop_map(|(key, by, window)| Step::Count(key, by, window)),
        2 => (0..4u8, 0..6u64, 0..5usize).prop_map(|(log, after, limit)| Step::Read(log, after, limit)),
        2 => (0..200u16).prop_map(Step::Pass),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    #[test]
    fn the_embedded_store_does_as_the_model_does(steps in proptest::collection::vec(step(prop_oneof![1 => Just(0), 9 => 1..400u32]), 1..60)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let clock = Clock::by_hand(SystemTime::now());
            let model = Store::new(Memory::new(clock.clone()));
            let embedded = Store::new(Embedded::in_memory(clock.clone()));
            agree(&model, &embedded, &steps, &clock).await;
        });
    }
}

/// The server's time goes by itself, so nothing lives shorter than the test, except what is gone at once.
#[test]
fn the_store_in_redis_does_as_the_model_does() {
    let server = RedisServer::start();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let engine = runtime.block_on(redis(&server));
    let lives = prop_oneof![1 => Just(0u32), 4 => Just(3_600_000u32)];
    let steps =
        proptest::collection::vec(step(lives).prop_filter("its clock cannot be moved", |step| !matches!(step, Step::Pass(_))), 1..60);
    let mut runner = TestRunner::new(ProptestConfig { cases: 100, ..ProptestConfig::default() });
    let agreed = runner.run(&steps, |steps| {
        server.say(&["FLUSHALL"]);
        let clock = Clock::by_hand(SystemTime::now());
        let model = Store::new(Memory::new(clock.clone()));
        runtime.block_on(agree(&model, &engine, &steps, &clock));
        Ok(())
    });
    agreed.unwrap_or_else(|disagreed| panic!("{disagreed}"));
}

async fn agree(model: &Store, engine: &Store, steps: &[Step], clock: &Clock) {
    let (mut model_news, mut engine_news) = (model.listen(NEWS).await.unwrap(), engine.listen(NEWS).await.unwrap());
    for (at, step) in steps.iter().enumerate() {
        let said = take(model, step, clock, at).await;
        // Time has passed for both.
        let again = if matches!(step, Step::Pass(_)) { said.clone() } else { take(engine, step, clock, at).await };
        assert_eq!(said, again, "step {at}, {step:?}, of {steps:?}");
        if matches!(step, Step::Write(_)) {
            let (said, again) = (heard(model, &mut model_news).await, heard(engine, &mut engine_news).await);
            assert_eq!(said, again, "announced in step {at}, {step:?}, of {steps:?}");
        }
        let keys: Vec<Key> = (0..4).map(|which| key(&which.to_string())).collect();
        let (left, right) = (model.get_all(&keys).await.unwrap(), engine.get_all(&keys).await.unwrap());
        let values = |found: &[Option<Document>]| found.iter().map(|d| d.as_ref().map(|d| d.value.clone())).collect::<Vec<_>>();
        assert_eq!(values(&left), values(&right), "after step {at}, {step:?}, of {steps:?}");
    }
}

/// The channel of everything that is announced.
const NEWS: &str = "news";

/// What was announced until now.
async fn heard(store: &Store, news: &mut mpsc::Receiver<Signal>) -> Vec<(u64, Bytes)> {
    store.publish(NEWS, Bytes::from_static(b"until now")).await.unwrap();
    let mut heard = Vec::new();
    loop {
        match news.recv().await {
            Some(Signal::Message(message)) if message == "until now" => return heard,
            Some(Signal::Message(message)) => heard.push(announced(&message).unwrap()),
            other => panic!("{other:?}"),
        }
    }
}

/// Does a step and says what came of it, without versions.
async fn take(store: &Store, step: &Step, clock: &Clock, at: usize) -> String {
    let named = |which: u8| key(&which.to_string());
    match step {
        Step::Write(changes) => {
            let mut batch = Batch::new(if at.is_multiple_of(7) { Durability::Durable } else { Durability::Flushed });
            for (what, which, wanted, millis, bytes) in changes {
                let expect = match wanted {
                    Wanted::Anything => Expect::Anything,
                    Wanted::Absent => Expect::Absent,
                    Wanted::Current => Expect::unchanged(store.get(&named(*which)).await.unwrap().as_ref()),
                    Wanted::Stale => Expect::Version(u64::MAX),
                };
                let time = millis.map(|millis| Duration::from_millis(millis.into()));
                let bounds = Bounds { count: u32::from(*which) * 2, bytes: *bytes, age: time.unwrap_or(Duration::from_secs(3600)) };
                batch = match what {
                    0 => batch.put(named(*which), at.to_string(), expect, time),
                    1 => batch.delete(named(*which), expect),
                    2 => batch.check(named(*which), expect),
                    3 | 4 => batch.append(named(*which), at.to_string(), bounds),
                    _ => batch.append_announced(named(*which), at.to_string(), bounds, NEWS),
                };
            }
            let answered = batch.changes.iter().filter(|change| matches!(change, Change::Put { .. } | Change::Append { .. }));
            let is_offset: Vec<bool> = answered.map(|change| matches!(change, Change::Append { .. })).collect();
            match store.write(batch).await {
                Ok(numbers) => {
                    let offsets = numbers.iter().zip(&is_offset).map(|(number, is_offset)| is_offset.then_some(*number));
                    format!("{} numbers, of which offsets {:?}", numbers.len(), offsets.collect::<Vec<_>>())
                }
                Err(error) => error.to_string(),
            }
        }
        Step::Get(which) => format!("{:?}", text(&store.get(&named(*which)).await.unwrap())),
        Step::Count(which, by, window) => {
            let count = store.count(&named(*which), *by, Duration::from_millis((*window).into())).await.unwrap();
            // A real clock has gone on a little of the hour meanwhile.
            let left = if count.left > Duration::from_secs(3000) { "an hour".to_owned() } else { format!("{:?}", count.left) };
            format!("{} {left}", count.value)
        }
        Step::Read(log, after, limit) => {
            let read = store.read(&named(*log), *after, *limit).await.unwrap();
            format!("{:?} {} {}", read.entries, read.first, read.last)
        }
        Step::Pass(millis) => {
            clock.advance(Duration::from_millis((*millis).into()));
            String::new()
        }
    }
}
