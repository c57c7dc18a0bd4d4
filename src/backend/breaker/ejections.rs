//! How many endpoints of a backend are left alone at once.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Shared by the breakers of one backend, and handed on to the next generation of it with them.
pub(in crate::backend) struct Ejections {
    /// The share of the endpoints that may be left alone. One may be, however few there are.
    percent: u32,
    counts: Mutex<Counts>,
}

struct Counts {
    endpoints: usize,
    ejected: usize,
}

/// An endpoint's right to be left alone, given back on drop.
pub(super) struct Ejected(Arc<Ejections>);

// === impl Ejections ===

impl Ejections {
    pub(in crate::backend) fn new(percent: u32) -> Arc<Ejections> {
        Arc::new(Ejections { percent, counts: Mutex::new(Counts { endpoints: 0, ejected: 0 }) })
    }

    /// There are now so many endpoints. Says whether more of them are left alone than may be.
    pub(in crate::backend) fn set_endpoints(&self, endpoints: usize) -> bool {
        let mut counts = self.lock();
        counts.endpoints = endpoints;
        counts.ejected > counts.ejected_max(self.percent)
    }

    /// Leaves one more alone, if that is within the share.
    pub(super) fn eject(self: &Arc<Self>) -> Option<Ejected> {
        let mut counts = self.lock();
        if counts.ejected >= counts.ejected_max(self.percent) {
            return None;
        }
        counts.ejected += 1;
        Some(Ejected(Arc::clone(self)))
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Counts {
    fn ejected_max(&self, percent: u32) -> usize {
        (self.endpoints.saturating_mul(percent as usize) / 100).max(1)
    }
}

impl Drop for Ejected {
    fn drop(&mut self) {
        self.0.lock().ejected -= 1;
    }
}
