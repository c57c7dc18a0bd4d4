//! Spans that wait to be exported: bounded in their number and in bytes, and full is full.
//!
//! Promise: the lock is held for as long as it takes to move a few pointers, so that a worker never waits for an export.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::sleep;

use super::Span;

/// The most spans that wait.
pub(super) const SPANS_MAX: usize = 8192;

/// The most memory that they may hold.
pub(super) const BYTES_MAX: usize = 8 << 20;

/// So many are exported at once.
pub(super) const BATCH: usize = 512;

/// How long a span waits for others to be exported with it.
pub(super) const LINGER: Duration = Duration::from_secs(1);

#[derive(Default)]
pub(super) struct Queue {
    waiting: Mutex<Waiting>,
    /// Told when there is a first span, and when there are enough for a batch.
    wake: Notify,
}

#[derive(Default)]
struct Waiting {
    spans: VecDeque<Span>,
    bytes: usize,
}

// === impl Queue ===

impl Queue {
    /// Takes all of them if there is room.
    pub(super) fn push(&self, spans: Vec<Span>) -> bool {
        let bytes: usize = spans.iter().map(Span::bytes).sum();
        let mut waiting = self.waiting.lock().expect("no holder of this lock panics");
        let (before, after) = (waiting.spans.len(), waiting.spans.len() + spans.len());
        if after > SPANS_MAX || waiting.bytes + bytes > BYTES_MAX {
            return false;
        }
        waiting.spans.extend(spans);
        waiting.bytes += bytes;
        drop(waiting);
        if before == 0 || (before < BATCH && after >= BATCH) {
            self.wake.notify_one();
        }
        true
    }

    /// The next batch, once it is full or its first span has waited long enough. Cancel-safe: what is not taken stays.
    pub(super) async fn batch(&self) -> Vec<Span> {
        while self.len() == 0 {
            self.wake.notified().await;
        }
        let lingered = sleep(LINGER);
        tokio::pin!(lingered);
        while self.len() < BATCH {
            tokio::select! {
                biased;
                () = &mut lingered => break,
                () = self.wake.notified() => {}
            }
        }
        self.take()
    }

    /// At most a batch of what waits.
    pub(super) fn take(&self) -> Vec<Span> {
        let mut waiting = self.waiting.lock().expect("no holder of this lock panics");
        let count = waiting.spans.len().min(BATCH);
        let batch: Vec<Span> = waiting.spans.drain(..count).collect();
        let bytes: usize = batch.iter().map(Span::bytes).sum();
        waiting.bytes -= bytes;
        if waiting.spans.is_empty() {
            // A burst leaves no memory behind.
            waiting.spans = VecDeque::new();
        }
        batch
    }

    pub(super) fn len(&self) -> usize {
        self.waiting.lock().expect("no holder of this lock panics").spans.len()
    }
}
