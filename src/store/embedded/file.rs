//! The file `store.redb`: opened by one process at a time, and again after its disk failed.
//!
//! Promise: whatever is in the file, opening it succeeds or says what is wrong with it and what to do.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{PoisonError, RwLock};

use redb::{Builder, Database, DatabaseError, Durability, ReadTransaction, ReadableDatabase, StorageError, WriteTransaction};

use super::layout::{Broken, Tables};

/// An open database, or the place where one was and will be.
pub struct File {
    /// Read by whoever begins a transaction, written by the writer's thread when the disk has failed.
    database: RwLock<Option<Database>>,
    /// How often it was opened without having been closed in order.
    losses: AtomicU64,
    open: Open,
}

/// Opens the database, for the first time or again.
pub type Open = Box<dyn Fn() -> Result<Database, DatabaseError> + Send + Sync>;

/// Pages of the file that are kept in memory. Of redb's own gigabyte a small machine would know nothing until it is gone.
const CACHE_BYTES: usize = 64 << 20;

// === impl File ===

impl File {
    /// Opens the file at `path`, made if need be. The error is for a person.
    pub fn at(path: &Path) -> Result<File, String> {
        let place = path.to_path_buf();
        let open = move || {
            // Made here rather than by redb, so that it is never readable by others.
            OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(&place)?;
            builder().create(&place)
        };
        File::new(Box::new(open)).map_err(|error| told(path, error))
    }

    pub fn new(open: Open) -> Result<File, DatabaseError> {
        let (database, losses) = ready(&open)?;
        Ok(File { database: RwLock::new(Some(database)), losses: losses.into(), open })
    }

    /// Asks what the file holds at this moment.
    pub fn read<T>(&self, ask: impl FnOnce(&ReadTransaction) -> Result<T, Broken>) -> Result<T, Broken> {
        let database = self.database.read().unwrap_or_else(PoisonError::into_inner);
        ask(&database.as_ref().ok_or(Broken::DatabaseClosed)?.begin_read()?)
    }

    pub fn begin_write(&self) -> Result<WriteTransaction, Broken> {
        let database = self.database.read().unwrap_or_else(PoisonError::into_inner);
        Ok(database.as_ref().ok_or(Broken::DatabaseClosed)?.begin_write()?)
    }

    pub fn is_closed(&self) -> bool {
        self.database.read().unwrap_or_else(PoisonError::into_inner).is_none()
    }

    pub fn close(&self) {
        *self.database.write().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Opens it again.
    pub fn reopen(&self) -> Result<(), DatabaseError> {
        let mut database = self.database.write().unwrap_or_else(PoisonError::into_inner);
        *database = None;
        let (opened, losses) = ready(&self.open)?;
        self.losses.store(losses, Relaxed);
        *database = Some(opened);
        Ok(())
    }

    /// How often what was not flushed may have been lost.
    pub fn losses(&self) -> u64 {
        self.losses.load(Relaxed)
    }

    /// Notes that nothing is lost that is in it now.
    pub fn end(&self) -> Result<(), Broken> {
        let mut transaction = self.begin_write()?;
        transaction.set_durability(Durability::Immediate)?;
        Tables::open(&transaction)?.end()?;
        Ok(transaction.commit()?)
    }
}

/// A builder with all that every database of ours has in common.
pub fn builder() -> Builder {
    let mut builder = Builder::new();
    // The check reads the whole file once; without it, damage is found by a panic in the middle of something.
    builder.set_cache_size(CACHE_BYTES).set_check_integrity_on_open(true);
    builder
}

/// Opens, and makes the tables, so that no reader has to ask whether they are there.
fn ready(open: &Open) -> Result<(Database, u64), DatabaseError> {
    let tried = catch_unwind(AssertUnwindSafe(|| {
        let database = open()?;
        let losses = begin(&database).map_err(|broken| StorageError::Corrupted(broken.to_string()))?;
        Ok((database, losses))
    }));
    tried.unwrap_or_else(|_| Err(DatabaseError::Storage(StorageError::Corrupted("it cannot be read at all".to_owned()))))
}

fn begin(database: &Database) -> Result<u64, Broken> {
    let mut transaction = database.begin_write()?;
    transaction.set_durability(Durability::Immediate)?;
    let losses = Tables::open(&transaction)?.begin()?;
    transaction.commit()?;
    Ok(losses)
}

fn told(path: &Path, error: DatabaseError) -> String {
    let path = path.display();
    match error {
        DatabaseError::DatabaseAlreadyOpen | DatabaseError::LockProtocolMismatch => format!(
            "{path} is in use by another process: gateways that run together share a Redis; write \
             `store: {{ redis: {{ url: \"redis://HOST:6379\" }} }}` into gateway.yaml of each, or give this one a folder of its own with `--data`"
        ),
        DatabaseError::Storage(StorageError::Io(error)) if error.kind() != std::io::ErrorKind::InvalidData => {
            format!("{path} cannot be opened: {error}")
        }
        error => format!(
            "{path} is not a store that this program can read ({error}): restore it from a copy, or move it away to begin with an empty one"
        ),
    }
}
