//! What is read from the file, by transactions that see one moment of it.
//!
//! They run where they are asked for, without a thread of their own: nearly all they touch is in the cache, a commit does not make them
//! wait (redb lets go of its locks while it flushes), and handing each to another thread would cost more than it takes.

use std::time::Duration;

use bytes::Bytes;
use redb::{ReadTransaction, ReadableTable};

use super::layout::{Broken, COUNTERS, DOCUMENTS, ENTRIES, EXPIRY, LOGS};
use crate::store::{Count, Document, Entries, Key};

pub fn documents(transaction: &ReadTransaction, keys: &[Key], now: u64) -> Result<Vec<Option<Document>>, Broken> {
    let table = transaction.open_table(DOCUMENTS)?;
    let document = |key: &Key| {
        let found = table.get(key.as_str())?;
        let found = found.as_ref().map(|found| found.value()).filter(|(_, end, _)| *end > now);
        Ok(found.map(|(version, _, value)| Document { value: Bytes::copy_from_slice(value), version }))
    };
    keys.iter().map(document).collect()
}

pub fn count(transaction: &ReadTransaction, key: &Key, now: u64) -> Result<Count, Broken> {
    let found = transaction.open_table(COUNTERS)?.get(key.as_str())?.map(|found| found.value());
    let (value, end) = found.filter(|(_, end)| *end > now).unwrap_or_default();
    Ok(counted(value, end, now))
}

/// What is left of a counter's window; of one that has counted nothing, nothing.
pub fn counted(value: u64, end: u64, now: u64) -> Count {
    let left = if value == 0 { 0 } else { end.saturating_sub(now) };
    Count { value, left: Duration::from_millis(left) }
}

pub fn entries(transaction: &ReadTransaction, log: &Key, after: u64, limit: usize, now: u64) -> Result<Entries, Broken> {
    let found = transaction.open_table(LOGS)?.get(log.as_str())?.map(|found| found.value());
    let Some((oldest, last, _)) = found.filter(|(.., gone)| *gone > now) else {
        return Ok(Entries { entries: Vec::new(), first: 1, last: 0 });
    };
    let table = transaction.open_table(ENTRIES)?;
    let mut first = last + 1;
    for row in table.range((log.as_str(), oldest)..=(log.as_str(), last))? {
        let (key, entry) = row?;
        if entry.value().0 > now {
            first = key.value().1;
            break;
        }
    }
    let wanted = first.max(after.saturating_add(1));
    let mut entries = Vec::new();
    if wanted <= last {
        for row in table.range((log.as_str(), wanted)..=(log.as_str(), last))?.take(limit) {
            let (key, entry) = row?;
            entries.push((key.value().1, Bytes::copy_from_slice(entry.value().1)));
        }
    }
    Ok(Entries { entries, first, last })
}

/// Whether something is past its end and still there.
pub fn overdue(transaction: &ReadTransaction, now: u64) -> Result<bool, Broken> {
    Ok(transaction.open_table(EXPIRY)?.first()?.is_some_and(|(row, _)| row.value().0 <= now))
}

/// Rows of every table that grows.
#[cfg(test)]
pub fn rows(transaction: &ReadTransaction) -> Result<u64, Broken> {
    use redb::ReadableTableMetadata;
    let documents = transaction.open_table(DOCUMENTS)?.len()? + transaction.open_table(COUNTERS)?.len()?;
    let logs = transaction.open_table(LOGS)?.len()? + transaction.open_table(ENTRIES)?.len()?;
    let logs = logs + transaction.open_table(super::layout::LOG_BYTES)?.len()?;
    Ok(documents + logs + transaction.open_table(EXPIRY)?.len()?)
}
