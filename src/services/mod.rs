//! The services that live in this process.
//!
//! They are ordinary gRPC services: reached only through [`backend`](crate::backend), and able to run alone.

pub mod alone;
pub mod auth;
pub mod echo;
pub mod mail;
pub mod notify;
pub mod pusher;

mod documents;
mod refusal;
mod unary;

use std::path::PathBuf;

use tokio::runtime::Handle;

use crate::backend::Builtins;
use crate::clock::Clock;
use crate::pipeline::signing::SigningCell;
use crate::store::Store;
use pusher::Pusher;

/// The names that `builtin:` in a route file may use.
pub const NAMES: &[&str] = &["auth", "echo", "notify"];

/// What the services stand on.
#[derive(Clone)]
pub struct Context {
    pub store: Store,
    pub clock: Clock,
    /// How tokens are signed now.
    pub signing: SigningCell,
    /// What the configuration says about accounts now.
    pub accounts: auth::SettingsCell,
    /// The folder for mail in development; made when there is a mail.
    pub outbox: PathBuf,
}

/// All of them, under [`NAMES`]. They run on `back_room`, and reach clients by `pusher`.
pub fn builtins(back_room: Handle, context: Context, pusher: Pusher) -> Builtins {
    let mut builtins = Builtins::new(back_room.clone());
    builtins.add("auth", auth::service(context.clone(), &back_room));
    builtins.add("echo", echo::service());
    builtins.add("notify", notify::service(&context, pusher, &back_room));
    builtins
}

/// All of them over a store in memory, pushing to nobody.
#[cfg(test)]
pub fn builtins_in_memory() -> Builtins {
    builtins(Handle::current(), Context::in_memory(), pusher::testing::Recorder::default().pusher())
}

#[cfg(test)]
impl Context {
    /// Over a store in memory, without a signing key.
    pub fn in_memory() -> Context {
        let clock = Clock::system();
        let store = Store::new(crate::store::memory::Memory::new(clock.clone()));
        Context { store, clock, signing: SigningCell::default(), accounts: auth::SettingsCell::default(), outbox: PathBuf::new() }
    }
}
