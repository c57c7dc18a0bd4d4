//! What the operator sees.
//!
//! - `log`: the log on standard error
//! - `seldom`: what happens often and is said now and then
//! - `metrics`: the list of everything that is measured
//! - `tally`, `histogram`, `labels`: what counters are made of
//! - `counters`, `edge_counters`, `push_counters`, `reload_counters`: what is counted, by where
//! - `process`: what the kernel says of this process
//! - `observers`: who hears of every call that ends: `errors`, `taps`, `tracer`

pub mod counters;
pub mod edge_counters;
pub mod errors;
pub mod histogram;
pub mod labels;
pub mod log;
pub mod metrics;
pub mod observers;
pub mod process;
pub mod push_counters;
pub mod reload_counters;
pub mod seldom;
pub mod tally;
pub mod taps;
pub mod tracer;
