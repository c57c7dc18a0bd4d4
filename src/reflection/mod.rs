//! Descriptors that a backend tells by itself, over gRPC server reflection.
//!
//! They are asked for by a person, who runs `protogate lock` and keeps the answer in a file, the lock; a configuration is compiled from
//! the lock alone, so that a gateway starts when its backends are down and changes its rules when somebody changes a file. A running
//! gateway compares the two now and then, and tells when they differ.
//!
//! Promises: whatever a server answers, asking it ends, in bounded time and memory, with all that its services need or a definite
//! error; equal answers make equal locks; a lock is there whole or not at all.
//!
//! - `asking` asks a server, `question` is what it is asked
//! - `lock` is the file
//! - `drift` is the comparison, off the path of any call

mod asking;
mod drift;
mod lock;
mod question;

#[cfg(test)]
mod tests;

pub use asking::{Bounds, COMMON, Unanswered, ask};
pub use drift::{Agreement, Drift, Looked};
pub use lock::{Locked, lock};
