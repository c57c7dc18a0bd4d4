//! Where a call has been: an entry for each attempt, written by the backend as it goes, read by whoever observes calls.
//!
//! It belongs to whoever calls, so that it is still there when the call was given up half-way: then its last attempt has no end.

use std::sync::Arc;

use smallvec::SmallVec;
use tokio::time::Instant;

use crate::failure::{Code, Failure};

/// The attempts of one call, in their order. Nearly always there is one.
#[derive(Default)]
pub struct Journey(SmallVec<[Attempt; 1]>);

/// One time that a service was asked.
pub struct Attempt {
    /// Who was asked: `host:port`, or the name of a service of this process.
    pub endpoint: Arc<str>,
    pub began: Instant,
    /// When it ended, and with which code; nothing while it has not.
    pub ended: Option<(Instant, Code)>,
}

// === impl Journey ===

impl Journey {
    /// An attempt begins there.
    pub(super) fn begin(&mut self, endpoint: &Arc<str>) {
        self.0.push(Attempt { endpoint: Arc::clone(endpoint), began: Instant::now(), ended: None });
    }

    /// The attempt that began last has ended.
    pub(super) fn end<T>(&mut self, answer: Result<&T, &Failure>) {
        let code = answer.map_or_else(Failure::code, |_| Code::Ok);
        if let Some(attempt) = self.0.last_mut() {
            attempt.ended = Some((Instant::now(), code));
        }
    }

    pub fn attempts(&self) -> &[Attempt] {
        &self.0
    }

    /// Who was asked last.
    pub fn endpoint(&self) -> Option<&Arc<str>> {
        self.0.last().map(|attempt| &attempt.endpoint)
    }
}
