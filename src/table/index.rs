//! Number to route without hashing strings.
//!
//! Numbers come in ranges (1000..1999), so most lie close together: those are an array, and the few far ones an integer map.

use std::collections::HashMap;

use foldhash::fast::FixedState;

/// Largest array, in entries: 64 Ki slots of 4 bytes, which is 256 KiB, less than the routes themselves when it is worth having.
const DENSE_MAX: u32 = 1 << 16;

/// An immutable map from protocol numbers.
#[derive(Clone)]
pub struct Index<T> {
    items: Vec<T>,
    /// `items` index plus one for `number - first`; 0 is nothing.
    dense: Vec<u32>,
    first: u32,
    /// Numbers outside `dense`.
    sparse: HashMap<u32, u32, FixedState>,
}

// === impl Index ===

impl<T> Index<T> {
    /// From items in the order of their numbers; each number once.
    pub fn new(numbered: Vec<(u32, T)>) -> Index<T> {
        debug_assert!(numbered.is_sorted_by(|a, b| a.0 < b.0), "numbers ascend");
        let first = numbered.first().map_or(0, |(number, _)| *number);
        let length =
            numbered.iter().map(|(number, _)| number - first).take_while(|offset| *offset < DENSE_MAX).last().map_or(0, |last| last + 1);
        let mut index = Index {
            items: Vec::with_capacity(numbered.len()),
            dense: vec![0; length as usize],
            first,
            sparse: HashMap::with_hasher(FixedState::default()),
        };
        for (number, item) in numbered {
            index.items.push(item);
            let place = u32::try_from(index.items.len()).expect("numbers are 32 bits wide and each occurs once");
            match index.dense.get_mut((number - first) as usize) {
                Some(slot) => *slot = place,
                None => {
                    index.sparse.insert(number, place);
                }
            }
        }
        index
    }

    /// What stands under a number.
    pub fn get(&self, number: u32) -> Option<&T> {
        let place = match self.dense.get(number.wrapping_sub(self.first) as usize) {
            Some(place) => *place,
            None => *self.sparse.get(&number)?,
        };
        self.items.get((place as usize).checked_sub(1)?)
    }

    /// Everything, by number.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.items.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn an_index_finds_what_a_map_finds(numbers in proptest::collection::btree_set(prop_oneof![1000u32..3000, any::<u32>()], 0..200), probe in any::<u32>()) {
            let index = Index::new(numbers.iter().map(|n| (*n, *n)).collect());
            for number in numbers.iter().copied().chain([probe, 0, 1000, 2999, u32::MAX]) {
                prop_assert_eq!(index.get(number).copied(), numbers.get(&number).copied());
            }
            prop_assert!(index.iter().eq(numbers.iter()));
        }
    }
}
