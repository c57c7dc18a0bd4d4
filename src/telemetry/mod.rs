//! What the operator sees.
//!
//! - `log`: the log on standard error
//! - `verbosity`: how much it says for now
//! - `seldom`: what happens often and is said now and then
//! - `counters`: what is counted on the data path
//! - `observers`: who hears of every call that ends: `errors`, `taps`, `tracer`

pub mod counters;
pub mod errors;
pub mod log;
pub mod observers;
pub mod seldom;
pub mod taps;
pub mod tracer;
pub mod verbosity;
