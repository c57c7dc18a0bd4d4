//! What time alone brings about: the ends of patience, the heartbeat, and when to look again.

use std::time::Duration;

use tokio::time::Instant;

use super::Connection;
use crate::edge::end::End;
use crate::edge::heartbeat::Verdict;
use crate::edge::pulse::{STEP, Tick};
use crate::session::outbox::Full;
use crate::table::Table;
use crate::wire::Close;

/// How long a message may take from its first byte to its last.
const MESSAGE_WAIT: Duration = Duration::from_secs(30);

/// How long a client may take no byte of what is to be written.
const STALL_WAIT: Duration = Duration::from_secs(10);

/// How soon a connection gives back what its calls needed, if no other call comes.
const TIDY_WAIT: Duration = Duration::from_secs(1);

// === impl Connection ===

impl Connection {
    /// What time alone brings about.
    pub(super) fn check_time(&mut self) -> Result<(), End> {
        let now = self.place.now();
        if self.place.is_shed() {
            return Err(End::close(
                Close::Overloaded,
                "what was sent and could not be dealt with takes too much memory, and this connection's most",
            ));
        }
        if let Some(end_by) = self.place.end_by() {
            self.check_departure(now, end_by)?;
        }
        if now >= self.message_due() {
            return Err(End::close(Close::Policy, "a message took more than 30 s to come"));
        }
        if now >= self.stall_due() {
            return Err(End::close(Close::Slow, "nothing was read for 10 s"));
        }
        self.conversation.tidy();
        self.conversation.check_standing(now)
    }

    /// A client that is not read from cannot be heard; whether it lives is then for [`STALL_WAIT`] to say, or for the time that an
    /// admission may take.
    pub(super) fn check_heartbeat(&mut self, now: Tick, table: &Table) -> Result<Tick, End> {
        let settings = &table.settings;
        if self.conversation.caller.identity().is_some_and(|identity| !table.verifier.still_lists(identity)) {
            return Err(End::close(Close::Revoked, "the API key is listed no longer"));
        }
        if self.stalled_since.is_some() || self.conversation.is_being_admitted() {
            self.heartbeat.hear(now);
        }
        loop {
            match self.heartbeat.check(now, settings.heartbeat, settings.heartbeat_grace) {
                Verdict::Quiet(due) => return Ok(due),
                Verdict::Ask => {
                    self.conversation.ask()?;
                    self.worker.round_trip.asked(self.id(), Instant::now());
                }
                Verdict::Dead => return Err(End::close(Close::Dead, "no sign of life")),
            }
        }
    }

    /// When the pulse should wake the connection, if nothing else does.
    pub(super) fn due(&self) -> Tick {
        let tidy = if self.conversation.is_untidy() { self.place.now().after(TIDY_WAIT) } else { Tick::NEVER };
        let standing = self.conversation.standing.due();
        let end = self.departure_due();
        // Nobody says when there is room in all outboxes, so it is tried again.
        let retry = if [self.conversation.put_off(), self.conversation.streams.full()].contains(&Some(Full::All)) {
            self.place.now().after(STEP)
        } else {
            Tick::NEVER
        };
        self.heartbeat_due.min(standing).min(self.message_due()).min(self.stall_due()).min(tidy).min(end).min(retry)
    }

    fn message_due(&self) -> Tick {
        self.socket.partial_since().map_or(Tick::NEVER, |since| since.after(MESSAGE_WAIT))
    }

    fn stall_due(&self) -> Tick {
        self.stalled_since.map_or(Tick::NEVER, |since| since.after(STALL_WAIT))
    }
}
