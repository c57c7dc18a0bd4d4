//! Coming back: a session goes to the connection that shows its resume token, with all that its client has not got.
//!
//! What was pushed and not acknowledged is on this node, on the one that had the session last, or in the store if that one went in order.
//! Promise: nobody waits for the old connection, and what could not be had is said to be lost.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::timeout;

use super::grant::{Grant, Granted};
use super::identity::Identity;
use super::letter::{Letter, mailbox};
use super::live::Session;
use super::revocation::{Notice, session_key};
use super::ring::Parked;
use super::roster::{Record, Roster};
use super::rosters::{ATTEMPTS_MAX, revocation_keys, still_good};
use super::secret::ResumeToken;
use super::sessions::{Sessions, store_failed, unavailable};
use crate::clock::from_millis;
use crate::failure::{Failure, Reason, Result};
use crate::store::{Batch, Document, Expect, Key, StoreError};
use crate::wire::Close;

/// How long another node may take to hand over what it holds of a session.
const HAND_OVER_WAIT: Duration = Duration::from_millis(300);

/// A session that is about to be this node's. It is taken off the list again if that comes to nothing.
struct Expected {
    sessions: Sessions,
    session: Arc<Session>,
    /// It was not listed before.
    is_new: bool,
}

/// The turn to resume a session on this node.
struct Turn {
    sessions: Sessions,
    session: String,
    permit: Option<OwnedSemaphorePermit>,
    /// What the store knows of this session is to be looked at.
    in_doubt: Option<Arc<Session>>,
}

/// Where a ring waits whose node is gone.
pub(super) fn ring_key(session: &str) -> Key {
    Key::new("ring", session)
}

// === impl Sessions ===

impl Sessions {
    /// The session that a resume token names, for the connection that shows it. With an identity that is fresh, or else with its own.
    /// To be called on the back room.
    pub async fn resume(&self, token: &ResumeToken, fresh: Option<Identity>, last_seq: u32) -> Result<Grant> {
        if fresh.as_ref().is_some_and(|identity| *identity.user != *token.user) {
            return Err(Failure::gateway(Reason::ResumeFailed, "the session is another user's; authenticate instead"));
        }
        // Of two that resume one session here, the second finds what the first has fetched.
        let mut turn = self.turn(&token.session).await;
        let ring_key = ring_key(&token.session);
        let (roster_key, rules) = (Roster::key(&token.user), self.rules());
        for _ in 0..ATTEMPTS_MAX {
            let keys = [roster_key.clone(), ring_key.clone(), session_key(&token.session)];
            let found = self.0.store.get_all(&keys).await.map_err(store_failed)?;
            let [document, parked, revoked] = &found[..] else { return Err(unavailable("the store answered something else")) };
            let mut roster = self.roster(document.as_ref(), &rules).await?;
            let Some(record) = roster.find(&token.session).filter(|record| revoked.is_none() && token.fits(&record.resume)) else {
                return Err(not_resumable());
            };
            let identity = match &fresh {
                Some(identity) => identity.clone(),
                None if from_millis(record.expires_ms) <= self.0.clock.now() => return Err(not_resumable()),
                None => identity_of(&token.user, record).ok_or_else(not_resumable)?,
            };
            let keys = revocation_keys(&identity);
            let checks = still_good(&identity, &keys, &self.0.store.get_all(&keys).await.map_err(store_failed)?)?;
            let resume = record.resume.clone();
            let (generation, before) = roster.take_over(&token.session, &self.0.node).expect("it was found just now");
            roster.change(&token.session, generation, |record| {
                *record = Record::of(&token.session, generation, &self.0.node, &identity, resume.clone());
            });
            let mut batch = self.roster_batch(&token.user, &roster, document.as_ref(), &rules);
            batch.changes.extend(checks.changes);
            if parked.is_some() {
                batch = batch.delete(ring_key.clone(), Expect::unchanged(parked.as_ref()));
            }
            let identity = Arc::new(identity);
            let expected = self.expect(&before, &identity);
            match self.0.store.write(batch).await {
                Ok(_) => {}
                Err(StoreError::Conflict(_)) => continue,
                Err(error) => {
                    // It may have happened.
                    turn.in_doubt = Some(Arc::clone(&expected.session)).filter(|_| !expected.is_new);
                    return Err(store_failed(error));
                }
            }
            let session = Arc::clone(&expected.session);
            session.promise(generation);
            if expected.is_new {
                self.fill(&session, &before, generation, parked.as_ref()).await?;
            }
            expected.has_come();
            let mut grant = Grant::new(self.clone(), session, identity, Granted::Resumed { resume_token: token.reveal(), last_seq });
            grant.promise(generation);
            return Ok(grant);
        }
        Err(unavailable("others changed the roster again and again"))
    }

    /// Whether somebody is about to have a session on this node.
    pub(super) fn is_resuming(&self, session: &str) -> bool {
        self.0.turns.lock().expect("nothing that holds the list panics").contains_key(session)
    }

    async fn turn(&self, session: &str) -> Turn {
        let turns = {
            let mut turns = self.0.turns.lock().expect("nothing that holds the list panics");
            Arc::clone(turns.entry(session.to_owned()).or_insert_with(|| Arc::new(Semaphore::new(1))))
        };
        let permit = turns.acquire_owned().await.expect("nobody closes it");
        Turn { sessions: self.clone(), session: session.to_owned(), permit: Some(permit), in_doubt: None }
    }

    /// The session on this node, where it may not have been until now. It is listed before the store gives it to this node: whoever is
    /// told to end it, or to push to it, will find it.
    fn expect(&self, before: &Record, identity: &Arc<Identity>) -> Expected {
        let listed = self.0.registry.get(&before.id);
        if let Some(session) = listed.as_ref().filter(|_| before.node == self.0.node) {
            return Expected { sessions: self.clone(), session: Arc::clone(session), is_new: false };
        }
        let session = Session::expected(&before.id, Arc::clone(identity), before.resume.clone(), before.generation);
        if let Some(stale) = self.0.registry.insert(&session) {
            // Another node has it, or had; nobody has told this one.
            stale.end(before.generation - 1, Close::Replaced);
        }
        Expected { sessions: self.clone(), session, is_new: true }
    }

    /// Fetches what a session's client has not got from wherever that is, and sees to it that no other node holds on to the session.
    async fn fill(&self, session: &Arc<Session>, before: &Record, generation: u64, parked: Option<&Document>) -> Result<()> {
        let ring = match parked.and_then(|document| serde_json::from_slice(&document.value).ok()) {
            Some(parked) => Some(parked),
            // It was given to this node, which did not hear of that or lost it. Which node had it before, nobody knows any more.
            None if before.node == self.0.node => None,
            None => self.ask_for_ring(before, generation).await,
        };
        match ring.and_then(Parked::unpark) {
            Some(ring) => session.adopt(generation, ring, self.settings().ring_bytes_max),
            None => {
                // Should another node have it after all, it learns from the log that it has the session no longer.
                let notice = Notice::Replaced { session: before.id.clone(), generation: before.generation };
                self.0.store.write(notice.write(Batch::default())).await.map_err(store_failed)?;
            }
        }
        // Of what is revoked while it is on its way this node hears; whether something was before that is for the store to say.
        self.soil(session);
        Ok(())
    }

    /// Asks the node that had a session for its ring, and has it send its connection away.
    async fn ask_for_ring(&self, before: &Record, generation: u64) -> Option<Parked> {
        let (send, receive) = oneshot::channel();
        self.0.awaited.lock().expect("nothing that holds the list panics").insert(before.id.clone(), send);
        let letter = Letter::TakenOver { session: before.id.clone(), generation, by: self.0.node.clone() };
        let listeners = self.0.store.publish(&mailbox(&before.node), letter.write().into()).await.unwrap_or(0);
        let ring = if listeners == 0 { None } else { timeout(HAND_OVER_WAIT, receive).await.ok().and_then(|ring| ring.ok()).flatten() };
        self.0.awaited.lock().expect("nothing that holds the list panics").remove(&before.id);
        ring
    }
}

// === impl Expected ===

impl Expected {
    fn has_come(mut self) {
        self.is_new = false;
    }
}

impl Drop for Expected {
    fn drop(&mut self) {
        if self.is_new {
            self.sessions.0.registry.remove(&self.session);
        }
    }
}

// === impl Turn ===

impl Drop for Turn {
    fn drop(&mut self) {
        let mut turns = self.sessions.0.turns.lock().expect("nothing that holds the list panics");
        self.permit = None;
        // Whoever waits holds it too.
        if turns.get(&self.session).is_some_and(|turn| Arc::strong_count(turn) == 1) {
            turns.remove(&self.session);
        }
        drop(turns);
        self.in_doubt.iter().for_each(|session| self.sessions.soil(session));
    }
}

/// The identity with which a session was made. Nothing: it came by an API key of which nobody can say which.
fn identity_of(user: &str, record: &Record) -> Option<Identity> {
    let api_key = match &record.api_key {
        Some(hash) => Some(Arc::new(BASE64_STANDARD.decode(hash).ok()?.try_into().ok()?)),
        None => None,
    };
    Some(Identity {
        user: user.into(),
        roles: record.roles.iter().map(|role| role.as_str().into()).collect(),
        token_id: record.token_id.as_deref().map(Into::into),
        issued_ms: record.issued_ms,
        expires: from_millis(record.expires_ms),
        token: None,
        api_key,
    })
}

fn not_resumable() -> Failure {
    Failure::gateway(Reason::ResumeFailed, "there is no such session any more; authenticate, and begin anew")
}
