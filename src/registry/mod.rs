//! Who has registered as an endpoint of a backend, for as long as it says so.
//!
//! Leases lie in the store, so that every gateway on it knows of all, and what is there is told to backends by their
//! [`Directory`](crate::backend::Directory). Who may register can be sent passwords: every backend has a token and networks of its own, and
//! some addresses are refused whatever is allowed. Promises: a lease that is not renewed ends by itself; a change is known everywhere at
//! once, and at worst after the next look; while the store is away, and until leases could be renewed after it, what was known stays.
//!
//! - `rules`: who may register for what
//! - `leases`: what is in the store; `follow`: what becomes of it
//! - `api`: the service, by which endpoints register

pub mod api;
pub mod rules;

mod follow;
mod leases;

#[cfg(test)]
mod tests;

use tokio::runtime::Handle;

pub use rules::{Rule, Rules, RulesCell};

use crate::backend::Directory;
use crate::drain::Tasks;
use crate::store::Store;
use leases::Leases;

/// The messages of `proto/protogate/registry/v1/registry.proto`.
pub mod v1 {
    tonic::include_proto!("protogate.registry.v1");
}

/// The registry as one gateway sees it. Clones are the same.
#[derive(Clone)]
pub struct Registry {
    leases: Leases,
    rules: RulesCell,
    directory: Directory,
}

// === impl Registry ===

impl Registry {
    /// Over what is in the store. Backends hear of it by `directory`.
    pub fn new(store: Store, rules: RulesCell, directory: Directory) -> Registry {
        Registry { leases: Leases::new(store), rules, directory }
    }

    /// Follows what is registered until `tasks` end, on the back room's runtime.
    pub fn start(&self, tasks: &Tasks, runtime: &Handle) {
        tasks.spawn(runtime, follow::keep(self.leases.clone(), self.directory.clone()));
    }
}
