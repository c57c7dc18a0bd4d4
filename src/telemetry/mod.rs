//! What the operator sees.
//!
//! - `log`: the log on standard error
//! - `line`: one event, one line, without tokens and with a bound
//! - `mask`: what looks like a secret is taken out of a text
//! - `chance`: what is done about some of many
//! - `verbosity`: how much it says for now
//! - `seldom`: what happens often and is said now and then
//! - `metrics`: the list of everything that is measured
//! - `tally`, `histogram`, `labels`: what counters are made of
//! - `counters`, `edge_counters`, `push_counters`, `reload_counters`: what is counted, by where
//! - `process`: what the kernel says of this process
//! - `observers`: who hears of every call that ends: `errors`, `taps`, `tracer`
//! - `trace`: which trace a call belongs to

pub mod chance;
pub mod counters;
pub mod edge_counters;
pub mod errors;
pub mod histogram;
pub mod labels;
pub mod line;
pub mod log;
pub mod mask;
pub mod metrics;
pub mod observers;
pub mod process;
pub mod push_counters;
pub mod reload_counters;
pub mod seldom;
pub mod tally;
pub mod taps;
pub mod trace;
pub mod tracer;
pub mod verbosity;
