//! What is no longer believed, though it has not expired: a session, a token, or every token that a user had until some moment.
//!
//! A revocation is written twice, in one batch: as a document, for whoever authenticates later on any node, and into a log that every
//! node follows, for whoever is connected now. It is kept for as long as what it revokes could still be good.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::store::{Batch, Bounds, Document, Expect, Key};

/// Notices that are kept for nodes that fall behind. A node that missed some looks at every session that it has.
const LOG: Bounds = Bounds { count: 10_000, bytes: None, age: Duration::from_secs(3600) };

/// What is revoked.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, Debug)]
#[serde(rename_all = "snake_case")]
pub enum Revocation {
    /// One session, by its id.
    Session(String),
    /// One token, by its `jti`.
    Token(String),
    /// Every token of this user that was issued before this moment, in milliseconds since 1970.
    User { user: String, issued_before_ms: u64 },
}

/// What every node is told through the log.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, Debug)]
#[serde(rename_all = "snake_case")]
pub enum Notice {
    Revoked(Revocation),
    /// Another session of the same user took this one's place, when it was of this generation.
    Replaced {
        session: String,
        generation: u64,
    },
}

// === impl Revocation ===

impl Revocation {
    /// Adds the revocation to a batch. `keep`: how long what is revoked could still be good.
    #[must_use]
    pub fn write(&self, batch: Batch, keep: Duration) -> Batch {
        let value = match self {
            Revocation::User { issued_before_ms, .. } => issued_before_ms.to_string(),
            Revocation::Session(_) | Revocation::Token(_) => String::new(),
        };
        Notice::Revoked(self.clone()).write(batch.put(self.key(), value, Expect::Anything, Some(keep)))
    }

    fn key(&self) -> Key {
        match self {
            Revocation::Session(id) => session_key(id),
            Revocation::Token(id) => token_key(id),
            Revocation::User { user, .. } => user_key(user),
        }
    }
}

// === impl Notice ===

impl Notice {
    /// The log that every node follows.
    pub fn log() -> Key {
        Key::new("log", "notices")
    }

    /// The channel on which nodes are told to look into the log at once.
    pub const CHANNEL: &str = "notices";

    /// Adds the notice to a batch.
    #[must_use]
    pub fn write(&self, batch: Batch) -> Batch {
        let entry = serde_json::to_vec(self).expect("a notice is texts and numbers");
        batch.append(Notice::log(), entry, LOG)
    }

    /// A notice from the log. Nothing: a newer version of this program wrote it.
    pub fn read(entry: &[u8]) -> Option<Notice> {
        serde_json::from_slice(entry).ok()
    }
}

/// Where the revocation of a session stands.
pub fn session_key(id: &str) -> Key {
    Key::new("revoked-session", id)
}

/// Where the revocation of a token stands.
pub fn token_key(id: &str) -> Key {
    Key::new("revoked-token", id)
}

/// Where the moment stands before which a user's tokens are revoked.
pub fn user_key(user: &str) -> Key {
    Key::new("revoked-user", user)
}

/// A moment that is all that a document says. One that cannot be read is as late as can be: everything before it is revoked.
pub fn moment(document: &Document) -> u64 {
    std::str::from_utf8(&document.value).ok().and_then(|text| text.parse().ok()).unwrap_or(u64::MAX)
}
