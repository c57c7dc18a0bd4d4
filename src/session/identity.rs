//! What a good token says about its bearer.
//!
//! Promises: an [`Identity`] is made from a token or an API key that was verified; neither it nor the token inside can be printed with the token.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

/// What every refusal of a token or an API key says: nobody is to learn which of its parts was nearly right.
pub const REFUSED: &str = "the token was refused; get a new one and authenticate with it";

/// Roles that are read, of a token or of a reply. More would not be a role model.
pub const ROLES_MAX: usize = 64;

/// The longest user.
const USER_BYTES_MAX: usize = 256;

/// Who a connection speaks for.
#[derive(Clone)]
pub struct Identity {
    /// The token's `sub`, which [`is_user`].
    pub user: Arc<str>,
    /// The roles it lists, or its issuer's default.
    pub roles: Vec<Arc<str>>,
    /// The token's `jti`, if it has one; of an API key `key:` and its name.
    pub token_id: Option<Arc<str>>,
    /// When it was issued, in milliseconds since 1970; 0 where nobody says, as an API key does not.
    pub issued_ms: u64,
    /// When it ends: the token's `exp`, and the leeway between clocks on top. An API key ends ten years after it was shown; it is taken
    /// out of the configuration to end it earlier, or revoked by its `token_id`.
    pub expires: SystemTime,
    /// The token itself, where some route forwards it. Otherwise it would be a third of what a connection costs, for nothing.
    pub token: Option<Token>,
    /// The hash of the API key it came by, so that it can be asked whether that is still listed.
    pub api_key: Option<Arc<[u8; 32]>>,
}

/// A token. It prints as nothing but its name.
#[derive(Clone)]
pub struct Token(Arc<str>);

/// Whether a text can be a user: not empty, short, and fit for a log and a header.
pub fn is_user(text: &str) -> bool {
    !text.is_empty() && text.len() <= USER_BYTES_MAX && !text.chars().any(char::is_control)
}

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
