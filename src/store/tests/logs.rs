//! What is promised of logs.

use super::*;

pub const BOUNDS: Bounds = Bounds { count: 100, bytes: None, age: Duration::from_secs(60) };

pub fn append(log: &str, entries: impl IntoIterator<Item = &'static str>, bounds: Bounds) -> Batch {
    let batch = Batch::new(Durability::Flushed);
    entries.into_iter().fold(batch, |batch, entry| batch.append(key(log), entry, bounds))
}

pub fn texts(entries: &Entries) -> Vec<(u64, &str)> {
    entries.entries.iter().map(|(offset, entry)| (*offset, std::str::from_utf8(entry).unwrap())).collect()
}

pub async fn offsets_begin_at_one_and_have_no_gaps(subject: &Subject) {
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

pub async fn a_write_answers_versions_and_offsets_in_the_order_of_its_changes(subject: &Subject) {
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

pub async fn a_log_is_bounded_by_count(subject: &Subject) {
    let store = &subject.store;
    let bounds = Bounds { count: 2, ..BOUNDS };
    store.write(append("log", ["a", "b", "c"], bounds)).await.unwrap();
    let kept = store.read(&key("log"), 0, 10).await.unwrap();
    assert_eq!((texts(&kept), kept.first, kept.last), (vec![(2, "b"), (3, "c")], 2, 3));
    store.write(append("log", ["d"], Bounds { count: 0, ..BOUNDS })).await.unwrap();
    let kept = store.read(&key("log"), 0, 10).await.unwrap();
    assert_eq!((kept.entries.len(), kept.first, kept.last), (0, 5, 4), "none kept, and none forgotten to have been");
}

pub async fn a_log_is_bounded_by_bytes_and_keeps_its_newest(subject: &Subject) {
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

pub async fn a_tight_bound_lets_go_of_everything_that_a_wide_one_kept(subject: &Subject) {
    let store = &subject.store;
    let wide = Bounds { count: 1000, bytes: Some(1 << 20), ..BOUNDS };
    for _ in 0..7 {
        store.write(append("log", ["0123456789"; 100], wide)).await.unwrap();
    }
    store.write(append("log", ["0123456789"], Bounds { bytes: Some(3005), ..wide })).await.unwrap();
    let kept = store.read(&key("log"), 0, 1000).await.unwrap();
    assert_eq!((kept.entries.len(), kept.first, kept.last), (300, 402, 701));
}

pub async fn a_log_is_bounded_by_age_and_then_gone(subject: &Subject) {
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
