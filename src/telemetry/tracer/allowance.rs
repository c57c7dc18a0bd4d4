//! How many calls are traced beyond the share that is sampled: so many in so long, all at once or spread.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::time::Instant;

/// A bucket (GCRA), of which the data path knows one number.
pub(super) struct Allowance {
    began: Instant,
    rate: ArcSwap<Rate>,
    /// Nanoseconds from `began` until the bucket is full again.
    full_at: AtomicU64,
}

#[derive(Clone, Copy)]
struct Rate {
    /// What one call takes of the time, in nanoseconds.
    each: u64,
    /// How much may be taken at once.
    most: u64,
}

// === impl Allowance ===

impl Allowance {
    /// From now on it is so many in so long; none of it is used.
    pub(super) fn set(&self, (count, per): (u32, Duration)) {
        let most = nanos(per);
        self.rate.store(Arc::new(Rate { each: most / u64::from(count.max(1)), most }));
        self.full_at.store(0, Ordering::Relaxed);
    }

    /// Takes one, if there is one.
    pub(super) fn take(&self) -> bool {
        let rate = **self.rate.load();
        let now = nanos(self.began.elapsed());
        let spend = |full_at: u64| {
            let full_at = full_at.max(now) + rate.each;
            (full_at - now <= rate.most).then_some(full_at)
        };
        self.full_at.fetch_update(Ordering::Relaxed, Ordering::Relaxed, spend).is_ok()
    }
}

impl Default for Allowance {
    /// None at all.
    fn default() -> Allowance {
        Allowance { began: Instant::now(), rate: ArcSwap::from_pointee(Rate { each: 1, most: 0 }), full_at: AtomicU64::new(0) }
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
