//! Which endpoint takes the next call: one after the other, past those that cannot be reached while another can.
//!
//! Each worker counts for itself; sharing the count would cost more than it evens out.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::endpoint::Endpoint;
use crate::id::WorkerId;

pub(super) struct Balancer {
    /// At least one.
    endpoints: Box<[Endpoint]>,
    /// Where each worker's turn is.
    turns: Box<[AtomicUsize]>,
}

// === impl Balancer ===

impl Balancer {
    pub(super) fn new(endpoints: Box<[Endpoint]>, workers: usize) -> Balancer {
        Balancer { endpoints, turns: (0..workers).map(|_| AtomicUsize::new(0)).collect() }
    }

    /// The endpoint whose turn it is.
    pub(super) fn pick(&self, worker: WorkerId) -> &Endpoint {
        let mut candidates = self.in_turn(worker);
        let first = candidates.next().expect("a backend has an endpoint");
        // With one endpoint there is nothing to choose.
        if self.endpoints.len() == 1 || !first.is_down(worker) {
            return first;
        }
        candidates.find(|endpoint| !endpoint.is_down(worker)).unwrap_or(first)
    }

    /// The endpoint to try after this one: another, unless there is none.
    pub(super) fn pick_other(&self, worker: WorkerId, tried: &Endpoint) -> &Endpoint {
        let others = || self.in_turn(worker).filter(|endpoint| !std::ptr::eq(*endpoint, tried));
        others().find(|endpoint| !endpoint.is_down(worker)).or_else(|| others().next()).unwrap_or_else(|| &self.endpoints[0])
    }

    fn in_turn(&self, worker: WorkerId) -> impl Iterator<Item = &Endpoint> {
        let turn = self.turns[worker.0].fetch_add(1, Ordering::Relaxed) % self.endpoints.len();
        self.endpoints[turn..].iter().chain(&self.endpoints[..turn])
    }
}
