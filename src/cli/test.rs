//! `protogate test`: the tests that a team writes for its routes.

use clap::Args;

use super::Exit;

/// The tests that a team writes for its routes.
///
/// Example: protogate test
#[derive(Args)]
pub struct Test {}

// === impl Test ===

impl Test {
    pub fn run(self) -> Result<(), Exit> {
        Err(Exit::new(1, "error: this command is being built"))
    }
}
