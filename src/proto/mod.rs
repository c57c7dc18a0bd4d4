//! Messages: their types, known only at run time, and everything the gateway does with their bytes.
//!
//! This is the only room that names prost-reflect and protox. What leaves it are names, numbers, bytes and text.
//! Promises: work is bounded per input byte, whoever wrote the bytes; what the gateway reads from a message is what the backend
//! will read from it; nothing here prints a reflected value with `{:?}` (a recursive type would overflow the stack), so the types
//! that hold one have no `Debug`.
//!
//! Types: [`Pools`] loads of [`DescriptorSource`]s what is [`Wanted`] into a [`Pool`], which is asked for a [`Method`] or a [`MessageType`].
//! - `survey` looks at every file and keeps what it declares: `declared`, found by `scan` in a text. All of it is the [`Index`]
//! - `wanted` says what somebody needs; of that and what it imports `source` parses the files, `link` makes one pool of them, and `blame`
//!   finds the place of what is wrong. What came of it is [`Loaded`]; `parallel` does such work on a few threads
//! - `set`: the files that a server tells, as a lock holds them
//! - `service`: all of them; `method`, `path`: what routes refer to
//! - `comments`, `sample`: what people are told of a message that they fill in; `describe`, `example`: in a reference
//! - `closure`: a hash of everything reachable from some types; `reached`: the files that declare it
//! - `compatibility`: whether what one version of a message wrote is read by another
//!
//! Bytes:
//! - `read`: the wire format itself
//! - `program`, `walk`, `value`: checks a message in one pass without allocating, and reads the fields a route needs
//! - `rules`: the rules of `buf.validate` that a message must keep
//! - `stamp`: writes a field that the client must not choose
//! - `expectation`, `texts`, `submessage`: whether a field holds what an operator wrote, all texts under a path, one message inside
//! - `redact`, `secret`: hides fields before a message is shown
//!
//! Text:
//! - `transcode`, `print_json`, `strict_json`: canonical JSON, both ways

mod blame;
mod closure;
mod comments;
mod compatibility;
mod declared;
mod describe;
mod example;
mod expectation;
mod index;
mod link;
mod loaded;
mod method;
mod parallel;
mod path;
mod pool;
mod print_json;
mod program;
mod reached;
mod read;
mod redact;
mod rules;
mod sample;
mod scan;
mod secret;
mod service;
mod set;
mod source;
mod stamp;
mod strict_json;
mod submessage;
mod survey;
mod texts;
mod transcode;
mod value;
mod walk;
mod wanted;

#[cfg(test)]
mod tests;

pub use closure::closure_hash;
pub use compatibility::{Alteration, Codec, Compatibility, VALIDATION, Verdict, Way};
pub use declared::{Declared, DeclaredMethod, DeclaredService, Extended};
pub use describe::{Described, DescribedEnum, DescribedField, DescribedMessage, DescribedValue, describe};
pub use example::{Example, example};
pub use expectation::{Expectation, Scalar};
pub use index::{Index, IndexedFile};
pub use loaded::{Loaded, Missing};
pub use method::{Kind, MessageType, Method};
pub use path::{FieldKind, FieldPath, PathProblem};
pub use pool::{Pool, Pools};
pub use reached::Reached;
pub use redact::Redact;
pub use rules::{RuleProblem, VIOLATIONS_MAX, Violation, Violations};
pub use sample::{Field, Named, Sample};
pub use secret::secret_paths;
pub use service::Service;
pub use set::{Change, Changed, FileSet, SetFile, is_bundled, is_full_name};
pub use source::DescriptorSource;
pub use stamp::{Stamp, Unconvertible, copy_stamped};
pub use submessage::Submessage;
pub use texts::Texts;
pub use transcode::{any_to_json, detail_to_json, from_json, to_json};
pub use value::{Value, Values};
pub use walk::{DEPTH_MAX, ELEMENTS_MAX, Flaw, UNKNOWN_MAX, UnknownFields, Walk, WalkOptions, WalkProblem};
pub use wanted::{Pattern, Wanted};
