//! How a call went, as clients see it.
//!
//! Promise: a [`Status`] made from a [`Failure`] holds its public half only; the private cause has no way in.

use std::time::Duration;

use prost_types::Any;

use crate::failure::{Code, Failure, Source};

/// The `Status` of `wire.proto`.
#[derive(Clone, PartialEq, Debug)]
pub struct Status {
    /// google.rpc.Code; a number, because a peer may know codes that we do not.
    pub code: u32,
    pub reason: String,
    pub message: String,
    pub retry_after_ms: u32,
    pub source: Source,
    /// At most 64 are read.
    pub details: Vec<Detail>,
}

/// What a backend added to its failure.
#[derive(Clone, Default, PartialEq, Debug)]
pub struct Detail {
    /// The detail as the backend wrote it. `value` is empty in a detail that was read from JSON, which has only the text.
    pub any: Any,
    /// The whole JSON object, `@type` included, where somebody knew the type. Without it JSON clients see the bytes in base64.
    pub json: Option<String>,
}

// === impl Status ===

impl Default for Status {
    /// A good end: code 0, nothing more to say.
    fn default() -> Status {
        Status {
            code: Code::Ok.number(),
            reason: String::new(),
            message: String::new(),
            retry_after_ms: 0,
            source: Source::Gateway,
            details: Vec::new(),
        }
    }
}

impl From<&Failure> for Status {
    fn from(failure: &Failure) -> Status {
        Status {
            code: failure.code().number(),
            reason: failure.reason().to_owned(),
            message: failure.message().to_owned(),
            retry_after_ms: failure.wait().map_or(0, milliseconds),
            source: failure.source(),
            details: failure.details().iter().map(|any| Detail { any: any.clone(), json: None }).collect(),
        }
    }
}

/// Rounded up, so that whoever waits exactly this long does not come too early; 0 would state nothing at all.
fn milliseconds(wait: Duration) -> u32 {
    u32::try_from(wait.as_nanos().div_ceil(1_000_000)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::Reason;

    #[test]
    fn a_private_cause_stays_private() {
        let failure = Failure::gateway(Reason::RateLimited, "slow down").because("bucket 17").retry_after(Duration::from_micros(1));
        let status = Status::from(&failure);
        assert_eq!((status.code, &*status.reason, status.retry_after_ms), (8, "RATE_LIMITED", 1));
        assert!(!format!("{status:?}").contains("17"));
    }

    #[test]
    fn a_wait_beyond_the_field_is_the_longest_wait() {
        assert_eq!(milliseconds(Duration::MAX), u32::MAX);
        assert_eq!(milliseconds(Duration::from_millis(50)), 50);
    }
}
