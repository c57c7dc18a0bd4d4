//! Which batches are open: the log `notifyqueue:all`, to which any sender may append without waiting for another, and the list
//! `notifyopen:all`, which is kept by whoever works.
//!
//! Promise: what was appended is worked off, in turn with what came before, and never forgotten because two looked at once.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tonic::Code;

use super::super::documents::{self, Read, written};
use super::super::refusal::{Refusal, Result};
use super::batch::Head;
use super::batches::head_key;
use crate::store::{Batch, Bounds, Durability, Expect, Key, Store};

/// How much of the log is kept: more than may wait.
pub const BOUNDS: Bounds = Bounds { count: 2000, bytes: None, age: Duration::from_secs(90 * 24 * 3600) };

/// Batches that may be open at once, all senders together.
const OPEN_MAX: u64 = 1000;

/// How many of them a worker looks at: they advance in turn.
const IN_TURN: usize = 32;

/// The list of what is open.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Open {
    /// How much of the queue is in it.
    read: u64,
    ids: Vec<String>,
}

/// Where that is kept.
#[derive(Clone)]
pub struct Queue {
    store: Store,
}

/// The key of the log, whose entries are ids.
pub fn log() -> Key {
    Key::new("notifyqueue", "all")
}

fn key() -> Key {
    Key::new("notifyopen", "all")
}

// === impl Queue ===

impl Queue {
    pub fn new(store: Store) -> Queue {
        Queue { store }
    }

    /// Batches that are open, as many as advance in turn. What ended is taken off the list, what is new is put on it.
    pub async fn open_now(&self) -> Result<Vec<Read<Head>>> {
        let (before, unchanged) = self.list().await?;
        let mut open = before.clone();
        let queue = self.store.read(&log(), open.read, IN_TURN).await?;
        // A queue that is behind what was read of it is another one, begun after the first had gone.
        if queue.last < open.read {
            open.read = 0;
        }
        for (offset, id) in &queue.entries {
            open.read = *offset;
            open.ids.extend(str::from_utf8(id).map(str::to_owned));
        }
        let looked_at: Vec<String> = open.ids.iter().take(IN_TURN).cloned().collect();
        let keys: Vec<Key> = looked_at.iter().map(|id| head_key(id)).collect();
        let mut heads = Vec::new();
        for (id, head) in looked_at.iter().zip(documents::read_all::<Head>(&self.store, &keys).await?) {
            match head.filter(|head| head.value.is_open()) {
                Some(head) => heads.push(head),
                None => open.ids.retain(|known| known != id),
            }
        }
        if open != before {
            let batch = Batch::new(Durability::Durable).put(key(), written(&open), unchanged, None);
            // Who came first has seen the same.
            documents::outcome(self.store.write(batch).await)?;
        }
        Ok(heads)
    }

    /// Refuses when more is open than can be done soon.
    pub async fn check_room(&self) -> Result<()> {
        let (open, _) = self.list().await?;
        let queue = self.store.read(&log(), open.read, 1).await?;
        let waiting = queue.last.saturating_sub(open.read) + open.ids.len() as u64;
        if waiting < OPEN_MAX {
            return Ok(());
        }
        let what = "too many notifications are waiting to be sent; try again later";
        Err(Refusal::new(Code::ResourceExhausted, "QUEUE_FULL", what).retry_after(Duration::from_secs(30)))
    }

    async fn list(&self) -> Result<(Open, Expect)> {
        let read: Option<Read<Open>> = documents::read(&self.store, &key()).await?;
        let unchanged = read.as_ref().map_or(Expect::Absent, Read::unchanged);
        Ok((read.map(|read| read.value).unwrap_or_default(), unchanged))
    }
}
