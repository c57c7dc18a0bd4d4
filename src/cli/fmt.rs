//! `protogate fmt`: the files of the configuration in one layout.

use clap::Args;

use super::Exit;

/// The files of the configuration in one layout.
///
/// Example: protogate fmt
#[derive(Args)]
pub struct Fmt {}

// === impl Fmt ===

impl Fmt {
    pub fn run(self) -> Result<(), Exit> {
        Err(Exit::new(1, "error: this command is being built"))
    }
}
