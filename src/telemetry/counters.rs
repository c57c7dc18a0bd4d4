//! What is counted on the data path.
//!
//! Promises: nothing waits for anything, and no text is looked at: an end is counted by the number of its code or of the gateway's reason.
//! A service chooses its own reasons, possibly from what clients wrote, so they are all one here.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::histogram::Histogram;
use super::tally::Counter;
use crate::failure::{Code, Failure, Reason};

/// Codes; a place each, of which that of OK is for what succeeded and the others for what services answered.
const CODES: usize = Code::ALL.len();

/// What stands for the reason of a success, and for all of those that services give.
const OK: &str = "OK";
const BACKEND: &str = "BACKEND";

/// The name of the route that stands for all numbers which are not routed.
pub const UNKNOWN: &str = "unknown";

/// What is counted of one route. It outlives tables: a route of the same name goes on counting.
///
/// What one call touches lies together, in lines of its own: workers that serve the same route share them, others do not.
#[repr(align(64))]
pub struct RouteCounters {
    ends: [AtomicU64; CODES + Reason::ALL.len()],
    pub bytes: Both,
    /// Of streams.
    pub messages: Both,
    /// From the message read to its answer encoded: of calls that were let in.
    pub took: Histogram,
    /// Until the first attempt begins.
    pub queued: Histogram,
    /// From the first attempt's begin to the last one's end: of calls.
    pub backend: Histogram,
}

/// Both directions.
#[derive(Default)]
pub struct Both {
    /// From clients.
    pub inward: Counter,
    /// To clients.
    pub outward: Counter,
}

/// A way to end, and how often that happened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ends {
    pub code: Code,
    pub reason: &'static str,
    pub count: u64,
}

// === impl RouteCounters ===

impl Default for RouteCounters {
    fn default() -> RouteCounters {
        RouteCounters {
            ends: std::array::from_fn(|_| AtomicU64::new(0)),
            bytes: Both::default(),
            messages: Both::default(),
            took: Histogram::default(),
            queued: Histogram::default(),
            backend: Histogram::default(),
        }
    }
}

impl RouteCounters {
    /// A call or a stream ended so.
    pub fn count(&self, outcome: Result<(), &Failure>) {
        let place = match outcome {
            Ok(()) => Code::Ok as usize,
            Err(failure) => failure.gateway_reason().map_or(failure.code() as usize, |reason| CODES + reason as usize),
        };
        self.ends[place].fetch_add(1, Relaxed);
    }

    /// Every way to end, first success; those that never happened too.
    pub fn ends(&self) -> impl Iterator<Item = Ends> {
        let codes = Code::ALL.iter().map(|code| (*code, if *code == Code::Ok { OK } else { BACKEND }));
        let reasons = Reason::ALL.iter().map(|reason| reason.parts());
        codes.chain(reasons).zip(&self.ends).map(|((code, reason), count)| Ends { code, reason, count: count.load(Relaxed) })
    }

    /// How many ended, and how many of them failed.
    pub fn calls(&self) -> (u64, u64) {
        let failed = self.ends().skip(1).map(|ends| ends.count).sum();
        (self.ends[Code::Ok as usize].load(Relaxed) + failed, failed)
    }
}

// === impl Both ===

impl Both {
    pub fn add(&self, inward: u64, outward: u64) {
        self.inward.add(inward);
        self.outward.add(outward);
    }

    /// By the name of the direction.
    pub fn all(&self) -> [(&'static str, u64); 2] {
        [("in", self.inward.get()), ("out", self.outward.get())]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_is_counted_by_its_code_and_our_reason_whatever_a_service_says() {
        let counters = RouteCounters::default();
        let ours = Failure::gateway(Reason::RateLimited, "");
        counters.count(Ok(()));
        counters.count(Err(&ours));
        for reason in ["RATE_LIMITED", "anything", "\"} 1"] {
            counters.count(Err(&Failure::backend(Code::ResourceExhausted, Some(reason.to_owned()), String::new(), Vec::new())));
        }
        let happened: Vec<_> = counters.ends().filter(|ends| ends.count > 0).map(|ends| (ends.code, ends.reason, ends.count)).collect();
        let expected = [(Code::Ok, "OK", 1), (Code::ResourceExhausted, "BACKEND", 3), (Code::ResourceExhausted, "RATE_LIMITED", 1)];
        assert_eq!(happened, expected);
        assert_eq!(counters.calls(), (5, 4));
    }

    #[test]
    fn a_route_is_not_much() {
        assert!(size_of::<RouteCounters>() <= 1024, "{}", size_of::<RouteCounters>());
    }
}
