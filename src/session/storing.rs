//! Making the store agree with this node about its sessions, or this node with the store.
//!
//! Whatever changes a session here without waiting for the store marks it; here every marked one is looked at, as often as it takes.
//! Promise: what the store does not take stays marked, and of two that disagree the later generation is right.

use std::sync::Arc;
use std::sync::atomic;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use tokio::time::{Instant, sleep, timeout_at};
use tracing::debug;

use super::lease::{REMEMBERED, lease_key};
use super::live::Session;
use super::reconcile::{Circumstances, Verdict, reconcile};
use super::resume::ring_key;
use super::revocation::session_key;
use super::roster::Roster;
use super::rosters::{revocation_keys, still_good};
use super::sessions::Sessions;
use crate::failure::Failure;
use crate::store::{Batch, Durability, Expect, StoreError};

/// Changes that are stored at the same time.
const STORED_AT_ONCE: usize = 64;

/// The pause after the store did not take a change.
const RETRY: Duration = Duration::from_millis(500);

/// Stores changes as they come.
pub(super) async fn keep_storing(sessions: &Sessions) {
    loop {
        sessions.0.dirt.notified().await;
        while let Err(error) = sessions.store_changes().await {
            debug!(%error, "sessions cannot be stored, and will be");
            sleep(RETRY).await;
        }
    }
}

// === impl Sessions ===

impl Sessions {
    /// Stores what has changed, once each. What the store does not take stays for the next time.
    pub(super) async fn store_changes(&self) -> Result<(), StoreError> {
        loop {
            let batch: Vec<Arc<Session>> = {
                let mut dirty = self.0.dirty.lock().expect("nothing that holds the list panics");
                let count = dirty.len().min(STORED_AT_ONCE);
                dirty.drain(..count).collect()
            };
            if batch.is_empty() {
                return Ok(());
            }
            let stored = stream::iter(batch).map(|session| async move {
                session.set_dirty(false);
                let stored = self.store_change(&session).await;
                if stored.is_err() {
                    self.soil(&session);
                }
                stored
            });
            let stored: Vec<Result<(), StoreError>> = stored.buffer_unordered(STORED_AT_ONCE).collect().await;
            // One roster that cannot be read is not the store's failure: the others go on, and it ends up alone.
            if !stored.iter().any(Result::is_ok) {
                stored.into_iter().collect::<Result<(), StoreError>>()?;
            }
        }
    }

    /// Makes the store agree with this node about one session, or this node with the store.
    async fn store_change(&self, session: &Arc<Session>) -> Result<(), StoreError> {
        let rules = self.rules();
        loop {
            let identity = session.identity();
            let mut keys = vec![Roster::key(&session.user), session_key(&session.id)];
            keys.extend(revocation_keys(&identity));
            let found = self.0.store.get_all(&keys).await?;
            let document = found[0].as_ref();
            let lost = |failure: Failure| StoreError::Unavailable(failure.cause().unwrap_or_default().to_owned());
            let mut roster = self.roster(document, &rules).await.map_err(lost)?;
            // Asked before the session is: whoever had its turn by then has given it its generation.
            let is_resuming = self.is_resuming(&session.id);
            let wanted = session.wanted(&self.0.node);
            let circumstances = Circumstances {
                is_revoked: found[1].is_some() || still_good(&identity, &keys[2..], &found[2..]).is_err(),
                is_listed: self.get(&session.id).is_some_and(|listed| Arc::ptr_eq(&listed, session)),
                is_resuming,
            };
            let changed = match reconcile(&mut roster, &session.id, wanted, circumstances, &rules) {
                Verdict::Agreed => false,
                Verdict::Store => true,
                Verdict::Later => return Ok(()),
                Verdict::Over { generation, close } => {
                    self.finish(session, generation, close);
                    // If that is its end, it is marked anew; and if it is leaving, it hears of it as soon as it does not after all.
                    if session.generation() == generation {
                        return Ok(());
                    }
                    continue;
                }
                Verdict::Promised { generation } => {
                    session.promise(generation);
                    session.detach(generation, self.until_given_up());
                    continue;
                }
            };
            let parked = if self.is_draining() { session.park() } else { None };
            if !changed && parked.is_none() {
                return Ok(());
            }
            let mut batch = self.roster_batch(&session.user, &roster, document, &rules);
            if let Some(ring) = parked {
                let ring = serde_json::to_vec(&ring).expect("a ring is numbers and texts");
                batch = batch.put(ring_key(&session.id), ring, Expect::Anything, Some(Duration::from_millis(rules.resume_window_ms)));
            }
            match self.0.store.write(batch).await {
                Ok(_) => return Ok(()),
                Err(StoreError::Conflict(_)) => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Hands the sessions to the store, for other nodes and for the next process, within `patience`, and says that this node is gone. To be
    /// called when no session is connected any more: until then this node keeps what is pushed to them, and is asked for it.
    pub async fn finish_drain(&self, patience: Duration) {
        self.0.draining.store(true, atomic::Ordering::Relaxed);
        let deadline = Instant::now() + patience;
        // Also those that have waited for longer: nothing about them has changed, and their rings are to be parked.
        self.soil_all();
        // What cannot be stored in time is over when this node's lease is.
        let _ = timeout_at(deadline, self.store_changes()).await;
        let gone = self.0.clock.now_ms().to_string();
        let batch = Batch::new(Durability::Durable).put(lease_key(&self.0.node), gone, Expect::Anything, Some(REMEMBERED));
        let _ = timeout_at(deadline, self.0.store.write(batch)).await;
    }
}
