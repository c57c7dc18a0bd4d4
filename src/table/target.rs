//! Where a route's calls go: to which backend, and by which key to one of its endpoints.
//!
//! Promises: as long as the shares stay, a user's calls go to one backend, whichever gateway they come by; a share that is raised takes
//! users and moves no other.

use std::net::IpAddr;
use std::sync::Arc;

use super::plan::{BackendsPlan, HashPlan};
use crate::backend::{Backend, Choice, Rendezvous, hash};
use crate::pipeline::call::Caller;
use crate::pipeline::rate_limit::KeyValue;

/// The backends of a route.
pub struct Target {
    backends: Box<[Arc<Backend>]>,
    /// By which users are shared out, where there are several backends.
    split: Rendezvous,
    hash: Option<HashPlan>,
}

// === impl Target ===

impl Target {
    /// Numbers in the plan are indices into `alive`.
    pub fn new(plan: &BackendsPlan, hash: Option<HashPlan>, alive: &[Arc<Backend>]) -> Target {
        let backends: Box<[_]> = plan.all().map(|backend| Arc::clone(&alive[backend])).collect();
        let shares = match plan {
            BackendsPlan::One(_) => &[][..],
            BackendsPlan::Split(shares) => shares,
        };
        let split = Rendezvous::new(shares.iter().map(|(backend, share)| (alive[*backend].name().as_bytes(), *share)));
        Target { backends, split, hash }
    }

    /// Every backend that may answer.
    pub fn backends(&self) -> &[Arc<Backend>] {
        &self.backends
    }

    pub(super) fn backend_for(&self, caller: &Caller) -> &Arc<Backend> {
        match &*self.backends {
            [only] => only,
            several => {
                let place = self.split.find(who(caller), |_| true).expect("a split without any share is refused when it is compiled");
                &several[place]
            }
        }
    }

    pub(super) fn choice(&self, caller: &Caller, fields: &[KeyValue<'_>]) -> Choice {
        let key = match self.hash {
            None => None,
            Some(HashPlan::User) => caller.identity().map(|identity| hash(identity.user.as_bytes())),
            Some(HashPlan::Session) => caller.session().map(|session| hash(session.as_bytes())),
            Some(HashPlan::PeerIp) => Some(match caller.peer.to_canonical() {
                IpAddr::V4(address) => hash(&address.octets()),
                IpAddr::V6(address) => hash(&address.octets()),
            }),
            // A default has no bytes: to most services it is the same as nothing, and nothing is no key.
            Some(HashPlan::Field(field)) => fields[field].as_bytes(|bytes| (!bytes.is_empty()).then(|| hash(bytes))),
        };
        Choice { key }
    }
}

/// Whom a backend is chosen for: the user. Who is nobody yet stays where it is as long as it is connected.
fn who(caller: &Caller) -> u64 {
    match caller.identity() {
        Some(identity) => hash(identity.user.as_bytes()),
        None => hash(&caller.connection.0.to_le_bytes()),
    }
}

#[cfg(test)]
mod tests;
