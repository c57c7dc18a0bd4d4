//! Everything that is wrong with a request, gathered before anybody is told.

use super::super::refusal::{Refusal, Result};

/// Of more than so many mistakes the rest is not said.
const SAID_MAX: usize = 32;

/// Fields, and what is wrong with each. Empty at first.
#[derive(Default)]
pub struct Wrong(Vec<(String, String)>);

// === impl Wrong ===

impl Wrong {
    /// `what` goes on after the name of the field: "must be text".
    pub fn say(&mut self, field: impl Into<String>, what: impl Into<String>) {
        if self.0.len() < SAID_MAX {
            self.0.push((field.into(), what.into()));
        }
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Refuses, if anything was said.
    pub fn end(self, reason: &'static str) -> Result<()> {
        if self.0.is_empty() { Ok(()) } else { Err(Refusal::all_invalid(reason, self.0)) }
    }
}
