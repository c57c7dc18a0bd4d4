//! What is counted of connections: how they begin, whether they live, and how they end.

use super::histogram::Histogram;
use super::labels::{Closed, Refused, Resumed};
use super::tally::{Counter, Tally};

/// All of it, of one gateway.
#[derive(Default)]
pub struct EdgeCounters {
    /// Sockets that were accepted, whatever became of them.
    pub accepts: Counter,
    pub refusals: Tally<Refused>,
    pub closes: Tally<Closed>,
    /// Connections that were closed because their clients read too slowly.
    pub slow: Counter,
    /// From the heartbeat's question to its answer.
    pub heartbeat: Histogram,
    pub resumes: Tally<Resumed>,
}

// === impl EdgeCounters ===

impl EdgeCounters {
    /// A connection ended so.
    pub fn close(&self, closed: Closed) {
        self.closes.count(closed);
        if closed == Closed::Slow {
            self.slow.one();
        }
    }
}
