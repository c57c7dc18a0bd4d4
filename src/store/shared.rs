//! One store in two hands, for tests: whoever uses it looks into it too, and others come between two operations.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tokio::sync::mpsc;

use super::memory::Memory;
use super::{Batch, Count, Document, Engine, Entries, Key, Result, Signal};

/// The engine, and the memory that a test looks into.
pub struct Shared(pub Arc<Memory>);

// === impl Shared ===

impl Shared {
    /// Others come between two operations, as they do where a store is far away.
    fn after_others<'a, T: 'a>(operation: impl Future<Output = T> + Send + 'a) -> BoxFuture<'a, T> {
        let turn = async {
            tokio::task::yield_now().await;
            operation.await
        };
        turn.boxed()
    }
}

impl Engine for Shared {
    fn patience(&self) -> Duration {
        self.0.patience()
    }

    fn get<'a>(&'a self, keys: &'a [Key]) -> BoxFuture<'a, Result<Vec<Option<Document>>>> {
        Shared::after_others(async { self.0.get(keys).await })
    }

    fn write(&self, batch: Batch) -> BoxFuture<'_, Result<Vec<u64>>> {
        Shared::after_others(async { self.0.write(batch).await })
    }

    fn count<'a>(&'a self, key: &'a Key, by: u32, window: Duration) -> BoxFuture<'a, Result<Count>> {
        Shared::after_others(async move { self.0.count(key, by, window).await })
    }

    fn read<'a>(&'a self, log: &'a Key, after: u64, limit: usize) -> BoxFuture<'a, Result<Entries>> {
        self.0.read(log, after, limit)
    }

    fn publish<'a>(&'a self, channel: &'a str, message: Bytes) -> BoxFuture<'a, Result<u64>> {
        self.0.publish(channel, message)
    }

    fn listen(&self, channel: &str) -> BoxFuture<'_, Result<mpsc::Receiver<Signal>>> {
        self.0.listen(channel)
    }
}
