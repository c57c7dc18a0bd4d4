//! What becomes of the leases in the store: endpoints that backends hear of.
//!
//! Promises: who registers or leaves is known within moments, who is silent once its lease is over. While the store cannot be read nothing
//! changes; and when it can again, a lease that is not there counts as over only after there was time to renew it.

use std::collections::HashMap;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until};
use tracing::{info, warn};

use super::leases::{CHANNEL, Lease, Leases, Standing};
use crate::backend::{Directory, EndpointSpec};
use crate::store::{Signal, StoreError};

/// How often it is looked though nobody has said that something changed: by this much a lease may outlast its time.
const LOOK: Duration = Duration::from_secs(2);

/// Those that come together are looked at together.
const TOGETHER: Duration = Duration::from_millis(20);

/// What is known of every backend that wants to know.
struct Followed {
    leases: Leases,
    directory: Directory,
    known: HashMap<Arc<str>, Vec<(String, Lease)>>,
    /// Since when nothing was missed of what is in the store.
    well_since: Option<Instant>,
}

/// Never ends by itself.
pub async fn keep(leases: Leases, directory: Directory) {
    let mut followed = Followed { leases, directory, known: HashMap::new(), well_since: None };
    let mut signals = None;
    loop {
        if signals.is_none() {
            signals = followed.leases.store().listen(CHANNEL).await.ok();
        }
        let looked = Instant::now();
        followed.look().await;
        tokio::select! {
            biased;
            () = followed.directory.wanted() => {}
            signal = next(&mut signals) => {
                sleep(TOGETHER).await;
                followed.hear(signal, &mut signals);
            }
            () = sleep_until(looked + LOOK) => {}
        }
    }
}

/// Nothing when the channel has ended. Cancel-safe.
async fn next(signals: &mut Option<mpsc::Receiver<Signal>>) -> Option<Signal> {
    match signals {
        Some(signals) => signals.recv().await,
        None => pending().await,
    }
}

// === impl Followed ===

impl Followed {
    /// Takes everything that was said up to now.
    fn hear(&mut self, first: Option<Signal>, signals: &mut Option<mpsc::Receiver<Signal>>) {
        let rest = std::iter::from_fn(|| signals.as_mut().and_then(|signals| signals.try_recv().ok()));
        let is_message = |signal| matches!(signal, Signal::Message(_));
        let whole = first.is_some();
        if !first.into_iter().chain(rest).all(is_message) || !whole {
            // The store may have lost its memory with the connection.
            self.well_since = self.well_since.and(Some(Instant::now()));
        }
        if !whole {
            *signals = None;
        }
    }

    async fn look(&mut self) {
        let wanted = self.directory.watched();
        self.known.retain(|backend, _| wanted.contains(backend));
        for backend in wanted {
            if let Err(error) = self.look_at(&backend).await {
                if self.well_since.take().is_some() {
                    warn!(%error, "the registry of endpoints cannot be read, those that were known stay");
                }
                return;
            }
        }
    }

    async fn look_at(&mut self, backend: &Arc<str>) -> Result<(), StoreError> {
        let known = self.known.remove(backend).unwrap_or_default();
        let ids: Vec<String> = known.iter().map(|(id, _)| id.clone()).collect();
        let read = match self.leases.read(backend, &ids).await {
            Ok(read) => read,
            Err(error) => {
                self.known.insert(Arc::clone(backend), known);
                return Err(error);
            }
        };
        let now = Instant::now();
        let well_since = *self.well_since.get_or_insert_with(|| {
            info!("the registry of endpoints can be read");
            now
        });
        let still = |id: &str| known.iter().find(|(known, lease)| known == id && now < well_since + lease.ttl());
        let alive = read.into_iter().filter_map(|(id, standing)| match standing {
            Standing::Alive(lease) => Some((id, lease)),
            Standing::Left => None,
            Standing::Gone => still(&id).cloned(),
        });
        let leases: Vec<(String, Lease)> = alive.collect();
        self.directory.tell(backend, endpoints(&leases));
        self.known.insert(Arc::clone(backend), leases);
        Ok(())
    }
}

/// Each place once, as it was registered last. What the store holds is not believed to make sense.
fn endpoints(leases: &[(String, Lease)]) -> Vec<EndpointSpec> {
    let mut endpoints: Vec<EndpointSpec> = Vec::new();
    for endpoint in leases.iter().filter_map(|(_, lease)| lease.endpoint.read().ok()) {
        if !endpoints.iter().any(|newer| newer.is_same_place(&endpoint)) {
            endpoints.push(endpoint);
        }
    }
    endpoints
}
