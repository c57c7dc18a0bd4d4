//! Of two endpoints at random, the one with fewer calls in flight for its weight.
//!
//! Two are drawn by their weights, so that those who have nothing to do share the calls by weight too. The better of two is nearly as
//! good as the best of all, and does not send everybody to the same place the way the best of all does.

use super::super::hash::mix;
use super::Candidates;

/// How often is drawn for two that are usable. Then the one that was found has to do.
const DRAWS_MAX: usize = 5;

pub(super) struct LeastRequest {
    /// For each endpoint, its weight and those of all before it.
    sums: Box<[u64]>,
}

// === impl LeastRequest ===

impl LeastRequest {
    pub(super) fn new(weights: &[u32]) -> LeastRequest {
        let running = |sum: &mut u64, weight: &u32| {
            *sum += u64::from(*weight);
            Some(*sum)
        };
        LeastRequest { sums: weights.iter().scan(0, running).collect() }
    }

    pub(super) fn pick(&self, next: impl Fn() -> u64, candidates: &impl Candidates) -> Option<usize> {
        let mut found = None;
        for _ in 0..DRAWS_MAX {
            let place = self.draw(next(), found);
            match found {
                _ if !candidates.is_usable(place) => {}
                None => found = Some(place),
                Some(one) => return Some(self.lighter(one, place, candidates)),
            }
        }
        found.or_else(|| {
            let usable = (0..self.sums.len()).filter(|place| candidates.is_usable(*place));
            usable.reduce(|one, other| self.lighter(one, other, candidates))
        })
    }

    /// A place at random, by weight, other than the one that was found.
    fn draw(&self, turn: u64, found: Option<usize>) -> usize {
        let (start, weight) = found.map_or((0, 0), |found| (self.before(found), self.weight(found)));
        let sum = *self.sums.last().expect("a pick is among endpoints") - weight;
        // The step is splitmix64's: consecutive turns then have nothing in common.
        let random = mix(turn.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let point = ((u128::from(random) * u128::from(sum)) >> 64) as u64;
        // What was found has no part in the sum, and is stepped over.
        let point = if point < start { point } else { point + weight };
        self.sums.partition_point(|sum| *sum <= point)
    }

    /// The one with fewer calls for its weight; the first, if there is no difference.
    fn lighter(&self, one: usize, other: usize, candidates: &impl Candidates) -> usize {
        let load = |place, weight_of| candidates.in_flight(place) as u64 * self.weight(weight_of);
        if load(other, one) < load(one, other) { other } else { one }
    }

    fn weight(&self, place: usize) -> u64 {
        self.sums[place] - self.before(place)
    }

    /// The weight of all before it.
    fn before(&self, place: usize) -> u64 {
        place.checked_sub(1).map_or(0, |before| self.sums[before])
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::super::simulation::{Endpoints, simulate};
    use super::*;

    #[test]
    fn of_two_the_busy_one_is_never_picked() {
        for weights in [[1, 1], [1, 1000], [1000, 1]] {
            let (policy, endpoints) = (LeastRequest::new(&weights), Endpoints::all(2));
            endpoints.begin(0);
            let turn = Cell::new(0);
            for _ in 0..10_000 {
                assert_eq!(policy.pick(|| turn.replace(turn.get() + 1), &endpoints), Some(1));
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn one_is_picked_exactly_if_one_is_usable(weights in vec(1u32..50, 2..40), down in vec(any::<bool>(), 40), seed in any::<u64>()) {
            let down: Vec<usize> = (0..weights.len()).filter(|place| down[*place]).collect();
            let endpoints = Endpoints::down(weights.len(), &down);
            let policy = LeastRequest::new(&weights);
            let turn = Cell::new(seed);
            for _ in 0..100 {
                let picked = policy.pick(|| turn.replace(turn.get().wrapping_add(1)), &endpoints);
                prop_assert_eq!(picked.is_some(), down.len() < weights.len());
                prop_assert!(picked.is_none_or(|place| !down.contains(&place)));
            }
        }

        #[test]
        fn who_has_nothing_to_do_is_picked_by_weight(weights in vec(1u32..10, 2..10), seed in any::<u64>()) {
            const PICKS: u32 = 20_000;
            let (policy, endpoints) = (LeastRequest::new(&weights), Endpoints::all(weights.len()));
            let turn = Cell::new(seed);
            let mut counts = vec![0u32; weights.len()];
            for _ in 0..PICKS {
                counts[policy.pick(|| turn.replace(turn.get().wrapping_add(1)), &endpoints).expect("all are usable")] += 1;
            }
            let sum: u32 = weights.iter().sum();
            for (weight, count) in weights.iter().zip(counts) {
                let (due, share) = (f64::from(*weight) / f64::from(sum), f64::from(count) / f64::from(PICKS));
                prop_assert!((share - due).abs() < 0.02, "weight {} of {} has {}", weight, sum, share);
            }
        }

        #[test]
        fn nobody_has_many_more_calls_than_its_weight_says(weights in vec(1u32..5, 2..20), seed in any::<u64>(), at_once in 100usize..2_000) {
            let policy = LeastRequest::new(&weights);
            let endpoints = Endpoints::all(weights.len());
            let turn = Cell::new(seed);
            simulate(&endpoints, at_once, seed, |_| policy.pick(|| turn.replace(turn.get().wrapping_add(1)), &endpoints));
            let fair = at_once as f64 / f64::from(weights.iter().sum::<u32>());
            for (place, weight) in weights.iter().enumerate() {
                let (load, fair) = (endpoints.in_flight(place) as f64, fair * f64::from(*weight));
                // Two choices keep the fullest within a few of the mean, for each unit of weight, however many calls there are.
                prop_assert!(load <= 1.05 * fair + 5.0 * f64::from(*weight), "{} in flight where {} are fair", load, fair);
            }
        }
    }
}
