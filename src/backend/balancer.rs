//! Which endpoint takes the next call.
//!
//! Each worker counts for itself; sharing the count would cost more than it evens out.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::endpoint::Endpoint;
use super::spec::BalancePolicy;
use crate::id::WorkerId;

/// What a call asks of the balancer.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Choice {
    /// Calls with the same key go to the same endpoint, where the policy is to do so.
    pub key: Option<u64>,
}

/// Made once for a set of endpoints.
pub(super) struct Balancer {
    _policy: BalancePolicy,
    /// Where each worker's turn is.
    turns: Box<[AtomicUsize]>,
}

// === impl Balancer ===

impl Balancer {
    pub(super) fn new(policy: BalancePolicy, _endpoints: &[Arc<Endpoint>], workers: usize) -> Balancer {
        Balancer { _policy: policy, turns: (0..=workers).map(|_| AtomicUsize::new(0)).collect() }
    }

    /// The endpoint for this call among those of the set it was made for that are `usable`.
    pub(super) fn pick<'e>(
        &self,
        endpoints: &'e [Arc<Endpoint>],
        worker: WorkerId,
        _choice: &Choice,
        usable: impl Fn(&Endpoint) -> bool,
    ) -> Option<&'e Arc<Endpoint>> {
        let turn = self.turns[worker.0].fetch_add(1, Ordering::Relaxed).checked_rem(endpoints.len())?;
        endpoints[turn..].iter().chain(&endpoints[..turn]).find(|endpoint| usable(endpoint))
    }
}
