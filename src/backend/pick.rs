//! One attempt at one endpoint: it counts there, and what comes of it is recorded there.
//!
//! Promise: of several things that are said about an attempt the first counts, and one of which nothing is said says nothing.

use std::sync::Arc;

use tokio::time::Instant;

use super::breaker::{Admission, Verdict};
use super::endpoint::{Endpoint, Seat};
use crate::failure::Result;

/// An endpoint that was chosen for one attempt, which counts as in flight there until this is dropped.
pub(super) struct Pick {
    seat: Seat,
    admission: Admission,
}

// === impl Pick ===

impl Pick {
    pub(super) fn new(seat: Seat, admission: Admission) -> Pick {
        Pick { seat, admission }
    }

    pub(super) fn endpoint(&self) -> &Arc<Endpoint> {
        self.seat.endpoint()
    }

    /// Says that a stream does well before it has ended, where that is waited for: an endpoint that was left alone is as good as any again.
    pub(super) fn prove(&self) {
        if self.admission.is_probe() {
            self.endpoint().breaker.record(self.admission, Verdict::Success, Instant::now());
        }
    }

    /// Says what came of the attempt, once. Of a caller in a hurry, see [`Request::hurried`](super::Request::hurried).
    pub(super) fn record<T>(&self, answer: &Result<T>, hurried: bool) {
        let endpoint = self.endpoint();
        let verdict = match answer {
            Ok(_) => Verdict::Success,
            Err(failure) => Verdict::of(failure, endpoint.breaker.spec(), hurried),
        };
        if verdict == Verdict::Failure {
            endpoint.count_failure();
        }
        endpoint.breaker.record(self.admission, verdict, Instant::now());
    }
}

impl Drop for Pick {
    /// An attempt that nobody waits for any more says nothing.
    fn drop(&mut self) {
        self.endpoint().breaker.give_up(self.admission);
    }
}
