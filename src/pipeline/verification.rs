//! A token into an identity, for whoever can wait.

use std::time::SystemTime;

use super::auth::Verifier;
use super::identity::Identity;
use crate::failure::Result;

/// Who the token speaks for, if it is good now.
pub async fn verify(verifier: &Verifier, token: &str) -> Result<Identity> {
    verifier.verify(token, SystemTime::now())
}
