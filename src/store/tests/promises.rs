//! The promises of `store/mod.rs`, one test each, written once and run against every engine. Those of logs and of signals are beside.

use super::logs::*;
use super::signals::*;
use super::*;

/// Runs each of these against an engine.
macro_rules! every_promise {
    ($module:ident, $subject:expr, [$($promise:ident),+ $(,)?]) => {
        mod $module {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
            async fn $promise() {
                super::$promise(&$subject).await;
            })+
        }
    };
}

/// The list itself, so that no engine is asked less than another.
macro_rules! ask {
    ($module:ident, $subject:expr) => {
        every_promise! { $module, $subject, [
            what_was_put_is_there_with_its_version,
            a_version_is_never_used_twice,
            a_batch_happens_entirely_or_not_at_all,
            expectations_are_of_what_was_there_before_the_batch,
            what_is_past_its_expiry_is_not_there,
            a_put_without_expiry_takes_it_away,
            many_writers_of_one_document_lose_nothing,
            one_of_many_creates,
            offsets_begin_at_one_and_have_no_gaps,
            a_write_answers_versions_and_offsets_in_the_order_of_its_changes,
            a_log_is_bounded_by_count,
            a_log_is_bounded_by_bytes_and_keeps_its_newest,
            a_tight_bound_lets_go_of_everything_that_a_wide_one_kept,
            a_log_is_bounded_by_age_and_then_gone,
            a_counter_starts_from_nothing_after_its_window,
            counting_by_nothing_counts_nothing,
            documents_logs_and_counters_of_one_name_are_apart,
            any_text_is_a_key_and_any_bytes_a_value,
            who_listens_hears_and_nobody_else,
            an_announced_entry_is_heard_as_it_is_read,
            nothing_is_announced_of_a_batch_that_conflicted,
            whoever_listens_and_then_reads_misses_nothing,
            a_thousand_may_begin_to_listen_at_once,
            a_reader_of_two_documents_never_sees_half_a_batch,
        ] }
    };
}

ask!(memory, crate::store::tests::Subject::memory());
ask!(embedded, crate::store::tests::Subject::embedded());
ask!(file, crate::store::tests::Subject::file());
ask!(redis, crate::store::tests::Subject::redis().await);

async fn what_was_put_is_there_with_its_version(subject: &Subject) {
    let store = &subject.store;
    assert!(store.get(&key("a")).await.unwrap().is_none());
    let versions = store.write(put("a", "one", Expect::Absent).put(key("b"), "two", Expect::Anything, None)).await.unwrap();
    assert_eq!(versions.len(), 2);
    let found = store.get_all(&[key("b"), key("nobody"), key("a")]).await.unwrap();
    assert_eq!(found.iter().map(text).collect::<Vec<_>>(), [Some("two"), None, Some("one")]);
    assert_eq!(found[0].as_ref().unwrap().version, versions[1]);
    assert_eq!(found[2].as_ref().unwrap().version, versions[0]);
    assert!(store.get_all(&[]).await.unwrap().is_empty());
    assert!(store.write(Batch::default()).await.unwrap().is_empty(), "an empty batch is fine");
}

async fn a_version_is_never_used_twice(subject: &Subject) {
    let store = &subject.store;
    let mut last = 0;
    for round in 0..5 {
        let versions = store.write(put("a", "x", Expect::Absent).put(key("b"), "y", Expect::Anything, None)).await.unwrap();
        assert!(versions[0] > last && versions[1] > versions[0], "round {round}: {versions:?} after {last}");
        last = versions[1];
        store.write(Batch::new(Durability::Durable).delete(key("a"), Expect::Version(versions[0]))).await.unwrap();
    }
    let stale = store.write(put("a", "z", Expect::Version(last))).await;
    assert_eq!(stale.unwrap_err(), StoreError::Conflict(0));
}

async fn a_batch_happens_entirely_or_not_at_all(subject: &Subject) {
    let store = &subject.store;
    store.write(put("there", "old", Expect::Absent)).await.unwrap();
    let batch = put("new", "x", Expect::Absent)
        .append(key("log"), "x", BOUNDS)
        .delete(key("there"), Expect::Anything)
        .check(key("missing"), Expect::Absent)
        .put(key("there"), "other", Expect::Absent, None);
    assert_eq!(store.write(batch).await.unwrap_err(), StoreError::Conflict(4));
    let found = store.get_all(&[key("new"), key("there")]).await.unwrap();
    assert_eq!(found.iter().map(text).collect::<Vec<_>>(), [None, Some("old")]);
    assert_eq!(store.read(&key("log"), 0, 10).await.unwrap().last, 0);
    let checks = [Expect::Absent, Expect::Version(u64::MAX)];
    for check in checks {
        let batch = Batch::default().check(key("there"), check).put(key("new"), "x", Expect::Absent, None);
        assert_eq!(store.write(batch).await.unwrap_err(), StoreError::Conflict(0));
    }
    let version = found[1].as_ref().unwrap().version;
    let batch = Batch::default().check(key("there"), Expect::Version(version)).delete(key("nobody"), Expect::Anything);
    assert!(store.write(batch).await.unwrap().is_empty(), "checks and deletions have no number");
}

async fn expectations_are_of_what_was_there_before_the_batch(subject: &Subject) {
    let store = &subject.store;
    let batch = put("a", "one", Expect::Absent).put(key("a"), "two", Expect::Absent, None).delete(key("b"), Expect::Absent);
    let versions = store.write(batch).await.unwrap();
    let found = store.get(&key("a")).await.unwrap();
    assert_eq!((text(&found), found.as_ref().unwrap().version), (Some("two"), versions[1]));
}

async fn what_is_past_its_expiry_is_not_there(subject: &Subject) {
    let store = &subject.store;
    let ttl = Some(Duration::from_millis(300));
    let batch = Batch::default().put(key("short"), "x", Expect::Absent, ttl).put(key("long"), "y", Expect::Absent, None);
    let versions = store.write(batch).await.unwrap();
    assert!(store.get(&key("short")).await.unwrap().is_some());
    subject.pass(Duration::from_millis(310)).await;
    assert!(store.get(&key("short")).await.unwrap().is_none());
    assert!(store.get(&key("long")).await.unwrap().is_some());
    assert_eq!(store.write(put("short", "z", Expect::Version(versions[0]))).await.unwrap_err(), StoreError::Conflict(0));
    store.write(put("short", "z", Expect::Absent)).await.unwrap();
    let at_once = Batch::default().put(key("never"), "x", Expect::Absent, Some(Duration::ZERO));
    store.write(at_once).await.unwrap();
    assert!(store.get(&key("never")).await.unwrap().is_none(), "it was past its expiry from the start");
}

async fn a_put_without_expiry_takes_it_away(subject: &Subject) {
    let store = &subject.store;
    store.write(Batch::default().put(key("a"), "x", Expect::Absent, Some(Duration::from_millis(200)))).await.unwrap();
    store.write(put("a", "y", Expect::Anything)).await.unwrap();
    subject.pass(Duration::from_millis(300)).await;
    assert_eq!(text(&store.get(&key("a")).await.unwrap()), Some("y"));
    store.write(Batch::default().put(key("b"), "x", Expect::Absent, Some(Duration::MAX))).await.unwrap();
    assert!(store.get(&key("b")).await.unwrap().is_some(), "the longest expiry there is, is one");
}

async fn many_writers_of_one_document_lose_nothing(subject: &Subject) {
    let add = |store: Store| async move {
        for _ in 0..10 {
            loop {
                let found = store.get(&key("sum")).await.unwrap();
                let sum: u32 = text(&found).map_or(0, |text| text.parse().unwrap());
                let batch = Batch::default().put(key("sum"), (sum + 1).to_string(), Expect::unchanged(found.as_ref()), None);
                match store.write(batch).await {
                    Ok(_) => break,
                    Err(StoreError::Conflict(0)) => {}
                    Err(other) => panic!("{other}"),
                }
            }
        }
    };
    let writers: Vec<_> = (0..8).map(|_| tokio::spawn(add(subject.store.clone()))).collect();
    for writer in writers {
        writer.await.unwrap();
    }
    assert_eq!(text(&subject.store.get(&key("sum")).await.unwrap()), Some("80"));
}

async fn one_of_many_creates(subject: &Subject) {
    let create = |number: u32| {
        let store = subject.store.clone();
        tokio::spawn(async move { store.get_or_create(&key("made"), Bytes::from(number.to_string()), Durability::Durable).await.unwrap() })
    };
    let creators: Vec<_> = (0..16).map(create).collect();
    let mut answers = Vec::new();
    for creator in creators {
        answers.push(creator.await.unwrap());
    }
    assert_eq!(answers.iter().filter(|(_, made)| *made).count(), 1);
    assert!(answers.iter().all(|(value, _)| *value == answers[0].0));
}

async fn a_counter_starts_from_nothing_after_its_window(subject: &Subject) {
    let (store, window) = (&subject.store, Duration::from_millis(400));
    assert_eq!(store.count(&key("c"), 1, window).await.unwrap().value, 1);
    subject.pass(Duration::from_millis(150)).await;
    let counted = store.count(&key("c"), 2, Duration::from_secs(3600)).await.unwrap();
    assert_eq!(counted.value, 3);
    assert!(counted.left <= Duration::from_millis(250), "a window is not made longer by counting: {:?}", counted.left);
    subject.pass(Duration::from_millis(300)).await;
    let counted = store.count(&key("c"), 5, window).await.unwrap();
    assert_eq!(counted.value, 5);
    assert!(counted.left > Duration::from_millis(200) && counted.left <= window, "{:?}", counted.left);
}

async fn counting_by_nothing_counts_nothing(subject: &Subject) {
    let (store, window) = (&subject.store, Duration::from_secs(60));
    let nothing = Count { value: 0, left: Duration::ZERO };
    assert_eq!(store.count(&key("c"), 0, window).await.unwrap(), nothing);
    store.count(&key("c"), 7, window).await.unwrap();
    assert_eq!(store.count(&key("c"), 0, window).await.unwrap().value, 7);
    assert_eq!(store.count(&key("d"), 0, window).await.unwrap(), nothing, "another counter");
    store.count(&key("c"), u32::MAX, window).await.unwrap();
    assert_eq!(store.count(&key("c"), 1, window).await.unwrap().value, u64::from(u32::MAX) + 8);
}

async fn documents_logs_and_counters_of_one_name_are_apart(subject: &Subject) {
    let store = &subject.store;
    store.write(put("a", "x", Expect::Absent).append(key("a"), "y", BOUNDS)).await.unwrap();
    store.count(&key("a"), 3, Duration::from_secs(60)).await.unwrap();
    assert_eq!(text(&store.get(&key("a")).await.unwrap()), Some("x"));
    assert_eq!(texts(&store.read(&key("a"), 0, 10).await.unwrap()), [(1, "y")]);
    store.write(Batch::default().delete(key("a"), Expect::Anything)).await.unwrap();
    assert_eq!(store.read(&key("a"), 0, 10).await.unwrap().last, 1);
    assert_eq!(store.count(&key("a"), 0, Duration::from_secs(60)).await.unwrap().value, 3);
}

async fn any_text_is_a_key_and_any_bytes_a_value(subject: &Subject) {
    let store = &subject.store;
    let keys = ["", " ", "a:b", "a\0b", "ä\r\n$5", "*", "{x}", &"k".repeat(2000)].map(key);
    let value = Bytes::from((0..=255).cycle().take(100_000).collect::<Vec<u8>>());
    for (length, key) in keys.iter().enumerate() {
        let value = value.slice(..length * 10_000);
        store
            .write(Batch::default().put(key.clone(), value, Expect::Absent, None).append(key.clone(), value_at(length), BOUNDS))
            .await
            .unwrap();
    }
    for (length, found) in store.get_all(&keys).await.unwrap().iter().enumerate() {
        assert_eq!(found.as_ref().unwrap().value, value.slice(..length * 10_000));
        assert_eq!(store.read(&keys[length], 0, 1).await.unwrap().entries[0].1, value_at(length));
    }
}

/// Some bytes that no text would be.
fn value_at(length: usize) -> Bytes {
    Bytes::from(vec![0xff; length])
}

async fn a_reader_of_two_documents_never_sees_half_a_batch(subject: &Subject) {
    let store = subject.store.clone();
    let writer = tokio::spawn(async move {
        for round in 0..200 {
            let round = Bytes::from(round.to_string());
            let batch = Batch::default().put(key("a"), round.clone(), Expect::Anything, None).put(key("b"), round, Expect::Anything, None);
            store.write(batch).await.unwrap();
        }
    });
    while !writer.is_finished() {
        let found = subject.store.get_all(&[key("a"), key("b")]).await.unwrap();
        assert_eq!(text(&found[0]), text(&found[1]));
        tokio::task::yield_now().await;
    }
    writer.await.unwrap();
}
