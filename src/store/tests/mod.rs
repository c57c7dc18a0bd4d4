//! What a store promises, asked of every engine.

mod embedded;
mod promises;
mod random;

use std::time::{Duration, SystemTime};

use super::embedded::Embedded;
use super::memory::Memory;
use super::*;
use crate::clock::Clock;

/// A store to be asked, and how time passes for it.
pub struct Subject {
    pub store: Store,
    clock: Clock,
    /// What the store needs besides, for as long as it is asked.
    _keeps: Box<dyn Send + Sync>,
}

impl Subject {
    pub fn memory() -> Subject {
        let clock = Clock::by_hand(SystemTime::now());
        Subject { store: Store::new(Memory::new(clock.clone())), clock, _keeps: Box::new(()) }
    }

    pub fn embedded() -> Subject {
        let clock = Clock::by_hand(SystemTime::now());
        Subject { store: Store::new(Embedded::in_memory(clock.clone())), clock, _keeps: Box::new(()) }
    }

    pub fn file() -> Subject {
        let clock = Clock::by_hand(SystemTime::now());
        let folder = tempfile::tempdir().unwrap();
        let store = Store::new(Embedded::open(&folder.path().join("store.redb"), clock.clone()).unwrap());
        Subject { store, clock, _keeps: Box::new(folder) }
    }

    /// Lets time pass, by hand where that is possible.
    pub async fn pass(&self, time: Duration) {
        self.clock.advance(time);
    }
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
