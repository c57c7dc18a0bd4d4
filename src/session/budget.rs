//! The bounds on outboxes: one for each, and one for all together.
//!
//! Promise: every byte that waits in any outbox is counted exactly once, and given back when it was written or its outbox is gone.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use crate::telemetry::push_counters::OutboxCounters;

/// Shared by all outboxes of the process. Both bounds may change while it runs; what waits already is not thrown away.
pub struct Budget {
    /// The most bytes that may wait in one outbox. Written by a reload.
    outbox_bytes_max: AtomicUsize,
    /// The most bytes that may wait in all of them. Written by a reload.
    bytes_max: AtomicUsize,
    /// The bytes that wait in all of them. Written by whoever appends and by whoever writes to a socket.
    ///
    /// It guards no other memory, hence relaxed everywhere.
    used: AtomicUsize,
    /// What becomes of pushes.
    pub pushes: OutboxCounters,
}

// === impl Budget ===

impl Budget {
    pub fn new(outbox_bytes_max: usize, bytes_max: usize) -> Budget {
        Budget {
            outbox_bytes_max: AtomicUsize::new(outbox_bytes_max),
            bytes_max: AtomicUsize::new(bytes_max),
            used: AtomicUsize::new(0),
            pushes: OutboxCounters::default(),
        }
    }

    /// Sets both bounds, for what is appended from now on.
    pub fn resize(&self, outbox_bytes_max: usize, bytes_max: usize) {
        self.outbox_bytes_max.store(outbox_bytes_max, Relaxed);
        self.bytes_max.store(bytes_max, Relaxed);
    }

    /// The bytes that wait in all outboxes.
    pub fn used(&self) -> usize {
        self.used.load(Relaxed)
    }

    /// The most bytes that may wait in all of them.
    pub fn bytes_max(&self) -> usize {
        self.bytes_max.load(Relaxed)
    }

    /// The most bytes that may wait in one outbox; never more than in all.
    pub fn outbox_bytes_max(&self) -> usize {
        self.outbox_bytes_max.load(Relaxed).min(self.bytes_max.load(Relaxed))
    }

    /// The bound on all outboxes, if they are close to it: so many of the largest should be closed that what is left fits in here. It lies
    /// below the bound itself, at which appending fails, so that the outbox that pays is the largest and not the next.
    pub fn pressure(&self) -> Option<usize> {
        let enough = self.bytes_max.load(Relaxed) / 4 * 3;
        (self.used() > enough).then_some(enough)
    }

    /// Counts `bytes` if they fit.
    pub(super) fn try_take(&self, bytes: usize) -> bool {
        let bytes_max = self.bytes_max.load(Relaxed);
        let fits = |used: usize| used.checked_add(bytes).filter(|&sum| sum <= bytes_max);
        self.used.fetch_update(Relaxed, Relaxed, fits).is_ok()
    }

    /// Counts `bytes` whether they fit or not.
    pub(super) fn take(&self, bytes: usize) {
        self.used.fetch_add(bytes, Relaxed);
    }

    pub(super) fn give_back(&self, bytes: usize) {
        self.used.fetch_sub(bytes, Relaxed);
    }
}
