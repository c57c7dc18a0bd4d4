//! The connections of this node, as an operator sees them; the edge, which has them, answers.
//!
//! Nobody holds a list of what connections are like: they are asked when somebody wants to know, so that idle ones pay nothing for it.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;

use super::identity::Identity;
use crate::id::{CallId, ConnectionId, Protocol, WorkerId};
use crate::wire::Codec;

/// Whoever has the connections of this node.
pub trait Connections: Send + Sync {
    /// Those behind this one, in the order in which they came, that `search` finds; at most so many.
    fn list(&self, search: Search, after: ConnectionId, count_max: usize) -> BoxFuture<'_, Page>;

    /// One of them. Nothing: there is none of this number, or it does not answer in time.
    fn one(&self, id: ConnectionId) -> BoxFuture<'_, Option<Connected>>;

    /// Asks one to end and its client to come back. False: there is none of this number.
    fn close(&self, id: ConnectionId) -> bool;
}

/// Some of the connections.
#[derive(Default)]
pub struct Page {
    pub connections: Vec<Connected>,
    /// Where to go on; nothing where there is no more.
    pub next: Option<ConnectionId>,
    /// So many were asked and did not answer in time.
    pub unanswered: usize,
}

/// One connection, as it was when it was asked.
pub struct Connected {
    pub id: ConnectionId,
    pub worker: WorkerId,
    pub peer: IpAddr,
    pub codec: Codec,
    pub identity: Option<Arc<Identity>>,
    /// The session that it is in, and its generation.
    pub session: Option<(Arc<str>, u64)>,
    /// For how long it has been there, and since when nothing has come from its client. Both to a quarter of a second.
    pub age: Duration,
    pub idle: Duration,
    /// What waits for its client to read it.
    pub outbox_bytes: usize,
    pub calls: Vec<(Protocol, CallId)>,
    pub streams: Vec<(Protocol, CallId)>,
}

/// A part of a user's name, of a session's id, or of an address. Nothing finds everything. Clones are the same.
#[derive(Clone, Default)]
pub struct Search(Option<Arc<str>>);

// === impl Search ===

impl Search {
    pub fn of(text: &str) -> Search {
        Search((!text.is_empty()).then(|| text.into()))
    }

    /// Whether it finds everything.
    pub fn is_for_all(&self) -> bool {
        self.0.is_none()
    }

    /// Whether it finds a connection of whom this is true.
    pub fn finds(&self, user: Option<&str>, session: Option<&str>, peer: IpAddr) -> bool {
        let Some(text) = &self.0 else { return true };
        let is_in = |name: Option<&str>| name.is_some_and(|name| name.contains(&**text));
        is_in(user) || is_in(session) || peer.to_string().contains(&**text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_any_of_them_is_enough() {
        let finds = |text| Search::of(text).finds(Some("alice"), Some("s-17"), "192.0.2.7".parse().unwrap());
        assert!(["", "alice", "lic", "s-1", "192.0.2.7", "0.2."].into_iter().all(finds));
        assert!(!["bob", "alice ", "Alice", "192.0.2.70"].into_iter().any(finds));
        assert!(!Search::of("alice").finds(None, None, "::1".parse().unwrap()));
    }
}
