//! What outlives a process, and what several gateways share: users, sessions, revocations.
//!
//! A [`Store`] holds small documents with a version and an expiry, append logs, and counters, and carries signals between nodes. It is
//! one of two engines: `embedded` is a file in the data folder, `redis` a server that several nodes share.
//!
//! Promises:
//! - A [`Batch`] happens entirely or not at all, and only if every document in it is what the writer expected.
//! - A version is never used twice, not even by a document that was deleted and made again.
//! - Every operation ends by a deadline; what cannot be done is [`StoreError::Unavailable`], never a guess.
//! - What is past its expiry is not there.
//! - An entry that is announced is heard by whoever listened before it was appended, in the order of its log, or a [`Signal::Gap`] is.
//! - The engines behave alike: one suite, in `tests`, runs against all of them.

mod announce;
pub mod embedded;
mod listeners;
pub mod memory;
mod open;
pub mod redis;
#[cfg(test)]
pub mod shared;
#[cfg(test)]
mod tests;

pub use announce::announced;
pub use open::{StoreSpec, open};

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use tokio::sync::mpsc;
use tokio::time::timeout;

/// The result of asking a store.
pub type Result<T> = std::result::Result<T, StoreError>;

/// One engine, behind its deadlines. Clones are the same store.
///
/// Futures of a store are to be polled on the back room's runtime, where its connections live.
#[derive(Clone)]
pub struct Store(Arc<dyn Engine>);

/// The name of a document, a log or a counter: a kind, such as `user`, and which one.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Key(String);

/// A stored document.
#[derive(Clone, PartialEq, Eq)]
pub struct Document {
    pub value: Bytes,
    /// Which writing of it this is.
    pub version: u64,
}

/// Changes that happen together.
#[derive(Clone, Default)]
pub struct Batch {
    pub changes: Vec<Change>,
    pub durability: Durability,
}

/// When a change may be said to have happened.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Debug)]
pub enum Durability {
    /// When everybody would see it. The embedded store may lose the last second of these if the machine dies.
    #[default]
    Flushed,
    /// When it would survive the machine's death. (Of Redis, that is for its own configuration to say.)
    Durable,
}

/// One change.
#[derive(Clone)]
pub enum Change {
    /// Makes or replaces a document. With `ttl` it expires so long after now.
    Put { key: Key, value: Bytes, expect: Expect, ttl: Option<Duration> },
    /// Deletes a document; one that is not there is fine, unless it is expected.
    Delete { key: Key, expect: Expect },
    /// Changes nothing, but must be as expected.
    Check { key: Key, expect: Expect },
    /// Adds an entry at the end of a log. In the same step whoever listens to the channel `announce` is told, in the order of the log, what
    /// [`announced`] takes apart.
    Append { log: Key, entry: Bytes, bounds: Bounds, announce: Option<String> },
}

/// What a document must be for a batch to happen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Expect {
    Anything,
    Absent,
    /// Exactly this writing of it.
    Version(u64),
}

/// How much of a log is kept: at most so many entries of at most so many bytes together, none older than that. A log nobody appends to for
/// `age` is gone altogether.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Bounds {
    pub count: u32,
    /// Of all entries that are kept, except that the newest always is. Nothing: any number.
    pub bytes: Option<u64>,
    pub age: Duration,
}

/// A counter after it was counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Count {
    pub value: u64,
    /// How long until it starts from nothing.
    pub left: Duration,
}

/// A part of a log.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Entries {
    /// Offset and content, ascending. Offsets begin at 1 and have no gaps.
    pub entries: Vec<(u64, Bytes)>,
    /// The offset of the oldest entry that is kept; one more than `last` when none is.
    pub first: u64,
    /// The offset of the newest entry there ever was; 0 when there was none.
    pub last: u64,
}

/// What came over a channel.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Signal {
    Message(Bytes),
    /// Some may have been missed: whoever listens should look for itself.
    Gap,
}

/// Why an operation did not succeed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum StoreError {
    /// A document was not what the batch expected: the index of the change that said so.
    Conflict(usize),
    /// The store cannot be reached, or did not answer in time. A change may have happened nevertheless. The text is for the log alone.
    Unavailable(String),
    /// Too much is asked of the store already, and it was not asked: nothing happened. The text is for the log alone.
    Busy(String),
}

/// What an implementation does. Callers use [`Store`].
pub trait Engine: Send + Sync {
    /// How long an operation may take.
    fn patience(&self) -> Duration;

    /// See [`Store::losses`].
    fn losses(&self) -> u64 {
        0
    }

    /// The documents of these keys, as they were at one moment.
    fn get<'a>(&'a self, keys: &'a [Key]) -> BoxFuture<'a, Result<Vec<Option<Document>>>>;

    /// Does all changes or none. In their order, the version of each document that was put and the offset of each entry that was appended.
    fn write(&self, batch: Batch) -> BoxFuture<'_, Result<Vec<u64>>>;

    /// Adds `by` to a counter, which starts from nothing `window` after it was first counted. By 0 it is only read.
    fn count<'a>(&'a self, key: &'a Key, by: u32, window: Duration) -> BoxFuture<'a, Result<Count>>;

    /// At most `limit` entries of a log after an offset.
    fn read<'a>(&'a self, log: &'a Key, after: u64, limit: usize) -> BoxFuture<'a, Result<Entries>>;

    /// Says something to whoever listens now, on any node. How many listened.
    fn publish<'a>(&'a self, channel: &'a str, message: Bytes) -> BoxFuture<'a, Result<u64>>;

    /// Listens to a channel until the receiver is dropped. At most [`SIGNALS_MAX`] wait, of [`SIGNAL_BYTES_MAX`] together; what comes beyond
    /// becomes one [`Signal::Gap`].
    fn listen(&self, channel: &str) -> BoxFuture<'_, Result<mpsc::Receiver<Signal>>>;
}

/// Signals that may wait for one listener.
pub const SIGNALS_MAX: usize = 1024;

/// Bytes of all signals that wait for one listener. A message that is longer by itself is a gap.
pub const SIGNAL_BYTES_MAX: usize = 8 << 20;

// === impl Store ===

impl Store {
    pub fn new(engine: impl Engine + 'static) -> Store {
        Store(Arc::new(engine))
    }

    /// Over an engine that somebody else holds as well.
    #[cfg(test)]
    pub fn sharing(engine: Arc<impl Engine + 'static>) -> Store {
        Store(engine)
    }

    /// Grows whenever this engine knows that something may be lost which was written and not durable, so that an offset of a log may be given
    /// out twice. Of what a Redis has lost only those know who remember.
    pub fn losses(&self) -> u64 {
        self.0.losses()
    }

    /// The document of a key.
    pub async fn get(&self, key: &Key) -> Result<Option<Document>> {
        Ok(self.get_all(std::slice::from_ref(key)).await?.pop().flatten())
    }

    /// The documents of several keys, as they were at one moment.
    pub async fn get_all(&self, keys: &[Key]) -> Result<Vec<Option<Document>>> {
        self.within(self.0.get(keys)).await
    }

    /// Does all changes or none. In their order, the version of each document that was put and the offset of each entry that was appended.
    pub async fn write(&self, batch: Batch) -> Result<Vec<u64>> {
        self.within(self.0.write(batch)).await
    }

    /// Makes a document unless there is one; what is there afterwards, and whether this call made it.
    pub async fn get_or_create(&self, key: &Key, value: Bytes, durability: Durability) -> Result<(Bytes, bool)> {
        let batch = Batch::new(durability).put(key.clone(), value.clone(), Expect::Absent, None);
        match self.write(batch).await {
            Ok(_) => Ok((value, true)),
            Err(StoreError::Conflict(_)) => {
                let found = self.get(key).await?.ok_or_else(|| StoreError::Unavailable("a document came and went".to_owned()))?;
                Ok((found.value, false))
            }
            Err(error) => Err(error),
        }
    }

    /// Adds `by` to a counter, which starts from nothing `window` after it was first counted. By 0 it is only read.
    pub async fn count(&self, key: &Key, by: u32, window: Duration) -> Result<Count> {
        self.within(self.0.count(key, by, window)).await
    }

    /// At most `limit` entries of a log after an offset.
    pub async fn read(&self, log: &Key, after: u64, limit: usize) -> Result<Entries> {
        self.within(self.0.read(log, after, limit)).await
    }

    /// Says something to whoever listens now, on any node. How many listened.
    pub async fn publish(&self, channel: &str, message: Bytes) -> Result<u64> {
        self.within(self.0.publish(channel, message)).await
    }

    /// Listens to a channel until the receiver is dropped.
    pub async fn listen(&self, channel: &str) -> Result<mpsc::Receiver<Signal>> {
        self.within(self.0.listen(channel)).await
    }

    async fn within<T>(&self, operation: impl Future<Output = Result<T>>) -> Result<T> {
        let patience = self.0.patience();
        let late = || StoreError::Unavailable(format!("no answer within {patience:?}"));
        timeout(patience, operation).await.unwrap_or_else(|_| Err(late()))
    }
}

// === impl Key ===

impl Key {
    /// The key of one of a kind. `kind` is of lower-case letters; `which` may be any text.
    pub fn new(kind: &str, which: impl fmt::Display) -> Key {
        Key(format!("{kind}:{which}"))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

// === impl Batch ===

impl Batch {
    pub fn new(durability: Durability) -> Batch {
        Batch { changes: Vec::new(), durability }
    }

    /// Makes or replaces a document.
    #[must_use]
    pub fn put(mut self, key: Key, value: impl Into<Bytes>, expect: Expect, ttl: Option<Duration>) -> Batch {
        self.changes.push(Change::Put { key, value: value.into(), expect, ttl });
        self
    }

    /// Deletes a document.
    #[must_use]
    pub fn delete(mut self, key: Key, expect: Expect) -> Batch {
        self.changes.push(Change::Delete { key, expect });
        self
    }

    /// Demands something of a document that stays as it is.
    #[must_use]
    pub fn check(mut self, key: Key, expect: Expect) -> Batch {
        self.changes.push(Change::Check { key, expect });
        self
    }

    /// Adds an entry to a log.
    #[must_use]
    pub fn append(mut self, log: Key, entry: impl Into<Bytes>, bounds: Bounds) -> Batch {
        self.changes.push(Change::Append { log, entry: entry.into(), bounds, announce: None });
        self
    }

    /// Adds an entry to a log, and tells whoever listens to `channel`, who takes the message apart with [`announced`].
    #[must_use]
    pub fn append_announced(mut self, log: Key, entry: impl Into<Bytes>, bounds: Bounds, channel: impl Into<String>) -> Batch {
        self.changes.push(Change::Append { log, entry: entry.into(), bounds, announce: Some(channel.into()) });
        self
    }
}

// === impl Expect ===

impl Expect {
    /// That nothing has changed since `document` was read.
    pub fn unchanged(document: Option<&Document>) -> Expect {
        document.map_or(Expect::Absent, |document| Expect::Version(document.version))
    }

    /// Whether a document, or none, is what is expected.
    pub fn holds(self, version: Option<u64>) -> bool {
        match self {
            Expect::Anything => true,
            Expect::Absent => version.is_none(),
            Expect::Version(expected) => version == Some(expected),
        }
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StoreError::Conflict(index) => write!(f, "change {index} of the batch met another document than it expected"),
            StoreError::Unavailable(cause) | StoreError::Busy(cause) => write!(f, "the store is not available: {cause}"),
        }
    }
}

impl std::error::Error for StoreError {}
