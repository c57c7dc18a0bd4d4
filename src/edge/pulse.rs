//! Time for connections: one coarse clock and one alarm list a worker, instead of a timer for each connection.
//!
//! A connection holds a [`Place`] and says when it next has something to check; the pulse wakes it in that quarter of a second. Looking
//! through all places costs some nanoseconds each, four times a second, which is less than keeping them in order.
//! The same list is how a worker reaches all its connections: to end them, and to find the one that holds the most memory.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::Waker;
use std::time::Duration;

use slab::Slab;
use tokio::sync::Notify;
use tokio::time::{MissedTickBehavior, interval};

/// The coarse clock's step: fine enough for limits given in seconds.
const STEP: Duration = Duration::from_millis(250);

/// A moment of the coarse clock, counted from its start. 32 bits last 34 years.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Debug)]
pub struct Tick(u32);

/// The clock and the list.
pub struct Pulse {
    now: AtomicU32,
    places: Mutex<Slab<Slot>>,
    /// Set once, by [`Pulse::end`]; read by every connection that is woken.
    ending: AtomicBool,
    /// Told whenever a place is given up.
    left: Notify,
    /// The key plus one of the place that must go because memory ran out; 0 is none. Written by whoever goes over, cleared when it went.
    shed: AtomicUsize,
    /// Bytes of incomplete messages, over all workers. Written by every connection whose holding changes.
    held: Arc<AtomicUsize>,
}

/// A connection's place in the list, given up on drop.
pub struct Place {
    pulse: Arc<Pulse>,
    key: usize,
    due: Tick,
    held: usize,
}

struct Slot {
    due: Tick,
    waker: Waker,
    held: usize,
}

// === impl Tick ===

impl Tick {
    pub const ZERO: Tick = Tick(0);
    pub const NEVER: Tick = Tick(u32::MAX);

    /// The first tick that is certainly not before `wait` has passed.
    pub fn after(self, wait: Duration) -> Tick {
        let steps = wait.as_millis().div_ceil(STEP.as_millis());
        Tick(u32::try_from(steps).map_or(u32::MAX, |steps| self.0.saturating_add(steps)))
    }
}

// === impl Pulse ===

impl Pulse {
    /// A clock at its start. `held` counts incomplete messages and is shared between workers.
    pub fn new(held: Arc<AtomicUsize>) -> Arc<Pulse> {
        Arc::new(Pulse {
            now: AtomicU32::new(0),
            places: Mutex::new(Slab::new()),
            ending: AtomicBool::new(false),
            left: Notify::new(),
            shed: AtomicUsize::new(0),
            held,
        })
    }

    pub fn now(&self) -> Tick {
        Tick(self.now.load(Ordering::Relaxed))
    }

    /// Beats until it is dropped.
    pub async fn run(&self) {
        let mut interval = interval(STEP);
        interval.set_missed_tick_behavior(MissedTickBehavior::Burst);
        interval.tick().await;
        loop {
            interval.tick().await;
            self.beat();
        }
    }

    /// One step of the clock. A place that is due is woken at every step until it says when it is due next.
    pub fn beat(&self) {
        let now = Tick(self.now.fetch_add(1, Ordering::Relaxed) + 1);
        self.lock().iter().filter(|(_, slot)| slot.due <= now).for_each(|(_, slot)| slot.waker.wake_by_ref());
    }

    /// A place that is woken through `waker`, first at the next beat.
    pub fn enter(self: &Arc<Self>, waker: Waker) -> Place {
        let key = self.lock().insert(Slot { due: Tick::ZERO, waker, held: 0 });
        Place { pulse: Arc::clone(self), key, due: Tick::ZERO, held: 0 }
    }

    /// Asks every connection to finish, now and in future.
    pub fn end(&self) {
        self.ending.store(true, Ordering::Relaxed);
        self.lock().iter().for_each(|(_, slot)| slot.waker.wake_by_ref());
    }

    pub fn is_ending(&self) -> bool {
        self.ending.load(Ordering::Relaxed)
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

// === impl Place ===

impl Place {
    pub fn now(&self) -> Tick {
        self.pulse.now()
    }

    pub fn is_ending(&self) -> bool {
        self.pulse.is_ending()
    }

    /// Whether this connection was chosen to make room.
    pub fn is_shed(&self) -> bool {
        self.pulse.shed.load(Ordering::Relaxed) == self.key + 1
    }

    /// Says when to wake the connection.
    pub fn set_due(&mut self, due: Tick) {
        if due != self.due {
            self.due = due;
            self.pulse.lock()[self.key].due = due;
        }
    }

    /// Says how many bytes of an incomplete message the connection holds now. Over `bytes_max` in all, the largest holder is closed.
    pub fn set_held(&mut self, held: usize, bytes_max: usize) {
        if held == self.held {
            return;
        }
        let before = std::mem::replace(&mut self.held, held);
        let total = self.pulse.held.fetch_add(held.wrapping_sub(before), Ordering::Relaxed).wrapping_add(held).wrapping_sub(before);
        self.pulse.lock()[self.key].held = held;
        if held > before && total > bytes_max {
            self.pulse.shed();
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.pulse.held.fetch_sub(self.held, Ordering::Relaxed);
        let mut places = self.pulse.lock();
        places.remove(self.key);
        if self.is_shed() {
            self.pulse.shed.store(0, Ordering::Relaxed);
        }
        drop(places);
        self.pulse.left.notify_waiters();
    }
}
