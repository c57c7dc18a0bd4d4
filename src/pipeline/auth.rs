//! Tokens into identities.
//!
//! A token is a JWT of one of several issuers. Promises:
//! - An issuer has one algorithm, and a token's header must state exactly that one; keys are the issuer's and never the token's.
//! - `exp`, `iss`, `aud` and `sub` must be there and say something; `nbf` is honoured; `crit` and duplicate claims are refused.
//! - Every refusal says the same to the client. The precise cause is private.
//! - A token is at most 8 KiB, so that looking at a bad one costs little; nothing is fetched, opened or looked up because of what it says.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::claims::{Object, Texts, quoted};
use super::identity::{Identity, Token};
use super::keys::Keys;
use crate::failure::{Failure, Reason, Result};

/// The longest token. Real ones have one or two kilobytes.
pub const TOKEN_BYTES_MAX: usize = 8 * 1024;

/// How far clocks may be said to differ; more would keep expired tokens alive.
pub const LEEWAY_MAX: Duration = Duration::from_secs(5 * 60);

/// How far ahead a token may expire. It catches milliseconds where seconds belong, and tokens that were meant never to expire.
const LIFETIME_MAX: Duration = Duration::from_secs(10 * 365 * 86_400);

const KEY_ID_CHARS_MAX: usize = 128;
const USER_BYTES_MAX: usize = 256;
const ROLES_MAX: usize = 64;

/// What every refusal says.
const REFUSED: &str = "the token was refused; get a new one and authenticate with it";

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

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Algorithm {
    Hs256,
    Rs256,
    Es256,
    EdDsa,
}

/// Contents, not paths: whoever compiles a table has read the files.
#[derive(Clone, PartialEq, Eq)]
pub enum KeySource {
    /// A public key.
    Pem(Vec<u8>),
    /// A key set.
    Jwks(Vec<u8>),
    /// A shared secret.
    Secret(Vec<u8>),
}

/// Knows whose tokens are believed. The default believes nobody.
#[derive(Default)]
pub struct Verifier {
    issuers: HashMap<String, Issuer>,
    /// Whether an identity holds its token: only where a route forwards it.
    keep_tokens: bool,
}

struct Issuer {
    keys: Keys,
    algorithm: Algorithm,
    audience: Vec<String>,
    /// The way to the object that holds the roles, and their name in it.
    roles_claim: Option<(Vec<String>, String)>,
    default_roles: Vec<Arc<str>>,
    leeway: Duration,
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

// === impl Verifier ===

impl Verifier {
    /// All that is wrong with the issuers is found at once: which one, and what.
    pub fn new(specs: &[IssuerSpec]) -> std::result::Result<Verifier, Vec<(usize, String)>> {
        let mut issuers = HashMap::new();
        let mut problems = Vec::new();
        for (index, spec) in specs.iter().enumerate() {
            match Issuer::new(spec) {
                Ok(_) if issuers.contains_key(&spec.issuer) => {
                    problems.push((index, format!("issuer `{}` is declared twice; put its keys into one key set", spec.issuer)));
                }
                Ok(issuer) => drop(issuers.insert(spec.issuer.clone(), issuer)),
                Err(problem) => problems.push((index, problem)),
            }
        }
        if problems.is_empty() { Ok(Verifier { issuers, keep_tokens: false }) } else { Err(problems) }
    }

    /// The same, with identities that hold their tokens or do not.
    #[must_use]
    pub fn keep_tokens(self, keep_tokens: bool) -> Verifier {
        Verifier { keep_tokens, ..self }
    }

    /// Whether no token can be good.
    pub fn is_empty(&self) -> bool {
        self.issuers.is_empty()
    }

    /// Who the token speaks for, if it is good at `now`.
    pub fn verify(&self, token: &str, now: SystemTime) -> Result<Identity> {
        self.read(token, now)
            .map_err(|cause| Failure::gateway(Reason::InvalidToken, REFUSED).because(format_args!("token refused: {cause}")))
    }

    fn read(&self, token: &str, now: SystemTime) -> std::result::Result<Identity, String> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(format!("it has {} bytes", token.len()));
        }
        let (message, signature) = token.rsplit_once('.').ok_or("it is not a JWT")?;
        let (header, claims) = message.split_once('.').ok_or("it is not a JWT")?;
        let (header, claims) = (decoded("header", header)?, decoded("claims", claims)?);
        let header = Object::parse(&header).map_err(|error| format!("its header is unreadable: {error}"))?;
        let claims = Object::parse(&claims).map_err(|error| format!("its claims are unreadable: {error}"))?;

        // Nothing is believed yet; `iss` only says whose key has to fit.
        let name = claims.required_text("iss")?;
        let issuer = self.issuers.get(&*name).ok_or_else(|| format!("its issuer {} is not known", quoted(&name)))?;
        issuer.authenticate(&header, message, signature)?;
        let identity = issuer.identify(claims, now)?;
        Ok(Identity { token: self.keep_tokens.then(|| Token::new(token)), ..identity })
    }
}

fn decoded(part: &str, base64url: &str) -> std::result::Result<Vec<u8>, String> {
    URL_SAFE_NO_PAD.decode(base64url).map_err(|error| format!("its {part} is not base64url: {error}"))
}

// === impl Issuer ===

impl Issuer {
    fn new(spec: &IssuerSpec) -> std::result::Result<Issuer, String> {
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
            keys: Keys::read(spec.algorithm, &spec.keys)?,
            algorithm: spec.algorithm,
            audience: spec.audience.iter().filter(|audience| !audience.is_empty()).cloned().collect(),
            roles_claim: roles_claim.transpose()?,
            default_roles: spec.default_roles.iter().map(|role| role.as_str().into()).collect(),
            leeway: spec.leeway,
        })
    }

    /// Whether this issuer signed the message. Of the header only `alg`, `kid` and `crit` mean anything.
    fn authenticate(&self, header: &Object<'_>, message: &str, signature: &str) -> std::result::Result<(), String> {
        if header.has("crit") {
            return Err("it has `crit`, and no extension is known here".into());
        }
        let algorithm = header.required_text("alg")?;
        if algorithm != self.algorithm.name() {
            return Err(format!("its algorithm is {} and should be {}", quoted(&algorithm), self.algorithm.name()));
        }
        let key_id = header.text("kid")?;
        if key_id.as_ref().is_some_and(|key_id| key_id.chars().count() > KEY_ID_CHARS_MAX) {
            return Err("its `kid` is too long".into());
        }
        self.keys.verify(key_id.as_deref(), message.as_bytes(), signature)
    }

    /// What the claims say, now that they are the issuer's.
    fn identify(&self, claims: Object<'_>, now: SystemTime) -> std::result::Result<Identity, String> {
        let expires = self.check_time(&claims, now)?;
        let for_us = match claims.texts("aud")?.ok_or("it has no `aud`")? {
            Texts::One(audience) => self.audience.iter().any(|ours| *ours == audience),
            Texts::Several(list) => list.iter().any(|audience| self.audience.contains(audience)),
        };
        if !for_us {
            return Err("its `aud` names somebody else".into());
        }
        let user = claims.required_text("sub")?;
        if user.len() > USER_BYTES_MAX || user.chars().any(char::is_control) {
            return Err("its `sub` is longer than 256 bytes or has control characters".into());
        }
        let claims_issued = claims.seconds("iat")?.unwrap_or(0).saturating_mul(1000);
        Ok(Identity {
            user: (&*user).into(),
            token_id: claims.text("jti")?.map(|id| (&*id).into()),
            roles: self.roles(claims)?,
            issued_ms: claims_issued,
            expires,
            token: None,
        })
    }

    /// Checks `exp` and `nbf`, and returns when the identity ends, by a clock that may be late.
    fn check_time(&self, claims: &Object<'_>, now: SystemTime) -> std::result::Result<SystemTime, String> {
        let moment = |seconds| UNIX_EPOCH + Duration::from_secs(seconds);
        let expires = moment(claims.seconds("exp")?.ok_or("it has no `exp`")?);
        let end = expires + self.leeway;
        if now >= end {
            return Err("it has expired".into());
        }
        if expires > now + LIFETIME_MAX {
            return Err("its `exp` is more than ten years ahead; are these milliseconds?".into());
        }
        match claims.seconds("nbf")?.map(moment) {
            Some(begins) if begins > now + self.leeway => Err("it is not valid yet".into()),
            _ => Ok(end),
        }
    }

    /// A list of texts, or one text with spaces between.
    fn roles(&self, claims: Object<'_>) -> std::result::Result<Vec<Arc<str>>, String> {
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

#[cfg(test)]
mod tests;
