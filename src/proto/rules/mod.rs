//! The rules of `buf.validate` that stand in descriptors: compiled once for each message type, and run over the bytes of a message.
//!
//! Promises: what is judged is the message as protobuf decodes it (the last occurrence wins, occurrences of a message merge, a member of a
//! oneof clears the others), so a backend that decodes and validates comes to the same answer; a message that breaks nothing costs no
//! allocation while its types have at most [`judge::INLINE`] fields with rules, none of them a map or `unique`; a type without rules
//! costs nothing; no value that a client sent is in a violation.
//!
//! - `options`: takes the rules out of descriptors while they are linked
//! - `compile`, `field`, `types`: makes programs of them, and says which cannot be enforced
//! - `check`, `constant`, `pattern`, `formats`, `uri`: what is asked of one value
//! - `judge`: runs a program; `violations`: what it found
//! - `told`: what is asked, in words, before anybody breaks it

mod check;
mod compile;
mod constant;
mod field;
mod formats;
mod judge;
mod options;
mod pattern;
mod told;
mod types;
mod uri;
mod violations;

pub(super) use compile::Rules;
pub(super) use judge::judge;
pub(super) use options::{Options, add_import};
pub(super) use told::{About, Told};
pub use violations::{VIOLATIONS_MAX, Violation, Violations};

/// A rule in a descriptor that cannot be enforced.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct RuleProblem {
    /// The full name of the field, message or oneof that has the rule.
    pub subject: String,
    /// Such as `string.pattern`.
    pub rule: String,
    pub why: String,
}
