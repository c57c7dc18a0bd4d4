//! Endpoints that are only counted, and calls that come and go there, for the tests of policies.

use std::cell::RefCell;

use super::Candidates;
use crate::backend::hash::mix;

/// Endpoints by their places.
pub(super) struct Endpoints {
    down: Vec<usize>,
    in_flight: RefCell<Vec<usize>>,
}

/// Keeps `at_once` calls in flight, of which three times as many end, one at random for each that comes. `pick` is told the call's number.
pub(super) fn simulate(endpoints: &Endpoints, at_once: usize, seed: u64, pick: impl Fn(u64) -> Option<usize>) {
    let mut calls: Vec<usize> = Vec::new();
    for number in 0..4 * at_once as u64 {
        if calls.len() == at_once {
            let ended = (mix(seed ^ number) % at_once as u64) as usize;
            endpoints.end(calls.swap_remove(ended));
        }
        let place = pick(number).expect("one is usable");
        assert!(endpoints.is_usable(place), "only who is usable is picked");
        endpoints.begin(place);
        calls.push(place);
    }
}

// === impl Endpoints ===

impl Endpoints {
    pub(super) fn all(count: usize) -> Endpoints {
        Endpoints::down(count, &[])
    }

    /// So many, and these are not usable.
    pub(super) fn down(count: usize, down: &[usize]) -> Endpoints {
        Endpoints { down: down.to_vec(), in_flight: RefCell::new(vec![0; count]) }
    }

    pub(super) fn begin(&self, place: usize) {
        self.in_flight.borrow_mut()[place] += 1;
    }

    pub(super) fn end(&self, place: usize) {
        self.in_flight.borrow_mut()[place] -= 1;
    }
}

impl Candidates for Endpoints {
    fn is_usable(&self, place: usize) -> bool {
        !self.down.contains(&place)
    }

    fn in_flight(&self, place: usize) -> usize {
        self.in_flight.borrow()[place]
    }
}
