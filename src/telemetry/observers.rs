//! Who hears of every call that ends. There is one of it in a gateway, and every table holds it.

use super::chance::Chance;
use super::errors::Errors;
use super::taps::Taps;
use super::tracer::Tracer;

/// What observes calls, beside the counters that each route has.
#[derive(Default)]
pub struct Observers {
    pub errors: Errors,
    pub taps: Taps,
    pub tracer: Tracer,
    /// Whether a success is part of the sample that is logged.
    pub chance: Chance,
}
