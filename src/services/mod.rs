//! The services that live in this process.
//!
//! They are ordinary gRPC services: reached only through [`backend`](crate::backend), and able to run alone.

pub mod alone;
pub mod auth;
pub mod chat;
pub mod echo;
pub mod game;
pub mod hasher;
pub mod mail;
pub mod notify;
pub mod pusher;
pub mod registrar;

mod documents;
mod refusal;
mod unary;

use std::path::PathBuf;
use std::sync::Arc;

use tokio::runtime::Handle;

use crate::backend::Builtins;
use crate::clock::Clock;
use crate::drain::Tasks;
use crate::pipeline::signing::SigningCell;
use crate::store::Store;
use hasher::Hasher;
use pusher::Pusher;

/// The names that `builtin:` in a route file may use.
pub const NAMES: &[&str] = &["auth", "chat", "echo", "game", "notify"];

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

/// All of them, under [`NAMES`]. They run on `back_room`, reach clients by `pusher`, and what they do by themselves ends with `tasks`.
pub fn builtins(back_room: Handle, context: Context, pusher: Pusher, tasks: &Arc<Tasks>) -> Builtins {
    // One, because its bounds are those of the process.
    let hasher = Hasher::new();
    let mut builtins = Builtins::new(back_room.clone());
    builtins.add("auth", auth::service(context.clone(), hasher.clone(), &back_room));
    let Context { store, clock, .. } = context.clone();
    builtins.add("chat", chat::service(store, clock, pusher.clone(), &back_room));
    builtins.add("echo", echo::service());
    builtins.add("notify", notify::service(&context, pusher.clone(), &back_room));
    builtins.add("game", game::service(context, pusher, hasher, &back_room, tasks));
    builtins
}

/// All of them over a store in memory, pushing to nobody, and doing nothing by themselves.
#[cfg(test)]
pub fn builtins_in_memory() -> Builtins {
    builtins(Handle::current(), Context::in_memory(), pusher::testing::Recorder::default().pusher(), &Arc::new(Tasks::new()))
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
