//! The tokens that resume sessions.
//!
//! A resume token names user and session and holds a secret; the store keeps the secret's hash alone. It is good as long as its session,
//! and for nothing else.

use crate::random;
use aws_lc_rs::constant_time::verify_slices_are_equal;
use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD_NO_PAD, BASE64_URL_SAFE_NO_PAD};
use sha2::{Digest, Sha256};

/// What every resume token begins with, so that a person or a scanner can tell what it is.
const PREFIX: &str = "pgr";

/// The longest resume token: a user of 256 bytes in base64, and the rest.
const TOKEN_BYTES_MAX: usize = 512;

/// A resume token taken apart. It cannot be printed.
pub struct ResumeToken {
    pub user: String,
    pub session: String,
    secret: String,
}

// === impl ResumeToken ===

impl ResumeToken {
    /// A token for a session that has none yet.
    pub fn make(user: &str, session: &str) -> ResumeToken {
        ResumeToken { user: user.to_owned(), session: session.to_owned(), secret: random::name() }
    }

    /// Takes apart what a client sent. What is no resume token at all is nothing.
    pub fn parse(text: &str) -> Option<ResumeToken> {
        if text.len() > TOKEN_BYTES_MAX {
            return None;
        }
        let mut parts = text.split('.');
        let (PREFIX, Some(user), Some(session), Some(secret), None) =
            (parts.next()?, parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return None;
        };
        let user = String::from_utf8(BASE64_URL_SAFE_NO_PAD.decode(user).ok()?).ok()?;
        Some(ResumeToken { user, session: session.to_owned(), secret: secret.to_owned() })
    }

    /// As the client gets it.
    pub fn reveal(&self) -> String {
        format!("{PREFIX}.{}.{}.{}", BASE64_URL_SAFE_NO_PAD.encode(&self.user), self.session, self.secret)
    }

    /// What the store keeps of the secret. It has 128 random bits, so that one round of a hash is enough.
    pub fn hash(&self) -> String {
        BASE64_STANDARD_NO_PAD.encode(Sha256::digest(&self.secret))
    }

    /// Whether this is the token of which `hash` is kept.
    pub fn fits(&self, hash: &str) -> bool {
        verify_slices_are_equal(self.hash().as_bytes(), hash.as_bytes()).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_fits_the_session_it_was_made_for() {
        let made = ResumeToken::make("alice.of.wonder\u{1f407}", "s1");
        let read = ResumeToken::parse(&made.reveal()).unwrap();
        assert_eq!((&*read.user, &*read.session), ("alice.of.wonder\u{1f407}", "s1"));
        assert!(read.fits(&made.hash()));
        assert!(!ResumeToken::make("alice", "s1").fits(&made.hash()));
        assert!(!made.reveal().contains(&made.hash()));
    }

    #[test]
    fn what_is_no_token_is_nothing() {
        let long = format!("pgr.YQ.s.{}", "a".repeat(600));
        for text in ["", "pgr", "pgr.YQ.s", "pgr.YQ.s.x.y", "pgx.YQ.s.x", "pgr.%%.s.x", "pgr._w.s.x", &long] {
            assert!(ResumeToken::parse(text).is_none(), "{text}");
        }
    }
}
