//! API keys: what programs show where people show tokens.
//!
//! A key is `pgk_NAME_` and 43 characters that nobody can guess. The configuration holds its hash alone, so whoever reads that cannot use
//! it; 256 random bits need no slow hash. Promises: hashes are compared in constant time, an unknown name costs what a known one does, and
//! an identity remembers its key, so that one which is no longer listed can be sent away.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use sha2::{Digest, Sha256};

use super::cause::Cause;
use super::identity::Identity;
use super::issuer::LIFETIME_MAX;
use super::refused::Checked;
use crate::random;

/// How every key begins. No JWT does.
pub const PREFIX: &str = "pgk_";

/// What its name has in front where tokens have their `jti`.
pub const TOKEN_ID_PREFIX: &str = "key:";

/// 32 bytes in base64url.
const SECRET_CHARS: usize = 43;

/// One key, as configured.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiKeySpec {
    /// The name in the key, and in logs.
    pub name: Arc<str>,
    /// Who its bearer is.
    pub user: Arc<str>,
    pub roles: Vec<Arc<str>>,
    /// The SHA-256 of the whole key.
    pub hash: [u8; 32],
}

/// The keys that are believed. The default is none.
#[derive(Default)]
pub struct ApiKeys(BTreeMap<Arc<str>, Arc<ApiKeySpec>>);

/// A key that nobody had before. It is shown once, to whoever made it.
pub fn generate(name: &str) -> String {
    format!("{PREFIX}{name}_{}", random::secret::<32>())
}

/// What the configuration holds of a key.
pub fn hash(key: &str) -> [u8; 32] {
    Sha256::digest(key).into()
}

// === impl ApiKeys ===

impl ApiKeys {
    pub fn new(keys: &[ApiKeySpec]) -> ApiKeys {
        ApiKeys(keys.iter().map(|key| (Arc::clone(&key.name), Arc::new(key.clone()))).collect())
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn all(&self) -> impl Iterator<Item = &ApiKeySpec> {
        self.0.values().map(|key| &**key)
    }

    /// Whether the key of this hash is among them, and speaks for this user in these roles.
    pub fn lists(&self, hash: &[u8; 32], user: &str, roles: &[Arc<str>]) -> bool {
        self.0.values().any(|key| key.hash == *hash && *key.user == *user && key.roles == roles)
    }

    /// Who shows this key.
    pub fn identify(&self, shown: &str, now: SystemTime) -> Checked<Identity> {
        let name = name(shown).ok_or_else(|| Cause::Malformed.because("it is not an API key"))?;
        let hash = hash(shown);
        let listed = self.0.get(name);
        let expected = listed.map_or(&[0; 32], |key| &key.hash);
        let fits = verify_slices_are_equal(&hash, expected).is_ok();
        match listed.filter(|_| fits) {
            Some(key) => Ok(identity(key, now)),
            None => Err(Cause::UnknownApiKey.because("it is an API key that is not listed")),
        }
    }
}

fn identity(key: &Arc<ApiKeySpec>, now: SystemTime) -> Identity {
    Identity {
        user: Arc::clone(&key.user),
        roles: key.roles.clone(),
        token_id: Some(format!("{TOKEN_ID_PREFIX}{}", key.name).into()),
        issued_ms: 0,
        expires: now + LIFETIME_MAX,
        token: None,
        api_key: Some(Arc::new(key.hash)),
    }
}

/// The name in a key. The secret may hold `_` too, and has a length.
fn name(key: &str) -> Option<&str> {
    let rest = key.strip_prefix(PREFIX)?;
    let (name, secret) = rest.split_at_checked(rest.len().checked_sub(SECRET_CHARS)?)?;
    let is_secret = secret.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
    name.strip_suffix('_').filter(|name| is_secret && !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::Verifier;

    fn spec(key: &str) -> ApiKeySpec {
        ApiKeySpec { name: "build_ci".into(), user: "service:ci".into(), roles: vec!["operator".into()], hash: hash(key) }
    }

    #[test]
    fn a_listed_key_says_who_its_bearer_is() {
        let key = generate("build_ci");
        assert_eq!(key.len(), PREFIX.len() + "build_ci_".len() + SECRET_CHARS);
        let verifier = Verifier::default().with_api_keys(&[spec(&key)]);
        assert!(!verifier.is_empty());
        let now = SystemTime::now();
        let identity = verifier.verify(&key, now).unwrap();
        assert_eq!((&*identity.user, &*identity.roles[0], identity.token_id.as_deref()), ("service:ci", "operator", Some("key:build_ci")));
        assert!(identity.expires > now + LIFETIME_MAX / 2);
        assert!(!format!("{identity:?}").contains(&key));
    }

    #[test]
    fn any_other_key_is_refused() {
        let key = generate("build_ci");
        let verifier = Verifier::default().with_api_keys(&[spec(&key)]);
        let cause = |shown: &str| verifier.verify(shown, SystemTime::now()).unwrap_err().cause();
        for other in [generate("build_ci"), generate("other"), key.replace("build_ci", "build_cd"), key.replace("build_ci", "")] {
            assert!([Cause::UnknownApiKey, Cause::Malformed].contains(&cause(&other)));
        }
        let last = if key.ends_with('A') { 'B' } else { 'A' };
        assert_eq!(cause(&format!("{}{last}", &key[..key.len() - 1])), Cause::UnknownApiKey);
        for malformed in ["pgk_", "pgk_build_ci", &key[..key.len() - 1], &format!("{key}\n"), "pgk_ü", &format!("pgk_a_{}", "ü".repeat(22))]
        {
            assert!([Cause::UnknownApiKey, Cause::Malformed].contains(&cause(malformed)), "{malformed}");
        }
        assert_eq!(Verifier::default().verify(&key, SystemTime::now()).unwrap_err().cause(), Cause::UnknownApiKey);
    }

    #[test]
    fn a_key_that_was_taken_out_or_changed_is_listed_no_more() {
        let key = generate("build_ci");
        let verifier = Verifier::default().with_api_keys(&[spec(&key)]);
        let identity = verifier.verify(&key, SystemTime::now()).unwrap();
        assert!(verifier.still_lists(&identity));
        assert!(Verifier::default().with_api_keys(&[spec(&key)]).still_lists(&identity), "the same after a reload");
        assert!(!Verifier::default().still_lists(&identity));
        let demoted = ApiKeySpec { roles: vec![], ..spec(&key) };
        assert!(!Verifier::default().with_api_keys(&[demoted]).still_lists(&identity));
    }
}
