//! Calls with the same key go to the same endpoint, unless it has far more than its share; calls without a key to the least loaded.
//!
//! A key's endpoints have an order ([`Rendezvous`]); the first of them that is usable and not crowded takes the call. So an endpoint that
//! goes, or is crowded, moves its own keys and no others, and gateways that share nothing agree.
//!
//! Crowded is who has a quarter more calls in flight than the mean for its weight. The mean is taken anew after as many picks as
//! there are endpoints, so that it costs each pick one look at one endpoint, however many there are; it may be behind by as many calls.

use std::sync::atomic::{AtomicU64, Ordering};

use super::super::rendezvous::Rendezvous;
use super::Candidates;
use super::least_request::LeastRequest;
use crate::id::WorkerId;

/// How much more than the mean an endpoint may have, in percent of it.
const CROWDED_PERCENT: u64 = 125;

/// So many calls in flight crowd nobody: a mean of so few says nothing.
const FEW: u64 = 8;

/// Rooms are counted in such parts of a call, so that a weight's share of a small mean is not rounded to nothing.
const PARTS: u64 = 1024;

pub(super) struct ConsistentHash {
    keys: Rendezvous,
    unkeyed: LeastRequest,
    weights: Box<[u64]>,
    /// What each worker believes an endpoint of weight 1 has room for, in parts; 0: it has not looked yet.
    rooms: Box<[Room]>,
}

/// Alone on its cache line: read with every call of its worker.
#[repr(align(64))]
struct Room(AtomicU64);

// === impl ConsistentHash ===

impl ConsistentHash {
    pub(super) fn new(names: &[&str], weights: &[u32], workers: usize) -> ConsistentHash {
        ConsistentHash {
            keys: Rendezvous::new(names.iter().zip(weights.iter().copied())),
            unkeyed: LeastRequest::new(weights),
            weights: weights.iter().map(|weight| u64::from(*weight)).collect(),
            rooms: (0..=workers).map(|_| Room(AtomicU64::new(0))).collect(),
        }
    }

    pub(super) fn pick(&self, key: Option<u64>, worker: WorkerId, next: impl Fn() -> u64, candidates: &impl Candidates) -> Option<usize> {
        let Some(key) = key else { return self.unkeyed.pick(next, candidates) };
        let room = self.room(worker, next(), candidates);
        let has_room = |place: usize| {
            let in_flight = candidates.in_flight(place) as u64;
            in_flight < FEW || in_flight * PARTS < room * self.weights[place]
        };
        let usable = |place: usize| candidates.is_usable(place);
        // All may look crowded when the mean is behind. Then each has the calls that are its own.
        self.keys.find(key, |place| usable(place) && has_room(place)).or_else(|| self.keys.find(key, usable))
    }

    fn room(&self, worker: WorkerId, turn: u64, candidates: &impl Candidates) -> u64 {
        let Room(room) = &self.rooms[worker.0];
        match room.load(Ordering::Relaxed) {
            known if known > 0 && !turn.is_multiple_of(self.weights.len() as u64) => known,
            _ => {
                let measured = self.measure(candidates);
                room.store(measured, Ordering::Relaxed);
                measured
            }
        }
    }

    /// Those that are not usable have no part in the mean: their calls are with the others.
    fn measure(&self, candidates: &impl Candidates) -> u64 {
        let usable = self.weights.iter().enumerate().filter(|(place, _)| candidates.is_usable(*place));
        let (calls, weight) =
            usable.fold((0, 0), |(calls, sum), (place, weight)| (calls + candidates.in_flight(place) as u64, sum + weight));
        // With the call that is about to be made.
        ((calls + 1) * PARTS * CROWDED_PERCENT / 100).div_ceil(weight.max(1))
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::super::super::hash::hash;
    use super::super::simulation::{Endpoints, simulate};
    use super::*;

    const WORKER: WorkerId = WorkerId(0);

    fn policy(weights: &[u32]) -> ConsistentHash {
        let names: Vec<String> = (0..weights.len()).map(|place| format!("10.0.0.{place}:50051")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        ConsistentHash::new(&names, weights, 1)
    }

    fn key(number: u64) -> Option<u64> {
        Some(hash(&number.to_le_bytes()))
    }

    #[test]
    fn a_key_goes_to_one_place_and_from_a_place_that_is_down_to_one_other() {
        let policy = policy(&[1; 10]);
        let all = Endpoints::all(10);
        let pick = |number, endpoints: &Endpoints| policy.pick(key(number), WORKER, || 1, endpoints).expect("one is usable");
        for number in 0..1_000 {
            let (first, again) = (pick(number, &all), pick(number, &all));
            assert_eq!(first, again);
            let without = Endpoints::down(10, &[first]);
            let second = pick(number, &without);
            assert_ne!(second, first);
            assert_eq!(pick(number, &without), second);
            let another = (0..10).find(|place| ![first, second].contains(place)).expect("there are ten");
            assert_eq!(pick(number, &Endpoints::down(10, &[another])), first, "the key of another is not moved");
        }
    }

    #[test]
    fn a_few_calls_crowd_nobody() {
        let policy = policy(&[1; 4]);
        let endpoints = Endpoints::all(4);
        let places: Vec<usize> = (0..FEW)
            .map(|turn| {
                let place = policy.pick(key(7), WORKER, || turn, &endpoints).expect("all are usable");
                endpoints.begin(place);
                place
            })
            .collect();
        assert!(places.iter().all(|place| *place == places[0]), "{places:?}");
        let next = policy.pick(key(7), WORKER, || 0, &endpoints);
        assert!(next.is_some_and(|place| place != places[0]), "then it is crowded: all calls are there");
    }

    #[test]
    fn without_a_key_the_least_loaded_is_picked() {
        let policy = policy(&[1, 1]);
        let endpoints = Endpoints::all(2);
        endpoints.begin(0);
        let turn = Cell::new(0);
        for _ in 0..100 {
            let picked = policy.pick(None, WORKER, || turn.replace(turn.get() + 1), &endpoints);
            assert_eq!(picked, Some(1));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn nobody_has_far_more_than_its_share_whatever_the_keys(
            weights in vec(1u32..4, 2..20),
            rooms in 1u64..30,
            at_once in 200usize..2_000,
            down in vec(any::<bool>(), 20),
            seed in any::<u64>(),
        ) {
            let down: Vec<usize> = (1..weights.len()).filter(|place| down[*place]).collect();
            let policy = policy(&weights);
            let endpoints = Endpoints::down(weights.len(), &down);
            let turn = Cell::new(seed);
            simulate(&endpoints, at_once, seed, |call| {
                policy.pick(key(call % rooms), WORKER, || turn.replace(turn.get().wrapping_add(1)), &endpoints)
            });
            let usable = (0..weights.len()).filter(|place| !down.contains(place));
            let fair = at_once as f64 / f64::from(usable.clone().map(|place| weights[place]).sum::<u32>());
            for place in usable {
                let most = (1.25 * fair * f64::from(weights[place])).max(FEW as f64);
                // The mean may be behind by as many calls as there are endpoints.
                prop_assert!(endpoints.in_flight(place) as f64 <= most + 4.0, "{} in flight, {} are fair", endpoints.in_flight(place), fair);
            }
        }

        #[test]
        fn one_is_picked_exactly_if_one_is_usable(weights in vec(1u32..50, 2..20), down in vec(any::<bool>(), 20), busy in 0usize..500) {
            let down: Vec<usize> = (0..weights.len()).filter(|place| down[*place]).collect();
            let endpoints = Endpoints::down(weights.len(), &down);
            let policy = policy(&weights);
            for call in 0..busy as u64 {
                if let Some(place) = policy.pick(key(call), WORKER, || call, &endpoints) {
                    prop_assert!(!down.contains(&place));
                    endpoints.begin(place);
                }
            }
            prop_assert_eq!(policy.pick(key(0), WORKER, || 1, &endpoints).is_some(), down.len() < weights.len());
        }
    }
}
