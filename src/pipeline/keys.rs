//! The keys of an issuer, checked when they are read.
//!
//! Promises: a key is used with exactly one algorithm; what is weak, private, or of another kind is an error with a remedy and not a
//! surprise at the first token; a token can do no more than name one of these keys.

use std::fmt::Display;

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ED25519, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, RsaParameters, RsaPublicKeyComponents,
    VerificationAlgorithm,
};
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyOperations, PublicKeyUse};
use jsonwebtoken::{DecodingKey, DecodingKeyKind, crypto};
use serde::Deserialize;
use serde_json::Value;

use super::cause::Cause;
use super::issuer::{Algorithm, KeySource};
use super::refused::Checked;

/// Shorter secrets can be guessed (RFC 7518, 3.2: at least as long as the hash).
const SECRET_BYTES_MIN: usize = 32;

/// RFC 7518, 3.3 asks for 2048; beyond 8192 one verification takes a millisecond, and the library refuses.
const RSA_BITS: std::ops::RangeInclusive<u32> = 2048..=8192;

/// Keys in one set. Issuers publish a handful; each is tried when the set is read.
const KEYS_MAX: usize = 64;

/// The keys of one issuer; at least one.
pub struct Keys {
    algorithm: Algorithm,
    keys: Vec<Key>,
}

struct Key {
    id: Option<String>,
    key: DecodingKey,
}

// === impl Keys ===

impl Keys {
    pub fn read(algorithm: Algorithm, source: &KeySource) -> Result<Keys, String> {
        let keys = match (algorithm, source) {
            (Algorithm::Hs256, KeySource::Secret(secret)) => vec![Key { id: None, key: secret_key(secret)? }],
            (Algorithm::Hs256, _) => return Err(needs_secret()),
            (_, KeySource::Secret(_)) => return Err(format!("{} needs a public key or a key set, not a secret", algorithm.name())),
            (_, KeySource::Pem(pem)) => vec![Key { id: None, key: pem_key(algorithm, pem)? }],
            (_, KeySource::Jwks(text)) => key_set(algorithm, text)?,
            (_, KeySource::Url(_)) => return Err("the keys have to be fetched".into()),
        };
        Ok(Keys { algorithm, keys })
    }

    /// Whether `signature` (in base64url) is that of `message` by the key that the token means.
    pub fn verify(&self, key_id: Option<&str>, message: &[u8], signature: &str) -> Checked<()> {
        let key = self.pick(key_id).ok_or_else(|| Cause::UnknownKey.because("it does not name one of the issuer's keys"))?;
        match crypto::verify(signature, message, key, self.algorithm.in_library()) {
            Ok(true) => Ok(()),
            Ok(false) => Err(Cause::BadSignature.because("its signature does not match")),
            Err(error) => Err(Cause::BadSignature.because(format!("its signature cannot be checked: {error}"))),
        }
    }

    /// The key with this id; the only key there is, if it has no id or the token names none.
    fn pick(&self, key_id: Option<&str>) -> Option<&DecodingKey> {
        match (key_id, &self.keys[..]) {
            (_, [Key { id: None, key }]) | (None, [Key { key, .. }]) => Some(key),
            (Some(key_id), keys) => keys.iter().find(|key| key.id.as_deref() == Some(key_id)).map(|key| &key.key),
            (None, _) => None,
        }
    }
}

/// What is said of HS256 with anything but a secret.
pub fn needs_secret() -> String {
    "HS256 needs a shared secret; a public key is for RS256, ES256 or EdDSA".into()
}

fn secret_key(secret: &[u8]) -> Result<DecodingKey, String> {
    if secret.windows(10).any(|part| part == b"-----BEGIN") {
        // Whoever signs with a public key as if it were a secret has published the secret.
        return Err("the secret looks like a PEM file; use `public_key` and RS256, ES256 or EdDSA".into());
    }
    if secret.len() < SECRET_BYTES_MIN {
        return Err(format!(
            "the secret has {} bytes; use at least {SECRET_BYTES_MIN}, such as from `openssl rand -base64 48`",
            secret.len()
        ));
    }
    Ok(DecodingKey::from_secret(secret))
}

fn pem_key(algorithm: Algorithm, pem: &[u8]) -> Result<DecodingKey, String> {
    let text = str::from_utf8(pem).map_err(|_| "the key is not a PEM file")?;
    let label = text.split_once("-----BEGIN ").and_then(|(_, rest)| rest.split_once("-----")).map(|(label, _)| label);
    match label {
        Some("PUBLIC KEY" | "RSA PUBLIC KEY") => {}
        Some(label) if label.contains("PRIVATE KEY") => {
            return Err("the file holds a private key; keep that with the issuer and give `openssl pkey -pubout` of it".into());
        }
        Some("CERTIFICATE") => return Err("the file holds a certificate; give `openssl x509 -pubkey -noout` of it".into()),
        _ => return Err("the file holds no `-----BEGIN PUBLIC KEY-----`".into()),
    }
    let key = match algorithm {
        Algorithm::Rs256 => DecodingKey::from_rsa_pem(pem),
        Algorithm::Es256 => DecodingKey::from_ec_pem(pem),
        Algorithm::EdDsa => DecodingKey::from_ed_pem(pem),
        Algorithm::Hs256 => return Err("HS256 has no public key".into()),
    };
    let key = key.map_err(|_| format!("the file holds no public key for {}", algorithm.name()))?;
    checked(algorithm, key).map_err(|problem| format!("the key {problem}"))
}

/// The usable keys of a JWKS document. Others are passed over, because issuers publish keys for other uses beside them.
fn key_set(algorithm: Algorithm, text: &[u8]) -> Result<Vec<Key>, String> {
    #[derive(Deserialize)]
    struct KeySet {
        keys: Vec<Value>,
    }

    let set: KeySet = serde_json::from_slice(text).map_err(|error| format!("this is not a key set (JWKS): {error}"))?;
    if set.keys.len() > KEYS_MAX {
        return Err(format!("the key set has {} keys; {KEYS_MAX} are read", set.keys.len()));
    }
    let mut keys: Vec<Key> = Vec::new();
    let mut passed_over = String::new();
    for (index, value) in set.keys.into_iter().enumerate() {
        match set_key(algorithm, value) {
            Ok(key) if keys.iter().any(|other| other.id == key.id) => {
                return Err(format!("the key set has two keys for {} with {}", algorithm.name(), named(key.id.as_deref())));
            }
            Ok(key) => keys.push(key),
            Err(why) => passed_over.push_str(&format!("; key {index} {why}")),
        }
    }
    if keys.is_empty() {
        return Err(format!("the key set has no key for {}{passed_over}", algorithm.name()));
    }
    Ok(keys)
}

fn named(key_id: Option<&str>) -> String {
    key_id.map_or_else(|| "no `kid`".into(), |id| format!("the `kid` `{id}`"))
}

fn set_key(algorithm: Algorithm, value: Value) -> Result<Key, String> {
    if value.get("d").is_some() {
        return Err("is a private key; publish its public half only".into());
    }
    let jwk: Jwk = serde_json::from_value(value).map_err(|error| format!("is not a key: {error}"))?;
    let common = &jwk.common;
    if common.public_key_use.as_ref().is_some_and(|purpose| *purpose != PublicKeyUse::Signature)
        || common.key_operations.as_ref().is_some_and(|operations| !operations.contains(&KeyOperations::Verify))
    {
        return Err("is not for signatures".into());
    }
    let fits = match (algorithm, &jwk.algorithm) {
        (Algorithm::Rs256, AlgorithmParameters::RSA(_)) => true,
        (Algorithm::Es256, AlgorithmParameters::EllipticCurve(curve)) => curve.curve == EllipticCurve::P256,
        (Algorithm::EdDsa, AlgorithmParameters::OctetKeyPair(pair)) => pair.curve == EllipticCurve::Ed25519,
        _ => false,
    };
    let states_another = common.key_algorithm.is_some_and(|stated| stated.to_string() != algorithm.name());
    if !fits || states_another {
        return Err(format!("is not for {}", algorithm.name()));
    }
    let key = DecodingKey::from_jwk(&jwk).map_err(|error| format!("is broken: {error}"))?;
    Ok(Key { key: checked(algorithm, key)?, id: jwk.common.key_id })
}

/// The library looks at a key when it needs it; this looks now.
fn checked(algorithm: Algorithm, key: DecodingKey) -> Result<DecodingKey, String> {
    match (algorithm, key.kind()) {
        (Algorithm::EdDsa, DecodingKeyKind::SecretOrDer(point)) => parsed(&ED25519, point)?,
        (Algorithm::Es256, DecodingKeyKind::SecretOrDer(point)) => parsed(&ECDSA_P256_SHA256_FIXED, point)?,
        (Algorithm::Rs256, DecodingKeyKind::SecretOrDer(der)) => {
            strong(RsaParameters::public_modulus_len(der).map_err(broken)?)?;
            parsed(&RSA_PKCS1_2048_8192_SHA256, der)?;
        }
        (Algorithm::Rs256, DecodingKeyKind::RsaModulusExponent { n, e }) => {
            let n = &n[n.iter().take_while(|byte| **byte == 0).count()..];
            strong(8 * n.len() as u32 - n.first().map_or(0, |byte| byte.leading_zeros()))?;
            let components = RsaPublicKeyComponents { n, e: &e[..] };
            components.to_parsed_public_key(&RSA_PKCS1_2048_8192_SHA256).map_err(broken)?;
        }
        _ => return Err(format!("is not for {}", algorithm.name())),
    }
    Ok(key)
}

fn parsed(algorithm: &'static dyn VerificationAlgorithm, key: &[u8]) -> Result<(), String> {
    ParsedPublicKey::new(algorithm, key).map(drop).map_err(broken)
}

fn strong(bits: u32) -> Result<(), String> {
    if RSA_BITS.contains(&bits) {
        return Ok(());
    }
    Err(format!("is an RSA key of {bits} bits; use {} to {}", RSA_BITS.start(), RSA_BITS.end()))
}

fn broken(error: impl Display) -> String {
    format!("is broken: {error}")
}
