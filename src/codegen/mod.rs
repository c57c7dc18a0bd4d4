//! Typed clients out of a table: what is written, and where.
//!
//! Promises: the same table makes the same files; what is not within reach of clients is in none of them; a file that we did not write is
//! not written over, and nothing is written outside of the folder that was named.
//!
//! - `package`: files, and how they come to lie in a folder
//! - `typescript`: the messages, the table and the client for TypeScript

mod package;
pub mod typescript;

pub use package::{Package, Written};

/// Why there is no client.
#[derive(Debug)]
pub struct Problem(String);

// === impl Problem ===

impl Problem {
    fn new(what: impl Into<String>) -> Problem {
        Problem(what.into())
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}
