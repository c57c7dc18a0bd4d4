//! Protobuf messages that are known only at run time: descriptors, and what can be done with a message's bytes.
//!
//! This is the only room that names the reflection library and the .proto compiler. No type that leaves it prints a descriptor.
//!
//! - `source`: reading folders of .proto files, and descriptor sets
//! - `compile`: from files to one pool: imports across sources, conflicts
//! - `pool`: the message types and methods of one configuration, shared between reloads
//! - `message`: what others know about a message type and a method
//! - `path`: field paths such as `room.id`
//! - `closure`: one hash over everything that messages can contain
//! - `transcode`: between the wire form and canonical JSON
//! - `json`: writing canonical JSON
//! - `strict`: the checks on JSON that the reflection library does not make
//! - `walk`: reads a message's bytes once: whole, within bounds, and the few values that a route asks about
//! - `stamp`: copies a message with fields set by the gateway
//! - `redact`: masks what must not be shown
//! - `program`, `raw`: what the three share: types compiled to tables of numbers, and the pieces of the wire format

pub mod redact;
pub mod stamp;
pub mod transcode;
pub mod walk;

mod closure;
mod compile;
mod json;
mod message;
mod path;
mod pool;
mod program;
mod raw;
mod source;
mod strict;

#[cfg(test)]
mod fixture;

pub use closure::closure_hash;
pub use message::{Kind, MessageType, Method};
pub use path::{FieldKind, FieldPath, PathProblem};
pub use pool::{Missing, Pool, Pools};
pub use redact::Redact;
pub use source::DescriptorSource;
pub use stamp::{Stamp, Unconvertible, copy_stamped};
pub use walk::{UnknownPolicy, Value, Values, Walk, WalkOptions, WalkProblem};
