//! `protogate codegen`: a typed client out of the table.

use clap::Args;

use super::Exit;

/// A typed client out of the table.
///
/// Example: protogate codegen
#[derive(Args)]
pub struct Codegen {}

// === impl Codegen ===

impl Codegen {
    pub fn run(self) -> Result<(), Exit> {
        Err(Exit::new(1, "error: this command is being built"))
    }
}
