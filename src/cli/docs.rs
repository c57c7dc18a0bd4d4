//! `protogate docs`: the protocol reference, for those who write clients.

use clap::Args;

use super::Exit;

/// The protocol reference, for those who write clients.
///
/// Example: protogate docs
#[derive(Args)]
pub struct Docs {}

// === impl Docs ===

impl Docs {
    pub fn run(self) -> Result<(), Exit> {
        Err(Exit::new(1, "error: this command is being built"))
    }
}
