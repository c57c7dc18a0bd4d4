//! What is counted of pushes.

use super::histogram::Histogram;
use super::labels::Dropped;
use super::tally::{Counter, Tally};

/// What was asked to be pushed, and how it came here.
#[derive(Default)]
pub struct PushCounters {
    /// Messages, however many get each.
    pub published: Counter,
    /// What an effect was to publish, and could not.
    pub unpublished: Counter,
    /// From the node that published to this one.
    pub lag: Histogram,
}

/// What was given to connections.
#[derive(Default)]
pub struct OutboxCounters {
    /// Messages that were put into outboxes, once for each.
    pub delivered: Counter,
    /// Those that were taken out again, or never put in.
    pub dropped: Tally<Dropped>,
}
