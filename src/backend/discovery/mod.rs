//! Where the endpoints of a backend come from while it lives: its source is followed in the back room, and the cluster is given what is
//! found, as a whole.
//!
//! Promises: a source that fails or makes no sense leaves the last good endpoints as they are, and says why, once until that changes; there
//! are at most [`ENDPOINTS_MAX`] endpoints; what follows a source knows the cluster weakly, and ends with it.
//!
//! - `dns`: every address that a name has
//! - `file`: a file that lists them
//! - `directory`: who has registered, as somebody above says; `allowed`: from where one may
//! - `written`: an endpoint, as people and services write it

mod allowed;
mod directory;
mod dns;
mod file;
mod written;

use std::sync::{Arc, Weak};

use tokio::net::lookup_host;
use tokio::runtime::Handle;
use tracing::{info, warn};

pub use allowed::may_register;
pub use directory::Directory;
pub use file::read as endpoints_in;
pub use written::Written;

use super::cluster::Cluster;
use super::spec::{EndpointSpec, Source};
use crate::drain::Tasks;

/// The most endpoints of one backend.
pub const ENDPOINTS_MAX: usize = 1024;

/// Tells a cluster what its source says.
struct Follower {
    cluster: Weak<Cluster>,
    backend: Arc<str>,
    /// What the source said last that made sense.
    found: Option<Vec<EndpointSpec>>,
    /// What is wrong with the source now, as it was said.
    trouble: Option<String>,
}

/// Follows what `source` says for as long as `tasks` and the cluster live.
pub(super) fn start(cluster: &Arc<Cluster>, source: &Source, tasks: &Tasks, runtime: &Handle, directory: &Directory) {
    let mut follower = Follower::of(cluster);
    match source {
        Source::Static(_) => {}
        Source::Dns { host, port, tls, refresh } => {
            let (name, tls, refresh) = ((host.clone(), *port), *tls, *refresh);
            let look_up = move || {
                let name = name.clone();
                async move { Ok(lookup_host(name).await?.collect()) }
            };
            tasks.spawn(runtime, dns::follow(look_up, tls, refresh, follower));
        }
        Source::File(path) => {
            // Read here and now: a file is at hand, so no call need ever wait for it.
            let followed = file::Followed::begin(path.clone(), &mut follower);
            tasks.spawn(runtime, followed.keep(follower));
        }
        Source::Registry { allow } => {
            let listed = directory.watch(&follower.backend);
            tasks.spawn(runtime, directory::follow(listed, allow.clone(), follower));
        }
    }
}

// === impl Follower ===

impl Follower {
    fn of(cluster: &Arc<Cluster>) -> Follower {
        Follower { cluster: Arc::downgrade(cluster), backend: Arc::clone(cluster.name()), found: None, trouble: None }
    }

    /// From now on these are the endpoints.
    fn found(&mut self, endpoints: Vec<EndpointSpec>) {
        let Some(cluster) = self.cluster.upgrade() else { return };
        if self.found.as_ref() != Some(&endpoints) {
            if let Err(why) = cluster.update(&endpoints) {
                return self.failed(why);
            }
            info!(backend = &*self.backend, endpoints = endpoints.len(), "the endpoints have changed");
            self.found = Some(endpoints);
        }
        if self.trouble.take().is_some() {
            info!(backend = &*self.backend, "the source of its endpoints is well again");
        }
        cluster.set_discovered();
    }

    /// The source cannot be followed now, for this reason. The last endpoints stay.
    fn failed(&mut self, why: String) {
        if self.trouble.as_ref() != Some(&why) {
            warn!(backend = &*self.backend, why, "the source of its endpoints cannot be followed, those that were found last stay");
            self.trouble = Some(why);
        }
        // There is nothing to wait for.
        if let Some(cluster) = self.cluster.upgrade() {
            cluster.set_discovered();
        }
    }
}
