//! How fast the calls of one connection may be reset.
//!
//! A client that vanishes with sixty calls in flight would have us reset sixty streams at once, on a connection that carries other
//! clients' calls too. Servers take that for an attack (h2, and with it tonic, closes the connection at the 21st stream that was reset
//! before it was accepted), and then the other clients' calls die. So a reset spends from a budget; what finds the budget empty waits
//! here and either finishes by itself or is reset in its turn.
//!
//! Promise: never more than [`BURST`] resets at once. What waits here is bounded by the connection's own bound on calls in flight,
//! because an abandoned call keeps its seat until it is gone.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

/// Resets that may be sent at once. Below h2's limit of 20, so that one that is refilled meanwhile does not reach it.
const BURST: u32 = 16;

/// How long one reset takes to come back: 16 in 100 ms.
const REFILL: Duration = Duration::from_micros(6_250);

/// The budget of one connection, and the abandoned calls that wait for it. Dropping a `T` resets it.
pub(super) struct Resets<T> {
    state: Mutex<State<T>>,
    /// Told when the first call begins to wait.
    waiting: Notify,
}

struct State<T> {
    /// When the budget will be full again.
    full_at: Instant,
    abandoned: VecDeque<T>,
}

// === impl Resets ===

impl<T> Resets<T> {
    pub(super) fn new() -> Resets<T> {
        Resets { state: Mutex::new(State { full_at: Instant::now(), abandoned: VecDeque::new() }), waiting: Notify::new() }
    }

    /// Resets a call now when the budget allows, and later when not.
    pub(super) fn abandon(&self, call: T) {
        let mut state = self.lock();
        if state.abandoned.is_empty() && state.spend(Instant::now()) {
            // Dropping takes the connection's lock, which is never taken together with ours.
            drop(state);
            drop(call);
        } else {
            state.abandoned.push_back(call);
            drop(state);
            self.waiting.notify_one();
        }
    }

    /// Resets the calls that wait, one after the other. Runs beside the connection and ends with it.
    pub(super) async fn pace(&self) -> Infallible {
        loop {
            self.waiting.notified().await;
            while let Some(next_at) = self.next_at() {
                sleep_until(next_at).await;
                let call = self.next();
                drop(call);
            }
        }
    }

    fn next_at(&self) -> Option<Instant> {
        let state = self.lock();
        (!state.abandoned.is_empty()).then(|| state.full_at + REFILL - REFILL * BURST)
    }

    fn next(&self) -> Option<T> {
        let mut state = self.lock();
        if state.spend(Instant::now()) { state.abandoned.pop_front() } else { None }
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> State<T> {
    /// Takes one reset from the budget, if there is one.
    fn spend(&mut self, now: Instant) -> bool {
        let full_at = self.full_at.max(now) + REFILL;
        let within = full_at - now <= REFILL * BURST;
        if within {
            self.full_at = full_at;
        }
        within
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use tokio::time::sleep;

    use super::*;

    struct Call(Arc<AtomicU32>);

    impl Drop for Call {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_wave_of_abandoned_calls_is_spread() {
        let resets = Arc::new(Resets::new());
        let janitor = Arc::clone(&resets);
        tokio::spawn(async move { janitor.pace().await });
        let gone = Arc::new(AtomicU32::new(0));

        for _ in 0..64 {
            resets.abandon(Call(Arc::clone(&gone)));
        }
        assert_eq!(gone.load(Ordering::Relaxed), BURST);
        sleep(Duration::from_millis(100)).await;
        assert!((28..=32).contains(&gone.load(Ordering::Relaxed)), "{gone:?}");
        sleep(Duration::from_millis(300)).await;
        assert_eq!(gone.load(Ordering::Relaxed), 64);

        // The budget comes back.
        sleep(Duration::from_millis(100)).await;
        for _ in 0..=BURST {
            resets.abandon(Call(Arc::clone(&gone)));
        }
        assert_eq!(gone.load(Ordering::Relaxed), 64 + BURST);
    }
}
