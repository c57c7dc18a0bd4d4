//! What is done about some of many, by chance.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::random;

const MILLION: u32 = 1_000_000;

/// Draws. Costs a comparison where all or nothing is meant, and one relaxed addition elsewhere.
pub struct Chance(AtomicU64);

// === impl Chance ===

impl Chance {
    /// True so many times in a million.
    pub fn takes(&self, millionths: u32) -> bool {
        match millionths {
            0 => false,
            MILLION.. => true,
            // The upper half of a product is even over the million, as a remainder would not be.
            _ => (u128::from(self.draw()) * u128::from(MILLION)) >> 64 < u128::from(millionths),
        }
    }

    /// SplitMix64. Nothing depends on nobody foreseeing it but what stands in a log.
    fn draw(&self) -> u64 {
        const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
        let state = self.0.fetch_add(STEP, Relaxed).wrapping_add(STEP);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

impl Default for Chance {
    fn default() -> Chance {
        Chance(AtomicU64::new(u64::from_le_bytes(random::bytes())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_takes_as_many_as_it_should() {
        let chance = Chance::default();
        let taken = |millionths| (0..100_000).filter(|_| chance.takes(millionths)).count();
        assert_eq!((taken(0), taken(MILLION)), (0, 100_000));
        // Five standard deviations either way.
        assert!((845..=1_155).contains(&taken(10_000)), "1% of 100,000");
        assert!((49_200..=50_800).contains(&taken(500_000)), "half of 100,000");
    }
}
