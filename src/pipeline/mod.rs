//! What stands between asking and calling.
//!
//! Each stage is a plain function or value that dispatch uses in order: who asks (`auth`, `call`), may they (`permission`), how often
//! (`rate_limit`), what may come along (`metadata`); and afterwards what is written down about it (`access_log`). Promises: a stage refuses
//! with a [`Failure`](crate::failure::Failure) or lets pass; none of them does I/O, reads a clock or waits; none knows a socket, a
//! backend or protobuf.
//!
//! - `call`: the caller, with the permissions it was found to have
//! - `told`: the caller as backends are told
//! - `auth`: tokens into identities, over `keys` and `claims`; `verification` for whoever can wait
//! - `signer`, `signing`: tokens of our own
//! - `permission`: roles into permissions
//! - `rate_limit`: limits by key, over `gcra` and `buckets`
//! - `metadata`: which of a client's metadata may pass
//! - `access_log`: one event per call

pub mod access_log;
pub mod auth;
pub mod call;
pub mod metadata;
pub mod permission;
pub mod rate_limit;
pub mod signer;
pub mod signing;
pub mod told;
pub mod verification;

mod buckets;
mod claims;
mod gcra;
mod keys;

pub use crate::session::identity::{self, Identity};
pub use auth::Verifier;
pub use call::Caller;
pub use permission::{Grants, PermissionId, Permissions};
pub use rate_limit::{Facts, LimitSpec, LimitUse, Limiter};
pub use signer::Signer;
