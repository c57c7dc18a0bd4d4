//! Spans of calls, and where they are sent.

/// Makes spans of calls.
#[derive(Default)]
pub struct Tracer {}
