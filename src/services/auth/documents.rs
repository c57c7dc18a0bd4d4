//! The service's documents in the store, as JSON.

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest as _, Sha256};

use super::refusal::{Refusal, Result};
use crate::store::{Expect, Key, Store, StoreError};

/// How often a change is tried again that somebody else's came before.
pub const TRIES: usize = 8;

/// A document, and which writing of it was read.
pub struct Read<T> {
    pub value: T,
    version: u64,
}

// === impl Read ===

impl<T> Read<T> {
    /// That nobody has written it since.
    pub fn unchanged(&self) -> Expect {
        Expect::Version(self.version)
    }
}

/// The document of a key.
pub async fn read<T: DeserializeOwned>(store: &Store, key: &Key) -> Result<Option<Read<T>>> {
    let Some(document) = store.get(key).await? else { return Ok(None) };
    let value = serde_json::from_slice(&document.value).map_err(|_| Refusal::broken(key.as_str()))?;
    Ok(Some(Read { value, version: document.version }))
}

/// A document to be written.
pub fn written(value: &impl Serialize) -> Bytes {
    serde_json::to_vec(value).expect("documents are texts, numbers and lists of them").into()
}

/// What is stored of a secret, and keys that have a length of their own: SHA-256, in hexadecimal digits.
pub fn digest(text: &str) -> String {
    Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Whether a batch happened, or somebody else's came before.
pub enum Outcome {
    Done,
    /// The index of the change that met another document than it expected.
    Outrun(usize),
}

/// Tells being outrun from failing.
pub fn outcome(written: crate::store::Result<Vec<u64>>) -> Result<Outcome> {
    match written {
        Ok(_) => Ok(Outcome::Done),
        Err(StoreError::Conflict(change)) => Ok(Outcome::Outrun(change)),
        Err(error) => Err(error.into()),
    }
}

/// Somebody else's change came before every one of [`TRIES`].
pub fn outrun() -> Refusal {
    Refusal::Unavailable("a document changed faster than it could be written".to_owned())
}
