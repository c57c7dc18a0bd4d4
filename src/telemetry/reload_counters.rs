//! What is counted of reloads, and what came of the last one.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};

use super::labels::Reloaded;
use super::tally::Tally;
use crate::clock::Clock;
use crate::diagnostic::Report;

/// All of it, of one gateway. The first table is no reload, but a success.
pub struct ReloadCounters {
    pub outcomes: Tally<Reloaded>,
    last: Mutex<Last>,
}

/// The last attempt to have another table.
#[derive(Clone, Debug)]
pub struct Last {
    /// In milliseconds since 1970.
    pub attempt_ms: u64,
    pub success_ms: u64,
    pub is_successful: bool,
    /// How many errors it found, by their code.
    pub errors: BTreeMap<&'static str, u64>,
}

// === impl ReloadCounters ===

impl ReloadCounters {
    /// The first table is live from now on.
    pub fn begin() -> ReloadCounters {
        let now = Clock::system().now_ms();
        let last = Last { attempt_ms: now, success_ms: now, is_successful: true, errors: BTreeMap::new() };
        ReloadCounters { outcomes: Tally::default(), last: Mutex::new(last) }
    }

    /// A reload came to this. `report`: what was found in the files, if they were read to the end.
    pub fn note(&self, outcome: Reloaded, report: Option<&Report>) {
        self.outcomes.count(outcome);
        let now = Clock::system().now_ms();
        let mut last = self.lock();
        match outcome {
            // Nobody looked at the files.
            Reloaded::Stale => return,
            Reloaded::Swapped | Reloaded::Unchanged => (last.is_successful, last.success_ms) = (true, now),
            Reloaded::Refused | Reloaded::Failed => last.is_successful = false,
        }
        last.attempt_ms = now;
        last.errors = report.map(Report::errors_by_code).unwrap_or_default();
    }

    pub fn last(&self) -> Last {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Last> {
        self.last.lock().expect("nothing that holds it panics")
    }
}
