//! What stands between asking and calling.
//!
//! Each stage is a plain function or value that dispatch uses in order: who asks (`auth`, `call`), may they (`permission`), how often
//! (`rate_limit`), what may come along (`metadata`); and afterwards what is written down about it (`access_log`). Promises: a stage refuses
//! with a [`Failure`](crate::failure::Failure) or lets pass; what a call goes through does no I/O, reads no clock and waits for nothing;
//! none knows a socket, a backend or protobuf. Tokens are looked at in the back room, where key sets are fetched and may be waited for.
//!
//! - `call`: the caller, with the permissions it was found to have
//! - `told`: the caller as backends are told
//! - `auth`: tokens into identities, over `issuer`, `keys` and `claims`, and `api_key`
//! - `refused`, `cause`: tokens that are not believed, and how many
//! - `key_set`, `fetch`: keys that an issuer publishes
//! - `signer`, `signing`, `public_key`: tokens of our own
//! - `permission`: roles into permissions
//! - `rate_limit`: limits by key, over `gcra` and `buckets`; `limited`: who is refused just now
//! - `metadata`: which of a client's metadata may pass
//! - `access_log`: one event per call

pub mod access_log;
pub mod api_key;
pub mod auth;
pub mod call;
pub mod cause;
pub mod fetch;
pub mod issuer;
pub mod key_set;
pub mod metadata;
pub mod permission;
pub mod public_key;
pub mod rate_limit;
pub mod refused;
pub mod signer;
pub mod signing;
pub mod told;

mod buckets;
mod claims;
mod gcra;
mod keys;
mod limited;

pub use crate::session::identity::{self, Identity};
pub use auth::Verifier;
pub use call::Caller;
pub use permission::{Grants, PermissionId, Permissions};
pub use rate_limit::{Facts, LimitSpec, LimitUse, Limiter};
pub use signer::Signer;
