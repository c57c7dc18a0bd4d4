//! Mutations of configurations that are right: every kind at every place where it applies, one at a time.
//!
//! A harmful one is found on its line, by a rule that fits; a harmless one changes nothing. What is mutated is the configuration that is
//! shipped, and one that says most of what can be said (`tests/mutations/whole`). A kind is a function with a name that reads as a promise;
//! how many places it must at least be tried at stands beside it, so that none comes to nothing unseen.
//!
//! A binary of its own: it keeps the processors busy, and nothing that is about time is tried beside it.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, clippy::disallowed_types)] // A test that cannot go on says so by panicking; how long it took is told.

mod corpus;
mod harmful;
mod harmless;
mod kinds;
mod secrets;
mod valid;
mod yaml;

use std::path::PathBuf;

/// The top of the project.
fn top() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}
