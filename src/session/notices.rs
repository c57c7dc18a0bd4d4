//! Following the log of notices, which says what ended elsewhere: by looking, and at once when somebody pokes.
//!
//! Promise: who missed a notice looks at every session that it has.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout_at};
use tracing::{debug, warn};

use super::live::Session;
use super::revocation::{Notice, Revocation};
use super::sessions::Sessions;
use crate::store::{Entries, Signal, StoreError};
use crate::wire::Close;

/// How often it is looked though nobody poked. With the time it takes to close, this keeps revocation within 2 s.
const LOOK: Duration = Duration::from_millis(750);

/// Notices that are read at once.
const NOTICES_MAX: usize = 500;

/// How far a node has followed.
pub struct Follower {
    sessions: Sessions,
    /// The last notice that was obeyed.
    position: u64,
    /// Told when signals may have been missed: the store was out of reach, and may have lost what it knew.
    doubt: Arc<Notify>,
}

// === impl Follower ===

impl Follower {
    /// One that obeys what comes from now on.
    pub async fn begin(sessions: Sessions, doubt: Arc<Notify>) -> Result<Follower, StoreError> {
        let log = sessions.0.store.read(&Notice::log(), u64::MAX, 0).await?;
        Ok(Follower { sessions, position: log.last, doubt })
    }

    pub async fn keep(mut self) {
        let mut pokes = None;
        loop {
            if pokes.is_none() {
                pokes = self.sessions.0.store.listen(Notice::CHANNEL).await.ok();
            }
            let looked = Instant::now();
            if let Err(error) = self.follow().await {
                debug!(%error, "the log of notices cannot be read");
            }
            match &mut pokes {
                Some(channel) => match timeout_at(looked + LOOK, channel.recv()).await {
                    Ok(None) => pokes = None,
                    Ok(Some(Signal::Gap)) => self.doubt.notify_one(),
                    Ok(Some(Signal::Message(_))) | Err(_) => {}
                },
                None => sleep(LOOK).await,
            }
        }
    }

    /// Obeys every notice since the last time.
    pub async fn follow(&mut self) -> Result<(), StoreError> {
        loop {
            let read = self.sessions.0.store.read(&Notice::log(), self.position, NOTICES_MAX).await?;
            let Entries { entries, first, last } = read;
            if last < self.position || first > self.position + 1 {
                // The log began anew, or went on without us.
                warn!("notices were missed; every session of this node is looked at");
                self.sessions.soil_all();
                self.position = if last < self.position { 0 } else { first - 1 };
                continue;
            }
            for (offset, entry) in &entries {
                if let Some(notice) = Notice::read(entry) {
                    self.sessions.obey(&notice);
                }
                self.position = *offset;
            }
            if entries.len() < NOTICES_MAX {
                return Ok(());
            }
        }
    }
}

// === impl Sessions ===

impl Sessions {
    /// Ends what a notice says has ended.
    fn obey(&self, notice: &Notice) {
        match notice {
            Notice::Replaced { session, generation } => {
                self.get(session).iter().for_each(|session| self.finish(session, *generation, Close::Replaced));
            }
            Notice::Revoked(Revocation::Session(id)) => {
                self.get(id).iter().for_each(|session| self.finish(session, u64::MAX, Close::Revoked));
            }
            Notice::Revoked(Revocation::Token(id)) => {
                let with_token = |session: &Arc<Session>| session.identity().token_id.as_deref() == Some(id);
                let found = self.0.registry.all().into_iter().filter(with_token);
                found.for_each(|session| self.finish(&session, u64::MAX, Close::Revoked));
            }
            Notice::Revoked(Revocation::User { user, issued_before_ms }) => {
                let older = |session: &Arc<Session>| session.identity().issued_ms < *issued_before_ms;
                let found = self.of_user(user).into_iter().filter(older);
                found.for_each(|session| self.finish(&session, u64::MAX, Close::Revoked));
            }
        }
    }

    /// Ends a session here, and has the store know.
    pub(super) fn finish(&self, session: &Arc<Session>, generation: u64, close: Close) {
        if session.end(generation, close) {
            self.0.registry.remove(session);
            self.soil(session);
        }
    }
}
