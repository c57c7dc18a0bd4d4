//! Messages nobody asked for: to sessions, users, topics, everyone.
//!
//! A [`Hub`] is what one node knows of topics and who hears them; nodes hear each other through the store. Promises: a push is encoded once
//! for each codec, however many get it; the order of a topic is the same for everybody; what was missed is made good or said to be lost.
//!
//! What is declared:
//! - `declared`: topics, and all there is; `rules`: pushes
//!
//! Topics:
//! - `entry`: what travels; `history`: what is kept of it, in the store
//! - `topic`: one topic on this node; `hub`: all of them; `listen`: the task that hears one
//! - `heard`: what one session hears; `presence`: who is in a topic on all nodes
//!
//! Users and everyone:
//! - `inbox`: durable pushes, kept until a client of the user has them; `everyone`: every session of every node
//!
//! What became of it:
//! - `written`: whether it was written to the sockets of those who hear it
//!
//! What an operator asks:
//! - `listing`: the topics of this node
//!
//! Who pushes:
//! - `api`: the PushService, by which services push
//! - `door`: who may

pub mod api;
pub mod declared;
pub mod door;
pub mod entry;
pub mod heard;
pub mod rules;

mod everyone;
mod history;
mod hub;
mod inbox;
mod listen;
mod listing;
mod node;
mod presence;
mod topic;
mod written;

#[cfg(test)]
mod tests;

pub use entry::Position;
pub use heard::{Prepared, Resumption};
pub use hub::Hub;

/// The messages of `proto/protogate/push/v1/push.proto`.
pub mod v1 {
    tonic::include_proto!("protogate.push.v1");
}
