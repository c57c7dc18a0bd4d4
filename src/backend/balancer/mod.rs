//! Which endpoint takes the next call.
//!
//! A [`Balancer`] is made for a set of endpoints, off the data path, and never changes; what it remembers from call to call each worker
//! has for itself, because sharing would cost more than it evens out. Promises: only an endpoint that is usable is picked, and one is
//! picked whenever there is one; what a pick costs does not grow with the calls in flight.
//!
//! - `turns` — what a worker remembers
//! - `round_robin`, `least_request`, `consistent_hash` — the policies; they know endpoints by their places, as [`Candidates`]

mod consistent_hash;
mod least_request;
mod round_robin;
mod turns;

#[cfg(test)]
mod simulation;

use std::sync::Arc;

use consistent_hash::ConsistentHash;
use least_request::LeastRequest;
use round_robin::RoundRobin;
use turns::Turns;

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
    policy: Policy,
    turns: Turns,
}

enum Policy {
    RoundRobin(RoundRobin),
    LeastRequest(LeastRequest),
    ConsistentHash(ConsistentHash),
}

/// The endpoints at the moment of a pick, by their places in the set.
trait Candidates {
    /// Whether a call may go there. Not free: few should be asked.
    fn is_usable(&self, place: usize) -> bool;

    /// Calls in flight there, of all workers.
    fn in_flight(&self, place: usize) -> usize;
}

struct Among<'e, U> {
    endpoints: &'e [Arc<Endpoint>],
    usable: U,
}

// === impl Balancer ===

impl Balancer {
    pub(super) fn new(policy: BalancePolicy, endpoints: &[Arc<Endpoint>], workers: usize) -> Balancer {
        let weights: Vec<u32> = endpoints.iter().map(|endpoint| endpoint.spec().weight).collect();
        let policy = match policy {
            BalancePolicy::RoundRobin => Policy::RoundRobin(RoundRobin::new(&weights)),
            BalancePolicy::LeastRequest => Policy::LeastRequest(LeastRequest::new(&weights)),
            BalancePolicy::ConsistentHash => {
                // An endpoint is known by its address alone, so that gateways agree which have found it in different ways.
                let names: Vec<&str> = endpoints.iter().map(|endpoint| &**endpoint.name()).collect();
                Policy::ConsistentHash(ConsistentHash::new(&names, &weights, workers))
            }
        };
        Balancer { policy, turns: Turns::new(workers) }
    }

    /// The same, beginning with this turn where one is given, and not anywhere.
    pub(super) fn beginning_with(self, first: Option<u64>) -> Balancer {
        let Balancer { policy, turns } = self;
        let turns = match first {
            Some(first) => turns.beginning_with(first),
            None => turns,
        };
        Balancer { policy, turns }
    }

    /// The endpoint for this call among those of the set it was made for that are `usable`.
    pub(super) fn pick<'e>(
        &self,
        endpoints: &'e [Arc<Endpoint>],
        worker: WorkerId,
        choice: &Choice,
        usable: impl Fn(&Endpoint) -> bool,
    ) -> Option<&'e Arc<Endpoint>> {
        let candidates = Among { endpoints, usable };
        let turns = || self.turns.next(worker);
        let place = match (endpoints, &self.policy) {
            ([], _) => None,
            ([_], _) => candidates.is_usable(0).then_some(0),
            (_, Policy::RoundRobin(policy)) => policy.pick(turns, &candidates),
            (_, Policy::LeastRequest(policy)) => policy.pick(turns, &candidates),
            (_, Policy::ConsistentHash(policy)) => policy.pick(choice.key, worker, turns, &candidates),
        };
        place.map(|place| &endpoints[place])
    }
}

// === impl Among ===

impl<U: Fn(&Endpoint) -> bool> Candidates for Among<'_, U> {
    fn is_usable(&self, place: usize) -> bool {
        (self.usable)(&self.endpoints[place])
    }

    fn in_flight(&self, place: usize) -> usize {
        self.endpoints[place].in_flight()
    }
}
