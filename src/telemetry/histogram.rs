//! How long something took, over and over.
//!
//! Promises: recording is two relaxed atomic additions, without a lock; the bounds are the same everywhere, so that histograms can be added.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// The bounds in microseconds, ascending: what a gateway adds, what services take, what people wait for, and what runs into a deadline.
const MICROS: [u64; 14] =
    [500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000, 5_000_000, 10_000_000];

/// One more than there are bounds: what lies beyond the last.
const BUCKETS: usize = MICROS.len() + 1;

/// What is recorded so far.
#[derive(Default)]
pub struct Histogram {
    counts: [AtomicU64; BUCKETS],
    nanos: AtomicU64,
}

/// The same as plain numbers.
#[derive(Clone, PartialEq, Debug)]
pub struct Spread {
    /// How many lie below each bound and not below the one before; the last, how many lie beyond all.
    pub counts: [u64; BUCKETS],
    /// In seconds.
    pub sum: f64,
}

// === impl Histogram ===

impl Histogram {
    pub fn record(&self, took: Duration) {
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        let bucket = MICROS.partition_point(|bound| bound * 1_000 < nanos);
        self.counts[bucket].fetch_add(1, Relaxed);
        self.nanos.fetch_add(nanos, Relaxed);
    }

    pub fn spread(&self) -> Spread {
        let counts = self.counts.each_ref().map(|count| count.load(Relaxed));
        Spread { counts, sum: self.nanos.load(Relaxed) as f64 / 1e9 }
    }
}

// === impl Spread ===

impl Default for Spread {
    fn default() -> Spread {
        Spread { counts: [0; BUCKETS], sum: 0.0 }
    }
}

impl Spread {
    /// The bounds, in seconds.
    pub fn bounds() -> [f64; BUCKETS - 1] {
        MICROS.map(|bound| bound as f64 / 1e6)
    }

    /// Each bound with what lies below it and not below the one before; the last bound is infinity.
    pub fn buckets(&self) -> [(f64, u64); BUCKETS] {
        let bounds = Spread::bounds();
        std::array::from_fn(|index| (bounds.get(index).copied().unwrap_or(f64::INFINITY), self.counts[index]))
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// These, too.
    pub fn add(&mut self, more: &Spread) {
        self.counts.iter_mut().zip(more.counts).for_each(|(count, more)| *count += more);
        self.sum += more.sum;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_belongs_to_what_lies_below_it() {
        let histogram = Histogram::default();
        for took in [Duration::ZERO, Duration::from_micros(500), Duration::from_nanos(500_001), Duration::from_secs(10), Duration::MAX] {
            histogram.record(took);
        }
        let spread = histogram.spread();
        assert_eq!((spread.counts[0], spread.counts[1], spread.counts[13], spread.counts[14]), (2, 1, 1, 1));
        assert_eq!(spread.count(), 5);
        assert_eq!((spread.buckets()[0], spread.buckets()[14]), ((0.0005, 2), (f64::INFINITY, 1)));
    }

    #[test]
    fn histograms_add_up() {
        let (one, other) = (Histogram::default(), Histogram::default());
        one.record(Duration::from_millis(250));
        other.record(Duration::from_millis(500));
        let mut sum = one.spread();
        sum.add(&other.spread());
        assert_eq!((sum.count(), sum.sum), (2, 0.75));
    }
}
