//! What is counted on the data path.
//!
//! Promises: nothing waits for anything, and no text is looked at: an end is counted by the number of its code or of the gateway's reason.
//! A service chooses its own reasons, possibly from what clients wrote, so they are all one here.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::histogram::{Histogram, Spread};
use super::tally::Counter;
use crate::failure::{Code, Failure, Reason};
use crate::id::WorkerId;

/// Codes; a place each, of which that of OK is for what succeeded and the others for what services answered.
const CODES: usize = Code::ALL.len();

/// The ways to end: by a code, or by a reason of ours.
const ENDS: usize = CODES + Reason::ALL.len();

/// What stands for the reason of a success, and for all of those that services give.
const OK: &str = "OK";
const BACKEND: &str = "BACKEND";

/// The name of the route that stands for all numbers which are not routed.
pub const UNKNOWN: &str = "unknown";

/// Shares of a route's counters. Workers beyond that share with others, which is right, and a little slower.
const SHARES: usize = 8;

/// What is counted of one route. It outlives tables: a route of the same name goes on counting.
///
/// Each worker counts in a share of its own, made when it first has a call of the route: no worker waits for another's memory, and a route
/// that nobody calls is small.
#[derive(Default)]
pub struct RouteCounters([OnceLock<Box<Share>>; SHARES]);

/// What one worker counts of a route.
#[repr(align(64))]
pub struct Share {
    ends: [AtomicU64; ENDS],
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
    inward: Counter,
    /// To clients.
    outward: Counter,
}

/// What all workers have counted of a route, as plain numbers.
pub struct Counts {
    ends: [u64; ENDS],
    /// From clients, and to them.
    pub bytes: [u64; 2],
    pub messages: [u64; 2],
    pub took: Spread,
    pub queued: Spread,
    pub backend: Spread,
}

/// A way to end, and how often that happened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ends {
    pub code: Code,
    pub reason: &'static str,
    pub count: u64,
}

// === impl RouteCounters ===

impl RouteCounters {
    /// Where this worker counts.
    pub fn of(&self, worker: WorkerId) -> &Share {
        self.0[worker.0 % SHARES].get_or_init(Box::default)
    }

    /// How many calls and streams have ended, without the rest that is counted of them.
    pub fn calls(&self) -> u64 {
        let shares = self.0.iter().filter_map(OnceLock::get);
        shares.flat_map(|share| &share.ends).map(|count| count.load(Relaxed)).sum()
    }

    /// What all have counted together.
    pub fn sum(&self) -> Counts {
        let mut sum = Counts::default();
        self.0.iter().filter_map(OnceLock::get).for_each(|share| sum.add(share));
        sum
    }
}

// === impl Share ===

impl Default for Share {
    fn default() -> Share {
        Share {
            ends: std::array::from_fn(|_| AtomicU64::new(0)),
            bytes: Both::default(),
            messages: Both::default(),
            took: Histogram::default(),
            queued: Histogram::default(),
            backend: Histogram::default(),
        }
    }
}

impl Share {
    /// A call or a stream ended so.
    pub fn count(&self, outcome: Result<(), &Failure>) {
        let place = match outcome {
            Ok(()) => Code::Ok as usize,
            Err(failure) => failure.gateway_reason().map_or(failure.code() as usize, |reason| CODES + reason as usize),
        };
        self.ends[place].fetch_add(1, Relaxed);
    }
}

// === impl Counts ===

impl Default for Counts {
    fn default() -> Counts {
        let (took, queued, backend) = (Spread::default(), Spread::default(), Spread::default());
        Counts { ends: [0; ENDS], bytes: [0; 2], messages: [0; 2], took, queued, backend }
    }
}

impl Counts {
    fn add(&mut self, share: &Share) {
        self.ends.iter_mut().zip(&share.ends).for_each(|(sum, count)| *sum += count.load(Relaxed));
        self.bytes.iter_mut().zip(share.bytes.get()).for_each(|(sum, count)| *sum += count);
        self.messages.iter_mut().zip(share.messages.get()).for_each(|(sum, count)| *sum += count);
        self.took.add(&share.took.spread());
        self.queued.add(&share.queued.spread());
        self.backend.add(&share.backend.spread());
    }

    /// Every way to end, first success; those that never happened too.
    pub fn ends(&self) -> impl Iterator<Item = Ends> {
        let codes = Code::ALL.iter().map(|code| (*code, if *code == Code::Ok { OK } else { BACKEND }));
        let reasons = Reason::ALL.iter().map(|reason| reason.parts());
        codes.chain(reasons).zip(&self.ends).map(|((code, reason), count)| Ends { code, reason, count: *count })
    }

    /// How many calls and streams ended.
    pub fn calls(&self) -> u64 {
        self.ends.iter().sum()
    }

    /// How many of them failed.
    pub fn failures(&self) -> u64 {
        self.calls() - self.ends[Code::Ok as usize]
    }
}

// === impl Both ===

impl Both {
    /// So many from clients, and so many to them.
    pub fn add(&self, inward: u64, outward: u64) {
        self.inward.add(inward);
        self.outward.add(outward);
    }

    fn get(&self) -> [u64; 2] {
        [self.inward.get(), self.outward.get()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_is_counted_by_its_code_and_our_reason_whatever_a_service_says() {
        let counters = RouteCounters::default();
        let (share, another) = (counters.of(WorkerId(0)), counters.of(WorkerId(1)));
        share.count(Ok(()));
        another.count(Err(&Failure::gateway(Reason::RateLimited, "")));
        for reason in ["RATE_LIMITED", "anything", "\"} 1"] {
            share.count(Err(&Failure::backend(Code::ResourceExhausted, Some(reason.to_owned()), String::new(), Vec::new())));
        }
        let happened: Vec<_> =
            counters.sum().ends().filter(|ends| ends.count > 0).map(|ends| (ends.code, ends.reason, ends.count)).collect();
        let expected = [(Code::Ok, "OK", 1), (Code::ResourceExhausted, "BACKEND", 3), (Code::ResourceExhausted, "RATE_LIMITED", 1)];
        assert_eq!(happened, expected);
        assert_eq!((counters.sum().calls(), counters.sum().failures(), counters.calls()), (5, 4, 5));
    }

    #[test]
    fn a_route_is_not_much() {
        assert!(size_of::<RouteCounters>() <= 128, "{}", size_of::<RouteCounters>());
        assert!(size_of::<Share>() <= 1024, "{}", size_of::<Share>());
    }
}
