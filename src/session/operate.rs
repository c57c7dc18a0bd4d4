//! What an operator asks about a user's sessions.

use super::live::Wanted;
use super::revocation::Revocation;
use super::roster::{Record, Roster};
use super::sessions::{Sessions, store_failed};
use crate::failure::Result;

// === impl Sessions ===

impl Sessions {
    /// The sessions of a user on all nodes, oldest first. Those of this node are as they are here, which the store may not know yet. To be
    /// called on the back room.
    pub async fn list(&self, user: &str) -> Result<Vec<Record>> {
        let document = self.0.store.get(&Roster::key(user)).await.map_err(store_failed)?;
        let roster = self.roster(document.as_ref(), &self.rules()).await?;
        let as_it_is = |record: &Record| {
            if record.node != self.0.node {
                return Some(record.clone());
            }
            match self.get(&record.id)?.wanted(&self.0.node) {
                Wanted::Alive(here) => Some(here),
                Wanted::Over { .. } => None,
            }
        };
        Ok(roster.records().iter().filter_map(as_it_is).collect())
    }

    /// Ends the sessions of a user on all nodes, or this one of them. Their tokens stay good, so that whoever has one may begin another. The
    /// sessions that were ended. To be called on the back room.
    pub async fn kick(&self, user: &str, session: Option<&str>) -> Result<Vec<String>> {
        let mut ended = Vec::new();
        for record in self.list(user).await? {
            if session.is_none_or(|session| session == record.id) {
                self.revoke(&Revocation::Session(record.id.clone())).await?;
                ended.push(record.id);
            }
        }
        Ok(ended)
    }

    /// Every token that this user has been given until now.
    pub fn all_tokens_of(&self, user: &str) -> Revocation {
        // What was issued in this very millisecond is meant too.
        Revocation::User { user: user.to_owned(), issued_before_ms: self.0.clock.now_ms() + 1 }
    }
}
