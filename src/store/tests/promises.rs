//! The promises of `store/mod.rs`, one test each, written once and run against every engine.

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

const BOUNDS: Bounds = Bounds { count: 100, bytes: None, age: Duration::from_secs(60) };

fn append(log: &str, entries: impl IntoIterator<Item = &'static str>, bounds: Bounds) -> Batch {
    let batch = Batch::new(Durability::Flushed);
    entries.into_iter().fold(batch, |batch, entry| batch.append(key(log), entry, bounds))
}

fn texts(entries: &Entries) -> Vec<(u64, &str)> {
    entries.entries.iter().map(|(offset, entry)| (*offset, std::str::from_utf8(entry).unwrap())).collect()
}

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

async fn offsets_begin_at_one_and_have_no_gaps(subject: &Subject) {
    let store = &subject.store;
    let none = store.read(&key("log"), 0, 10).await.unwrap();
    assert_eq!((none.entries.len(), none.first, none.last), (0, 1, 0));
    store.write(append("log", ["a", "b"], BOUNDS)).await.unwrap();
    store.write(append("log", ["c"], BOUNDS)).await.unwrap();
    let all = store.read(&key("log"), 0, 10).await.unwrap();
    assert_eq!((texts(&all), all.first, all.last), (vec![(1, "a"), (2, "b"), (3, "c")], 1, 3));
    assert_eq!(texts(&store.read(&key("log"), 1, 1).await.unwrap()), [(2, "b")]);
    for (after, limit) in [(3, 10), (9, 10), (u64::MAX, 10), (0, 0)] {
        let part = store.read(&key("log"), after, limit).await.unwrap();
        assert_eq!((part.entries.len(), part.first, part.last), (0, 1, 3), "{limit} after {after}");
    }
    assert_eq!(store.read(&key("log"), 0, usize::MAX).await.unwrap().entries.len(), 3);
}

async fn a_log_is_bounded_by_count(subject: &Subject) {
    let store = &subject.store;
    let bounds = Bounds { count: 2, ..BOUNDS };
    store.write(append("log", ["a", "b", "c"], bounds)).await.unwrap();
    let kept = store.read(&key("log"), 0, 10).await.unwrap();
    assert_eq!((texts(&kept), kept.first, kept.last), (vec![(2, "b"), (3, "c")], 2, 3));
    store.write(append("log", ["d"], Bounds { count: 0, ..BOUNDS })).await.unwrap();
    let kept = store.read(&key("log"), 0, 10).await.unwrap();
    assert_eq!((kept.entries.len(), kept.first, kept.last), (0, 5, 4), "none kept, and none forgotten to have been");
}

async fn a_log_is_bounded_by_age_and_then_gone(subject: &Subject) {
    let store = &subject.store;
    let bounds = Bounds { age: Duration::from_millis(400), ..BOUNDS };
    store.write(append("log", ["a"], bounds)).await.unwrap();
    subject.pass(Duration::from_millis(250)).await;
    store.write(append("log", ["b"], bounds)).await.unwrap();
    subject.pass(Duration::from_millis(250)).await;
    let kept = store.read(&key("log"), 0, 10).await.unwrap();
    assert_eq!((texts(&kept), kept.first, kept.last), (vec![(2, "b")], 2, 2));
    store.write(append("log", ["c"], bounds)).await.unwrap();
    subject.pass(Duration::from_millis(500)).await;
    let gone = store.read(&key("log"), 0, 10).await.unwrap();
    assert_eq!((gone.entries.len(), gone.first, gone.last), (0, 1, 0));
    store.write(append("log", ["d"], bounds)).await.unwrap();
    assert_eq!(texts(&store.read(&key("log"), 0, 10).await.unwrap()), [(1, "d")]);
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

async fn who_listens_hears_and_nobody_else(subject: &Subject) {
    let store = &subject.store;
    assert_eq!(store.publish("news", Bytes::from_static(b"early")).await.unwrap(), 0);
    let mut one = store.listen("news").await.unwrap();
    let mut two = store.listen("news").await.unwrap();
    let mut other = store.listen("other").await.unwrap();
    assert!(store.publish("news", Bytes::from_static(b"a\0b")).await.unwrap() >= 1);
    let told = Some(Signal::Message(Bytes::from_static(b"a\0b")));
    assert_eq!(one.recv().await, told);
    assert_eq!(two.recv().await, told);
    drop(one);
    store.publish("news", Bytes::from_static(b"again")).await.unwrap();
    assert_eq!(two.recv().await, Some(Signal::Message(Bytes::from_static(b"again"))));
    store.publish("other", Bytes::from_static(b"last")).await.unwrap();
    assert_eq!(other.recv().await, Some(Signal::Message(Bytes::from_static(b"last"))), "and nothing of another channel");
    drop((two, other));
}

async fn a_write_answers_versions_and_offsets_in_the_order_of_its_changes(subject: &Subject) {
    let store = &subject.store;
    let batch = append("log", ["a"], BOUNDS)
        .put(key("a"), "x", Expect::Absent, None)
        .check(key("b"), Expect::Absent)
        .append(key("log"), "b", BOUNDS)
        .delete(key("c"), Expect::Anything)
        .append_announced(key("other"), "c", BOUNDS, "news");
    let numbers = store.write(batch).await.unwrap();
    let version = store.get(&key("a")).await.unwrap().unwrap().version;
    assert_eq!(numbers, [1, version, 2, 1]);
    assert_eq!(store.write(append("log", ["c", "d"], Bounds { count: 1, ..BOUNDS })).await.unwrap(), [3, 4]);
}

async fn a_log_is_bounded_by_bytes_and_keeps_its_newest(subject: &Subject) {
    let store = &subject.store;
    let bounds = |bytes| Bounds { bytes: Some(bytes), ..BOUNDS };
    let kept = async || store.read(&key("log"), 0, 100).await.unwrap();
    store.write(append("log", ["four", "4444", ""], BOUNDS)).await.unwrap();
    store.write(append("log", ["xy"], bounds(10))).await.unwrap();
    assert_eq!(texts(&kept().await), [(1, "four"), (2, "4444"), (3, ""), (4, "xy")], "exactly as much as may be");
    store.write(append("log", ["z"], bounds(10))).await.unwrap();
    assert_eq!(texts(&kept().await), [(2, "4444"), (3, ""), (4, "xy"), (5, "z")]);
    store.write(append("log", ["longer than that"], bounds(10))).await.unwrap();
    assert_eq!(texts(&kept().await), [(6, "longer than that")]);
    store.write(append("log", ["z"], bounds(10))).await.unwrap();
    assert_eq!(texts(&kept().await), [(7, "z")]);
    store.write(append("log", ["z", "", ""], bounds(0))).await.unwrap();
    assert_eq!(texts(&kept().await), [(9, ""), (10, "")], "nothing has no length");
    store.write(append("log", ["none"], Bounds { count: 0, ..bounds(10) })).await.unwrap();
    store.write(append("log", ["12345", "67890", "!"], bounds(10))).await.unwrap();
    let kept = kept().await;
    assert_eq!((texts(&kept), kept.first, kept.last), (vec![(13, "67890"), (14, "!")], 13, 14));
}

async fn a_tight_bound_lets_go_of_everything_that_a_wide_one_kept(subject: &Subject) {
    let store = &subject.store;
    let wide = Bounds { count: 1000, bytes: Some(1 << 20), ..BOUNDS };
    for _ in 0..7 {
        store.write(append("log", ["0123456789"; 100], wide)).await.unwrap();
    }
    store.write(append("log", ["0123456789"], Bounds { bytes: Some(3005), ..wide })).await.unwrap();
    let kept = store.read(&key("log"), 0, 1000).await.unwrap();
    assert_eq!((kept.entries.len(), kept.first, kept.last), (300, 402, 701));
}

async fn an_announced_entry_is_heard_as_it_is_read(subject: &Subject) {
    let store = &subject.store;
    let mut news = store.listen("news").await.unwrap();
    let mut silent = store.listen("log").await.unwrap();
    let entry = Bytes::from((0..=255).collect::<Vec<u8>>());
    let batch = append("log", ["unheard"], BOUNDS)
        .append_announced(key("log"), entry.clone(), BOUNDS, "news")
        .put(key("a"), "x", Expect::Absent, None)
        .append_announced(key("other"), "", BOUNDS, "news")
        .append_announced(key("log"), "last", Bounds { count: 0, ..BOUNDS }, "news");
    assert_eq!(store.write(batch).await.unwrap().len(), 5);
    let heard = [next(&mut news).await, next(&mut news).await, next(&mut news).await];
    assert_eq!(heard, [(2, entry), (1, Bytes::new()), (3, Bytes::from_static(b"last"))]);
    store.publish("log", Bytes::from_static(b"end")).await.unwrap();
    assert_eq!(silent.recv().await, Some(Signal::Message(Bytes::from_static(b"end"))), "and nothing on a channel that was not named");
}

async fn nothing_is_announced_of_a_batch_that_conflicted(subject: &Subject) {
    let store = &subject.store;
    let mut news = store.listen("news").await.unwrap();
    let batch = Batch::default().append_announced(key("log"), "lost", BOUNDS, "news").check(key("a"), Expect::Version(1));
    assert_eq!(store.write(batch).await.unwrap_err(), StoreError::Conflict(1));
    store.write(Batch::default().append_announced(key("log"), "kept", BOUNDS, "news")).await.unwrap();
    assert_eq!(next(&mut news).await, (1, Bytes::from_static(b"kept")));
}

async fn whoever_listens_and_then_reads_misses_nothing(subject: &Subject) {
    const ENTRIES: u64 = 400;
    let append = |store: Store, writer: u64| async move {
        for number in 0..ENTRIES / 4 {
            let batch =
                Batch::default().append_announced(key("log"), format!("{writer} {number}"), Bounds { count: 1000, ..BOUNDS }, "news");
            store.write(batch).await.unwrap();
        }
    };
    let writers: Vec<_> = (0..4).map(|writer| tokio::spawn(append(subject.store.clone(), writer))).collect();
    let follow = |store: Store, begin: u64| async move {
        while store.read(&key("log"), 0, 0).await.unwrap().last < begin {
            tokio::task::yield_now().await;
        }
        let mut news = store.listen("news").await.unwrap();
        let mut entries = store.read(&key("log"), 0, 1000).await.unwrap().entries;
        while entries.len() < ENTRIES as usize {
            let (offset, entry) = next(&mut news).await;
            // What was appended between listening and reading is heard as well.
            if offset > entries.len() as u64 {
                entries.push((offset, entry));
            }
        }
        entries
    };
    let followers: Vec<_> = (0..5).map(|nth| tokio::spawn(follow(subject.store.clone(), nth * 70))).collect();
    for writer in writers {
        writer.await.unwrap();
    }
    let log = subject.store.read(&key("log"), 0, 1000).await.unwrap().entries;
    assert_eq!(log.len(), ENTRIES as usize);
    for follower in followers {
        assert!(follower.await.unwrap() == log, "each in its place, and as it is read");
    }
}

async fn a_thousand_may_begin_to_listen_at_once(subject: &Subject) {
    let listen = |number: usize| {
        let store = subject.store.clone();
        tokio::spawn(async move { store.listen(&format!("channel {}", number % 1500)).await })
    };
    let asked: Vec<_> = (0..3000).map(listen).collect();
    let mut listeners = Vec::new();
    for listener in asked {
        listeners.push(listener.await.unwrap().unwrap());
    }
    for number in [0, 777, 1499] {
        let message = Bytes::from(number.to_string());
        subject.store.publish(&format!("channel {number}"), message.clone()).await.unwrap();
        for listener in [number, number + 1500] {
            assert_eq!(listeners[listener].recv().await, Some(Signal::Message(message.clone())));
        }
    }
}

/// The next entry that is announced to a listener.
async fn next(news: &mut mpsc::Receiver<Signal>) -> (u64, Bytes) {
    match news.recv().await {
        Some(Signal::Message(message)) => announced(&message).expect("offset and entry"),
        other => panic!("{other:?}"),
    }
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
