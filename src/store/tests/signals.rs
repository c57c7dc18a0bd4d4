//! What is promised to those who listen.

use super::logs::{BOUNDS, append};
use super::*;

pub async fn who_listens_hears_and_nobody_else(subject: &Subject) {
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

pub async fn an_announced_entry_is_heard_as_it_is_read(subject: &Subject) {
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

pub async fn nothing_is_announced_of_a_batch_that_conflicted(subject: &Subject) {
    let store = &subject.store;
    let mut news = store.listen("news").await.unwrap();
    let batch = Batch::default().append_announced(key("log"), "lost", BOUNDS, "news").check(key("a"), Expect::Version(1));
    assert_eq!(store.write(batch).await.unwrap_err(), StoreError::Conflict(1));
    store.write(Batch::default().append_announced(key("log"), "kept", BOUNDS, "news")).await.unwrap();
    assert_eq!(next(&mut news).await, (1, Bytes::from_static(b"kept")));
}

pub async fn whoever_listens_and_then_reads_misses_nothing(subject: &Subject) {
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

pub async fn a_thousand_may_begin_to_listen_at_once(subject: &Subject) {
    let listen = |number: usize| {
        let store = subject.store.clone();
        tokio::spawn(async move { store.listen(&format!("channel {}", number % 500)).await })
    };
    let asked: Vec<_> = (0..1000).map(listen).collect();
    let mut listeners = Vec::new();
    for listener in asked {
        listeners.push(listener.await.unwrap().unwrap());
    }
    for number in [0, 277, 499] {
        let message = Bytes::from(number.to_string());
        subject.store.publish(&format!("channel {number}"), message.clone()).await.unwrap();
        for listener in [number, number + 500] {
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
