//! The key that signs tokens in development: made once, the same for all gateways that share a store.
//!
//! What is in the store prevails. The data folder has a copy, which the command line signs with (`call --as`, `token issue`).

use std::io;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::interval;

use super::{StartError, io_error, wait_for};
use crate::data::{DEVELOPMENT_KEY, DataFolder};
use crate::pipeline::signer::Signer;
use crate::store::{Durability, Key, Store};

/// How often it is seen to that the store has the key.
const KEPT: Duration = Duration::from_secs(10);

/// The key of this data folder; made now if there is none.
pub fn signer(data: &DataFolder) -> Result<Signer, StartError> {
    let key = data
        .read_or_create(DEVELOPMENT_KEY, || Signer::generate().pkcs8().to_vec())
        .map_err(io_error("the development key cannot be made"))?;
    Signer::from_pkcs8(&key).map_err(|error| StartError::Io {
        what: format!("the development key in {} is broken, delete it to have a new one made", data.path().display()),
        error: io::Error::new(io::ErrorKind::InvalidData, error),
    })
}

/// The key of all gateways that share the store: the first one's. The data folder gets it too.
pub fn share(store: &Store, back_room: &Handle, data: &DataFolder, own: &Signer) -> Result<Signer, StartError> {
    let (shared, _) = wait_for(back_room, || async { store.get_or_create(&key(), own.pkcs8().to_vec().into(), Durability::Durable).await })
        .map_err(|error| io_error("the development key cannot be shared")(io::Error::other(error)))?;
    if *shared != *own.pkcs8() {
        data.replace(DEVELOPMENT_KEY, &shared).map_err(io_error("the development key cannot be kept"))?;
    }
    Signer::from_pkcs8(&shared)
        .map_err(|error| io_error("the development key in the store is broken")(io::Error::new(io::ErrorKind::InvalidData, error)))
}

/// Puts the key back into a store that has lost it: gateways that start later are to find the one that the others have.
pub async fn keep(store: Store, pkcs8: Vec<u8>) {
    let mut tick = interval(KEPT);
    loop {
        tick.tick().await;
        // If it does not succeed now it will the next time.
        let _ = store.get_or_create(&key(), pkcs8.clone().into(), Durability::Durable).await;
    }
}

fn key() -> Key {
    Key::new("key", "development")
}
