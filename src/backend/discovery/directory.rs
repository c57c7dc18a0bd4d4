//! Who has registered for which backend. Somebody above, who sees the store, says it; clusters hear it.
//!
//! What is said is held against the networks of the backend once more, because whoever can write into the store can say anything.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ipnet::IpNet;
use tokio::sync::{Notify, watch};
use tracing::warn;

use super::{ENDPOINTS_MAX, Follower, may_register};
use crate::backend::EndpointSpec;

/// What is registered for one backend; nothing as long as nobody could say.
pub type Listed = Option<Arc<[EndpointSpec]>>;

/// The endpoints that are registered, by backend. Clones are the same.
#[derive(Clone, Default)]
pub struct Directory(Arc<State>);

#[derive(Default)]
struct State {
    listed: Mutex<HashMap<Arc<str>, watch::Sender<Listed>>>,
    wanted: Notify,
}

// === impl Directory ===

impl Directory {
    /// Says what is registered for a backend. One that nobody watches any more is forgotten.
    pub fn tell(&self, backend: &str, endpoints: Vec<EndpointSpec>) {
        if let Some(sender) = self.lock().get(backend) {
            sender.send_if_modified(|listed| {
                let is_news = listed.as_deref() != Some(&endpoints[..]);
                if is_news {
                    *listed = Some(endpoints.into());
                }
                is_news
            });
        }
    }

    /// The backends about which somebody wants to know.
    pub fn watched(&self) -> Vec<Arc<str>> {
        let mut listed = self.lock();
        listed.retain(|_, sender| sender.receiver_count() > 0);
        listed.keys().cloned().collect()
    }

    /// Resolves when there is a backend more about which somebody wants to know. For one who waits at a time.
    pub async fn wanted(&self) {
        self.0.wanted.notified().await;
    }

    /// What is registered for a backend from now on.
    pub fn watch(&self, backend: &Arc<str>) -> watch::Receiver<Listed> {
        let receiver = self.lock().entry(Arc::clone(backend)).or_default().subscribe();
        self.0.wanted.notify_one();
        receiver
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Arc<str>, watch::Sender<Listed>>> {
        self.0.listed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Ends when nobody can say any more who has registered.
pub(super) async fn follow(mut listed: watch::Receiver<Listed>, allow: Vec<IpNet>, mut follower: Follower) {
    loop {
        let now = listed.borrow_and_update().clone();
        if let Some(endpoints) = now {
            let allowed = allowed(&endpoints, &allow, &follower);
            follower.found(allowed);
        }
        if listed.changed().await.is_err() {
            return;
        }
    }
}

/// Those that may be called. What may not is in the store by another way than registration, or by a rule that was.
fn allowed(endpoints: &[EndpointSpec], allow: &[IpNet], follower: &Follower) -> Vec<EndpointSpec> {
    let Some(cluster) = follower.cluster.upgrade() else { return Vec::new() };
    let is_allowed = |endpoint: &&EndpointSpec| endpoint.host.parse::<IpAddr>().is_ok_and(|address| may_register(allow, address));
    let mut found: Vec<EndpointSpec> = Vec::new();
    for endpoint in endpoints.iter().filter(is_allowed).filter(|endpoint| cluster.takes(endpoint)) {
        if found.len() < ENDPOINTS_MAX && !found.iter().any(|before| before.is_same_place(endpoint)) {
            found.push(endpoint.clone());
        }
    }
    if found.len() < endpoints.len() {
        let refused = endpoints.len() - found.len();
        warn!(backend = &*follower.backend, refused, "some that are registered are not called: more than once, too many, or not allowed");
    }
    found
}
