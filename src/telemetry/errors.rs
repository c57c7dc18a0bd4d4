//! The book of errors: how often which failure was seen, and the last examples of it.

/// Failures by source, code and reason.
#[derive(Default)]
pub struct Errors {}
