//! Time for connections: one coarse clock and one alarm list a worker, instead of a timer for each connection.
//!
//! A connection holds a [`Place`] and says when it next has something to check; the pulse wakes it in that quarter of a second. Looking
//! through all places costs some nanoseconds each, four times a second, which is less than keeping them in order.
//! The same list is how a worker reaches all its connections: to end them, to find the one that holds the most memory, and to ask them what
//! they are like.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};
use std::task::Waker;
use std::time::Duration;

use slab::Slab;
use smallvec::SmallVec;
use tokio::sync::Notify;

use super::departure::{Departure, HANDSHAKE_WAIT};
use super::questions::{Question, Questions};
use crate::id::ConnectionId;
use crate::session::outbox::Outbox;
use crate::wire::Close;

/// The coarse clock's step: fine enough for limits given in seconds.
pub const STEP: Duration = Duration::from_millis(250);

/// A moment of the coarse clock, counted from its start. 32 bits last 34 years.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Debug)]
pub struct Tick(u32);

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

/// A connection's place in the list, given up on drop.
pub struct Place {
    pulse: Arc<Pulse>,
    key: usize,
    due: Tick,
    is_streaming: bool,
    held: usize,
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

// === impl Tick ===

impl Tick {
    pub const ZERO: Tick = Tick(0);
    pub const NEVER: Tick = Tick(u32::MAX);

    /// The first tick that is certainly not before `wait` has passed.
    pub fn after(self, wait: Duration) -> Tick {
        let steps = wait.as_millis().div_ceil(STEP.as_millis());
        Tick(u32::try_from(steps).map_or(u32::MAX, |steps| self.0.saturating_add(steps)))
    }

    /// How long it has been since an earlier one.
    pub fn since(self, earlier: Tick) -> Duration {
        STEP * self.0.saturating_sub(earlier.0)
    }
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

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;
    use std::task::Wake;

    use bytes::Bytes;

    use super::*;
    use crate::session::budget::Budget;
    use crate::session::connected::Search;
    use crate::session::{OnSlow, Publication};

    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn outbox(outbox_bytes_max: usize, bytes_max: usize) -> Arc<Outbox> {
        Outbox::new(Arc::new(Budget::new(outbox_bytes_max, bytes_max)))
    }

    #[test]
    fn over_the_bound_the_fullest_outboxes_go() {
        let pulse = Pulse::new(Arc::default());
        let budget = Arc::new(Budget::new(1000, 1000));
        let places: Vec<(Place, Arc<Outbox>)> = [10, 400, 20, 300, 0]
            .into_iter()
            .map(|bytes| {
                let outbox = Outbox::new(Arc::clone(&budget));
                outbox.try_append(|out| out.resize(bytes, 0)).unwrap();
                (pulse.enter(ConnectionId(1), Arc::clone(&outbox)), outbox)
            })
            .collect();
        let closing = || places.iter().map(|(_, outbox)| outbox.closing().is_some()).collect::<Vec<_>>();
        pulse.shed_outboxes(budget.used(), 730);
        assert_eq!(closing(), [false; 5]);
        pulse.shed_outboxes(budget.used(), 729);
        assert_eq!(closing(), [false, true, false, false, false], "one is enough");
        pulse.shed_outboxes(budget.used(), 400);
        assert_eq!(closing(), [false, true, false, false, false], "what is on its way out counts as gone");
        // Half of what waits is another worker's, and so is half of what must go.
        pulse.shed_outboxes(2 * budget.used(), 2 * 100);
        assert_eq!(closing(), [false, true, false, true, false]);
    }

    #[test]
    fn what_may_be_dropped_goes_before_anybody_is_closed() {
        let pulse = Pulse::new(Arc::default());
        let budget = Arc::new(Budget::new(1000, 1000));
        let (full, droppable) = (Outbox::new(Arc::clone(&budget)), Outbox::new(Arc::clone(&budget)));
        let places = [&full, &droppable].map(|outbox| pulse.enter(ConnectionId(1), Arc::clone(outbox)));
        full.try_append(|out| out.resize(300, 0)).unwrap();
        droppable.try_append(|out| out.push(0)).unwrap();
        droppable.take(|_, _, _| {});
        let publication = Arc::new(Publication::new(2101, Bytes::new(), OnSlow::DropOldest));
        (0..4).for_each(|_| droppable.publish(&publication, &vec![0; 100].into()).unwrap());
        pulse.shed_outboxes(budget.used(), 450);
        assert_eq!((full.len(), droppable.len()), (300, 101));
        assert!(full.closing().is_none() && droppable.closing().is_none());
        pulse.shed_outboxes(budget.used(), 299);
        assert!(full.closing().is_some() && droppable.closing().is_none(), "the largest, when nothing can be dropped");
        drop(places);
    }

    fn enter(pulse: &Arc<Pulse>) -> (Place, Arc<Woken>) {
        let (place, woken) = (pulse.enter(ConnectionId(1), outbox(1000, 1000)), Arc::new(Woken::default()));
        place.set_waker(&Waker::from(Arc::clone(&woken)));
        (place, woken)
    }

    fn count(woken: &Woken) -> usize {
        woken.0.swap(0, Ordering::Relaxed)
    }

    #[test]
    fn a_place_is_woken_when_it_is_due_and_until_it_says_when_next() {
        let pulse = Pulse::new(Arc::default());
        let (mut place, woken) = enter(&pulse);
        place.set_due(Tick::ZERO.after(Duration::from_millis(600)));
        let woken_at: Vec<usize> = (0..4).map(|_| (pulse.beat(), count(&woken)).1).collect();
        assert_eq!(woken_at, [0, 0, 1, 1]);
        place.set_due(Tick::NEVER);
        pulse.beat();
        assert_eq!(count(&woken), 0);
    }

    #[test]
    fn a_new_table_wakes_those_that_have_streams() {
        let pulse = Pulse::new(Arc::default());
        let ((mut streaming, woken), (_other, idle)) = (enter(&pulse), enter(&pulse));
        streaming.set_streaming(true);
        pulse.wake_streaming();
        assert_eq!((count(&woken), count(&idle)), (1, 0));
        streaming.set_streaming(false);
        pulse.wake_streaming();
        assert_eq!(count(&woken), 0);
    }

    #[test]
    fn the_end_wakes_everybody_and_reaches_late_comers() {
        let pulse = Pulse::new(Arc::default());
        let (place, woken) = enter(&pulse);
        assert!(!place.is_wanted());
        pulse.end(Duration::from_secs(1));
        assert_eq!(count(&woken), 1);
        assert_eq!(pulse.enter(ConnectionId(1), outbox(1000, 1000)).end_by(), Some(Tick::ZERO.after(Duration::from_secs(1))));
    }

    #[test]
    fn over_the_bound_the_largest_holder_goes_alone() {
        let held = Arc::new(AtomicUsize::new(0));
        let pulse = Pulse::new(Arc::clone(&held));
        let (mut small, _) = enter(&pulse);
        let (mut large, woken) = enter(&pulse);
        large.set_held(80, 100);
        small.set_held(20, 100);
        assert!(!large.is_shed());
        small.set_held(30, 100);
        small.set_held(40, 100);
        assert!(large.is_shed() && !small.is_shed());
        assert_eq!(count(&woken), 1);
        drop(large);
        assert!(!small.is_shed());
        assert_eq!(held.load(Ordering::Relaxed), 40);
        drop(small);
        assert_eq!(held.load(Ordering::Relaxed), 0);
    }
    #[test]
    fn connections_are_found_in_their_order_and_asked_only_while_they_are_there() {
        let pulse = Pulse::new(Arc::default());
        let mut places: Vec<Place> = [5, 2, 9, 4].map(|id| pulse.enter(ConnectionId(id), outbox(1000, 1000))).into();
        let ids = |after, count| pulse.behind(ConnectionId(after), count).iter().map(|found| found.id.0).collect::<Vec<_>>();
        assert_eq!((ids(0, 2), ids(4, 2), ids(9, 2), ids(0, 9)), (vec![2, 4], vec![5, 9], vec![], vec![2, 4, 5, 9]));

        let found = pulse.behind(ConnectionId(0), 9);
        drop(places.remove(1));
        // Another has the place by now.
        places.push(pulse.enter(ConnectionId(10), outbox(1000, 1000)));
        let (question, mut answers) = Question::to(9, Search::default());
        assert_eq!(pulse.ask(&found, &question).len(), 3);
        drop(question);
        assert!(places[0].questions(ConnectionId(10)).is_empty());
        drop(places);
        assert!(answers.blocking_recv().is_none() && !pulse.questions().is_any(), "who goes is not waited for");
        assert!(pulse.find(ConnectionId(5)).is_none() && !pulse.close(ConnectionId(5), Close::GoingAway));
    }

    #[test]
    fn a_place_is_small() {
        assert!(size_of::<Slot>() <= 48 && size_of::<Place>() <= 32, "{} {}", size_of::<Slot>(), size_of::<Place>());
    }
}
