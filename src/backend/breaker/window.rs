//! How many of the last answers were successes: a window of time that slides in tenths of it.
//!
//! Promise: counting costs one atomic, whoever counts. Two workers that enter a new tenth at the same moment may lose a count.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

const TENTHS: usize = 10;

/// Bits of each count in a tenth. More answers than they hold are not told from as many as they hold.
const COUNT_BITS: u32 = 22;
const COUNT_MAX: u64 = (1 << COUNT_BITS) - 1;

pub(super) struct Window {
    began: Instant,
    tenth: Duration,
    /// Which tenth it is (20 bits of its number), successes, failures.
    counts: [AtomicU64; TENTHS],
}

/// What the window shows.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(super) struct Seen {
    pub(super) successes: u64,
    pub(super) failures: u64,
}

// === impl Window ===

impl Window {
    pub(super) fn new(length: Duration) -> Window {
        let tenth = (length / TENTHS as u32).max(Duration::from_millis(1));
        Window { began: Instant::now(), tenth, counts: Default::default() }
    }

    pub(super) fn count(&self, success: bool, now: Instant) {
        let number = self.number(now);
        let one = if success { 1 << COUNT_BITS } else { 1 };
        let counts = &self.counts[number as usize % TENTHS];
        let tag = tag(number);
        let counted = |held: u64| {
            let held = if held >> (2 * COUNT_BITS) == tag { held } else { tag << (2 * COUNT_BITS) };
            let full = if success { held >> COUNT_BITS & COUNT_MAX == COUNT_MAX } else { held & COUNT_MAX == COUNT_MAX };
            (!full).then(|| held + one)
        };
        // Refused only when the tenth is full.
        let _ = counts.fetch_update(Ordering::Relaxed, Ordering::Relaxed, counted);
    }

    pub(super) fn seen(&self, now: Instant) -> Seen {
        let last = self.number(now);
        let first = last.saturating_sub(TENTHS as u64 - 1);
        (first..=last).fold(Seen::default(), |seen, number| {
            let held = self.counts[number as usize % TENTHS].load(Ordering::Relaxed);
            if held >> (2 * COUNT_BITS) != tag(number) {
                return seen;
            }
            Seen { successes: seen.successes + (held >> COUNT_BITS & COUNT_MAX), failures: seen.failures + (held & COUNT_MAX) }
        })
    }

    /// What was is over.
    pub(super) fn clear(&self) {
        self.counts.iter().for_each(|counts| counts.store(0, Ordering::Relaxed));
    }

    fn number(&self, now: Instant) -> u64 {
        let tenths = now.saturating_duration_since(self.began).as_nanos() / self.tenth.as_nanos();
        u64::try_from(tenths).unwrap_or(u64::MAX)
    }
}

/// Never 0, which is what a tenth holds that nobody has counted in.
fn tag(number: u64) -> u64 {
    number % ((1 << 20) - 1) + 1
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_is_older_than_the_window_is_forgotten() {
        let window = Window::new(Duration::from_secs(10));
        for _ in 0..3 {
            window.count(true, Instant::now());
        }
        advance(Duration::from_secs(5)).await;
        window.count(false, Instant::now());
        assert_eq!(window.seen(Instant::now()), Seen { successes: 3, failures: 1 });
        advance(Duration::from_secs(5)).await;
        assert_eq!(window.seen(Instant::now()), Seen { successes: 0, failures: 1 });
        window.count(true, Instant::now());
        assert_eq!(window.seen(Instant::now()), Seen { successes: 1, failures: 1 });
        advance(Duration::from_secs(3_600)).await;
        assert_eq!(window.seen(Instant::now()), Seen::default());
        window.count(true, Instant::now());
        window.clear();
        assert_eq!(window.seen(Instant::now()), Seen::default());
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_tenth_stays_full() {
        let window = Window::new(Duration::from_secs(10));
        window.counts[0].store(tag(0) << (2 * COUNT_BITS) | COUNT_MAX << COUNT_BITS | COUNT_MAX, Ordering::Relaxed);
        window.count(true, Instant::now());
        window.count(false, Instant::now());
        assert_eq!(window.seen(Instant::now()), Seen { successes: COUNT_MAX, failures: COUNT_MAX });
    }
}
