//! Tokens of our own: an Ed25519 key, what it signs, and the issuer that believes it.
//!
//! Promises: what [`Signer::issue`] signs is what a verifier with [`Signer::issuer`] believes, by the same path as anybody else's token;
//! a token names its key. Nothing here can be printed.

use std::borrow::Cow;
use std::time::{Duration, SystemTime};

use aws_lc_rs::signature::Ed25519KeyPair;
use jsonwebtoken::{EncodingKey, Header, encode};
use serde::Serialize;
use tokio_rustls::rustls::pki_types::PrivatePkcs8KeyDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;

use super::issuer::{Algorithm, IssuerSpec, KeySource};
use super::public_key::{PublicKey, key_set};
use crate::clock::to_millis;
use crate::random;

/// The claim in which roles are listed.
const ROLES: &str = "roles";

/// The claim that says in milliseconds when a token was issued. `iat` has whole seconds, because not everybody reads fractions; a token
/// that somebody gets right after all older ones were revoked must be told from those.
pub const ISSUED_MS: &str = "iat_ms";

/// The issuer, and the audience, of the tokens that a development gateway makes for itself.
const DEVELOPMENT: &str = "protogate-development";

/// A signing key.
#[derive(Clone)]
pub struct Signer {
    pkcs8: Vec<u8>,
    public: PublicKey,
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
        let key = Ed25519KeyPair::generate().expect("the operating system gives random bytes");
        let pkcs8 = key.to_pkcs8().expect("a key that was just made can be written");
        Signer { pkcs8: pkcs8.as_ref().to_vec(), public: PublicKey::of(&key) }
    }

    /// A key that was written by [`Signer::pkcs8`].
    pub fn from_pkcs8(pkcs8: &[u8]) -> Result<Signer, String> {
        let key = Ed25519KeyPair::from_pkcs8(pkcs8).map_err(|error| format!("the signing key is broken: {error}"))?;
        Ok(Signer { pkcs8: pkcs8.to_vec(), public: PublicKey::of(&key) })
    }

    /// A key out of a file, such as `openssl genpkey -algorithm ed25519` writes.
    pub fn from_pem(pem: &[u8]) -> Result<Signer, String> {
        const REMEDY: &str = "make one with `openssl genpkey -algorithm ed25519`";
        let pkcs8 =
            PrivatePkcs8KeyDer::from_pem_slice(pem).map_err(|_| format!("the file holds no `-----BEGIN PRIVATE KEY-----`; {REMEDY}"))?;
        Signer::from_pkcs8(pkcs8.secret_pkcs8_der()).map_err(|_| format!("the file holds no Ed25519 private key; {REMEDY}"))
    }

    /// The private key. Whoever has it can be anybody.
    pub fn pkcs8(&self) -> &[u8] {
        &self.pkcs8
    }

    pub fn public(&self) -> PublicKey {
        self.public
    }

    /// The issuer under whose name this key signs.
    pub fn issuer(&self, issuer: &str, audience: &str) -> IssuerSpec {
        issuer_of(&[self.public], issuer, audience)
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
            iat_ms: u64,
            exp: u64,
            jti: Cow<'a, str>,
        }

        let iat_ms = to_millis(now);
        let iat = iat_ms / 1000;
        let claims = Claims {
            iss: token.issuer,
            aud: token.audience,
            sub: token.user,
            roles: token.roles,
            iat,
            iat_ms,
            exp: iat.saturating_add(token.ttl.as_secs()),
            jti: token.token_id.map_or_else(|| random::name().into(), Cow::Borrowed),
        };
        let key = EncodingKey::from_ed_der(&self.pkcs8);
        let header = Header { kid: Some(self.public.id()), ..Header::new(Algorithm::EdDsa.in_library()) };
        encode(&header, &claims, &key).expect("a key that was checked signs whatever is JSON")
    }
}

/// The issuer that has these keys: the one that signs, and others that signed before or will.
pub fn issuer_of(keys: &[PublicKey], issuer: &str, audience: &str) -> IssuerSpec {
    IssuerSpec {
        issuer: issuer.to_owned(),
        audience: vec![audience.to_owned()],
        algorithm: Algorithm::EdDsa,
        keys: KeySource::Jwks(key_set(keys).into_bytes()),
        roles_claim: Some(vec![ROLES.to_owned()]),
        default_roles: Vec::new(),
        // It ends when it says so: nodes have one time, and a client is told when.
        leeway: Duration::ZERO,
    }
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;
    use crate::pipeline::auth::Verifier;
    use crate::pipeline::cause::Cause;

    #[test]
    fn what_it_issues_is_believed_also_after_the_key_was_stored() {
        let now = UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        let made = Signer::generate();
        let read = Signer::from_pkcs8(made.pkcs8()).unwrap();
        assert!(made.public() == read.public());

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
        assert_eq!(verifier.verify(&other, now).unwrap_err().cause(), Cause::UnknownKey, "it names its key");
    }

    #[test]
    fn a_token_says_to_the_millisecond_when_it_was_issued() {
        let now = UNIX_EPOCH + Duration::from_millis(1_800_000_000_750);
        let signer = Signer::generate();
        let verifier = Verifier::new(&[signer.issuer("dev", "game")]).ok().unwrap();
        let token = NewToken { issuer: "dev", audience: "game", user: "alice", roles: &[], ttl: Duration::from_secs(60), token_id: None };
        assert_eq!(verifier.verify(&signer.issue(&token, now), now).unwrap().issued_ms, 1_800_000_000_750);
    }

    #[test]
    fn tokens_of_a_previous_key_are_believed_while_it_is_listed() {
        let now = SystemTime::now();
        let (old, new) = (Signer::generate(), Signer::generate());
        let token = NewToken { issuer: "dev", audience: "game", user: "alice", roles: &[], ttl: Duration::from_secs(60), token_id: None };
        let rotated = Verifier::new(&[issuer_of(&[new.public(), old.public()], "dev", "game")]).ok().unwrap();
        let done = Verifier::new(&[issuer_of(&[new.public()], "dev", "game")]).ok().unwrap();
        for signer in [&old, &new] {
            assert!(rotated.verify(&signer.issue(&token, now), now).is_ok());
        }
        assert_eq!(done.verify(&old.issue(&token, now), now).unwrap_err().cause(), Cause::UnknownKey);
    }

    #[test]
    fn a_broken_key_is_refused() {
        assert!(Signer::from_pkcs8(b"nothing").is_err());
        for pem in ["", "nothing", &Signer::generate().public().pem()] {
            assert!(Signer::from_pem(pem.as_bytes()).err().unwrap().contains("openssl genpkey"), "{pem}");
        }
        let pem = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap().serialize_pem();
        assert!(Signer::from_pem(pem.as_bytes()).is_ok());
    }
}
