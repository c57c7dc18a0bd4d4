//! How often each worker has picked, which is all that policies need to take turns, or to draw at random.
//!
//! A worker begins anywhere, so that many of them, in many gateways, do not all begin with the first endpoint.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::id::WorkerId;
use crate::random;

/// One for each worker, and one for the back room.
pub(super) struct Turns(Box<[Turn]>);

/// Alone on its cache line: written with every call of its worker.
#[repr(align(64))]
struct Turn(AtomicU64);

// === impl Turns ===

impl Turns {
    pub(super) fn new(workers: usize) -> Turns {
        let anywhere = || u64::from(u32::from_le_bytes(random::bytes()));
        Turns((0..=workers).map(|_| Turn(AtomicU64::new(anywhere()))).collect())
    }

    /// The same, every worker beginning with this number.
    pub(super) fn beginning_with(self, first: u64) -> Turns {
        self.0.iter().for_each(|Turn(turn)| turn.store(first, Ordering::Relaxed));
        self
    }

    /// The next of this worker's numbers, which follow one another.
    pub(super) fn next(&self, worker: WorkerId) -> u64 {
        let Turn(turn) = &self.0[worker.0];
        // Not one step: only its worker writes it. In the back room two may get the same number, which does no harm.
        let next = turn.load(Ordering::Relaxed);
        turn.store(next.wrapping_add(1), Ordering::Relaxed);
        next
    }
}
