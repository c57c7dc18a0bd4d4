//! `protogate init`: a first configuration out of descriptors.

use clap::Args;

use super::Exit;

/// A first configuration out of descriptors.
///
/// Example: protogate init
#[derive(Args)]
pub struct Init {}

// === impl Init ===

impl Init {
    pub fn run(self) -> Result<(), Exit> {
        Err(Exit::new(1, "error: this command is being built"))
    }
}
