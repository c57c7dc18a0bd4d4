//! Drops the calls of clients that have left, a few at a time.
//!
//! Dropping a call resets its stream at the backend. A backend that sees many resets at once takes them for an attack and closes the
//! connection, with the calls of other clients on it; so a worker that loses a thousand clients must not drop their calls together.

use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::sleep;

use super::{calls, gate};

/// Resets at once that every HTTP/2 stack measured still takes: the strictest gives up at a few dozen.
const BATCH: usize = 20;

/// The pause after each batch: 2,000 calls a second end, which is more than a worker loses in ordinary life.
const PAUSE: Duration = Duration::from_millis(10);

/// Most calls that wait. They hold their requests in memory, so beyond this many the rest is dropped at once.
const WAITING_MAX: usize = 10_000;

/// What nobody waits for any more, and is dropped.
pub enum Left {
    Call(#[expect(dead_code, reason = "held to be dropped")] calls::Running),
    Stream(#[expect(dead_code, reason = "held to be dropped")] gate::Running),
}

/// One worker's.
#[derive(Default)]
pub struct Undertaker {
    waiting: Mutex<Vec<Left>>,
    wake: Notify,
}

// === impl Undertaker ===

impl Undertaker {
    /// Takes calls that nobody waits for.
    pub fn bury(&self, calls: impl IntoIterator<Item = Left>) {
        let mut calls = calls.into_iter().peekable();
        if calls.peek().is_none() {
            return;
        }
        let mut waiting = self.lock();
        let room = WAITING_MAX.saturating_sub(waiting.len());
        waiting.extend(calls.by_ref().take(room));
        drop(waiting);
        self.wake.notify_one();
        calls.for_each(drop);
    }

    /// Works until it is dropped.
    pub async fn run(&self) {
        loop {
            let batch = self.next_batch();
            if batch.is_empty() {
                self.wake.notified().await;
            } else {
                drop(batch);
                sleep(PAUSE).await;
            }
        }
    }

    fn next_batch(&self) -> Vec<Left> {
        let mut waiting = self.lock();
        let kept = waiting.len().saturating_sub(BATCH);
        let batch = waiting.split_off(kept);
        if kept == 0 {
            *waiting = Vec::new();
        }
        batch
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Left>> {
        self.waiting.lock().expect("nothing that holds the list panics")
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use std::future::pending;

    use super::*;

    #[test]
    fn calls_are_dropped_in_batches() {
        let undertaker = Undertaker::default();
        undertaker.bury((0..50).map(|_| Left::Call(pending().boxed())));
        let batches: Vec<usize> = (0..4).map(|_| undertaker.next_batch().len()).collect();
        assert_eq!(batches, [20, 20, 10, 0]);
        assert_eq!(undertaker.lock().capacity(), 0);
    }
}
