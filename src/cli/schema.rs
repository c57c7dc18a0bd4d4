//! `protogate schema`: the grammar for editors.

use clap::Args;

use super::Exit;

/// The grammar for editors.
///
/// Example: protogate schema
#[derive(Args)]
pub struct Schema {}

// === impl Schema ===

impl Schema {
    pub fn run(self) -> Result<(), Exit> {
        Err(Exit::new(1, "error: this command is being built"))
    }
}
