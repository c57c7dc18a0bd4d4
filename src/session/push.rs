//! Messages to a user that nobody asked for, on whichever nodes the user's sessions are.
//!
//! A session of this node gets it at once; for those of others a letter goes to their node. Promise: what is pushed to a session that is
//! there is kept until its client has acknowledged it; what is published is not kept at all. A letter that is lost is lost: who must know
//! asks for what was missed.

use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;

use super::letter::{Letter, Published, mailbox};
use super::publication::Publication;
use super::roster::Roster;
use super::sessions::{Sessions, store_failed};
use crate::failure::Result;

// === impl Sessions ===

impl Sessions {
    /// Sends a message to every session of a user, or to one of them, and keeps it there. How many were reached, or sent a letter. To be
    /// called on the back room.
    pub async fn push(&self, user: &str, session: Option<&str>, number: u32, payload: Bytes) -> Result<usize> {
        let letter = |session| Letter::Push { session, number, payload: BASE64_STANDARD.encode(&payload) };
        self.reach(user, session, letter, |session| self.push_here(session, number, payload.clone())).await
    }

    /// Sends a message to whatever connections the user's sessions have, or one of them. How many were reached, or sent a letter. To be
    /// called on the back room.
    pub async fn publish(&self, user: &str, session: Option<&str>, publication: &Arc<Publication>) -> Result<usize> {
        let letter = |session| Letter::Publish { session, message: Published::of(publication) };
        self.reach(user, session, letter, |session| self.publish_here(session, publication)).await
    }

    /// Sends a message to a session of this node. False: there is none, or it is over.
    pub(super) fn push_here(&self, session: &str, number: u32, payload: Bytes) -> bool {
        self.get(session).is_some_and(|session| session.push(number, payload, self.settings().ring_bytes_max))
    }

    /// Sends a message to the connection of a session of this node. False: there is none.
    pub(super) fn publish_here(&self, session: &str, publication: &Arc<Publication>) -> bool {
        self.get(session).is_some_and(|session| session.publish(publication))
    }

    async fn reach(
        &self,
        user: &str,
        session: Option<&str>,
        letter: impl Fn(String) -> Letter,
        here: impl Fn(&str) -> bool,
    ) -> Result<usize> {
        let rules = self.rules();
        let document = self.0.store.get(&Roster::key(user)).await.map_err(store_failed)?;
        let roster = self.roster(document.as_ref(), &rules).await?;
        let mut reached = 0;
        for record in roster.records().iter().filter(|record| session.is_none_or(|wanted| wanted == record.id)) {
            if record.node == self.0.node {
                reached += usize::from(here(&record.id));
            } else {
                let letter = letter(record.id.clone()).write();
                let heard = self.0.store.publish(&mailbox(&record.node), letter.into()).await.map_err(store_failed)?;
                reached += usize::from(heard > 0);
            }
        }
        Ok(reached)
    }
}
