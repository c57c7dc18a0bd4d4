//! What of a backend's calls is under way at once, over all workers, and what there may be.
//!
//! Promises: what is counted is given back by a guard; more than there may be is refused at once, never queued; a reload changes the
//! bounds and keeps the counts.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use super::spec::{BudgetSpec, LimitsSpec};
use crate::failure::{Failure, Reason, Result};

#[derive(Default)]
pub(super) struct Traffic {
    in_flight: Kind,
    /// Calls that wait for a connection.
    pending: Kind,
    /// Attempts that repeat another, from the decision to make one to its end.
    repeats: AtomicUsize,
    repeats_min: AtomicUsize,
    repeats_percent: AtomicUsize,
    retries: AtomicU64,
    sheds: AtomicU64,
}

#[derive(Default)]
struct Kind {
    now: AtomicUsize,
    max: AtomicUsize,
}

/// A place among those that are counted, given back on drop.
pub(super) struct Place {
    traffic: Arc<Traffic>,
    among: fn(&Traffic) -> &AtomicUsize,
}

/// What is under way, and what was.
pub(super) struct Counts {
    pub(super) in_flight: usize,
    pub(super) pending: usize,
    /// Attempts that were made again by the route's leave.
    pub(super) retries: u64,
    /// Calls that were refused because there were too many.
    pub(super) sheds: u64,
    /// Attempts under way that repeat another, and how many there may be.
    pub(super) repeats: usize,
    pub(super) repeats_max: usize,
}

// === impl Traffic ===

impl Traffic {
    /// From now on these are the bounds.
    pub(super) fn set_bounds(&self, limits: &LimitsSpec, budget: &BudgetSpec) {
        self.in_flight.max.store(limits.in_flight_max, Ordering::Relaxed);
        self.pending.max.store(limits.pending_max, Ordering::Relaxed);
        self.repeats_min.store(budget.min_concurrent as usize, Ordering::Relaxed);
        self.repeats_percent.store(budget.percent as usize, Ordering::Relaxed);
    }

    /// Takes a call in, whatever its number of attempts.
    pub(super) fn enter(self: &Arc<Self>) -> Result<Place> {
        self.place(&self.in_flight, |traffic| &traffic.in_flight.now)
            .ok_or_else(|| overloaded("it has `limits.in_flight_max` calls in flight"))
    }

    /// Lets a call wait for a connection.
    pub(super) fn wait(self: &Arc<Self>) -> Result<Place> {
        self.place(&self.pending, |traffic| &traffic.pending.now)
            .ok_or_else(|| overloaded("`limits.pending_max` calls wait for a connection"))
    }

    /// Lets an attempt be repeated, if the budget has room.
    pub(super) fn repeat(self: &Arc<Self>) -> Option<Place> {
        take(&self.repeats, self.repeats_max()).then(|| Place { traffic: Arc::clone(self), among: |traffic| &traffic.repeats })
    }

    pub(super) fn count_retry(&self) {
        self.retries.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn count_shed(&self) {
        self.sheds.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn counts(&self) -> Counts {
        Counts {
            in_flight: self.in_flight.now.load(Ordering::Relaxed),
            pending: self.pending.now.load(Ordering::Relaxed),
            retries: self.retries.load(Ordering::Relaxed),
            sheds: self.sheds.load(Ordering::Relaxed),
            repeats: self.repeats.load(Ordering::Relaxed),
            repeats_max: self.repeats_max(),
        }
    }

    fn repeats_max(&self) -> usize {
        let share = self.in_flight.now.load(Ordering::Relaxed) * self.repeats_percent.load(Ordering::Relaxed) / 100;
        share.max(self.repeats_min.load(Ordering::Relaxed))
    }

    fn place(self: &Arc<Self>, kind: &Kind, among: fn(&Traffic) -> &AtomicUsize) -> Option<Place> {
        take(&kind.now, kind.max.load(Ordering::Relaxed)).then(|| Place { traffic: Arc::clone(self), among })
    }
}

/// One more, up to `max`.
fn take(count: &AtomicUsize, max: usize) -> bool {
    // Added before it is compared, so that the usual case is one atomic; nobody is let in beyond `max` by that.
    let taken = count.fetch_add(1, Ordering::Relaxed) < max;
    if !taken {
        count.fetch_sub(1, Ordering::Relaxed);
    }
    taken
}

/// What is said to a call that is shed.
pub(super) fn overloaded(cause: &'static str) -> Failure {
    Failure::gateway(Reason::Overloaded, "the service has all the calls it takes; try again later").because(cause).unsent()
}

// === impl Place ===

impl Drop for Place {
    fn drop(&mut self) {
        (self.among)(&self.traffic).fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn traffic(in_flight_max: usize, percent: u32, min_concurrent: u32) -> Arc<Traffic> {
        let traffic = Arc::new(Traffic::default());
        traffic.set_bounds(&LimitsSpec { in_flight_max, pending_max: 1 }, &BudgetSpec { percent, min_concurrent });
        traffic
    }

    #[test]
    fn beyond_the_bound_calls_are_refused_and_a_place_comes_back() {
        let traffic = traffic(2, 20, 3);
        let (first, _second) = (traffic.enter().expect("room"), traffic.enter().expect("room"));
        let refused = traffic.enter().err().expect("no room");
        assert!(refused.is(Reason::Overloaded) && refused.is_unsent());
        drop(first);
        let _third = traffic.enter().expect("room again");
        let _waits = traffic.wait().expect("room");
        assert!(traffic.wait().err().expect("no room").is(Reason::Overloaded));
        assert_eq!((traffic.counts().in_flight, traffic.counts().pending), (2, 1));
    }

    #[test]
    fn a_reload_changes_the_bounds_and_keeps_the_counts() {
        let traffic = traffic(2, 20, 3);
        let _places = [traffic.enter().expect("room"), traffic.enter().expect("room")];
        traffic.set_bounds(&LimitsSpec { in_flight_max: 1, pending_max: 0 }, &BudgetSpec::default());
        assert!(traffic.enter().is_err() && traffic.wait().is_err());
        traffic.set_bounds(&LimitsSpec { in_flight_max: 3, pending_max: 0 }, &BudgetSpec::default());
        assert!(traffic.enter().is_ok());
    }

    #[test]
    fn repeats_are_a_share_of_the_calls_in_flight_and_never_fewer_than_the_least() {
        let traffic = traffic(1_000, 20, 3);
        for (in_flight, repeats) in [(1, 3), (15, 3), (20, 4), (100, 20)] {
            let _calls: Vec<_> = (0..in_flight).map(|_| traffic.enter().expect("room")).collect();
            let _repeats: Vec<_> = std::iter::from_fn(|| traffic.repeat()).take(1_000).collect();
            assert_eq!(_repeats.len(), repeats, "of {in_flight}");
        }
    }
}
