//! What the operator sees.
//!
//! - `log`: the log on standard error
//! - `seldom`: what happens often and is said now and then

pub mod log;
pub mod seldom;
