//! From what the configuration says to a store that works.

use tokio::task::spawn_blocking;

use super::Store;
use super::embedded::Embedded;
use super::redis::{Redis, RedisUrl};
use crate::clock::Clock;
use crate::data::DataFolder;

/// The embedded store's file, in the data folder.
const FILE: &str = "store.redb";

/// Which engine.
#[derive(Clone, PartialEq, Eq)]
pub enum StoreSpec {
    /// A file in the data folder, for a gateway that is alone.
    Embedded,
    /// A Redis, for gateways that are many. Everything stands under `prefix`.
    Redis { url: RedisUrl, prefix: String },
}

/// Opens the store. Call it on the back room's runtime, where its connections then live. The error is for a person: what is wrong, and
/// what to do.
pub async fn open(spec: &StoreSpec, data: &DataFolder) -> Result<Store, String> {
    match spec {
        StoreSpec::Embedded => {
            let path = data.private_path(FILE).map_err(|error| format!("the data folder cannot be used: {error}"))?;
            let opened = spawn_blocking(move || Embedded::open(&path, Clock::system()));
            Ok(Store::new(opened.await.map_err(|_| "the gateway is ending".to_owned())??))
        }
        StoreSpec::Redis { url, prefix } => {
            let redis = Redis::open(url, prefix).await.map_err(|error| {
                format!("{error}; see that it runs and can be reached from here, or take `store` out of gateway.yaml to use a file")
            })?;
            Ok(Store::new(redis))
        }
    }
}

// === impl StoreSpec ===

impl StoreSpec {
    /// The word for it.
    pub fn name(&self) -> &'static str {
        match self {
            StoreSpec::Embedded => "embedded",
            StoreSpec::Redis { .. } => "redis",
        }
    }
}
