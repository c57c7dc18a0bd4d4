//! What was said, by number: the logs `chatlog` and `chatpairlog` in the store.
//!
//! A store counts the entries of a log from 1, and begins again when the whole log was too old. So a transcript has the number with which
//! its log begins, which is also part of the log's name, and after a silence of [`KEPT`] it goes on in a new log: whatever the store
//! let go, the number of an entry is `base` more than its offset.
//!
//! Promises: numbers have no gap, for the transcript and its log change in one batch; what is kept is bounded by count and age; a page is
//! bounded by count and bytes, and says what it leaves out.

use std::time::Duration;

use prost::Message;
use serde::{Deserialize, Serialize};

use super::refusals;
use crate::services::documents::Unread;
use crate::services::refusal::Result;
use crate::store::{Batch, Bounds, Key, Store};

/// How long a message is kept, if not too many others come after it.
const KEPT: Duration = Duration::from_secs(30 * 24 * 3600);

/// What the store is told: longer, so that its clock and ours may differ.
const AGE: Duration = Duration::from_secs(31 * 24 * 3600);

const PAGE_DEFAULT: u32 = 50;
const PAGE_MAX: u32 = 100;

/// Messages of one page. Written as JSON they may be more than twice as long, and must fit a reply then too.
const PAGE_BYTES_MAX: usize = 96 << 10;

/// The log of one transcript.
#[derive(Clone, Copy)]
pub struct Log<'a> {
    kind: &'static str,
    which: &'a str,
    count: u32,
}

/// How far a conversation has come.
#[derive(Clone, Default, Serialize, Deserialize)]
pub struct Transcript {
    /// The number of the newest message; 0 before the first.
    pub last: u64,
    pub last_ms: u64,
    /// The number before the first of the log.
    base: u64,
}

/// Which messages somebody wants.
pub struct Ask {
    window: Window,
    limit: usize,
}

#[derive(Clone, Copy)]
enum Window {
    Newest,
    Before(u64),
    After(u64),
}

/// Some messages, oldest first.
pub struct Page<M> {
    pub messages: Vec<M>,
    /// Whether there are more in the direction that was asked for.
    pub more: bool,
    /// Number of the oldest that is kept; one more than `last` when none is.
    pub first: u64,
    pub last: u64,
}

/// How many may be asked for at once, of what somebody wants.
pub fn limit(asked: u32) -> usize {
    if asked == 0 { PAGE_DEFAULT as usize } else { asked.min(PAGE_MAX) as usize }
}

// === impl Log ===

impl<'a> Log<'a> {
    pub fn of_room(room: &'a str) -> Log<'a> {
        Log { kind: "chatlog", which: room, count: 10_000 }
    }

    pub fn of_pair(pair: &'a str) -> Log<'a> {
        Log { kind: "chatpairlog", which: pair, count: 2_000 }
    }
}

// === impl Ask ===

impl Ask {
    pub fn parse(before: Option<u64>, after: Option<u64>, asked: u32) -> Result<Ask> {
        let window = match (before, after) {
            (None, None) => Window::Newest,
            (Some(before), None) => Window::Before(before),
            (None, Some(after)) => Window::After(after),
            (Some(_), Some(_)) => return Err(refusals::invalid_page("after", "a page is before a number or after one; leave one out")),
        };
        Ok(Ask { window, limit: limit(asked) })
    }
}

// === impl Transcript ===

impl Transcript {
    /// Takes the number and the moment of a message that is sent now.
    pub fn advance(&mut self, now_ms: u64) {
        if now_ms.saturating_sub(self.last_ms) >= KEPT.as_millis() as u64 {
            self.base = self.last;
        }
        self.last += 1;
        // Moments go up with the numbers, whatever a clock says.
        self.last_ms = self.last_ms.max(now_ms);
    }

    /// Adds the message that has the newest number.
    pub fn append(&self, log: Log<'_>, message: &impl Message, batch: Batch) -> Batch {
        batch.append(self.key(log), message.encode_to_vec(), Bounds { count: log.count, bytes: None, age: AGE })
    }

    pub async fn page<M: Message + Default>(&self, store: &Store, log: Log<'_>, ask: &Ask) -> Result<Page<M>> {
        let limit = ask.limit as u64;
        let (after, end) = match ask.window {
            Window::Newest => (self.last.saturating_sub(limit), u64::MAX),
            Window::Before(number) => (number.min(self.last + 1).saturating_sub(1 + limit), number),
            Window::After(number) => (number, u64::MAX),
        };
        let key = self.key(log);
        let found = store.read(&key, after.saturating_sub(self.base), ask.limit).await?;
        let last = self.last.max(self.base + found.last);
        let first = if found.last == 0 { last + 1 } else { self.base + found.first };
        let numbered = found.entries.into_iter().map(|(offset, entry)| (self.base + offset, entry)).filter(|(number, _)| *number < end);
        let mut entries: Vec<_> = numbered.collect();
        let more = match ask.window {
            Window::After(_) => {
                entries.truncate(fitting(entries.iter().map(|(_, entry)| entry.len())));
                entries.last().is_some_and(|(number, _)| *number < last)
            }
            Window::Newest | Window::Before(_) => {
                let fitting = fitting(entries.iter().rev().map(|(_, entry)| entry.len()));
                entries.drain(..entries.len() - fitting);
                entries.first().is_some_and(|(number, _)| *number > first)
            }
        };
        let messages = entries.into_iter().map(|(_, entry)| M::decode(entry)).collect::<std::result::Result<_, _>>();
        let messages = messages.map_err(|_| Unread::Broken(key.as_str().to_owned()))?;
        Ok(Page { messages, more, first, last })
    }

    fn key(&self, log: Log<'_>) -> Key {
        Key::new(log.kind, format_args!("{}.{}", log.which, self.base))
    }
}

/// How many of these a page holds: at least one, if there is one.
fn fitting(lengths: impl Iterator<Item = usize>) -> usize {
    let mut bytes = 0;
    let fits = |(index, length): &(usize, usize)| {
        bytes += length;
        *index == 0 || bytes <= PAGE_BYTES_MAX
    };
    lengths.enumerate().take_while(fits).count()
}
