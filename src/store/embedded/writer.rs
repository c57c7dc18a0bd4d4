//! The one thread that writes.
//!
//! It takes whatever waits and does it in one transaction, so that many who write together share one flush of the disk. Every batch is
//! checked inside of it, after those before: one that does not hold changes nothing, and the others happen. Nobody is answered before
//! the commit. After it, and before anybody is answered, listeners are told what was appended, in the order of the batches.

use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;
use tracing::{error, info};

use super::file::File;
use super::layout::{Broken, Tables};
use super::{lock, read};
use crate::clock::Clock;
use crate::store::announce::announcements;
use crate::store::listeners::Listeners;
use crate::store::{Batch, Count, Durability, Key, Result, StoreError};

/// What the writer is asked for. Who asks may have stopped waiting.
pub enum Ask {
    Write { batch: Batch, reply: oneshot::Sender<Result<Vec<u64>>> },
    Count { key: Key, by: u32, window: Duration, reply: oneshot::Sender<Result<Count>> },
}

/// What came of one, held back until the commit.
enum Outcome {
    Written(Result<Vec<u64>>),
    Counted(Count),
}

/// What the thread owns.
pub struct Writer {
    file: Arc<File>,
    clock: Clock,
    listeners: Arc<Mutex<Listeners>>,
    queue: Receiver<Ask>,
    /// Since when there is something in the file that its disk may not have.
    unflushed: Option<Instant>,
    /// When the file was last opened again after its disk had failed.
    reopened: Option<Instant>,
}

/// Asks that share a transaction; more would make the first wait for the last.
const GROUP_MAX: usize = 256;

/// What may be lost with the machine is younger than a second: this, and the time that a flush takes.
const FLUSH_AFTER: Duration = Duration::from_millis(500);

/// How often the thread wakes when nobody asks.
const TICK: Duration = Duration::from_secs(1);

/// Expired rows that go along with every transaction; more than it can add.
const SWEEP_ROWS: usize = 2 * GROUP_MAX;

/// Expired rows that go with a tick's, when nobody waits.
const SWEEP_ROWS_IDLE: usize = 4096;

// === impl Ask ===

impl Ask {
    fn is_durable(&self) -> bool {
        matches!(self, Ask::Write { batch, .. } if batch.durability == Durability::Durable)
    }

    fn is_abandoned(&self) -> bool {
        match self {
            Ask::Write { reply, .. } => reply.is_closed(),
            Ask::Count { reply, .. } => reply.is_closed(),
        }
    }

    fn apply(&self, tables: &mut Tables<'_>, now: u64) -> std::result::Result<Outcome, Broken> {
        match self {
            Ask::Write { batch, .. } => tables.write(batch, now).map(Outcome::Written),
            Ask::Count { key, by, window, .. } => tables.count(key, *by, *window, now).map(Outcome::Counted),
        }
    }

    /// Who asked may be gone by now; then nobody reads the answer.
    fn answer(self, outcome: Outcome) {
        match (self, outcome) {
            (Ask::Write { reply, .. }, Outcome::Written(written)) => drop(reply.send(written)),
            (Ask::Count { reply, .. }, Outcome::Counted(count)) => drop(reply.send(Ok(count))),
            _ => unreachable!("`apply` gives each ask an outcome of its own kind"),
        }
    }

    fn refuse(self, text: &str) {
        let error = StoreError::Unavailable(text.to_owned());
        match self {
            Ask::Write { reply, .. } => drop(reply.send(Err(error))),
            Ask::Count { reply, .. } => drop(reply.send(Err(error))),
        }
    }
}

// === impl Writer ===

impl Writer {
    pub fn new(file: Arc<File>, clock: Clock, listeners: Arc<Mutex<Listeners>>, queue: Receiver<Ask>) -> Writer {
        Writer { file, clock, listeners, queue, unflushed: None, reopened: None }
    }

    /// Until the queue is closed and empty; then everything is flushed.
    pub fn run(mut self) {
        loop {
            let mut group = match self.queue.recv_timeout(self.wait()) {
                Ok(ask) => vec![ask],
                Err(RecvTimeoutError::Timeout) => Vec::new(),
                Err(RecvTimeoutError::Disconnected) => break,
            };
            group.extend(self.queue.try_iter().take(GROUP_MAX.saturating_sub(group.len())));
            // Whoever stopped waiting was told that it failed, and may have begun again.
            group.retain(|ask| !ask.is_abandoned());
            self.turn(group);
        }
        if !self.file.is_closed()
            && let Err(broken) = self.file.end()
        {
            error!("the last second of the store could not be flushed: {broken}");
        }
    }

    fn wait(&self) -> Duration {
        self.unflushed.map_or(TICK, |since| FLUSH_AFTER.saturating_sub(since.elapsed()))
    }

    fn turn(&mut self, group: Vec<Ask>) {
        if self.file.is_closed() && !self.reopen() {
            return group.into_iter().for_each(|ask| ask.refuse("its disk has failed"));
        }
        let due = self.unflushed.is_some_and(|since| since.elapsed() >= FLUSH_AFTER);
        if group.is_empty() && !due && !self.overdue() {
            return;
        }
        let durable = due || group.iter().any(Ask::is_durable);
        match self.commit(&group, if durable { Durability::Durable } else { Durability::Flushed }) {
            Ok(outcomes) => {
                group.iter().zip(&outcomes).for_each(|(ask, outcome)| self.announce(ask, outcome));
                group.into_iter().zip(outcomes).for_each(|(ask, outcome)| ask.answer(outcome));
            }
            Err(broken) => self.fail(group, &broken),
        }
    }

    /// Does a group in one transaction. On an error, nothing of it happened.
    fn commit(&mut self, group: &[Ask], durability: Durability) -> std::result::Result<Vec<Outcome>, Broken> {
        let mut transaction = self.file.begin_write()?;
        transaction.set_durability(match durability {
            Durability::Durable => redb::Durability::Immediate,
            Durability::Flushed => redb::Durability::None,
        })?;
        let mut outcomes = Vec::with_capacity(group.len());
        {
            let mut tables = Tables::open(&transaction)?;
            for ask in group {
                outcomes.push(ask.apply(&mut tables, self.clock.now_ms())?);
            }
            tables.sweep(self.clock.now_ms(), if group.is_empty() { SWEEP_ROWS_IDLE } else { SWEEP_ROWS })?;
        }
        transaction.commit()?;
        self.unflushed = match durability {
            Durability::Durable => None,
            Durability::Flushed => self.unflushed.or_else(|| Some(Instant::now())),
        };
        Ok(outcomes)
    }

    fn announce(&self, ask: &Ask, outcome: &Outcome) {
        if let (Ask::Write { batch, .. }, Outcome::Written(Ok(numbers))) = (ask, outcome) {
            for (channel, message) in announcements(batch, numbers) {
                lock(&self.listeners).say(channel, &message);
            }
        }
    }

    /// After an error of the disk the file can only be opened anew; what its disk did not have is lost.
    fn fail(&mut self, group: Vec<Ask>, broken: &Broken) {
        error!("the store is not available: {broken}");
        self.unflushed = None;
        self.file.close();
        group.into_iter().for_each(|ask| ask.refuse(&broken.to_string()));
    }

    /// Opens the file again, at most once a tick: it reads all of the file, and a disk that failed will often fail again.
    fn reopen(&mut self) -> bool {
        if self.reopened.is_some_and(|last| last.elapsed() < TICK) {
            return false;
        }
        self.reopened = Some(Instant::now());
        match self.file.reopen() {
            Ok(()) => {
                info!("the store is available again");
                // What the disk did not have is lost, though somebody may have heard of it.
                lock(&self.listeners).gap();
            }
            Err(broken) => error!("the store cannot be opened again: {broken}"),
        }
        !self.file.is_closed()
    }

    fn overdue(&self) -> bool {
        let now = self.clock.now_ms();
        self.file.read(|transaction| read::overdue(transaction, now)).unwrap_or(false)
    }
}
