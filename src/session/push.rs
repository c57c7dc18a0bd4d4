//! Messages to a user that nobody asked for, on whichever nodes the user's sessions are.
//!
//! A session of this node gets it at once; for those of others a letter goes to their node. Promise: what is pushed to a session that is
//! there is kept until its client has acknowledged it; what is published is not kept at all. A letter that is lost is lost: who must know
//! asks for what was missed.

use std::collections::HashMap;
use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::letter::{Letter, Published, mailbox};
use super::live::Session;
use super::publication::Publication;
use super::receipt::Handed;
use super::roster::{Record, Roster};
use super::sessions::{Sessions, store_failed};
use crate::failure::Result;

/// The sessions that a push was given to.
#[derive(Default)]
pub struct Reached {
    /// On this node.
    pub here: Vec<(Arc<Session>, Place)>,
    /// By the nodes that have them: they were sent a letter.
    pub elsewhere: HashMap<String, Vec<(String, Place)>>,
}

/// Where in the user's inbox a push is; 0 for one that was given to the session itself.
#[derive(Clone, Copy, Serialize, Deserialize)]
pub struct Place(pub u64);

// === impl Sessions ===

impl Sessions {
    /// Sends a message to every session of a user, or to one of them, and keeps it there. Those that were reached, or sent a letter. To be
    /// called on the back room.
    pub async fn push(&self, user: &str, session: Option<&str>, number: u32, payload: Bytes) -> Result<Reached> {
        let letter = |session| Letter::Push { session, number, payload: BASE64_STANDARD.encode(&payload), sent_on: false };
        self.reach(user, session, letter, |session| self.push_here(session, number, payload.clone())).await
    }

    /// Sends a message to whatever connections the user's sessions have, or one of them. Those that were reached, or sent a letter. To be
    /// called on the back room.
    pub async fn publish(&self, user: &str, session: Option<&str>, publication: &Arc<Publication>) -> Result<Reached> {
        let letter = |session| Letter::Publish { session, message: Published::of(publication) };
        self.reach(user, session, letter, |session| self.publish_here(session, publication)).await
    }

    /// Sends a message to a session of this node. Nothing: there is none, or it is over.
    pub(super) fn push_here(&self, session: &str, number: u32, payload: Bytes) -> Option<Arc<Session>> {
        self.get(session).filter(|session| session.push(number, payload, self.settings().ring_bytes_max))
    }

    /// Sends a message to the connection of a session of this node. Nothing: there is none.
    pub(super) fn publish_here(&self, session: &str, publication: &Arc<Publication>) -> Option<Arc<Session>> {
        self.get(session).filter(|session| session.publish(publication))
    }

    async fn reach(
        &self,
        user: &str,
        session: Option<&str>,
        letter: impl Fn(String) -> Letter,
        here: impl Fn(&str) -> Option<Arc<Session>>,
    ) -> Result<Reached> {
        let rules = self.rules();
        let document = self.0.store.get(&Roster::key(user)).await.map_err(store_failed)?;
        let roster = self.roster(document.as_ref(), &rules).await?;
        let mut reached = Reached::default();
        for record in roster.records().iter().filter(|record| session.is_none_or(|wanted| wanted == record.id)) {
            if record.node == self.0.node {
                reached.here.extend(here(&record.id).map(|session| (session, Place(0))));
            } else {
                let letter = letter(record.id.clone()).write();
                let heard = self.0.store.publish(&mailbox(&record.node), letter.into()).await.map_err(store_failed)?;
                if heard > 0 {
                    reached.add_elsewhere(record, Place(0));
                }
            }
        }
        self.0.pushes.published.one();
        Ok(reached)
    }
}

// === impl Reached ===

impl Reached {
    /// How many sessions.
    pub fn len(&self) -> usize {
        self.here.len() + self.elsewhere.values().map(Vec::len).sum::<usize>()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// These, too.
    pub fn add(&mut self, more: Reached) {
        self.here.extend(more.here);
        for (node, sessions) in more.elsewhere {
            self.elsewhere.entry(node).or_default().extend(sessions);
        }
    }

    /// A session of another node, too.
    pub fn add_elsewhere(&mut self, record: &Record, place: Place) {
        self.elsewhere.entry(record.node.clone()).or_default().push((record.id.clone(), place));
    }
}

// === impl Place ===

impl Handed for Place {
    fn is_handed(&self, session: &Session) -> bool {
        self.0 == 0 || session.inbox().is_some_and(|inbox| inbox >= self.0)
    }
}
