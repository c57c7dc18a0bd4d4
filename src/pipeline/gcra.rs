//! The generic cell rate algorithm: a token bucket that is one number.
//!
//! A bucket is the moment at which it will be full again. A token costs one interval; a bucket that holds `burst` tokens is empty when it
//! will be full only after `burst` intervals. Promises: integers only, in nanoseconds, so that nothing drifts; never more than `burst`
//! tokens at once and never more than the rate over time; a refusal changes nothing and states the exact wait.

use std::num::NonZeroU32;
use std::time::Duration;

/// Nanoseconds since the limiter was made. 2^64 of them are 584 years.
pub type Nanos = u64;

/// The parameters of a bucket.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Gcra {
    /// What a token costs.
    interval: Nanos,
    /// What the whole bucket holds.
    capacity: Nanos,
}

// === impl Gcra ===

impl Gcra {
    /// `count` tokens in every `per`, at most `burst` at once.
    ///
    /// The interval is rounded up to a nanosecond: the limit is never exceeded, and missed by less than one in a million up to 1000/s.
    pub fn new(count: NonZeroU32, per: Duration, burst: NonZeroU32) -> Gcra {
        let per = Nanos::try_from(per.as_nanos()).unwrap_or(Nanos::MAX);
        let interval = per.div_ceil(count.get().into()).max(1);
        Gcra { interval, capacity: interval.saturating_mul(burst.get().into()) }
    }

    /// Takes a token at `now` from a bucket that is full at `full_at`. Returns when it will be full then, or how long to wait for a token.
    pub fn take(self, full_at: Nanos, now: Nanos) -> Result<Nanos, Duration> {
        let full_at = full_at.max(now).saturating_add(self.interval);
        match (full_at - now).checked_sub(self.capacity) {
            None | Some(0) => Ok(full_at),
            Some(wait) => Err(Duration::from_nanos(wait)),
        }
    }

    /// Puts a token back.
    pub fn put_back(self, full_at: Nanos) -> Nanos {
        full_at.saturating_sub(self.interval)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A token bucket as the books draw it: a level that rises with time.
    struct Bucket {
        level: u64,
        seen: Nanos,
    }

    proptest! {
        #[test]
        fn it_is_a_token_bucket(
            count in 1..2000_u32,
            per in 1..10_000_000_u64,
            burst in 1..20_u32,
            steps in prop::collection::vec((0..3_000_000_u64, any::<bool>()), 1..200),
        ) {
            let gcra = Gcra::new(count.try_into().unwrap(), Duration::from_nanos(per), burst.try_into().unwrap());
            let (mut now, mut full_at) = (0, 0);
            let mut model = Bucket { level: gcra.capacity, seen: 0 };
            for (step, put_back) in steps {
                now += step;
                model.level = gcra.capacity.min(model.level + (now - model.seen));
                model.seen = now;
                match gcra.take(full_at, now) {
                    Ok(later) => {
                        prop_assert!(model.level >= gcra.interval);
                        if !put_back {
                            full_at = later;
                            model.level -= gcra.interval;
                        } else {
                            prop_assert_eq!(gcra.put_back(later), full_at.max(now));
                        }
                    }
                    Err(wait) => {
                        prop_assert!(model.level < gcra.interval);
                        prop_assert_eq!(wait.as_nanos(), u128::from(gcra.interval - model.level));
                    }
                }
            }
        }
    }

    #[test]
    fn nothing_overflows() {
        let gcra = Gcra::new(NonZeroU32::MIN, Duration::MAX, NonZeroU32::MAX);
        assert_eq!(gcra.take(0, u64::MAX), Ok(u64::MAX));
        let fast = Gcra::new(NonZeroU32::MAX, Duration::from_nanos(1), NonZeroU32::MIN);
        assert_eq!((fast.interval, fast.capacity), (1, 1));
    }
}
