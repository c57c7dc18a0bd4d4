//! What became of the last attempts to read the files: whoever looks later sees why the table is what it is.
//!
//! Promise: at most [`KEPT_MAX`] attempts, each with at most [`CHECK_BYTES_MAX`] bytes of findings.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::time::Duration;

use serde_json::Value;

use super::Outcome;
use crate::diagnostic::render::{self, Summary};
use crate::diagnostic::{Report, Sources};
use crate::files::Fingerprint;
use crate::id::Generation;

const KEPT_MAX: usize = 32;
const CHECK_BYTES_MAX: usize = 64 << 10;

/// Why the files were read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cause {
    Start,
    /// One of them changed.
    Watch,
    Signal,
    Operator,
}

/// One attempt.
#[derive(Clone)]
pub struct Attempt {
    pub at_ms: u64,
    pub cause: Cause,
    pub outcome: &'static str,
    /// What is live since, or still.
    pub generation: Generation,
    pub fingerprint: Fingerprint,
    pub took: Duration,
    /// As `check --format json` says it, unless nothing was compiled.
    pub check: Option<Value>,
}

/// The last attempts.
#[derive(Default)]
pub struct History(Mutex<VecDeque<Attempt>>);

// === impl History ===

impl History {
    pub fn note(&self, attempt: Attempt) {
        let mut kept = self.0.lock().expect("nothing panics while it holds the history");
        if kept.len() >= KEPT_MAX {
            kept.pop_front();
        }
        kept.push_back(attempt);
    }

    /// Newest first.
    pub fn all(&self) -> Vec<Attempt> {
        self.0.lock().expect("nothing panics while it holds the history").iter().rev().cloned().collect()
    }
}

// === impl Cause ===

impl Cause {
    pub fn name(self) -> &'static str {
        match self {
            Cause::Start => "start",
            Cause::Watch => "watch",
            Cause::Signal => "signal",
            Cause::Operator => "operator",
        }
    }
}

// === impl Outcome ===

impl Outcome {
    pub fn name(&self) -> &'static str {
        match self {
            Outcome::Swapped(_) => "swapped",
            Outcome::Unchanged(_) => "unchanged",
            Outcome::Refused { .. } => "refused",
            Outcome::Stale { .. } => "stale",
            Outcome::Failed => "failed",
        }
    }

    /// What was found in the files, if they were read.
    pub fn check(&self) -> Option<Value> {
        match self {
            Outcome::Swapped(live) | Outcome::Unchanged(live) => Some(check(&live.report, &live.sources, live.summary)),
            Outcome::Refused { report, sources, summary } => Some(check(report, sources, *summary)),
            Outcome::Stale { .. } | Outcome::Failed => None,
        }
    }
}

/// What `check --format json` says. Of very many findings only the first are there; the summary counts them all.
pub fn check(report: &Report, sources: &Sources, summary: Summary) -> Value {
    let mut check: Value = serde_json::from_str(&render::json(report, sources, summary)).expect("what was written as JSON reads as JSON");
    if let Some(findings) = check["diagnostics"].as_array_mut() {
        let mut bytes = 0;
        let fitting = findings.iter().take_while(|finding| {
            bytes += finding.to_string().len();
            bytes <= CHECK_BYTES_MAX
        });
        let fitting = fitting.count();
        findings.truncate(fitting);
    }
    check
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostic::{Diagnostic, Rule, Span};

    #[test]
    fn very_many_findings_are_counted_and_not_all_kept() {
        let (mut sources, mut report) = (Sources::default(), Report::default());
        let file = sources.add("routes.yaml", "x".repeat(5000));
        for start in 0..5000 {
            report.push(Diagnostic::new(Rule::BadValue, Span { file, start, end: start + 1 }, "no such thing"));
        }
        let check = check(&report, &sources, Summary { routes: 0, files: 1 });
        assert!(check.to_string().len() < CHECK_BYTES_MAX + 4096);
        assert!(check["diagnostics"].as_array().is_some_and(|findings| findings.len() > 100));
        assert_eq!(check["summary"]["errors"], 5000);
    }
}
