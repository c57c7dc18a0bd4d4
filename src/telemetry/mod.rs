//! What the operator sees.
//!
//! - `log`: the log on standard error
//! - `seldom`: what happens often and is said now and then
//! - `counters`: what is counted on the data path
//! - `observers`: who hears of every call that ends: `errors`, `taps`, `tracer`
//! - `trace`: which trace a call belongs to

pub mod counters;
pub mod errors;
pub mod log;
pub mod observers;
pub mod seldom;
pub mod taps;
pub mod trace;
pub mod tracer;
