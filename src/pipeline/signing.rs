//! What the auth service signs with, as the live configuration says.
//!
//! The table's `link` sets it, the service reads it for each token: a key that is exchanged by a reload signs the next token.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;

use super::signer::Signer;

/// How tokens are signed. Nothing here can be printed.
pub struct Signing {
    pub signer: Signer,
    /// The `iss` of its tokens.
    pub issuer: String,
    /// The `aud` of its tokens.
    pub audience: String,
    /// How long an access token is good.
    pub access_ttl: Duration,
    /// How long a login may be prolonged by refresh tokens.
    pub refresh_ttl: Duration,
}

/// The place where the current [`Signing`] is found; empty when there is no key. Clones are the same place.
#[derive(Clone, Default)]
pub struct SigningCell(Arc<ArcSwapOption<Signing>>);

// === impl SigningCell ===

impl SigningCell {
    pub fn load(&self) -> Option<Arc<Signing>> {
        self.0.load_full()
    }

    pub fn store(&self, signing: Option<Arc<Signing>>) {
        self.0.store(signing);
    }
}
