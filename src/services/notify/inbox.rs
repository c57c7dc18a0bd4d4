//! What a user was told: `notifyinbox:<user>` in the store, one document each, with what they have read.
//!
//! Promises: a notification is in it once, however often it is delivered; it holds at most [`ENTRIES_MAX`] and [`BYTES_MAX`], and the oldest
//! go first; what has expired is not there; whoever pages through it sees nothing twice, whatever comes meanwhile.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tonic::Code;

use super::super::documents::{self, Outcome, Read, TRIES, outrun, written};
use super::super::refusal::{Refusal, Result};
use super::kinds::LIFE_MAX;
use super::v1;
use crate::clock::Clock;
use crate::store::{Batch, Durability, Expect, Key, Store};

/// The most that a user has.
pub const ENTRIES_MAX: usize = 200;
const BYTES_MAX: usize = 128 << 10;

const PAGE: usize = 20;

/// As many of the largest notifications as a reply of 256 KiB holds.
const PAGE_MAX: u32 = 50;

/// A notification in somebody's hands.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Entry {
    pub id: String,
    /// Numbers of the contract.
    pub kind: i32,
    pub importance: i32,
    pub title: String,
    pub body: String,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub data: BTreeMap<String, String>,
    pub sent_ms: u64,
    pub expires_ms: u64,
    #[serde(default)]
    pub read_ms: u64,
    /// Where it stands among all that the user ever had.
    #[serde(default)]
    pub place: u64,
}

/// Oldest first.
#[derive(Default, Serialize, Deserialize)]
struct Held {
    /// How many there ever were.
    last: u64,
    entries: Vec<Entry>,
}

/// A part of what a user was told.
pub struct Page {
    pub entries: Vec<Entry>,
    /// Empty when there are no more.
    pub next: String,
    pub unread: u32,
}

/// Which are read.
pub enum Which<'a> {
    These(&'a [String]),
    UpTo(&'a str),
}

/// Where all of it is kept.
#[derive(Clone)]
pub struct Inbox {
    store: Store,
    clock: Clock,
}

fn key(user: &str) -> Key {
    Key::new("notifyinbox", user)
}

// === impl Entry ===

impl Entry {
    pub fn shown(&self) -> v1::Notification {
        let millis = |millis: u64| i64::try_from(millis).unwrap_or(i64::MAX);
        v1::Notification {
            notification_id: self.id.clone(),
            r#type: self.kind,
            importance: self.importance,
            title: self.title.clone(),
            body: self.body.clone(),
            data: self.data.clone().into_iter().collect(),
            sent_ms: millis(self.sent_ms),
            expires_ms: millis(self.expires_ms),
            read_ms: millis(self.read_ms),
        }
    }

    fn bytes(&self) -> usize {
        let data: usize = self.data.iter().map(|(key, value)| key.len() + value.len()).sum();
        self.id.len() + self.title.len() + self.body.len() + data
    }
}

// === impl Held ===

impl Held {
    fn add(&mut self, entry: &Entry) {
        self.last += 1;
        self.entries.push(Entry { place: self.last, ..entry.clone() });
        let mut bytes: usize = self.entries.iter().map(Entry::bytes).sum();
        while self.entries.len() > ENTRIES_MAX || bytes > BYTES_MAX {
            bytes -= self.entries.remove(0).bytes();
        }
    }

    fn unread(&self) -> u32 {
        u32::try_from(self.entries.iter().filter(|entry| entry.read_ms == 0).count()).unwrap_or(u32::MAX)
    }
}

// === impl Inbox ===

impl Inbox {
    pub fn new(store: Store, clock: Clock) -> Inbox {
        Inbox { store, clock }
    }

    /// Puts a notification into somebody's hands, unless it is there.
    pub async fn deliver(&self, user: &str, entry: &Entry) -> Result<()> {
        let change = |held: &mut Held| match held.entries.iter().any(|known| known.id == entry.id) {
            true => false,
            false => {
                held.add(entry);
                true
            }
        };
        self.change(user, |held| Ok(change(held))).await.map(drop)
    }

    /// Newest first. `token` is what the last page said, or empty.
    pub async fn page(&self, user: &str, size: u32, token: &str, unread_only: bool) -> Result<Page> {
        if size > PAGE_MAX {
            return Err(Refusal::invalid("page_size", "INVALID_PAGE", format!("a page has at most {PAGE_MAX} notifications")));
        }
        let before = match token {
            "" => u64::MAX,
            token => token
                .parse()
                .map_err(|_| Refusal::invalid("page_token", "INVALID_PAGE", "no page ends like this; begin with an empty token"))?,
        };
        let size = if size == 0 { PAGE } else { size as usize };
        let (held, _) = self.read(user).await?;
        let unread = held.unread();
        let mut rest = held.entries.into_iter().rev().filter(|entry| entry.place < before && !(unread_only && entry.read_ms > 0));
        let entries: Vec<Entry> = rest.by_ref().take(size).collect();
        let next = match (rest.next(), entries.last()) {
            (Some(_), Some(last)) => last.place.to_string(),
            _ => String::new(),
        };
        Ok(Page { entries, next, unread })
    }

    /// Says that some are read. How many are not.
    pub async fn mark(&self, user: &str, which: Which<'_>) -> Result<u32> {
        let now_ms = self.clock.now_ms();
        let change = |held: &mut Held| {
            let last = match which {
                Which::These(_) => 0,
                Which::UpTo(id) => held.entries.iter().find(|entry| entry.id == id).ok_or_else(not_found)?.place,
            };
            let named = |entry: &Entry| match which {
                Which::These(ids) => ids.contains(&entry.id),
                Which::UpTo(_) => entry.place <= last,
            };
            let mut changed = false;
            for entry in held.entries.iter_mut().filter(|entry| entry.read_ms == 0 && named(entry)) {
                entry.read_ms = now_ms;
                changed = true;
            }
            Ok(changed)
        };
        Ok(self.change(user, change).await?.unread())
    }

    /// Changes what a user has, if `change` says that it did; what they have then.
    async fn change(&self, user: &str, change: impl Fn(&mut Held) -> Result<bool>) -> Result<Held> {
        for _ in 0..TRIES {
            let (mut held, unchanged) = self.read(user).await?;
            if !change(&mut held)? {
                return Ok(held);
            }
            let batch = Batch::new(Durability::Durable).put(key(user), written(&held), unchanged, Some(LIFE_MAX + KEPT_LONGER));
            if let Outcome::Done = documents::outcome(self.store.write(batch).await)? {
                return Ok(held);
            }
        }
        Err(outrun().into())
    }

    /// Without what has expired.
    async fn read(&self, user: &str) -> Result<(Held, Expect)> {
        let read: Option<Read<Held>> = documents::read(&self.store, &key(user)).await?;
        let unchanged = read.as_ref().map_or(Expect::Absent, Read::unchanged);
        let mut held = read.map(|read| read.value).unwrap_or_default();
        let now_ms = self.clock.now_ms();
        held.entries.retain(|entry| entry.expires_ms > now_ms);
        Ok((held, unchanged))
    }
}

/// The clocks of nodes and of the store need not agree.
const KEPT_LONGER: Duration = Duration::from_secs(3600);

fn not_found() -> Refusal {
    Refusal::new(Code::NotFound, "NOTIFICATION_NOT_FOUND", "you have no such notification any more; list them again")
}
