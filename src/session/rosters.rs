//! Rosters in the store: reading one as it is now, and changing it by compare-and-set.
//!
//! Promise: a change happens only if nobody else changed the roster, and nobody revoked the identity, since it was looked at.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use super::identity::{Identity, REFUSED};
use super::lease::lease_key;
use super::live::Session;
use super::revocation::{Notice, Revocation, moment, token_key, user_key};
use super::roster::{Life, Record, Roster, Rules};
use super::sessions::{REVOKED_KEEP, Sessions, store_failed, unavailable};
use crate::failure::{Failure, Reason, Result};
use crate::store::{Batch, Document, Durability, Expect, Key, StoreError};

/// Attempts at one change of a roster. Each failure means that somebody else's change succeeded.
pub(super) const ATTEMPTS_MAX: u32 = 32;

/// How much longer than a token its revocation is kept, for clocks that differ.
const CLOCKS_DIFFER: Duration = Duration::from_secs(300);

// === impl Sessions ===

impl Sessions {
    /// Changes the roster of somebody whose identity is good, and tells those who had to give way.
    pub(super) async fn change_roster(
        &self,
        identity: &Identity,
        rules: &Rules,
        change: impl Fn(&mut Roster) -> Result<(u64, Vec<Record>)>,
    ) -> Result<(u64, Vec<Record>)> {
        let mut keys = vec![Roster::key(&identity.user)];
        keys.extend(revocation_keys(identity));
        for _ in 0..ATTEMPTS_MAX {
            let found = self.0.store.get_all(&keys).await.map_err(store_failed)?;
            let document = found[0].as_ref();
            let checks = still_good(identity, &keys[1..], &found[1..])?;
            let mut roster = self.roster(document, rules).await?;
            let (generation, replaced) = change(&mut roster)?;
            let mut batch = self.roster_batch(&identity.user, &roster, document, rules);
            batch.changes.extend(checks.changes);
            for record in &replaced {
                batch = Notice::Replaced { session: record.id.clone(), generation: record.generation }.write(batch);
            }
            match self.0.store.write(batch).await {
                Ok(_) => return Ok((generation, replaced)),
                Err(StoreError::Conflict(_)) => {}
                Err(error) => return Err(store_failed(error)),
            }
        }
        Err(unavailable("others changed the roster again and again"))
    }

    /// The roster in a document, without what is over.
    pub(super) async fn roster(&self, document: Option<&Document>, rules: &Rules) -> Result<Roster> {
        let mut roster = Roster::read(document).map_err(|error| unavailable(&format!("a roster cannot be read: {error}")))?;
        let lives = self.lives(roster.records().iter().map(|record| &*record.node)).await?;
        roster.prune(self.0.clock.now_ms(), rules, |node| lives.get(node).copied().unwrap_or(Life::Forgotten));
        Ok(roster)
    }

    /// Those of some nodes that died so long ago that whoever was connected to them is over, or resumed elsewhere.
    pub async fn gone_nodes(&self, nodes: impl Iterator<Item = &str>) -> Result<BTreeSet<String>> {
        let (now, rules) = (self.0.clock.now_ms(), self.rules());
        let is_gone = |life: &Life| match life {
            Life::Alive => false,
            Life::DeadSince(since) => since.saturating_add(rules.resume_window_ms) <= now,
            Life::Forgotten => true,
        };
        Ok(self.lives(nodes).await?.into_iter().filter(|(_, life)| is_gone(life)).map(|(node, _)| node).collect())
    }

    /// Which of these nodes live.
    async fn lives(&self, nodes: impl Iterator<Item = &str>) -> Result<HashMap<String, Life>> {
        let mut lives = HashMap::from([(self.0.node.clone(), Life::Alive)]);
        let others: BTreeSet<&str> = nodes.filter(|node| **node != *self.0.node).collect();
        if others.is_empty() {
            return Ok(lives);
        }
        let keys: Vec<Key> = others.iter().map(|node| lease_key(node)).collect();
        let found = self.0.store.get_all(&keys).await.map_err(store_failed)?;
        let now = self.0.clock.now_ms();
        for (node, document) in others.into_iter().zip(found) {
            let life = match document.map(|document| moment(&document)) {
                None => Life::Forgotten,
                Some(until) if until <= now => Life::DeadSince(until),
                Some(_) => Life::Alive,
            };
            lives.insert(node.to_owned(), life);
        }
        Ok(lives)
    }

    pub(super) fn roster_batch(&self, user: &str, roster: &Roster, document: Option<&Document>, rules: &Rules) -> Batch {
        let ttl = Duration::from_millis(roster.ttl_ms(self.0.clock.now_ms(), rules));
        Batch::new(Durability::Flushed).put(Roster::key(user), roster.write(), Expect::unchanged(document), Some(ttl))
    }

    /// Takes a session out of its roster and revokes its token, in one batch. An API key is no login, and others may have come by it too:
    /// whoever leaves does not end it.
    pub(super) async fn leave_roster(&self, session: &Arc<Session>, generation: u64, identity: &Identity, rules: &Rules) -> Result<()> {
        for _ in 0..ATTEMPTS_MAX {
            let document = self.0.store.get(&Roster::key(&session.user)).await.map_err(store_failed)?;
            let mut roster = self.roster(document.as_ref(), rules).await?;
            roster.remove(&session.id, generation);
            let mut batch = self.roster_batch(&session.user, &roster, document.as_ref(), rules);
            batch.durability = Durability::Durable;
            if let Some(token_id) = identity.token_id.as_ref().filter(|_| identity.api_key.is_none()) {
                let left = identity.expires.duration_since(self.0.clock.now()).unwrap_or_default();
                batch = Revocation::Token(token_id.to_string()).write(batch, (left + CLOCKS_DIFFER).min(REVOKED_KEEP));
            }
            match self.0.store.write(batch).await {
                Ok(_) => return Ok(()),
                Err(StoreError::Conflict(_)) => {}
                Err(error) => return Err(store_failed(error)),
            }
        }
        Err(unavailable("others changed the roster again and again"))
    }
}

/// Where it would stand that an identity is revoked.
pub(super) fn revocation_keys(identity: &Identity) -> Vec<Key> {
    std::iter::once(user_key(&identity.user)).chain(identity.token_id.as_deref().map(token_key)).collect()
}

/// Refuses an identity that was revoked by what was found under its [`revocation_keys`]. What it yields makes a batch fail if it is
/// revoked before that happens.
pub(super) fn still_good(identity: &Identity, keys: &[Key], found: &[Option<Document>]) -> Result<Batch> {
    let user = found.first().and_then(Option::as_ref).map(moment);
    let token = found.get(1).and_then(Option::as_ref);
    if token.is_some() || user.is_some_and(|moment| identity.issued_ms < moment) {
        let failure = Failure::gateway(Reason::InvalidToken, REFUSED);
        return Err(failure.because("token refused: it was revoked"));
    }
    let check = |batch: Batch, (key, document): (&Key, &Option<Document>)| batch.check(key.clone(), Expect::unchanged(document.as_ref()));
    Ok(keys.iter().zip(found).fold(Batch::default(), check))
}
