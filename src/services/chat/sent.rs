//! What a sender is told, and told again when the same message comes twice: `chatsent:<digest>` in the store.
//!
//! Promise: within [`REMEMBERED`] a message of the same conversation, sender and client key is stored once, however often and wherever it
//! is sent.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::names::ClientKey;
use crate::services::documents::{self, digest, written};
use crate::services::refusal::Result;
use crate::store::{Batch, Expect, Key, Store};

/// How long a client may try again.
const REMEMBERED: Duration = Duration::from_secs(10 * 60);

/// That a message was stored.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Sent {
    pub number: u64,
    pub sent_ms: u64,
}

/// Where it is remembered that a message was stored; nowhere for those without a key.
pub struct Memory(Option<Key>);

// === impl Memory ===

impl Memory {
    /// `conversation` is of a length of its own, or of letters and digits alone.
    pub fn of(conversation: &str, sender: &str, key: &ClientKey) -> Memory {
        let key = key.as_str();
        let which = || digest(&format!("{conversation} {} {sender}{key}", sender.len()));
        Memory(if key.is_empty() { None } else { Some(Key::new("chatsent", which())) })
    }

    /// What the sender was told, if this was sent before.
    pub async fn find(&self, store: &Store) -> Result<Option<Sent>> {
        let Some(key) = &self.0 else { return Ok(None) };
        Ok(documents::read(store, key).await?.map(|read| read.value))
    }

    /// Remembers it, unless somebody did already: then the batch does not happen.
    pub fn keep(&self, sent: Sent, batch: Batch) -> Batch {
        match &self.0 {
            None => batch,
            Some(key) => batch.put(key.clone(), written(&sent), Expect::Absent, Some(REMEMBERED)),
        }
    }
}
