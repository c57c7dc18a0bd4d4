//! Whether what waited in an outbox at some moment has been written since.
//!
//! An outbox does not count single messages. Whatever waited is out of it once it has been empty, and was written unless something was
//! dropped meanwhile. Promise: nothing is called written that was dropped; what is written may be called doubtful.

use super::Outbox;

/// A moment in the life of an outbox.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Mark {
    emptied: u32,
    losses: u32,
    /// The client had lost messages that it has not been told of, so that the last one may be among them.
    is_doubtful: bool,
}

/// What has become of all that was given to an outbox before a mark.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fate {
    Waiting,
    /// On the socket, all of it.
    Written,
    /// All that is never dropped is on the socket. Of what may be, something was dropped.
    Doubtful,
}

// === impl Outbox ===

impl Outbox {
    /// The moment that it is.
    pub fn mark(&self) -> Mark {
        let state = self.lock();
        let is_doubtful = state.lane.as_ref().is_some_and(|lane| lane.has_lost());
        Mark { emptied: state.emptied, losses: state.losses, is_doubtful }
    }

    /// What has become of everything before a mark.
    pub fn fate(&self, mark: Mark) -> Fate {
        let state = self.lock();
        if state.waiting() > 0 && state.emptied == mark.emptied {
            return Fate::Waiting;
        }
        let has_lost = mark.is_doubtful || state.losses != mark.losses;
        if has_lost { Fate::Doubtful } else { Fate::Written }
    }
}
