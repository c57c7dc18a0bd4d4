//! What is in the file: its tables, and the rule by which every change to them is made.
//!
//! A moment is in milliseconds since 1970. Whatever expires stands in `EXPIRY` too, under the moment at which it does; the two change
//! together, here and nowhere else.

use redb::{ReadableTable, Table, TableDefinition, TableError, WriteTransaction};

use crate::store::{Batch, Bounds, Change, Count, Key, Result, StoreError};

/// Key → version, end, value.
pub const DOCUMENTS: TableDefinition<&str, (u64, u64, &[u8])> = TableDefinition::new("documents");
/// Key → value, end.
pub const COUNTERS: TableDefinition<&str, (u64, u64)> = TableDefinition::new("counters");
/// Key → oldest offset, newest offset, end.
pub const LOGS: TableDefinition<&str, (u64, u64, u64)> = TableDefinition::new("logs");
/// Key of the log → bytes of all its entries. A file of an older version lacks it; then it is summed up once.
pub const LOG_BYTES: TableDefinition<&str, u64> = TableDefinition::new("log bytes");
/// Key of the log, offset → end, content.
pub const ENTRIES: TableDefinition<(&str, u64), (u64, &[u8])> = TableDefinition::new("entries");
/// End, which table, key.
pub const EXPIRY: TableDefinition<(u64, u8, &str), ()> = TableDefinition::new("expiry");
/// What there is one of.
const ONES: TableDefinition<&str, u64> = TableDefinition::new("ones");

const LAST_VERSION: &str = "last version";
/// 1 while nobody has opened the file since it was closed in order.
const CLOSED: &str = "closed";
/// How often it was opened without having been.
const LOSSES: &str = "losses";

/// The end of what does not end.
const NEVER: u64 = u64::MAX;

const DOCUMENT: u8 = 1;
const COUNTER: u8 = 2;
const LOG: u8 = 3;

/// An error of the file.
pub type Broken = redb::Error;

/// Every table of one transaction.
pub struct Tables<'txn> {
    documents: Table<'txn, &'static str, (u64, u64, &'static [u8])>,
    counters: Table<'txn, &'static str, (u64, u64)>,
    logs: Table<'txn, &'static str, (u64, u64, u64)>,
    log_bytes: Table<'txn, &'static str, u64>,
    entries: Table<'txn, (&'static str, u64), (u64, &'static [u8])>,
    expiry: Table<'txn, (u64, u8, &'static str), ()>,
    ones: Table<'txn, &'static str, u64>,
}

// === impl Tables ===

impl<'txn> Tables<'txn> {
    pub fn open(transaction: &'txn WriteTransaction) -> std::result::Result<Tables<'txn>, TableError> {
        Ok(Tables {
            documents: transaction.open_table(DOCUMENTS)?,
            counters: transaction.open_table(COUNTERS)?,
            logs: transaction.open_table(LOGS)?,
            log_bytes: transaction.open_table(LOG_BYTES)?,
            entries: transaction.open_table(ENTRIES)?,
            expiry: transaction.open_table(EXPIRY)?,
            ones: transaction.open_table(ONES)?,
        })
    }

    /// Does a batch, or says which of its expectations does not hold; then nothing was changed.
    pub fn write(&mut self, batch: &Batch, now: u64) -> std::result::Result<Result<Vec<u64>>, Broken> {
        for (index, change) in batch.changes.iter().enumerate() {
            if let Change::Put { key, expect, .. } | Change::Delete { key, expect } | Change::Check { key, expect } = change
                && !expect.holds(self.version(key, now)?)
            {
                return Ok(Err(StoreError::Conflict(index)));
            }
        }
        let mut numbers = Vec::new();
        for change in &batch.changes {
            match change {
                Change::Put { key, value, ttl, .. } => {
                    let version = self.next_version(now)?;
                    self.put(key, version, value, ttl.map_or(NEVER, |ttl| after(now, ttl)))?;
                    numbers.push(version);
                }
                Change::Delete { key, .. } => self.delete(key.as_str())?,
                Change::Check { .. } => {}
                Change::Append { log, entry, bounds, .. } => numbers.push(self.append(log.as_str(), entry, *bounds, now)?),
            }
        }
        Ok(Ok(numbers))
    }

    pub fn count(&mut self, key: &Key, by: u32, window: std::time::Duration, now: u64) -> std::result::Result<Count, Broken> {
        let key = key.as_str();
        let known = self.counters.get(key)?.map(|found| found.value());
        let (value, end) = known.filter(|(_, end)| *end > now).unwrap_or((0, after(now, window)));
        let value = value.saturating_add(by.into());
        self.counters.insert(key, (value, end))?;
        self.moved(COUNTER, key, known.map(|(_, end)| end), Some(end))?;
        Ok(super::read::counted(value, end, now))
    }

    /// Notes that the file is opened. How often it was opened without having been closed in order: what was not flushed then is lost.
    pub fn begin(&mut self) -> std::result::Result<u64, Broken> {
        let closed = self.ones.insert(CLOSED, 0)?.is_some_and(|closed| closed.value() == 1);
        let losses = self.ones.get(LOSSES)?.map_or(0, |losses| losses.value()) + u64::from(!closed);
        self.ones.insert(LOSSES, losses)?;
        Ok(losses)
    }

    /// Notes that the file is closed in order.
    pub fn end(&mut self) -> std::result::Result<(), Broken> {
        self.ones.insert(CLOSED, 1)?;
        Ok(())
    }

    /// Deletes what is past its end, at most about so many rows. How many it were.
    pub fn sweep(&mut self, now: u64, rows_max: usize) -> std::result::Result<usize, Broken> {
        let mut rows = 0;
        while rows < rows_max {
            let first = self.expiry.first()?.map(|(row, _)| {
                let (end, what, key) = row.value();
                (end, what, key.to_owned())
            });
            let Some((_, what, key)) = first.filter(|(end, ..)| *end <= now) else { break };
            rows += 1 + self.expire(what, &key, rows_max - rows)?;
        }
        Ok(rows)
    }

    fn expire(&mut self, what: u8, key: &str, rows_max: usize) -> std::result::Result<usize, Broken> {
        match what {
            DOCUMENT => self.delete(key)?,
            COUNTER => {
                let end = self.counters.remove(key)?.map(|found| found.value().1);
                self.moved(COUNTER, key, end, None)?;
            }
            _ => {
                let Some((first, last, end)) = self.logs.get(key)?.map(|found| found.value()) else { return Ok(0) };
                // A long log goes a piece at a time. Nobody sees the rest of it.
                let until = last.min(first.saturating_add(rows_max as u64));
                let rows = self.delete_entries(key, first, until)?;
                if until == last {
                    self.logs.remove(key)?;
                    self.log_bytes.remove(key)?;
                    self.moved(LOG, key, Some(end), None)?;
                } else {
                    self.logs.insert(key, (until + 1, last, end))?;
                }
                return Ok(rows);
            }
        }
        Ok(0)
    }

    fn version(&self, key: &Key, now: u64) -> std::result::Result<Option<u64>, Broken> {
        let found = self.documents.get(key.as_str())?.map(|found| (found.value().0, found.value().1));
        Ok(found.filter(|(_, end)| *end > now).map(|(version, _)| version))
    }

    /// The next version. It is at least the present in microseconds, so that one which was given out and then lost with the last second
    /// before a crash is not given out again.
    fn next_version(&mut self, now: u64) -> std::result::Result<u64, Broken> {
        let last = self.ones.get(LAST_VERSION)?.map_or(0, |last| last.value());
        let version = (last + 1).max(now.saturating_mul(1000));
        self.ones.insert(LAST_VERSION, version)?;
        Ok(version)
    }

    fn put(&mut self, key: &Key, version: u64, value: &[u8], end: u64) -> std::result::Result<(), Broken> {
        let key = key.as_str();
        let before = self.documents.insert(key, (version, end, value))?.map(|old| old.value().1);
        self.moved(DOCUMENT, key, before, Some(end))
    }

    fn delete(&mut self, key: &str) -> std::result::Result<(), Broken> {
        let before = self.documents.remove(key)?.map(|old| old.value().1);
        self.moved(DOCUMENT, key, before, None)
    }

    fn append(&mut self, log: &str, entry: &[u8], bounds: Bounds, now: u64) -> std::result::Result<u64, Broken> {
        let known = self.logs.get(log)?.map(|found| found.value());
        let (mut first, mut last, mut bytes) = match known {
            Some((first, last, gone)) if gone <= now => {
                self.delete_entries(log, first, last)?;
                (1, 0, 0)
            }
            Some((first, last, _)) => (first, last, self.bytes(log, first, last)?),
            None => (1, 0, 0),
        };
        let end = after(now, bounds.age);
        last += 1;
        bytes += entry.len() as u64;
        self.entries.insert((log, last), (end, entry))?;
        let too_many = |first: u64| last + 1 - first > u64::from(bounds.count);
        let too_long = |first: u64, bytes: u64| first < last && bounds.bytes.is_some_and(|most| bytes > most);
        while first <= last && (too_many(first) || too_long(first, bytes) || self.has_ended(log, first, now)?) {
            let length = self.entries.remove((log, first))?.map_or(0, |entry| entry.value().1.len() as u64);
            bytes = bytes.saturating_sub(length);
            first += 1;
        }
        self.logs.insert(log, (first, last, end))?;
        self.log_bytes.insert(log, bytes)?;
        self.moved(LOG, log, known.map(|(_, _, end)| end), Some(end))?;
        Ok(last)
    }

    /// The length of all entries of a log together.
    fn bytes(&self, log: &str, first: u64, last: u64) -> std::result::Result<u64, Broken> {
        if let Some(known) = self.log_bytes.get(log)? {
            return Ok(known.value());
        }
        let mut bytes = 0;
        for row in self.entries.range((log, first)..=(log, last))? {
            bytes += row?.1.value().1.len() as u64;
        }
        Ok(bytes)
    }

    fn has_ended(&self, log: &str, offset: u64, now: u64) -> std::result::Result<bool, Broken> {
        Ok(self.entries.get((log, offset))?.is_none_or(|entry| entry.value().0 <= now))
    }

    fn delete_entries(&mut self, log: &str, first: u64, last: u64) -> std::result::Result<usize, Broken> {
        let mut rows = 0;
        for offset in first..=last {
            rows += usize::from(self.entries.remove((log, offset))?.is_some());
        }
        Ok(rows)
    }

    /// Keeps the index true when an end changes.
    fn moved(&mut self, what: u8, key: &str, before: Option<u64>, end: Option<u64>) -> std::result::Result<(), Broken> {
        if before == end {
            return Ok(());
        }
        if let Some(before) = before.filter(|before| *before != NEVER) {
            self.expiry.remove((before, what, key))?;
        }
        if let Some(end) = end.filter(|end| *end != NEVER) {
            self.expiry.insert((end, what, key), ())?;
        }
        Ok(())
    }
}

/// So long after now, and before never.
fn after(now: u64, duration: std::time::Duration) -> u64 {
    let millis = u64::try_from(duration.as_millis()).unwrap_or(NEVER);
    now.saturating_add(millis).min(NEVER - 1)
}
