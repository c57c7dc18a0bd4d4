//! Who is connected, whatever the transport.
//!
//! So far a session is its connection, and what lives here is what others may do to a connection without knowing its socket:
//! put messages into its outbox, or ask it to end. There is no registry, no resumption and no push yet.
//!
//! - `outbox`: what waits to be written to one connection
//! - `budget`: the bounds that all outboxes share
//! - `revocation`: what is no longer believed

pub mod budget;
pub mod outbox;
pub mod revocation;

pub use budget::Budget;
pub use outbox::{Full, Outbox, Ready};
