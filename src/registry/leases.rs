//! What is in the store: a document for each lease, which the store lets expire, and for each backend a list by which they are found.
//!
//! The list is written only when somebody registers, so renewals do not get into each other's way. Who leaves puts a mark in the place of
//! its lease: a document that is not there has expired, or was lost with the store's memory, and that is another thing.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::sleep;

use crate::backend::{ENDPOINTS_MAX, Written};
use crate::jitter;
use crate::random;
use crate::store::{Batch, Document, Durability, Expect, Key, Store, StoreError};

/// Where every node hears that somebody came or left.
pub const CHANNEL: &str = "registry";

/// In the place of the lease of one who has left.
const LEFT: &[u8] = b"left";

/// How long that stays: longer than any node goes without looking.
const LEFT_TTL: Duration = Duration::from_secs(60);

/// How often it is tried to enter the list while others do.
const ATTEMPTS: u32 = 20;

/// The longest pause between two tries, by which many that begin together come apart.
const PAUSE_MAX: Duration = Duration::from_millis(50);

/// An endpoint, and for how long it is one without being renewed.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, Debug)]
pub struct Lease {
    pub endpoint: Written,
    pub ttl_ms: u64,
}

/// What is to be found in the place of a lease.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Standing {
    Alive(Lease),
    Left,
    /// It has expired, or the store has lost it.
    Gone,
}

/// Why a lease cannot be had.
#[derive(PartialEq, Eq, Debug)]
pub enum Refused {
    /// There are as many as there may be.
    Full,
    /// There is none with this id.
    Unknown,
    Store(StoreError),
}

/// The leases of every backend. Clones are the same.
#[derive(Clone)]
pub struct Leases(Store);

// === impl Lease ===

impl Lease {
    pub fn ttl(&self) -> Duration {
        Duration::from_millis(self.ttl_ms)
    }

    fn is_for_same_place(&self, other: &Lease) -> bool {
        match (self.endpoint.read(), other.endpoint.read()) {
            (Ok(one), Ok(other)) => one.is_same_place(&other),
            _ => false,
        }
    }
}

// === impl Leases ===

impl Leases {
    pub fn new(store: Store) -> Leases {
        Leases(store)
    }

    pub fn store(&self) -> &Store {
        &self.0
    }

    /// A new lease; its id. Leases of the same place end: who begins again after a crash is one endpoint, and leaves as one.
    pub async fn register(&self, backend: &str, lease: &Lease) -> Result<String, Refused> {
        let id = random::id();
        for _ in 0..ATTEMPTS {
            let list = self.0.get(&list(backend)).await?;
            let mut ids = ids(list.as_ref());
            // Those that have ended are left out, so the list does not grow.
            let found = self.0.get_all(&keys(backend, &ids)).await?;
            let mut replaced = Vec::new();
            let mut standing = found.iter().map(|document| standing(document.as_ref()));
            ids.retain(|id| match standing.next() {
                Some(Standing::Alive(other)) if other.is_for_same_place(lease) => {
                    replaced.push(id.clone());
                    false
                }
                Some(Standing::Alive(_)) => true,
                _ => false,
            });
            if ids.len() >= ENDPOINTS_MAX {
                return Err(Refused::Full);
            }
            ids.push(id.clone());
            let mut batch = Batch::new(Durability::Flushed)
                .put(self::list(backend), json(&ids), Expect::unchanged(list.as_ref()), None)
                .put(key(backend, &id), json(lease), Expect::Absent, Some(lease.ttl()));
            for other in replaced {
                batch = batch.put(key(backend, &other), LEFT, Expect::Anything, Some(LEFT_TTL));
            }
            match self.0.write(batch).await {
                Ok(_) => {
                    self.announce(backend).await;
                    return Ok(id);
                }
                Err(StoreError::Conflict(_)) => {
                    sleep(jitter::between(Duration::ZERO, PAUSE_MAX)).await;
                }
                Err(error) => return Err(error.into()),
            }
        }
        Err(Refused::Store(StoreError::Busy("too many register at once".to_owned())))
    }

    /// The lease is as new.
    pub async fn renew(&self, backend: &str, id: &str) -> Result<(), Refused> {
        let document = self.0.get(&key(backend, id)).await?;
        let (Some(document), Standing::Alive(lease)) = (&document, standing(document.as_ref())) else { return Err(Refused::Unknown) };
        let expect = Expect::Version(document.version);
        let batch = Batch::new(Durability::Flushed).put(key(backend, id), document.value.clone(), expect, Some(lease.ttl()));
        match self.0.write(batch).await {
            Ok(_) => Ok(()),
            // It was ended, or renewed, or it expired meanwhile: whoever registers again is right in any case.
            Err(StoreError::Conflict(_)) => Err(Refused::Unknown),
            Err(error) => Err(error.into()),
        }
    }

    /// Ends a lease. One that has ended is fine.
    pub async fn deregister(&self, backend: &str, id: &str) -> Result<(), Refused> {
        if let Standing::Alive(_) = standing(self.0.get(&key(backend, id)).await?.as_ref()) {
            self.0.write(Batch::new(Durability::Flushed).put(key(backend, id), LEFT, Expect::Anything, Some(LEFT_TTL))).await?;
            self.announce(backend).await;
        }
        Ok(())
    }

    /// The leases in the list and `also` these, the newest first.
    pub async fn read(&self, backend: &str, also: &[String]) -> Result<Vec<(String, Standing)>, StoreError> {
        let mut ids = ids(self.0.get(&list(backend)).await?.as_ref());
        ids.reverse();
        ids.extend(also.iter().filter(|id| !ids.contains(id)).cloned().collect::<Vec<_>>());
        let found = self.0.get_all(&keys(backend, &ids)).await?;
        Ok(ids.into_iter().zip(found.iter().map(|document| standing(document.as_ref()))).collect())
    }

    /// Who is not reached looks by itself.
    async fn announce(&self, backend: &str) {
        if let Err(error) = self.0.publish(CHANNEL, backend.to_owned().into()).await {
            tracing::debug!(%error, "a change of endpoints is not announced");
        }
    }
}

fn list(backend: &str) -> Key {
    Key::new("registry", backend)
}

fn key(backend: &str, id: &str) -> Key {
    Key::new("endpoint", format_args!("{backend}/{id}"))
}

fn keys(backend: &str, ids: &[String]) -> Vec<Key> {
    ids.iter().map(|id| key(backend, id)).collect()
}

/// What cannot be read is a list by another program, and as good as none.
fn ids(list: Option<&Document>) -> Vec<String> {
    let mut ids: Vec<String> = list.and_then(|list| serde_json::from_slice(&list.value).ok()).unwrap_or_default();
    ids.truncate(ENDPOINTS_MAX);
    ids
}

fn standing(document: Option<&Document>) -> Standing {
    match document {
        None => Standing::Gone,
        Some(document) if document.value == LEFT => Standing::Left,
        Some(document) => serde_json::from_slice(&document.value).map_or(Standing::Left, Standing::Alive),
    }
}

fn json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("texts and numbers can be written as JSON")
}

// === impl Refused ===

impl From<StoreError> for Refused {
    fn from(error: StoreError) -> Refused {
        Refused::Store(error)
    }
}
