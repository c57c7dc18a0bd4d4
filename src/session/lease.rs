//! The lease by which a node lives: one for all its sessions. They are over when it is, and the time they wait for their clients.
//!
//! Promise: a store that lost its memory, or took this node for dead, is told again which sessions it has.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::interval;
use tracing::{info, warn};

use super::sessions::{Sessions, later};
use crate::store::{Batch, Expect, Key, StoreError};

/// How long a node is believed to live that says nothing.
const TERM: Duration = Duration::from_secs(10);

/// How often it says that it does. Three of these may fail.
const RENEWAL: Duration = Duration::from_millis(2500);

/// How long it is remembered when a node died.
pub const REMEMBERED: Duration = Duration::from_secs(2 * 86_400);

/// A node's own.
pub struct Lease {
    sessions: Sessions,
    /// As it was last written: its version, and until when it is.
    written: Option<(u64, u64)>,
    /// The store was out of reach, and may have lost what it knew.
    doubt: Arc<Notify>,
}

/// Where it stands until when a node lives.
pub fn lease_key(node: &str) -> Key {
    Key::new("node", node)
}

// === impl Lease ===

impl Lease {
    /// One that was never written. It is renewed at once whenever somebody is in `doubt`.
    pub fn new(sessions: Sessions, doubt: Arc<Notify>) -> Lease {
        Lease { sessions, written: None, doubt }
    }

    pub async fn keep(mut self) {
        let mut tick = interval(RENEWAL);
        let mut said = false;
        loop {
            tokio::select! {
                biased;
                () = self.doubt.notified() => {}
                _ = tick.tick() => {}
            }
            match self.renew().await {
                Ok(()) if said => {
                    info!("the store is back");
                    said = false;
                }
                Ok(()) => {}
                Err(error) if !said => {
                    warn!(%error, "this node cannot say that it lives; connected clients stay, new sessions are refused");
                    said = true;
                }
                Err(_) => {}
            }
        }
    }

    /// Says that this node lives. If the store has forgotten what it said before, it may have forgotten everything; if it said nothing for
    /// so long that others took it for dead, they may have given its sessions up. Either way they are told again.
    pub async fn renew(&mut self) -> Result<(), StoreError> {
        let inner = &self.sessions.0;
        let (now, until) = (inner.clock.now_ms(), later(&inner.clock, TERM));
        let (key, ttl) = (lease_key(&inner.node), Some(TERM + REMEMBERED));
        let batch = |expect| Batch::default().put(key.clone(), until.to_string(), expect, ttl);
        let expect = self.written.map_or(Expect::Anything, |(version, _)| Expect::Version(version));
        let lapsed = self.written.is_some_and(|(_, until)| until <= now);
        let (versions, forgotten) = match inner.store.write(batch(expect)).await {
            Err(StoreError::Conflict(_)) => (inner.store.write(batch(Expect::Anything)).await?, true),
            written => (written?, false),
        };
        self.written = versions.first().map(|version| (*version, until));
        if lapsed || forgotten {
            warn!(forgotten, "this node was taken for dead; it tells the store again which sessions it has");
            self.sessions.soil_all();
        }
        Ok(())
    }
}
