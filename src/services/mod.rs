//! The services that live in this process.
//!
//! They are ordinary gRPC services: reached only through [`backend`](crate::backend), and able to run alone.

pub mod auth;
pub mod echo;

use tokio::runtime::Handle;

use crate::backend::Builtins;

/// The names that `builtin:` in a route file may use.
pub const NAMES: &[&str] = &["echo"];

/// All of them, under [`NAMES`]. They run on `back_room`.
pub fn builtins(back_room: Handle) -> Builtins {
    let mut builtins = Builtins::new(back_room);
    builtins.add("echo", echo::service());
    builtins
}
