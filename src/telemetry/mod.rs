//! What the operator sees.
//!
//! - `log`: the log on standard error

pub mod log;
