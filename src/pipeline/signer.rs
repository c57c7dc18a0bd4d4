//! Tokens for development: an Ed25519 key that this process made, what it signs, and the issuer that believes it.
//!
//! Promise: what [`Signer::issue`] signs is what a verifier with [`Signer::issuer`] believes, by the same path as anybody else's token.

use std::borrow::Cow;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rand;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::{EncodingKey, Header, encode};
use serde::Serialize;

use super::auth::{Algorithm, IssuerSpec, KeySource};

/// The claim in which roles are listed.
const ROLES: &str = "roles";

/// The issuer, and the audience, of the tokens that a development gateway makes for itself.
const DEVELOPMENT: &str = "protogate-development";

/// A signing key.
pub struct Signer {
    pkcs8: Vec<u8>,
    public_pem: String,
}

/// What a token shall say.
pub struct NewToken<'a> {
    pub issuer: &'a str,
    pub audience: &'a str,
    pub user: &'a str,
    pub roles: &'a [String],
    /// From now on.
    pub ttl: Duration,
    /// Its `jti`; a random one where nothing is said.
    pub token_id: Option<&'a str>,
}

// === impl Signer ===

impl Signer {
    /// A key that nobody had before.
    pub fn generate() -> Signer {
        let key = Ed25519KeyPair::generate().expect("the system has random numbers");
        let pkcs8 = key.to_pkcs8().expect("a key that was just made can be written");
        Signer { pkcs8: pkcs8.as_ref().to_vec(), public_pem: public_pem(&key) }
    }

    /// A key that was written by [`Signer::pkcs8`].
    pub fn from_pkcs8(pkcs8: &[u8]) -> Result<Signer, String> {
        let key = Ed25519KeyPair::from_pkcs8(pkcs8).map_err(|error| format!("the signing key is broken: {error}"))?;
        Ok(Signer { pkcs8: pkcs8.to_vec(), public_pem: public_pem(&key) })
    }

    /// The private key. Whoever has it can be anybody.
    pub fn pkcs8(&self) -> &[u8] {
        &self.pkcs8
    }

    /// The public key, as a file for `public_key`.
    pub fn public_pem(&self) -> &str {
        &self.public_pem
    }

    /// The issuer under whose name this key signs.
    pub fn issuer(&self, issuer: &str, audience: &str) -> IssuerSpec {
        IssuerSpec {
            issuer: issuer.to_owned(),
            audience: vec![audience.to_owned()],
            algorithm: Algorithm::EdDsa,
            keys: KeySource::Pem(self.public_pem.clone().into_bytes()),
            roles_claim: Some(vec![ROLES.to_owned()]),
            default_roles: Vec::new(),
            leeway: Duration::ZERO,
        }
    }

    /// The issuer that a development gateway believes.
    pub fn development_issuer(&self) -> IssuerSpec {
        self.issuer(DEVELOPMENT, DEVELOPMENT)
    }

    /// A token of the development issuer, good from now on.
    pub fn issue_development(&self, user: &str, roles: &[String], ttl: Duration) -> String {
        self.issue(&NewToken { issuer: DEVELOPMENT, audience: DEVELOPMENT, user, roles, ttl, token_id: None }, SystemTime::now())
    }

    /// Signs a token.
    pub fn issue(&self, token: &NewToken<'_>, now: SystemTime) -> String {
        #[derive(Serialize)]
        struct Claims<'a> {
            iss: &'a str,
            aud: &'a str,
            sub: &'a str,
            roles: &'a [String],
            iat: u64,
            exp: u64,
            jti: Cow<'a, str>,
        }

        let iat = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let claims = Claims {
            iss: token.issuer,
            aud: token.audience,
            sub: token.user,
            roles: token.roles,
            iat,
            exp: iat.saturating_add(token.ttl.as_secs()),
            jti: token.token_id.map_or_else(|| random_id().into(), Cow::Borrowed),
        };
        let key = EncodingKey::from_ed_der(&self.pkcs8);
        encode(&Header::new(Algorithm::EdDsa.in_library()), &claims, &key).expect("a key that was checked signs whatever is JSON")
    }
}

fn public_pem(key: &Ed25519KeyPair) -> String {
    let der = key.public_key().as_der().expect("a public key can be written");
    format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", STANDARD.encode(der.as_ref()))
}

fn random_id() -> String {
    let mut bytes = [0; 16];
    rand::fill(&mut bytes).expect("the system has random numbers");
    URL_SAFE_NO_PAD.encode(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::auth::Verifier;

    #[test]
    fn what_it_issues_is_believed_also_after_the_key_was_stored() {
        let now = UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        let made = Signer::generate();
        let read = Signer::from_pkcs8(made.pkcs8()).unwrap();
        assert_eq!(made.public_pem(), read.public_pem());

        let verifier = Verifier::new(&[made.issuer("dev", "game")]).ok().unwrap();
        let roles = ["player".to_owned()];
        let token =
            NewToken { issuer: "dev", audience: "game", user: "alice", roles: &roles, ttl: Duration::from_secs(60), token_id: None };
        let identity = verifier.verify(&read.issue(&token, now), now).unwrap();
        assert_eq!((&*identity.user, &*identity.roles[0]), ("alice", "player"));
        assert_eq!(identity.expires, now + Duration::from_secs(60));
        assert!(identity.token_id.is_some());
        let named = verifier.verify(&read.issue(&NewToken { token_id: Some("one.7"), ..token }, now), now).unwrap();
        assert_eq!(named.token_id.as_deref(), Some("one.7"));

        let other = Signer::generate().issue(&token, now);
        assert_eq!(verifier.verify(&other, now).unwrap_err().reason(), "INVALID_TOKEN");
    }

    #[test]
    fn a_broken_key_is_refused() {
        assert!(Signer::from_pkcs8(b"nothing").is_err());
    }
}
