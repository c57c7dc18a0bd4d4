//! Schemas at run time: messages as types, paths, and compiled programs over their bytes.

mod message;
mod path;
mod program;
mod raw;
pub mod redact;
pub mod stamp;
pub mod walk;

#[cfg(test)]
mod fixture;

pub use message::{Kind, MessageType, Method};
pub use path::{FieldKind, FieldPath, PathProblem};
pub use redact::Redact;
pub use stamp::{Stamp, Unconvertible, copy_stamped};
pub use walk::{UnknownPolicy, Value, Values, Walk, WalkOptions, WalkProblem};
