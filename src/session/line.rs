//! The way from a session to its connection, as the session sees it. The edge makes it.

use std::sync::Arc;

use super::outbox::{Fate, Mark};
use super::publication::Publication;
use super::ring::Entry;
use crate::wire::Close;

/// The way to a connection, whatever it is made of. Nobody waits on it.
pub trait Line: Send + Sync {
    /// Writes a push of the session's own. False: there is no room.
    fn push(&self, entry: &Entry) -> bool;

    /// Writes a best-effort message, by its rule. False: the rule is that the client goes.
    fn publish(&self, publication: &Arc<Publication>) -> bool;

    /// Tells the client that it does not hear a topic any more. False: there is no room.
    fn expel(&self, topic: &str, reason: &str) -> bool;

    /// The moment behind everything that it was given until now.
    fn mark(&self) -> Mark;

    /// What has become of all that it was given before a mark.
    fn fate(&self, mark: Mark) -> Fate;

    /// Asks the connection to end.
    fn close(&self, close: Close);
}
