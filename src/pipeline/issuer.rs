//! One issuer of tokens: how its tokens look, and what is made of their claims.
//!
//! Promises: an issuer has one algorithm, and a token's header must state exactly that one; `exp`, `aud` and `sub` must be there and say
//! something; `nbf` and `iat` are honoured; `crit` is refused.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::cause::Cause;
use super::claims::{Object, Texts, quoted};
use super::identity::{Identity, ROLES_MAX, is_user};
use super::key_set::{KeySet, KeySetSpec};
use super::keys::{Keys, needs_secret};
use super::refused::Checked;

/// How far clocks may be said to differ; more would keep expired tokens alive.
pub const LEEWAY_MAX: Duration = Duration::from_secs(5 * 60);

/// How far the clocks of two gateways differ in practice. An `iat` may be this much ahead even where the leeway is less, because a token
/// of a gateway's own has no leeway: it would live longer than it says.
const CLOCKS_APART: Duration = Duration::from_secs(5);

/// How far ahead a token may expire. It catches milliseconds where seconds belong, and tokens that were meant never to expire.
pub const LIFETIME_MAX: Duration = Duration::from_secs(10 * 365 * 86_400);

const KEY_ID_CHARS_MAX: usize = 128;

/// One issuer, as configured.
#[derive(Clone, PartialEq, Eq)]
pub struct IssuerSpec {
    /// The `iss` of its tokens.
    pub issuer: String,
    /// The `aud` of which its tokens must carry one.
    pub audience: Vec<String>,
    pub algorithm: Algorithm,
    pub keys: KeySource,
    /// Where its tokens list roles: the names on the way through the claims, such as `["realm_access", "roles"]`.
    pub roles_claim: Option<Vec<String>>,
    /// The roles of a token that lists none.
    pub default_roles: Vec<String>,
    /// How far clocks may differ, at most [`LEEWAY_MAX`].
    pub leeway: Duration,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Algorithm {
    Hs256,
    Rs256,
    Es256,
    EdDsa,
}

/// Contents, not paths: whoever compiles a table has read the files. What has a URL is fetched while the table lives.
#[derive(Clone, PartialEq, Eq)]
pub enum KeySource {
    /// A public key.
    Pem(Vec<u8>),
    /// A key set.
    Jwks(Vec<u8>),
    /// A key set that the issuer publishes.
    Url(Arc<str>),
    /// A shared secret.
    Secret(Vec<u8>),
}

/// An issuer, ready to look at tokens.
pub(super) struct Issuer {
    keys: IssuerKeys,
    algorithm: Algorithm,
    audience: Vec<String>,
    /// The way to the object that holds the roles, and their name in it.
    roles_claim: Option<(Vec<String>, String)>,
    default_roles: Vec<Arc<str>>,
    leeway: Duration,
}

enum IssuerKeys {
    Read(Keys),
    Fetched(Arc<KeySet>),
}

// === impl Algorithm ===

impl Algorithm {
    /// The name in a token's header.
    pub fn name(self) -> &'static str {
        match self {
            Algorithm::Hs256 => "HS256",
            Algorithm::Rs256 => "RS256",
            Algorithm::Es256 => "ES256",
            Algorithm::EdDsa => "EdDSA",
        }
    }

    pub(super) fn in_library(self) -> jsonwebtoken::Algorithm {
        match self {
            Algorithm::Hs256 => jsonwebtoken::Algorithm::HS256,
            Algorithm::Rs256 => jsonwebtoken::Algorithm::RS256,
            Algorithm::Es256 => jsonwebtoken::Algorithm::ES256,
            Algorithm::EdDsa => jsonwebtoken::Algorithm::EdDSA,
        }
    }
}

// === impl Issuer ===

impl Issuer {
    /// `key_set` gives the keys that are fetched.
    pub fn new(spec: &IssuerSpec, key_set: &mut dyn FnMut(KeySetSpec) -> Arc<KeySet>) -> Result<Issuer, String> {
        if spec.issuer.is_empty() {
            return Err("the issuer has no name; give the `iss` of its tokens".into());
        }
        if spec.audience.iter().all(String::is_empty) {
            return Err(format!("issuer `{}` has no audience; give the `aud` that its tokens carry for this gateway", spec.issuer));
        }
        if spec.leeway > LEEWAY_MAX {
            return Err(format!("a leeway of {:?} keeps expired tokens alive; use at most {LEEWAY_MAX:?}", spec.leeway));
        }
        let roles_claim = spec.roles_claim.as_deref().map(|path| match path.split_last() {
            Some((name, way)) => Ok((way.to_vec(), name.clone())),
            None => Err("the path to the roles is empty; give a claim, such as `claims.roles`".to_owned()),
        });
        Ok(Issuer {
            keys: match &spec.keys {
                KeySource::Url(_) if spec.algorithm == Algorithm::Hs256 => return Err(needs_secret()),
                KeySource::Url(url) => IssuerKeys::Fetched(key_set(KeySetSpec { url: Arc::clone(url), algorithm: spec.algorithm })),
                source => IssuerKeys::Read(Keys::read(spec.algorithm, source)?),
            },
            algorithm: spec.algorithm,
            audience: spec.audience.iter().filter(|audience| !audience.is_empty()).cloned().collect(),
            roles_claim: roles_claim.transpose()?,
            default_roles: spec.default_roles.iter().map(|role| role.as_str().into()).collect(),
            leeway: spec.leeway,
        })
    }

    /// Whether this issuer signed the message. Of the header only `alg`, `kid` and `crit` mean anything.
    pub fn authenticate(&self, header: &Object<'_>, message: &str, signature: &str) -> Checked<()> {
        if header.has("crit") {
            return Err(Cause::CriticalHeader.because("it has `crit`, and no extension is known here"));
        }
        let algorithm = header.required_text("alg").map_err(|what| Cause::WrongAlgorithm.because(what))?;
        if algorithm != self.algorithm.name() {
            let what = format!("its algorithm is {} and should be {}", quoted(&algorithm), self.algorithm.name());
            return Err(Cause::WrongAlgorithm.because(what));
        }
        let key_id = header.text("kid").map_err(|what| Cause::UnknownKey.because(what))?;
        if key_id.as_ref().is_some_and(|key_id| key_id.chars().count() > KEY_ID_CHARS_MAX) {
            return Err(Cause::UnknownKey.because("its `kid` is too long"));
        }
        match &self.keys {
            IssuerKeys::Read(keys) => keys.verify(key_id.as_deref(), message.as_bytes(), signature),
            IssuerKeys::Fetched(keys) => keys.verify(key_id.as_deref(), message.as_bytes(), signature),
        }
    }

    /// What the claims say, now that they are the issuer's.
    pub fn identify(&self, claims: Object<'_>, now: SystemTime) -> Checked<Identity> {
        let bad = |what| Cause::BadClaims.because(what);
        let expires = self.check_time(&claims, now)?;
        let for_us = match claims.texts("aud").map_err(bad)?.ok_or_else(|| bad("it has no `aud`".to_owned()))? {
            Texts::One(audience) => self.audience.iter().any(|ours| *ours == audience),
            Texts::Several(list) => list.iter().any(|audience| self.audience.contains(audience)),
        };
        if !for_us {
            return Err(Cause::WrongAudience.because("its `aud` names somebody else"));
        }
        let user = claims.required_text("sub").map_err(bad)?;
        if !is_user(&user) {
            return Err(bad("its `sub` is longer than 256 bytes or has control characters".to_owned()));
        }
        Ok(Identity {
            user: (&*user).into(),
            token_id: claims.text("jti").map_err(bad)?.map(|id| (&*id).into()),
            issued_ms: self.issued(&claims, now)?,
            roles: self.roles(claims).map_err(bad)?,
            expires,
            token: None,
            api_key: None,
        })
    }

    /// Checks `exp` and `nbf`, and returns when the identity ends, by a clock that may be late.
    fn check_time(&self, claims: &Object<'_>, now: SystemTime) -> Checked<SystemTime> {
        let bad = |what| Cause::BadClaims.because(what);
        let moment = |seconds| UNIX_EPOCH + Duration::from_secs(seconds);
        let expires = claims.seconds("exp").map_err(bad)?.ok_or_else(|| bad("it has no `exp`".to_owned()))?;
        let expires = moment(expires);
        let end = expires + self.leeway;
        if now >= end {
            return Err(Cause::Expired.because("it has expired"));
        }
        if expires > now + LIFETIME_MAX {
            return Err(bad("its `exp` is more than ten years ahead; are these milliseconds?".to_owned()));
        }
        match claims.seconds("nbf").map_err(bad)?.map(moment) {
            Some(begins) if begins > now + self.leeway => Err(Cause::NotYetValid.because("it is not valid yet")),
            _ => Ok(end),
        }
    }

    /// When it was issued, in milliseconds since 1970; 0 if it does not say. It is what a revocation of a user's older tokens goes by, so a
    /// token from the future is refused.
    fn issued(&self, claims: &Object<'_>, now: SystemTime) -> Checked<u64> {
        let bad = |what| Cause::BadClaims.because(what);
        let Some(issued) = claims.milliseconds("iat").map_err(bad)? else { return Ok(0) };
        if UNIX_EPOCH + Duration::from_millis(issued) > now + self.leeway.max(CLOCKS_APART) {
            return Err(Cause::NotYetValid.because("its `iat` lies in the future"));
        }
        // Ours says it more precisely, where others read whole seconds. It may not say anything else.
        let precise = claims.count(super::signer::ISSUED_MS);
        Ok(precise.filter(|precise| precise / 1000 == issued / 1000).unwrap_or(issued))
    }

    /// A list of texts, or one text with spaces between.
    fn roles(&self, claims: Object<'_>) -> Result<Vec<Arc<str>>, String> {
        let Some((way, name)) = &self.roles_claim else { return Ok(self.default_roles.clone()) };
        let listed = claims.descend(way)?.map(|object| object.texts(name)).transpose()?.flatten();
        let roles: Vec<Arc<str>> = match &listed {
            None => Vec::new(),
            Some(Texts::One(text)) => text.split_ascii_whitespace().map(Arc::from).collect(),
            Some(Texts::Several(list)) => list.iter().map(|role| role.as_str().into()).collect(),
        };
        match roles.len() {
            0 => Ok(self.default_roles.clone()),
            count if count > ROLES_MAX => Err(format!("it lists {count} roles; {ROLES_MAX} are read")),
            _ => Ok(roles),
        }
    }
}
