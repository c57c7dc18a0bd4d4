//! What a service keeps in the store: documents in JSON, each in its own type. Errors are the service's own.

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest as _, Sha256};

use crate::store::{Document, Expect, Key, Store, StoreError};

/// How often a change is tried again that somebody else's came before.
pub const TRIES: usize = 8;

/// A document, and which writing of it was read.
pub struct Read<T> {
    pub value: T,
    version: u64,
}

/// Why a document could not be read.
pub enum Unread {
    Store(StoreError),
    /// This program cannot have written it: its key.
    Broken(String),
}

// === impl Read ===

impl<T> Read<T> {
    /// That nobody has written it since.
    pub fn unchanged(&self) -> Expect {
        Expect::Version(self.version)
    }
}

/// The document of a key.
pub async fn read<T: DeserializeOwned>(store: &Store, key: &Key) -> Result<Option<Read<T>>, Unread> {
    let document = store.get(key).await.map_err(Unread::Store)?;
    document.map(|document| understood(key, &document)).transpose()
}

/// The documents of several keys, in their order, as they were at one moment.
pub async fn read_all<T: DeserializeOwned>(store: &Store, keys: &[Key]) -> Result<Vec<Option<Read<T>>>, Unread> {
    let documents = store.get_all(keys).await.map_err(Unread::Store)?;
    keys.iter().zip(documents).map(|(key, document)| document.map(|document| understood(key, &document)).transpose()).collect()
}

/// What a key's document says, for whoever asked the store for several at once.
pub fn parsed<T: DeserializeOwned>(key: &Key, document: Option<&Document>) -> Result<Option<Read<T>>, Unread> {
    document.map(|document| understood(key, document)).transpose()
}

fn understood<T: DeserializeOwned>(key: &Key, document: &Document) -> Result<Read<T>, Unread> {
    let value = serde_json::from_slice(&document.value).map_err(|_| Unread::Broken(key.as_str().to_owned()))?;
    Ok(Read { value, version: document.version })
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
pub fn outcome(written: crate::store::Result<Vec<u64>>) -> Result<Outcome, StoreError> {
    match written {
        Ok(_) => Ok(Outcome::Done),
        Err(StoreError::Conflict(change)) => Ok(Outcome::Outrun(change)),
        Err(error) => Err(error),
    }
}

/// Somebody else's change came before every one of [`TRIES`].
pub fn outrun() -> StoreError {
    StoreError::Unavailable("a document changed faster than it could be written".to_owned())
}
