//! Why tokens are refused, and how often each: for the operator alone.
//!
//! Promises: the set of causes is fixed, so that no client can add a label; counting costs one relaxed addition.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

macro_rules! causes {
    ($($(#[doc = $doc:literal])+ $name:ident = $label:literal;)+) => {
        /// What is wrong with a token.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        pub enum Cause { $($(#[doc = $doc])+ $name,)+ }

        impl Cause {
            /// Every cause, in the order of their numbers.
            pub const ALL: &[Cause] = &[$(Cause::$name,)+];

            /// The name in statistics and logs.
            pub fn name(self) -> &'static str {
                match self { $(Cause::$name => $label,)+ }
            }
        }
    };
}

causes! {
    /// Its time is over.
    Expired = "expired";
    /// Its time has not begun, or it says that it was issued in the future.
    NotYetValid = "not_yet_valid";
    /// No issuer of this name is believed.
    UnknownIssuer = "unknown_issuer";
    /// It states another algorithm than its issuer's.
    WrongAlgorithm = "wrong_algorithm";
    /// It names none of its issuer's keys.
    UnknownKey = "unknown_key";
    /// The issuer's keys have never been fetched.
    NoKeys = "no_keys";
    /// The signature is not that of the key.
    BadSignature = "bad_signature";
    /// It is no token at all.
    Malformed = "malformed";
    /// It is longer than any token.
    TooLarge = "too_large";
    /// A claim is missing, or of the wrong type, or says too much.
    BadClaims = "bad_claims";
    /// It asks for an extension that is not known.
    CriticalHeader = "critical_header";
    /// It is for somebody else.
    WrongAudience = "wrong_audience";
    /// An API key that is not listed.
    UnknownApiKey = "unknown_api_key";
    /// A good token of another user, where the same user's was asked for.
    WrongUser = "wrong_user";
    /// It was good, and was revoked.
    Revoked = "revoked";
}

/// How many tokens were refused, by cause. One for the life of a gateway.
#[derive(Default)]
pub struct Refusals([AtomicU64; Cause::ALL.len()]);

// === impl Refusals ===

impl Refusals {
    pub fn count(&self, cause: Cause) {
        self.0[cause as usize].fetch_add(1, Relaxed);
    }

    pub fn of(&self, cause: Cause) -> u64 {
        self.0[cause as usize].load(Relaxed)
    }

    /// Every cause with its number, those that never happened too.
    pub fn all(&self) -> impl Iterator<Item = (&'static str, u64)> {
        Cause::ALL.iter().map(|cause| (cause.name(), self.of(*cause)))
    }
}
