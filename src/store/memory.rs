//! A store in memory, for tests of routes and for our own: what the other engines must behave like, in as few lines as that takes.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, ready};
use tokio::sync::mpsc;

use super::announce::announcements;
use super::listeners::Listeners;
use super::{Batch, Change, Count, Document, Engine, Entries, Key, Result, Signal, StoreError};
use crate::clock::Clock;

/// Everything in one lock, on a clock that may be moved by hand.
#[derive(Default)]
pub struct Memory {
    clock: Clock,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    versions: u64,
    documents: BTreeMap<Key, (Document, Option<u64>)>,
    counters: BTreeMap<Key, (u64, u64)>,
    logs: BTreeMap<Key, Log>,
    listeners: Listeners,
    /// Set by a test that wants everything to fail.
    broken: bool,
}

#[derive(Default)]
struct Log {
    last: u64,
    gone: u64,
    /// Offset, when it is too old, content.
    entries: VecDeque<(u64, u64, Bytes)>,
}

// === impl Memory ===

impl Memory {
    pub fn new(clock: Clock) -> Memory {
        Memory { clock, state: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nothing that holds the state panics")
    }

    /// From now on nothing succeeds, or everything does again.
    #[cfg(test)]
    pub fn set_broken(&self, broken: bool) {
        self.lock().broken = broken;
    }

    /// As a server that was started again without persistence.
    #[cfg(test)]
    pub fn forget_everything(&self) {
        let mut state = self.lock();
        let listeners = std::mem::take(&mut state.listeners);
        *state = State { listeners, ..State::default() };
    }

    /// The state, without what has expired.
    fn now(&self) -> Result<(MutexGuard<'_, State>, u64)> {
        let now = self.clock.now_ms();
        let mut state = self.lock();
        if state.broken {
            return Err(StoreError::Unavailable("broken by a test".to_owned()));
        }
        state.documents.retain(|_, (_, end)| end.is_none_or(|end| end > now));
        state.counters.retain(|_, (_, end)| *end > now);
        state.logs.retain(|_, log| {
            while log.entries.front().is_some_and(|(_, end, _)| *end <= now) {
                log.entries.pop_front();
            }
            log.gone > now
        });
        Ok((state, now))
    }
}

impl State {
    fn version(&self, key: &Key) -> Option<u64> {
        self.documents.get(key).map(|(document, _)| document.version)
    }

    fn apply(&mut self, change: &Change, now: u64) -> Option<u64> {
        match change {
            Change::Put { key, value, ttl, .. } => {
                self.versions += 1;
                let document = Document { value: value.clone(), version: self.versions };
                self.documents.insert(key.clone(), (document, ttl.map(|ttl| now + millis(ttl))));
                Some(self.versions)
            }
            Change::Delete { key, .. } => {
                self.documents.remove(key);
                None
            }
            Change::Check { .. } => None,
            Change::Append { log, entry, bounds, .. } => {
                let log = self.logs.entry(log.clone()).or_default();
                // One that a batch lets go may be begun again by the same batch.
                if log.gone <= now {
                    *log = Log::default();
                }
                log.last += 1;
                log.gone = now + millis(bounds.age);
                log.entries.push_back((log.last, log.gone, entry.clone()));
                while log.entries.len() > bounds.count as usize || log.entries.len() > 1 && log.is_over(bounds.bytes) {
                    log.entries.pop_front();
                }
                Some(log.last)
            }
        }
    }
}

impl Log {
    fn is_over(&self, bytes: Option<u64>) -> bool {
        bytes.is_some_and(|bytes| self.entries.iter().map(|(.., entry)| entry.len() as u64).sum::<u64>() > bytes)
    }
}

impl Engine for Memory {
    fn patience(&self) -> Duration {
        Duration::from_secs(1)
    }

    fn get<'a>(&'a self, keys: &'a [Key]) -> BoxFuture<'a, Result<Vec<Option<Document>>>> {
        let get = |(state, _): (MutexGuard<'_, State>, u64)| {
            keys.iter().map(|key| state.documents.get(key).map(|(document, _)| document.clone())).collect()
        };
        ready(self.now().map(get)).boxed()
    }

    fn write(&self, batch: Batch) -> BoxFuture<'_, Result<Vec<u64>>> {
        let write = |(mut state, now): (MutexGuard<'_, State>, u64)| {
            for (index, change) in batch.changes.iter().enumerate() {
                if let Change::Put { key, expect, .. } | Change::Delete { key, expect } | Change::Check { key, expect } = change
                    && !expect.holds(state.version(key))
                {
                    return Err(StoreError::Conflict(index));
                }
            }
            let numbers: Vec<u64> = batch.changes.iter().filter_map(|change| state.apply(change, now)).collect();
            for (channel, message) in announcements(&batch, &numbers) {
                state.listeners.say(channel, &message);
            }
            Ok(numbers)
        };
        ready(self.now().and_then(write)).boxed()
    }

    fn count<'a>(&'a self, key: &'a Key, by: u32, window: Duration) -> BoxFuture<'a, Result<Count>> {
        let count = |(mut state, now): (MutexGuard<'_, State>, u64)| {
            let counted = state.counters.get(key).copied();
            let (value, end) = counted.unwrap_or((0, now + millis(window)));
            let value = value + u64::from(by);
            if by > 0 {
                state.counters.insert(key.clone(), (value, end));
            }
            Count { value, left: Duration::from_millis(if value == 0 { 0 } else { end - now }) }
        };
        ready(self.now().map(count)).boxed()
    }

    fn read<'a>(&'a self, log: &'a Key, after: u64, limit: usize) -> BoxFuture<'a, Result<Entries>> {
        let read = |(state, _): (MutexGuard<'_, State>, u64)| {
            let Some(log) = state.logs.get(log) else { return Entries { entries: Vec::new(), first: 1, last: 0 } };
            let first = log.entries.front().map_or(log.last + 1, |(offset, ..)| *offset);
            let wanted = log.entries.iter().filter(|(offset, ..)| *offset > after).take(limit);
            Entries { entries: wanted.map(|(offset, _, entry)| (*offset, entry.clone())).collect(), first, last: log.last }
        };
        ready(self.now().map(read)).boxed()
    }

    fn publish<'a>(&'a self, channel: &'a str, message: Bytes) -> BoxFuture<'a, Result<u64>> {
        let publish = |(mut state, _): (MutexGuard<'_, State>, u64)| state.listeners.say(channel, &message) as u64;
        ready(self.now().map(publish)).boxed()
    }

    fn listen(&self, channel: &str) -> BoxFuture<'_, Result<mpsc::Receiver<Signal>>> {
        let listen = |(mut state, _): (MutexGuard<'_, State>, u64)| {
            state.listeners.tidy();
            state.listeners.add(channel)
        };
        ready(self.now().map(listen)).boxed()
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX / 2)
}
