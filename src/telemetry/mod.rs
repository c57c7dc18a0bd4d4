//! What the operator sees.
//!
//! - `log`: the log on standard error
//! - `line`: one event, one line, without tokens and with a bound
//! - `mask`: what looks like a secret is taken out of a text
//! - `chance`: what is done about some of many
//! - `seldom`: what happens often and is said now and then
//! - `counters`: what is counted on the data path
//! - `observers`: who hears of every call that ends: `errors`, `taps`, `tracer`

pub mod chance;
pub mod counters;
pub mod errors;
mod line;
pub mod log;
pub mod mask;
pub mod observers;
pub mod seldom;
pub mod taps;
pub mod tracer;
