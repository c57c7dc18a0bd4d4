//! What a good token says about its bearer.
//!
//! Promises: an [`Identity`] is made from a token that was verified; neither it nor the token inside can be printed with the token.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

/// Who a connection speaks for.
#[derive(Clone)]
pub struct Identity {
    /// The token's `sub`: not empty, at most 256 bytes, no control characters.
    pub user: Arc<str>,
    /// The roles it lists, or its issuer's default.
    pub roles: Vec<Arc<str>>,
    /// The token's `jti`, if it has one.
    pub token_id: Option<Arc<str>>,
    /// When the token was issued, in milliseconds since 1970; 0 if it does not say.
    pub issued_ms: u64,
    /// When it ends: the token's `exp`, and the leeway between clocks on top.
    pub expires: SystemTime,
    /// The token itself, where some route forwards it. Otherwise it would be a third of what a connection costs, for nothing.
    pub token: Option<Token>,
}

/// A token. It prints as nothing but its name.
#[derive(Clone)]
pub struct Token(Arc<str>);

// === impl Token ===

impl Token {
    pub fn new(token: &str) -> Token {
        Token(token.into())
    }

    /// The token, for a header. Nothing else should ask.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token")
    }
}

// === impl Identity ===

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity")
            .field("user", &self.user)
            .field("roles", &self.roles)
            .field("expires", &self.expires)
            .finish_non_exhaustive()
    }
}
