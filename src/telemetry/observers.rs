//! Who hears of every call that ends. There is one of it in a gateway, and every table holds it.

use std::sync::Arc;

use super::chance::Chance;
use super::counters::RouteCounters;
use super::edge_counters::EdgeCounters;
use super::errors::Errors;
use super::tally::Population;
use super::taps::Taps;
use super::tracer::Tracer;

/// What observes calls, beside the counters that each route has.
#[derive(Default)]
pub struct Observers {
    pub errors: Errors,
    pub taps: Taps,
    pub tracer: Tracer,
    /// What is counted of calls whose numbers are not routed, and of a route that is called as they are.
    pub unrouted: Arc<RouteCounters>,
    pub edge: EdgeCounters,
    /// Tables that somebody holds.
    pub tables: Population,
    /// Whether a success is part of the sample that is logged.
    pub chance: Chance,
}
