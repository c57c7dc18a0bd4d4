//! The store of a gateway that is alone: one file in its data folder.
//!
//! - `layout`: the tables of the file, and every change to them
//! - `read`: what is asked of it
//! - `writer`: the one thread that writes, many batches in one flush
//! - `file`: the file itself, and what is said when it cannot be opened
//!
//! Promises: what was written durably survives the death of process and machine, and never by half; the rest survives all but the last
//! second. Dropping the store flushes it and ends its thread.

mod file;
mod layout;
mod read;
mod writer;

use std::path::Path;
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, ready};
use redb::ReadTransaction;
use tokio::sync::{mpsc, oneshot};

use self::file::File;
use self::layout::Broken;
use self::writer::{Ask, Writer};
use super::listeners::Listeners;
use super::{Batch, Count, Document, Engine, Entries, Key, Result, Signal, StoreError};
use crate::clock::Clock;

/// The engine in a file.
pub struct Embedded {
    file: Arc<File>,
    clock: Clock,
    /// To the writer, which ends when this is gone.
    queue: Option<SyncSender<Ask>>,
    writer: Option<JoinHandle<()>>,
    /// Spoken to by the writer of what was appended, and by whoever publishes.
    listeners: Arc<Mutex<Listeners>>,
}

/// Asks that may wait for the writer.
const QUEUE_MAX: usize = 1024;

/// A slow disk flushes within it; who waits longer would rather know.
const PATIENCE: Duration = Duration::from_secs(2);

// === impl Embedded ===

impl Embedded {
    /// Opens the file at `path`, made if need be, for this process alone. Blocks. The error is for a person.
    pub fn open(path: &Path, clock: Clock) -> std::result::Result<Embedded, String> {
        Embedded::on(File::at(path)?, clock).map_err(|error| format!("the thread that writes {} cannot start: {error}", path.display()))
    }

    fn on(file: File, clock: Clock) -> std::io::Result<Embedded> {
        let file = Arc::new(file);
        let listeners = Arc::default();
        let (queue, asks) = sync_channel(QUEUE_MAX);
        let writer = Writer::new(Arc::clone(&file), clock.clone(), Arc::clone(&listeners), asks);
        let writer = std::thread::Builder::new().name("store".to_owned()).spawn(|| writer.run())?;
        Ok(Embedded { file, clock, queue: Some(queue), writer: Some(writer), listeners })
    }

    fn read_now<T>(&self, ask: impl FnOnce(&ReadTransaction, u64) -> std::result::Result<T, Broken>) -> Result<T> {
        let now = self.clock.now_ms();
        self.file.read(|transaction| ask(transaction, now)).map_err(|broken| StoreError::Unavailable(broken.to_string()))
    }

    async fn ask<T>(&self, ask: impl FnOnce(oneshot::Sender<Result<T>>) -> Ask) -> Result<T> {
        let unavailable = |why: &str| StoreError::Unavailable(why.to_owned());
        let (reply, answer) = oneshot::channel();
        let queue = self.queue.as_ref().expect("only dropping takes it");
        queue.try_send(ask(reply)).map_err(|error| match error {
            TrySendError::Full(_) => StoreError::Busy("too much waits to be written".to_owned()),
            TrySendError::Disconnected(_) => unavailable("its writer has ended"),
        })?;
        answer.await.unwrap_or_else(|_| Err(unavailable("its writer has ended")))
    }
}

fn lock(listeners: &Mutex<Listeners>) -> MutexGuard<'_, Listeners> {
    listeners.lock().expect("nothing that holds the listeners panics")
}

impl Drop for Embedded {
    fn drop(&mut self) {
        self.queue = None;
        if let Some(writer) = self.writer.take() {
            writer.join().ok();
        }
    }
}

impl Engine for Embedded {
    fn patience(&self) -> Duration {
        PATIENCE
    }

    fn losses(&self) -> u64 {
        self.file.losses()
    }

    fn get<'a>(&'a self, keys: &'a [Key]) -> BoxFuture<'a, Result<Vec<Option<Document>>>> {
        async move { self.read_now(|transaction, now| read::documents(transaction, keys, now)) }.boxed()
    }

    fn write(&self, batch: Batch) -> BoxFuture<'_, Result<Vec<u64>>> {
        self.ask(|reply| Ask::Write { batch, reply }).boxed()
    }

    fn count<'a>(&'a self, key: &'a Key, by: u32, window: Duration) -> BoxFuture<'a, Result<Count>> {
        async move {
            match by {
                0 => self.read_now(|transaction, now| read::count(transaction, key, now)),
                _ => self.ask(|reply| Ask::Count { key: key.clone(), by, window, reply }).await,
            }
        }
        .boxed()
    }

    fn read<'a>(&'a self, log: &'a Key, after: u64, limit: usize) -> BoxFuture<'a, Result<Entries>> {
        async move { self.read_now(|transaction, now| read::entries(transaction, log, after, limit, now)) }.boxed()
    }

    fn publish<'a>(&'a self, channel: &'a str, message: Bytes) -> BoxFuture<'a, Result<u64>> {
        async move { Ok(lock(&self.listeners).say(channel, &message) as u64) }.boxed()
    }

    fn listen(&self, channel: &str) -> BoxFuture<'_, Result<mpsc::Receiver<Signal>>> {
        let mut listeners = lock(&self.listeners);
        listeners.tidy();
        ready(Ok(listeners.add(channel))).boxed()
    }
}

#[cfg(test)]
impl Embedded {
    /// One without a file, gone when it is dropped.
    pub fn in_memory(clock: Clock) -> Embedded {
        let open = || file::builder().create_with_backend(redb::backends::InMemoryBackend::new());
        Embedded::on(File::new(Box::new(open)).unwrap(), clock).unwrap()
    }

    /// One on a disk of the test's making.
    pub fn on_backend<B: redb::StorageBackend>(open: impl Fn() -> B + Send + Sync + 'static, clock: Clock) -> Embedded {
        let open = move || file::builder().create_with_backend(open());
        Embedded::on(File::new(Box::new(open)).unwrap(), clock).unwrap()
    }

    /// Whether something is past its end and still in the file.
    pub fn is_overdue(&self) -> bool {
        self.read_now(read::overdue).unwrap()
    }

    /// Rows of every table that grows.
    pub fn rows(&self) -> u64 {
        self.read_now(|transaction, _| read::rows(transaction)).unwrap()
    }
}
