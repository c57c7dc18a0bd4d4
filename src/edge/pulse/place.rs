//! A connection's side of the pulse: when it is to be woken, what it holds, and what is wanted of it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Waker;

use smallvec::SmallVec;

use super::{Pulse, Tick};
use crate::edge::departure::Departure;
use crate::edge::questions::Question;
use crate::id::ConnectionId;

/// A connection's place in the list, given up on drop.
pub struct Place {
    pub(super) pulse: Arc<Pulse>,
    pub(super) key: usize,
    pub(super) due: Tick,
    pub(super) is_streaming: bool,
    pub(super) held: usize,
}

// === impl Place ===

impl Place {
    pub fn now(&self) -> Tick {
        self.pulse.now()
    }

    /// By when the connection must have ended, if it must.
    pub fn end_by(&self) -> Option<Tick> {
        let end_by = Tick(self.pulse.end_by.load(Ordering::Relaxed));
        (end_by != Tick::NEVER).then_some(end_by)
    }

    /// How connections leave one after the other, and since when, if they do.
    pub fn departure(&self) -> Option<&(Arc<Departure>, Tick)> {
        self.pulse.departure.get()
    }

    /// Says whom to wake.
    pub fn set_waker(&self, waker: &Waker) {
        self.pulse.lock()[self.key].waker.clone_from(waker);
    }

    /// Whether the time has come that [`Place::set_due`] named.
    pub fn is_due(&self) -> bool {
        self.now() >= self.due
    }

    /// Whether something is wanted of the connection whatever the time.
    pub fn is_wanted(&self) -> bool {
        self.end_by().is_some() || self.is_shed()
    }

    /// Whether this connection was chosen to make room.
    pub fn is_shed(&self) -> bool {
        self.pulse.shed.load(Ordering::Relaxed) == self.key + 1
    }

    /// Whether somebody may be asked something.
    pub fn is_asked(&self) -> bool {
        self.pulse.questions.is_any()
    }

    /// What the connection of this number, which is the one that has the place, is asked.
    pub fn questions(&self, id: ConnectionId) -> SmallVec<[Question; 1]> {
        self.pulse.questions.take(id)
    }

    /// Says when to wake the connection.
    pub fn set_due(&mut self, due: Tick) {
        if due != self.due {
            self.due = due;
            self.pulse.lock()[self.key].due = due;
        }
    }

    /// Says whether the connection has open streams.
    pub fn set_streaming(&mut self, is_streaming: bool) {
        if is_streaming != self.is_streaming {
            self.is_streaming = is_streaming;
            self.pulse.lock()[self.key].is_streaming = is_streaming;
        }
    }

    /// Says how many bytes the connection holds now that its client sent. Over `bytes_max` in all, the largest holder is closed.
    pub fn set_held(&mut self, held: usize, bytes_max: usize) {
        if held == self.held {
            return;
        }
        let before = std::mem::replace(&mut self.held, held);
        let total = self.pulse.held.fetch_add(held.wrapping_sub(before), Ordering::Relaxed).wrapping_add(held).wrapping_sub(before);
        self.pulse.lock()[self.key].held = held;
        if held == 0 && self.is_shed() {
            // Its memory is free, so the next one may be chosen while this one still says goodbye.
            self.pulse.shed.store(0, Ordering::Relaxed);
        }
        if held > before && total > bytes_max {
            self.pulse.shed();
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.pulse.held.fetch_sub(self.held, Ordering::Relaxed);
        let mut places = self.pulse.lock();
        let slot = places.remove(self.key);
        // While the place is known to be free: afterwards nobody puts another.
        self.pulse.questions.take(slot.id);
        if self.is_shed() {
            self.pulse.shed.store(0, Ordering::Relaxed);
        }
        drop(places);
        self.pulse.left.notify_waiters();
    }
}
