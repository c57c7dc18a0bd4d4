//! What is counted on the data path.

/// What is counted of one route. It outlives tables: a route of the same name goes on counting.
#[derive(Default)]
pub struct RouteCounters {}
