//! `protogate diff`: what another configuration would do otherwise, and whether clients would break.

use clap::Args;

use super::Exit;

/// What another configuration would do otherwise, and whether clients would break.
///
/// Example: protogate diff
#[derive(Args)]
pub struct Diff {}

// === impl Diff ===

impl Diff {
    pub fn run(self) -> Result<(), Exit> {
        Err(Exit::new(1, "error: this command is being built"))
    }
}
