//! `protogate explain`: what holds for a route and who says so, or what a diagnostic means.

use clap::Args;

use super::Exit;

/// What holds for a route and who says so, or what a diagnostic means.
///
/// Example: protogate explain
#[derive(Args)]
pub struct Explain {}

// === impl Explain ===

impl Explain {
    pub fn run(self) -> Result<(), Exit> {
        Err(Exit::new(1, "error: this command is being built"))
    }
}
