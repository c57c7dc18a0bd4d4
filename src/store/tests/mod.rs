//! What a store promises, asked of every engine.

mod embedded;
mod logs;
mod promises;
mod random;
mod redis;
#[path = "../../../tests/support/redis.rs"]
#[allow(clippy::disallowed_methods, clippy::disallowed_types)] // It waits for another process, in real time.
pub mod server;
mod signals;

use std::time::{Duration, SystemTime};

use self::server::RedisServer;
use super::embedded::Embedded;
use super::memory::Memory;
use super::redis::{Redis, RedisUrl};
use super::*;
use crate::clock::Clock;

/// A store to be asked, and how time passes for it.
pub struct Subject {
    pub store: Store,
    /// Nothing: its time is the wall's.
    clock: Option<Clock>,
    /// What the store needs besides, for as long as it is asked.
    _keeps: Box<dyn Send + Sync>,
}

impl Subject {
    pub fn memory() -> Subject {
        let clock = Clock::by_hand(SystemTime::now());
        Subject { store: Store::new(Memory::new(clock.clone())), clock: Some(clock), _keeps: Box::new(()) }
    }

    pub fn embedded() -> Subject {
        let clock = Clock::by_hand(SystemTime::now());
        Subject { store: Store::new(Embedded::in_memory(clock.clone())), clock: Some(clock), _keeps: Box::new(()) }
    }

    pub fn file() -> Subject {
        let clock = Clock::by_hand(SystemTime::now());
        let folder = tempfile::tempdir().unwrap();
        let store = Store::new(Embedded::open(&folder.path().join("store.redb"), clock.clone()).unwrap());
        Subject { store, clock: Some(clock), _keeps: Box::new(folder) }
    }

    pub async fn redis() -> Subject {
        let server = RedisServer::start();
        let store = redis(&server).await;
        Subject { store, clock: None, _keeps: Box::new(server) }
    }

    /// Lets time pass, by hand where that is possible.
    pub async fn pass(&self, time: Duration) {
        match &self.clock {
            Some(clock) => clock.advance(time),
            None => tokio::time::sleep(time).await,
        }
    }
}

pub async fn redis(server: &RedisServer) -> Store {
    let url = RedisUrl::parse(&server.url()).ok().unwrap();
    Store::new(Redis::open(&url, "test").await.unwrap_or_else(|error| panic!("{error}")))
}

pub fn key(which: &str) -> Key {
    Key::new("test", which)
}

pub fn put(which: &str, value: &'static str, expect: Expect) -> Batch {
    Batch::new(Durability::Flushed).put(key(which), value, expect, None)
}

pub fn text(document: &Option<Document>) -> Option<&str> {
    document.as_ref().map(|document| std::str::from_utf8(&document.value).unwrap())
}
