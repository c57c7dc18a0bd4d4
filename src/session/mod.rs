//! Who is connected, whatever the transport.
//!
//! A session is an authenticated user's presence. It outlives a connection: whoever comes back in time goes on with it, on any node.
//! Promises: knows no socket; a session has at most one connection, the newest; it is listed as long as its guard lives or its client may
//! come back; nobody waits for a slow client.
//!
//! What everybody agrees on:
//! - `identity`: what a good token says
//! - `roster`: all sessions of one user, one document in the store
//! - `revocation`: what is no longer believed
//! - `secret`: what resumes a session
//!
//! What a node does about it:
//! - `sessions`: making, refreshing, ending; `resume`: coming back; over `rosters`, the rosters in the store
//! - `grant`: what a connection is given; `line`: the way to it; `live`, `ring`, `registry`: a session here, what its client has not got, where to
//!   find it
//! - `push`, `publication`: messages that nobody asked for; `receipt`, `asking`: whether they were written; `operate`: what an operator asks;
//!   `connected`: connections, as an operator sees them
//! - `node`: what goes on in the background between this node, the store, and other nodes; it is `lease`, `notices`, `letter` with `moved`, and `storing`
//!
//! What waits for a client:
//! - `outbox`: what waits to be written to one connection, in `outbox/lane` the pushes, in `outbox/room` what gives way, in `outbox/mark` what was
//!   written
//! - `budget`: the bounds that all outboxes share; `bell`: how the connections of a worker are woken from other threads

pub mod bell;
pub mod budget;
pub mod connected;
pub mod identity;
pub mod live;
pub mod outbox;
pub mod publication;
pub mod receipt;
pub mod registry;
pub mod revocation;
pub mod ring;
pub mod roster;
pub mod secret;

mod asking;
mod grant;
mod lease;
mod letter;
mod line;
mod moved;
mod node;
mod notices;
mod operate;
mod push;
mod reconcile;
mod resume;
mod rosters;
mod sessions;
mod storing;

#[cfg(test)]
mod tests;

pub use asking::{Asking, Question};
pub use budget::Budget;
pub use connected::{Connected, Connections};
pub use grant::{Admitted, Attachment, Grant, Held, Leaving};
pub use identity::Identity;
pub use line::Line;
pub use live::Session;
pub use node::Node;
pub use outbox::{Full, Outbox, Ready};
pub use publication::{OnSlow, Publication};
pub use push::{Place, Reached};
pub use receipt::{Counts, Handed, Keeping, Pending};
pub use sessions::{PATIENCE, SessionSettings, Sessions};
