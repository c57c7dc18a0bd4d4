//! One after the other, by weights: an endpoint of weight 3 has three turns in a round, as far apart as may be.

use super::Candidates;

/// The most turns of a round, which are 256 KiB. Weights that need more are rounded to fit.
const TURNS_MAX: u64 = 1 << 16;

pub(super) struct RoundRobin {
    /// Whose turn it is: places, in the order of a round.
    round: Box<[u32]>,
    endpoints: usize,
}

// === impl RoundRobin ===

impl RoundRobin {
    pub(super) fn new(weights: &[u32]) -> RoundRobin {
        let divisor = weights.iter().fold(0, |divisor, weight| common_divisor(divisor, *weight)).max(1);
        let sum: u64 = weights.iter().map(|weight| u64::from(weight / divisor)).sum();
        let fit = |weight: u32| match u64::from(weight / divisor) {
            weight if sum <= TURNS_MAX => weight,
            weight => (weight * TURNS_MAX / sum).max(1),
        };
        // The turns of each are spread evenly over the round, and shifted a little against those of the others.
        let count = weights.len() as u64;
        let mut round = Vec::new();
        for (place, weight) in (0..).zip(weights.iter().map(|weight| fit(*weight))) {
            round.extend((0..weight).map(|turn| (2 * count * turn + 2 * u64::from(place) + 1, weight, place)));
        }
        round.sort_by_key(|&(moment, weight, place): &(u64, u64, u32)| ((u128::from(moment) << 64) / u128::from(weight), place));
        RoundRobin { round: round.into_iter().map(|(_, _, place)| place).collect(), endpoints: weights.len() }
    }

    pub(super) fn pick(&self, next: impl Fn() -> u64, candidates: &impl Candidates) -> Option<usize> {
        // One that is not usable has had its turn: if the next one stood in for it, that one would get twice as much.
        let turns = (0..self.endpoints).map(|_| self.round[(next() % self.round.len() as u64) as usize] as usize);
        let mut others = 0..self.endpoints;
        { turns }.find(|place| candidates.is_usable(*place)).or_else(|| others.find(|place| candidates.is_usable(*place)))
    }
}

fn common_divisor(one: u32, other: u32) -> u32 {
    if other == 0 { one } else { common_divisor(other, one % other) }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::super::simulation::Endpoints;
    use super::*;

    /// The places of so many picks.
    fn picks(weights: &[u32], endpoints: &Endpoints, count: usize) -> Vec<usize> {
        let policy = RoundRobin::new(weights);
        let turn = Cell::new(0);
        (0..count).map(|_| policy.pick(|| turn.replace(turn.get() + 1), endpoints).expect("one is usable")).collect()
    }

    #[test]
    fn equals_take_turns_in_their_order() {
        assert_eq!(picks(&[7, 7, 7], &Endpoints::all(3), 7), [0, 1, 2, 0, 1, 2, 0]);
    }

    #[test]
    fn the_turns_of_a_heavy_one_are_apart() {
        assert_eq!(picks(&[1, 3], &Endpoints::all(2), 8), [0, 1, 1, 1, 0, 1, 1, 1]);
        assert_eq!(picks(&[5, 1, 1], &Endpoints::all(3), 7), [0, 0, 0, 1, 0, 0, 2]);
    }

    #[test]
    fn what_would_fall_to_one_that_is_down_is_shared_by_the_others() {
        let picked = picks(&[1; 4], &Endpoints::down(4, &[1]), 300);
        let count = |place| picked.iter().filter(|picked| **picked == place).count();
        assert_eq!([0, 1, 2, 3].map(count), [100, 0, 100, 100]);
    }

    #[test]
    fn a_round_is_bounded_whatever_the_weights() {
        let policy = RoundRobin::new(&[u32::MAX, 1, 1 << 30]);
        assert!(policy.round.len() <= TURNS_MAX as usize + 3, "{}", policy.round.len());
        assert!(policy.round.contains(&1), "the lightest has its turn too");
        assert_eq!(RoundRobin::new(&[1; 1000]).round.len(), 1000);
    }

    proptest! {
        #[test]
        fn in_a_round_everybody_has_as_many_turns_as_its_weight(weights in vec(1u32..50, 2..20)) {
            let sum = weights.iter().sum::<u32>() as usize;
            let picked = picks(&weights, &Endpoints::all(weights.len()), sum);
            for (place, weight) in weights.iter().enumerate() {
                prop_assert_eq!(picked.iter().filter(|picked| **picked == place).count(), *weight as usize);
            }
        }

        #[test]
        fn one_is_picked_exactly_if_one_is_usable(weights in vec(1u32..50, 2..20), down in vec(any::<bool>(), 20), turn in any::<u64>()) {
            let down: Vec<usize> = (0..weights.len()).filter(|place| down[*place]).collect();
            let endpoints = Endpoints::down(weights.len(), &down);
            let turn = Cell::new(turn);
            let picked = RoundRobin::new(&weights).pick(|| turn.replace(turn.get().wrapping_add(1)), &endpoints);
            prop_assert_eq!(picked.is_some(), down.len() < weights.len());
            prop_assert!(picked.is_none_or(|place| !down.contains(&place)));
        }
    }
}
