//! How connections leave a gateway that drains: each is told when its turn is, and is sent away then if it has not gone by itself.
//!
//! The turns are slots: of `n` connections the one with index `i` goes `i × over / n` after the beginning, so that whoever takes them over
//! sees an even stream instead of a storm. Promises: no two have the same index, whichever workers they live on; a call that comes before
//! its connection's turn is served; one that is in flight then is answered; nobody stays beyond [`Drain::time`].

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use super::connection::Connection;
use super::end::End;
use super::pulse::Tick;
use crate::wire::{Close, v1};

/// How long a client has to move by itself once its turn has come. Where there is no time to move at all, nobody is told to.
const MOVE_WAIT: Duration = Duration::from_secs(1);

/// How long handshakes may go on that are under way.
pub const HANDSHAKE_WAIT: Duration = Duration::from_secs(1);

/// How a gateway goes.
pub struct Drain {
    /// The time over which clients leave, one after the other; none: all of them at once.
    pub over: Duration,
    /// How long calls that are in flight at a client's turn may take to be answered.
    pub calls: Duration,
    pub next: Next,
    /// Where they should go, if not where they came from.
    pub url: Option<String>,
}

/// Where clients find a gateway again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Next {
    /// Elsewhere, or in the same place at some time; nobody here knows.
    Elsewhere,
    /// Behind the same socket, which outlives the process.
    Here,
}

/// The same for so many connections, and whose turn is next. All workers share one.
pub struct Departure {
    drain: Drain,
    count: u32,
    next: AtomicU32,
}

// === impl Drain ===

impl Drain {
    /// How long a client has to move once its turn has come.
    pub fn moving(over: Duration) -> Duration {
        if over.is_zero() { Duration::ZERO } else { MOVE_WAIT }
    }

    /// From the beginning until the last has been told Goodbye.
    pub fn time(&self) -> Duration {
        self.over + Drain::moving(self.over) + self.calls
    }

    fn close(&self) -> Close {
        match self.next {
            Next::Elsewhere => Close::GoingAway,
            Next::Here => Close::Restart,
        }
    }

    fn reconnect(&self, slot: Duration, can_resume: bool) -> v1::Reconnect {
        v1::Reconnect {
            delay_ms: u32::try_from(slot.as_millis()).unwrap_or(u32::MAX),
            url: self.url.clone().unwrap_or_default(),
            can_resume,
            reason: self.close().reason().to_owned(),
        }
    }
}

// === impl Departure ===

impl Departure {
    /// For `count` sockets, among them those whose handshakes are not over yet.
    pub fn new(drain: Drain, count: u32) -> Departure {
        Departure { drain, count: count.max(1), next: AtomicU32::new(0) }
    }

    pub fn drain(&self) -> &Drain {
        &self.drain
    }

    /// When it is the turn of whoever asks next, after the beginning.
    fn next_slot(&self) -> Duration {
        // Whoever asks was counted; nobody's turn is later than the last in any case.
        let index = self.next.fetch_add(1, Ordering::Relaxed).min(self.count - 1);
        slot(index, self.drain.over, self.count)
    }
}

/// When it is the turn of the connection with this index among `count`.
fn slot(index: u32, over: Duration, count: u32) -> Duration {
    over * index / count
}

// === impl Connection ===

impl Connection {
    /// What the end of the gateway asks of the connection now. The last words are due by `end_by` in any case.
    pub(super) fn check_departure(&mut self, now: Tick, end_by: Tick) -> Result<(), End> {
        let Some((departure, begun)) = self.place.departure().cloned() else {
            self.conversation.draining = true;
            return if now >= end_by { Err(End::close(Close::Shutdown, "the gateway stops")) } else { Ok(()) };
        };
        let drain = departure.drain();
        let leave_at = match self.leave_at {
            Some(leave_at) => leave_at,
            None => {
                let slot = departure.next_slot();
                if !drain.over.is_zero() {
                    // A client without any room learns it from Goodbye.
                    _ = self.conversation.speaker.say(0, &drain.reconnect(slot, self.conversation.caller.held().is_some()));
                }
                *self.leave_at.insert(begun.after(slot + Drain::moving(drain.over)))
            }
        };
        self.conversation.draining = now >= leave_at;
        if now >= end_by.min(leave_at.after(drain.calls)) { Err(self.departed()) } else { Ok(()) }
    }

    /// The end that is due when nothing is in flight any more.
    pub(super) fn departed(&self) -> End {
        match self.place.departure() {
            Some((departure, _)) => End::drained(departure.drain().close(), !departure.drain().over.is_zero()),
            None => End::close(Close::Shutdown, "the gateway stops"),
        }
    }

    /// When the end of the gateway next asks something.
    pub(super) fn departure_due(&self) -> Tick {
        let end_by = self.place.end_by().unwrap_or(Tick::NEVER);
        match (self.place.departure(), self.leave_at) {
            (Some(_), Some(leave_at)) if !self.conversation.draining => leave_at.min(end_by),
            (Some((departure, _)), Some(leave_at)) => leave_at.after(departure.drain().calls).min(end_by),
            _ => end_by,
        }
    }
}

#[cfg(test)]
mod tests;
