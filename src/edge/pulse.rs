//! Time for connections: one coarse clock and one alarm list a worker, instead of a timer for each connection.
//!
//! A connection holds a [`Place`] and says when it next has something to check; the pulse wakes it in that quarter of a second. Looking
//! through all places costs some nanoseconds each, four times a second, which is less than keeping them in order.
//! The same list is how a worker reaches all its connections: to end them, to find the one that holds the most memory, and to ask them what
//! they are like.
//!
//! - `tick`: its moments
//! - `place`: a connection's side of it

mod place;
mod tick;

pub use self::place::Place;
pub use self::tick::{STEP, Tick};

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};
use std::task::Waker;
use std::time::Duration;

use slab::Slab;
use tokio::sync::Notify;

use super::departure::{Departure, HANDSHAKE_WAIT};
use super::questions::{Question, Questions};
use crate::id::ConnectionId;
use crate::session::outbox::Outbox;
use crate::wire::Close;

/// The clock and the list.
pub struct Pulse {
    now: AtomicU32,
    places: Mutex<Slab<Slot>>,
    /// The tick by which every connection must have ended. Written once, by [`Pulse::end`]; read by every connection that is woken.
    end_by: AtomicU32,
    /// How connections leave one after the other before that, and since when. Written at most once.
    departure: OnceLock<(Arc<Departure>, Tick)>,
    /// Told whenever a place is given up.
    left: Notify,
    /// The key plus one of the place that must go because memory ran out; 0 is none. Written by whoever goes over, cleared when it went.
    shed: AtomicUsize,
    /// Bytes of messages that are incomplete, or that no service has taken from a stream yet, over all workers. Written by every connection whose holding changes.
    held: Arc<AtomicUsize>,
    questions: Questions,
}

struct Slot {
    id: ConnectionId,
    due: Tick,
    waker: Waker,
    /// It has open streams, which a new table may end.
    is_streaming: bool,
    held: usize,
    outbox: Arc<Outbox>,
}

/// A connection, and where it was when it was looked for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Found {
    pub id: ConnectionId,
    key: usize,
}

// === impl Pulse ===

impl Pulse {
    /// A clock at its start. `held` counts incomplete messages and is shared between workers.
    pub fn new(held: Arc<AtomicUsize>) -> Arc<Pulse> {
        Arc::new(Pulse {
            now: AtomicU32::new(0),
            places: Mutex::new(Slab::new()),
            end_by: AtomicU32::new(Tick::NEVER.0),
            departure: OnceLock::new(),
            left: Notify::new(),
            shed: AtomicUsize::new(0),
            held,
            questions: Questions::default(),
        })
    }

    pub fn now(&self) -> Tick {
        Tick(self.now.load(Ordering::Relaxed))
    }

    /// One step of the clock, to be called every [`STEP`]. A place that is due is woken at every step until it says when it is due next.
    pub fn beat(&self) {
        let now = Tick(self.now.fetch_add(1, Ordering::Relaxed) + 1);
        self.lock().iter().filter(|(_, slot)| slot.due <= now).for_each(|(_, slot)| slot.waker.wake_by_ref());
    }

    /// A place for whoever is polled next, due at once. It must say by [`Place::set_waker`] who that is.
    pub fn enter(self: &Arc<Self>, id: ConnectionId, outbox: Arc<Outbox>) -> Place {
        let key = self.lock().insert(Slot { id, due: Tick::ZERO, waker: Waker::noop().clone(), is_streaming: false, held: 0, outbox });
        Place { pulse: Arc::clone(self), key, due: Tick::ZERO, is_streaming: false, held: 0 }
    }

    /// Asks every connection to leave when its turn is, those that have a place and those that will.
    pub fn depart(&self, departure: Arc<Departure>) {
        let time = departure.drain().time();
        // The first word holds; whoever is asked again is on its way.
        _ = self.departure.set((departure, self.now()));
        self.end(time);
    }

    /// Asks every connection to finish its calls within `patience`, those that have a place and those that will.
    pub fn end(&self, patience: Duration) {
        let end_by = self.now().after(patience);
        self.end_by.fetch_min(end_by.0, Ordering::Relaxed);
        self.lock().iter().for_each(|(_, slot)| slot.waker.wake_by_ref());
    }

    /// Wakes all that have open streams, for there is a new table.
    pub fn wake_streaming(&self) {
        self.lock().iter().filter(|(_, slot)| slot.is_streaming).for_each(|(_, slot)| slot.waker.wake_by_ref());
    }

    /// How long handshakes may go on that are under way: who was accepted is answered, also where nobody has time to move. None where the
    /// end is to be at once.
    pub fn handshakes_left(&self) -> Duration {
        self.departure.get().map_or(Duration::ZERO, |_| HANDSHAKE_WAIT)
    }

    /// How long connections still have that were asked to end.
    pub fn time_left(&self) -> Duration {
        STEP * self.end_by.load(Ordering::Relaxed).saturating_sub(self.now().0)
    }

    /// Resolves when nobody has a place.
    pub async fn emptied(&self) {
        loop {
            let left = self.left.notified();
            if self.lock().is_empty() {
                return;
            }
            left.await;
        }
    }

    /// Relieves the largest outboxes of what may be dropped, then has the largest closed, until those that stay hold no more than their
    /// share of `bytes_max`, where `used` is what waits in all outboxes of all workers.
    pub fn shed_outboxes(&self, used: usize, bytes_max: usize) {
        let places = self.lock();
        let waiting: Vec<(usize, &Slot)> =
            places.iter().map(|(_, slot)| (slot.outbox.len(), slot)).filter(|(bytes, _)| *bytes > 0).collect();
        let ours: usize = waiting.iter().map(|(bytes, _)| bytes).sum();
        let share = (bytes_max as u128 * ours as u128 / (used as u128).max(1)) as usize;
        let mut staying: Vec<(usize, &Slot)> = waiting.into_iter().filter(|(_, slot)| slot.outbox.closing().is_none()).collect();
        staying.sort_unstable_by_key(|(bytes, _)| Reverse(*bytes));
        let mut left: usize = staying.iter().map(|(bytes, _)| bytes).sum();
        for (bytes, slot) in &mut staying {
            let relieved = slot.outbox.relieve(left.saturating_sub(share));
            *bytes = bytes.saturating_sub(relieved);
            left = left.saturating_sub(relieved);
        }
        staying.sort_unstable_by_key(|(bytes, _)| Reverse(*bytes));
        for (bytes, slot) in staying {
            if left <= share {
                return;
            }
            left -= bytes;
            slot.outbox.close(Close::Slow);
            // A client that does not read keeps its task asleep on the socket, not on the outbox.
            slot.waker.wake_by_ref();
        }
    }

    /// The connections with the smallest numbers behind this one, at most so many, in order.
    pub fn behind(&self, after: ConnectionId, count_max: usize) -> Vec<Found> {
        let mut first = BinaryHeap::with_capacity(count_max + 1);
        for (key, slot) in self.lock().iter().filter(|(_, slot)| slot.id > after) {
            first.push(Found { id: slot.id, key });
            if first.len() > count_max {
                first.pop();
            }
        }
        first.into_sorted_vec()
    }

    pub fn find(&self, id: ConnectionId) -> Option<Found> {
        self.lock().iter().find(|(_, slot)| slot.id == id).map(|(key, _)| Found { id, key })
    }

    /// Puts a question to those of them that are still there, and says whom to wake.
    pub fn ask(&self, asked: &[Found], question: &Question) -> Vec<Waker> {
        let places = self.lock();
        let there = |found: &&Found| places.get(found.key).is_some_and(|slot| slot.id == found.id);
        let put = |found: &Found| {
            self.questions.put(found.id, question);
            places[found.key].waker.clone()
        };
        asked.iter().filter(there).map(put).collect()
    }

    /// What is asked and not answered yet.
    pub fn questions(&self) -> &Questions {
        &self.questions
    }

    /// Has a connection closed, by its number. False: there is none.
    pub fn close(&self, id: ConnectionId, close: Close) -> bool {
        let outbox = self.lock().iter().find(|(_, slot)| slot.id == id).map(|(_, slot)| Arc::clone(&slot.outbox));
        outbox.is_some_and(|outbox| {
            outbox.close(close);
            true
        })
    }

    /// Has the largest holder closed, unless one is on its way already.
    fn shed(&self) {
        let places = self.lock();
        if self.shed.load(Ordering::Relaxed) != 0 {
            return;
        }
        if let Some((key, largest)) = places.iter().max_by_key(|(_, slot)| slot.held) {
            self.shed.store(key + 1, Ordering::Relaxed);
            largest.waker.wake_by_ref();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Slab<Slot>> {
        self.places.lock().expect("nothing that holds the list panics")
    }
}

#[cfg(test)]
mod tests;
