//! The history of topics, in the store: a log for each, and a document that says which log that is.
//!
//! A log whose entries may have been lost, or that has expired, is not gone on with: the topic gets another, under another epoch. Promises:
//! an offset of an epoch means one entry for ever; what is appended is heard on the topic's channel in the order of the offsets; a part of
//! a history is never called the whole.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use prost::Message;

use super::entry::{Entry, Position};
use crate::clock::Clock;
use crate::random;
use crate::store::{self, Batch, Bounds, Document, Durability, Expect, Key, Result, Store, StoreError};

/// Attempts at one change. Each failure means that somebody else's change succeeded.
const ATTEMPTS_MAX: u32 = 16;

/// Topics whose epochs are remembered.
const KNOWN_MAX: usize = 100_000;

/// Further than any log gets, and little enough to count on from there.
const OFFSET_MAX: u64 = 1 << 53;

/// Entries that are read at once.
const PAGE: usize = 512;

/// The histories of all topics. Clones are the same.
#[derive(Clone)]
pub struct Histories(Arc<Inner>);

struct Inner {
    store: Store,
    clock: Clock,
    /// Which histories topics have, as far as it was looked at.
    known: Mutex<HashMap<Arc<str>, Known>>,
}

#[derive(Clone)]
struct Known {
    epoch: Arc<str>,
    /// Of the document that says so.
    version: u64,
    written_ms: u64,
}

/// A part of a history.
pub struct Since {
    /// With their offsets, ascending and without a gap.
    pub entries: Vec<(u64, Entry)>,
    /// Nothing is missing between the place that was asked for and the first of them.
    pub whole: bool,
    /// Where the history ends.
    pub end: Position,
}

/// The channel on which a topic is heard.
pub fn channel(topic: &str) -> String {
    format!("topic:{topic}")
}

fn document(topic: &str) -> Key {
    Key::new("topic", topic)
}

fn log(topic: &str, epoch: &str) -> Key {
    // A name has no `@` in it.
    Key::new("history", format!("{topic}@{epoch}"))
}

// === impl Histories ===

impl Histories {
    pub fn new(store: Store, clock: Clock) -> Histories {
        Histories(Arc::new(Inner { store, clock, known: Mutex::default() }))
    }

    /// Adds a message to a topic's history, and has it heard. `seen` is the last place that this node knows of: an offset that is not
    /// behind it is of a log that has lost entries, and the topic gets another.
    pub async fn append(&self, topic: &Arc<str>, bounds: Bounds, number: u32, payload: Bytes, seen: Option<&Position>) -> Result<Position> {
        let said_ms = self.0.clock.now_ms();
        for _ in 0..ATTEMPTS_MAX {
            let known = self.known(topic, bounds).await?;
            let entry = Entry { epoch: known.epoch.to_string(), number, payload: payload.clone(), said_ms, ..Entry::default() };
            let batch = self.holding(topic, &known, bounds).append_announced(
                log(topic, &known.epoch),
                entry.encode_to_vec(),
                Bounds { age: keep(bounds), ..bounds },
                channel(topic),
            );
            match self.0.store.write(batch).await {
                Ok(answers) => {
                    self.note_written(topic, &known, &answers);
                    let offset = answers.last().copied().unwrap_or_default();
                    let lost = seen.is_some_and(|seen| seen.epoch == known.epoch && offset <= seen.offset);
                    if !lost {
                        return Ok(Position { epoch: known.epoch, offset });
                    }
                    self.begin_anew(topic, &known, bounds).await?;
                }
                Err(StoreError::Conflict(_)) => self.forget(topic),
                Err(error) => return Err(error),
            }
        }
        Err(StoreError::Unavailable("the topic's history changed again and again".to_owned()))
    }

    /// Where a topic's history ends now.
    pub async fn end(&self, topic: &Arc<str>, bounds: Bounds) -> Result<Position> {
        self.forget(topic);
        let known = self.known(topic, bounds).await?;
        let entries = self.0.store.read(&log(topic, &known.epoch), 0, 0).await?;
        Ok(Position { epoch: known.epoch, offset: entries.last })
    }

    /// What a topic's history holds behind a place, as it is now.
    pub async fn since(&self, topic: &Arc<str>, bounds: Bounds, from: &Position) -> Result<Since> {
        self.forget(topic);
        let known = self.known(topic, bounds).await?;
        let same = known.epoch == from.epoch;
        // What a client says may be anything. No log gets so far.
        let asked = if same { from.offset.min(OFFSET_MAX) } else { 0 };
        let (mut after, mut entries, mut first) = (asked, Vec::new(), None);
        loop {
            let read = self.0.store.read(&log(topic, &known.epoch), after, PAGE).await?;
            if asked > read.last {
                // It is ahead of all that there is: this log has lost something, or it was never there.
                return Ok(Since { entries, whole: false, end: Position { epoch: known.epoch, offset: read.last } });
            }
            // What went meanwhile at its beginning was read before.
            first = first.or(Some(read.first));
            let full = read.entries.len() == PAGE;
            after = read.entries.last().map_or(after, |(offset, _)| *offset);
            let readable = |(offset, bytes): (u64, Bytes)| Entry::decode(bytes).ok().map(|entry| (offset, entry));
            entries.extend(read.entries.into_iter().filter_map(readable));
            if !full || entries.len() >= bounds.count as usize + PAGE {
                let unbroken = entries.iter().zip(asked + 1..).all(|((offset, _), expected)| *offset == expected);
                let whole = same && first.is_some_and(|first| first <= asked + 1) && unbroken;
                let end = Position { epoch: known.epoch, offset: read.last.max(after) };
                return Ok(Since { entries, whole, end });
            }
        }
    }

    /// Gives a topic another history, because the one it has lost entries that somebody has seen.
    pub async fn doubt(&self, topic: &Arc<str>, bounds: Bounds, lost: &Position) -> Result<()> {
        self.forget(topic);
        let known = self.known(topic, bounds).await?;
        if known.epoch == lost.epoch { self.begin_anew(topic, &known, bounds).await } else { Ok(()) }
    }

    async fn begin_anew(&self, topic: &Arc<str>, known: &Known, bounds: Bounds) -> Result<()> {
        let put =
            Batch::new(Durability::Flushed).put(document(topic), self.new_epoch(), Expect::Version(known.version), Some(keep(bounds)));
        self.forget(topic);
        match self.0.store.write(put).await {
            // Otherwise somebody else has done it.
            Ok(_) | Err(StoreError::Conflict(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// A batch that happens only while the topic has this history; now and then it prolongs that.
    fn holding(&self, topic: &str, known: &Known, bounds: Bounds) -> Batch {
        let (batch, expect) = (Batch::new(Durability::Flushed), Expect::Version(known.version));
        match self.is_due(known, bounds) {
            true => batch.put(document(topic), known.epoch.to_string(), expect, Some(keep(bounds))),
            false => batch.check(document(topic), expect),
        }
    }

    fn is_due(&self, known: &Known, bounds: Bounds) -> bool {
        let age_ms = u64::try_from(bounds.age.as_millis()).unwrap_or(u64::MAX);
        self.0.clock.now_ms().saturating_sub(known.written_ms) >= age_ms / 2
    }

    fn note_written(&self, topic: &Arc<str>, known: &Known, answers: &[u64]) {
        if let [version, _] = *answers {
            let known = Known { version, written_ms: self.0.clock.now_ms(), ..known.clone() };
            self.lock().insert(Arc::clone(topic), known);
        }
    }

    /// Which history a topic has; one is begun if there is none.
    async fn known(&self, topic: &Arc<str>, bounds: Bounds) -> Result<Known> {
        let remembered = self.lock().get(topic).cloned();
        if let Some(known) = remembered.filter(|known| self.is_unbroken(&known.epoch)) {
            return Ok(known);
        }
        for _ in 0..ATTEMPTS_MAX {
            if let Some(found) = self.0.store.get(&document(topic)).await? {
                let known = Known { epoch: read(&found), version: found.version, written_ms: 0 };
                if !self.is_unbroken(&known.epoch) {
                    self.begin_anew(topic, &known, bounds).await?;
                    continue;
                }
                // Since when it stands is not known; it is prolonged with the next message.
                return Ok(self.remember(topic, known.epoch, known.version, 0));
            }
            let epoch = self.new_epoch();
            let put = Batch::new(Durability::Flushed).put(document(topic), epoch.clone(), Expect::Absent, Some(keep(bounds)));
            match self.0.store.write(put).await {
                Ok(versions) => return Ok(self.remember(topic, epoch.into(), versions[0], self.0.clock.now_ms())),
                Err(StoreError::Conflict(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Err(StoreError::Unavailable("the topic's history changed again and again".to_owned()))
    }

    /// The name of another history. It says how much the store had lost when it began.
    fn new_epoch(&self) -> String {
        format!("{}.{}", random::name(), self.0.store.losses())
    }

    /// Whether the store has lost nothing since a history began.
    fn is_unbroken(&self, epoch: &str) -> bool {
        epoch.rsplit_once('.').and_then(|(_, losses)| losses.parse().ok()) == Some(self.0.store.losses())
    }

    fn remember(&self, topic: &Arc<str>, epoch: Arc<str>, version: u64, written_ms: u64) -> Known {
        let known = Known { epoch, version, written_ms };
        let mut all = self.lock();
        if all.len() >= KNOWN_MAX {
            all.clear();
        }
        all.insert(Arc::clone(topic), known.clone());
        known
    }

    fn forget(&self, topic: &str) {
        self.lock().remove(topic);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Arc<str>, Known>> {
        self.0.known.lock().expect("nothing that holds the list panics")
    }
}

/// For how long a topic is known to have a history, and for how long its entries are kept: half as long again as was asked for.
///
/// The first is written with a message only when half of `age` has passed since it was last, or nodes would be in each other's way. So it
/// holds for at least `age` from the last message, and never longer than the log: one that began again would use offsets twice.
fn keep(bounds: Bounds) -> Duration {
    bounds.age * 3 / 2
}

fn read(document: &Document) -> Arc<str> {
    String::from_utf8_lossy(&document.value).into()
}

/// What is heard on a topic's channel: the offset, 0 where there is no history, and the entry. Nothing: it is none of ours.
pub fn heard(message: &Bytes) -> Option<(u64, Entry)> {
    let (offset, bytes) = store::announced(message)?;
    Some((offset, Entry::decode(bytes).ok()?))
}

/// The same to be said where there is no history.
pub fn unkept(entry: &Entry) -> Bytes {
    let mut bytes = 0u64.to_le_bytes().to_vec();
    entry.encode(&mut bytes).expect("a vector takes all that is written to it");
    bytes.into()
}
