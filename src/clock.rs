//! What time it is, for what is compared with the outside world: tokens, leases, stored moments.
//!
//! Durations within the process are measured by tokio's clock; this one is the wall's. A test makes a clock of its own and moves it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The wall's clock, or one that a test moves. Clones show the same time.
#[derive(Clone, Default)]
pub struct Clock {
    /// Milliseconds since 1970, where a test says so.
    by_hand: Option<Arc<AtomicU64>>,
}

// === impl Clock ===

impl Clock {
    /// The system's.
    pub fn system() -> Clock {
        Clock::default()
    }

    /// One that stands still until it is moved.
    pub fn by_hand(now: SystemTime) -> Clock {
        Clock { by_hand: Some(Arc::new(AtomicU64::new(to_millis(now)))) }
    }

    pub fn now(&self) -> SystemTime {
        match &self.by_hand {
            None => SystemTime::now(),
            Some(millis) => from_millis(millis.load(Ordering::Relaxed)),
        }
    }

    /// [`Clock::now`] in milliseconds since 1970.
    pub fn now_ms(&self) -> u64 {
        to_millis(self.now())
    }

    /// Moves a clock that was made [`by_hand`](Clock::by_hand); the system's goes by itself.
    pub fn advance(&self, by: Duration) {
        if let Some(millis) = &self.by_hand {
            millis.fetch_add(u64::try_from(by.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
        }
    }
}

/// Milliseconds since 1970; nothing is older.
pub fn to_millis(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// The moment so many milliseconds after 1970, as far as the system can say it.
pub fn from_millis(millis: u64) -> SystemTime {
    UNIX_EPOCH.checked_add(Duration::from_millis(millis)).unwrap_or(UNIX_EPOCH)
}
