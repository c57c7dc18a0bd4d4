//! The public half of a signing key of ours, as it is published.
//!
//! Promise: a key has one name everywhere, its RFC 7638 thumbprint, so that nodes and restarts agree on it without being told.

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, ParsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{PrivatePkcs8KeyDer, SubjectPublicKeyInfoDer};

/// What stands before the 32 bytes of an Ed25519 key in DER (RFC 8410).
const DER_PREFIX: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// The key set of nobody.
pub const NO_KEYS: &str = r#"{"keys":[]}"#;

/// An Ed25519 public key.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PublicKey([u8; 32]);

/// These keys as a key set (JWKS).
pub fn key_set(keys: &[PublicKey]) -> String {
    json!({ "keys": keys.iter().map(PublicKey::jwk).collect::<Vec<_>>() }).to_string()
}

// === impl PublicKey ===

impl PublicKey {
    pub fn of(key: &Ed25519KeyPair) -> PublicKey {
        PublicKey(key.public_key().as_ref().try_into().expect("an Ed25519 public key has 32 bytes"))
    }

    /// Out of a PEM file: a public key, or a private one, whose public half it is.
    pub fn from_pem(pem: &[u8]) -> Result<PublicKey, String> {
        if let Ok(private) = PrivatePkcs8KeyDer::from_pem_slice(pem) {
            let key = Ed25519KeyPair::from_pkcs8(private.secret_pkcs8_der()).map_err(|_| not_ed25519("private"))?;
            return Ok(PublicKey::of(&key));
        }
        let der = SubjectPublicKeyInfoDer::from_pem_slice(pem)
            .map_err(|_| "the file holds neither `-----BEGIN PUBLIC KEY-----` nor `-----BEGIN PRIVATE KEY-----`".to_owned())?;
        let bytes = der.strip_prefix(&DER_PREFIX).and_then(|key| <[u8; 32]>::try_from(key).ok()).ok_or_else(|| not_ed25519("public"))?;
        ParsedPublicKey::new(&ED25519, bytes).map_err(|error| format!("the key is broken: {error}"))?;
        Ok(PublicKey(bytes))
    }

    /// As a file for `public_key`.
    pub fn pem(&self) -> String {
        let der = [&DER_PREFIX[..], &self.0].concat();
        format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", STANDARD.encode(der))
    }

    /// Its name in the header of tokens.
    pub fn id(&self) -> String {
        // RFC 7638: the members that make the key, in the order of the alphabet, without space.
        let members = format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{}"}}"#, self.x());
        URL_SAFE_NO_PAD.encode(Sha256::digest(members))
    }

    pub fn jwk(&self) -> Value {
        json!({ "kty": "OKP", "crv": "Ed25519", "use": "sig", "alg": "EdDSA", "kid": self.id(), "x": self.x() })
    }

    fn x(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.0)
    }
}

fn not_ed25519(half: &str) -> String {
    format!("the file holds no Ed25519 {half} key; make one with `openssl genpkey -algorithm ed25519`")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_the_name_that_the_standard_gives_it() {
        // RFC 8037, appendix A.2 and A.3.
        let bytes = URL_SAFE_NO_PAD.decode("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo").unwrap();
        let key = PublicKey(bytes.try_into().unwrap());
        assert_eq!(key.id(), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
        assert!(PublicKey::from_pem(key.pem().as_bytes()) == Ok(key));
    }

    #[test]
    fn what_is_no_key_of_ours_is_refused() {
        for pem in ["", "hello", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"] {
            assert!(PublicKey::from_pem(pem.as_bytes()).is_err(), "{pem}");
        }
        let ec = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
        assert!(PublicKey::from_pem(ec.public_key_pem().as_bytes()).err().unwrap().contains("no Ed25519 public key"));
        assert!(PublicKey::from_pem(ec.serialize_pem().as_bytes()).err().unwrap().contains("no Ed25519 private key"));
    }
}
