//! Tokens into identities.
//!
//! A token is a JWT of one of several issuers, or an API key. Promises:
//! - An issuer has one algorithm, and a token's header must state exactly that one; keys are the issuer's and never the token's.
//! - `exp`, `iss`, `aud` and `sub` must be there and say something; `nbf` and `iat` are honoured; `crit` and duplicate claims are refused.
//! - Every refusal says the same to the client. The precise cause is private, and counted.
//! - A token is at most 8 KiB, so that looking at a bad one costs little; nothing is fetched, opened or looked up because of what it says.
//!   (An unknown `kid` may bring forward the next look at the issuer's key set, whose URL the configuration knows.)

use std::collections::HashMap;
use std::sync::Arc;
use std::time::SystemTime;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::api_key::{self, ApiKeySpec, ApiKeys};
use super::cause::{Cause, Refusals};
use super::claims::{Object, quoted};
use super::identity::{Identity, Token};
use super::issuer::Issuer;
pub use super::issuer::{Algorithm, IssuerSpec, KeySource, LEEWAY_MAX};
use super::key_set::{KeySet, KeySetSpec};
use super::refused::Checked;
pub use super::refused::Refused;
use crate::failure::{Failure, Reason};

/// The longest token. Real ones have one or two kilobytes.
pub const TOKEN_BYTES_MAX: usize = 8 * 1024;

/// Knows whose tokens are believed. The default believes nobody.
#[derive(Default)]
pub struct Verifier {
    issuers: HashMap<String, Issuer>,
    /// What they were made of, for whoever compares.
    specs: Vec<IssuerSpec>,
    api_keys: ApiKeys,
    refusals: Arc<Refusals>,
    /// Whether an identity holds its token: only where a route forwards it.
    keep_tokens: bool,
}

/// What is wrong with some of several issuers: which one, and what.
pub type Problems = Vec<(usize, String)>;

// === impl Verifier ===

impl Verifier {
    /// All that is wrong with the issuers is found at once. Key sets that have a URL are not fetched: nobody gave a way to.
    pub fn new(specs: &[IssuerSpec]) -> Result<Verifier, Problems> {
        Verifier::with_key_sets(specs, &mut |spec| Arc::new(KeySet::never_fetched(spec)))
    }

    /// The same with key sets that are alive.
    pub fn with_key_sets(specs: &[IssuerSpec], key_set: &mut dyn FnMut(KeySetSpec) -> Arc<KeySet>) -> Result<Verifier, Problems> {
        let mut issuers = HashMap::new();
        let mut problems = Vec::new();
        for (index, spec) in specs.iter().enumerate() {
            match Issuer::new(spec, key_set) {
                Ok(_) if issuers.contains_key(&spec.issuer) => {
                    problems.push((index, format!("issuer `{}` is declared twice; put its keys into one key set", spec.issuer)));
                }
                Ok(issuer) => drop(issuers.insert(spec.issuer.clone(), issuer)),
                Err(problem) => problems.push((index, problem)),
            }
        }
        if problems.is_empty() { Ok(Verifier { issuers, specs: specs.to_vec(), ..Verifier::default() }) } else { Err(problems) }
    }

    /// The same, with identities that hold their tokens or do not.
    #[must_use]
    pub fn keep_tokens(self, keep_tokens: bool) -> Verifier {
        Verifier { keep_tokens, ..self }
    }

    /// The same, believing these API keys too.
    #[must_use]
    pub fn with_api_keys(self, keys: &[ApiKeySpec]) -> Verifier {
        Verifier { api_keys: ApiKeys::new(keys), ..self }
    }

    /// The same, counting there what it refuses.
    #[must_use]
    pub fn counting(self, refusals: Arc<Refusals>) -> Verifier {
        Verifier { refusals, ..self }
    }

    /// Whether no token can be good.
    pub fn is_empty(&self) -> bool {
        self.issuers.is_empty() && self.api_keys.is_empty()
    }

    /// Whose tokens are believed.
    pub fn issuers(&self) -> impl Iterator<Item = &IssuerSpec> {
        self.specs.iter()
    }

    /// The API keys that are believed.
    pub fn api_keys(&self) -> impl Iterator<Item = &ApiKeySpec> {
        self.api_keys.all()
    }

    /// How many tokens were refused, by cause.
    pub fn refusals(&self) -> &Refusals {
        &self.refusals
    }

    /// Who the token speaks for, if it is good at `now`. Waits for nothing; what is refused may be worth another look after
    /// [`Refused::refreshed`].
    pub fn verify(&self, token: &str, now: SystemTime) -> Result<Identity, Refused> {
        self.read(token, now).map_err(|flaw| Refused::new(flaw, &self.refusals))
    }

    /// The same for whoever can wait: keys that are being fetched are waited for, once and not long.
    pub async fn verify_patiently(&self, token: &str, now: impl Fn() -> SystemTime) -> Result<Identity, Failure> {
        let verified = match self.verify(token, now()) {
            Err(mut refused) if refused.is_curable() => match refused.refreshed().await {
                true => self.verify(token, now()),
                false => Err(refused),
            },
            verified => verified,
        };
        verified.map_err(Refused::finally)
    }

    /// Counts what became of an identity that was verified here: if it was refused all the same, it was revoked.
    pub fn counted<T>(&self, admitted: Result<T, Failure>) -> Result<T, Failure> {
        admitted.inspect_err(|failure| {
            if failure.is(Reason::InvalidToken) {
                self.refusals.count(Cause::Revoked);
            }
        })
    }

    /// Refuses an identity that was good, for a reason that only the caller knows. Counts it.
    pub fn refuse(&self, cause: Cause, what: &str) -> Failure {
        Refused::new(cause.because(what), &self.refusals).finally()
    }

    /// Whether that by which this identity came is still listed: an API key that was taken out of the configuration, or changed, is not.
    /// Of a token its expiry and its revocation say everything.
    pub fn still_lists(&self, identity: &Identity) -> bool {
        identity.api_key.as_ref().is_none_or(|hash| self.api_keys.lists(hash, &identity.user, &identity.roles))
    }

    fn read(&self, token: &str, now: SystemTime) -> Checked<Identity> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(Cause::TooLarge.because(format!("it has {} bytes", token.len())));
        }
        let identity = if token.starts_with(api_key::PREFIX) { self.api_keys.identify(token, now)? } else { self.read_jwt(token, now)? };
        Ok(Identity { token: self.keep_tokens.then(|| Token::new(token)), ..identity })
    }

    fn read_jwt(&self, token: &str, now: SystemTime) -> Checked<Identity> {
        let no_jwt = || Cause::Malformed.because("it is not a JWT");
        let (message, signature) = token.rsplit_once('.').ok_or_else(no_jwt)?;
        let (header, claims) = message.split_once('.').ok_or_else(no_jwt)?;
        let (header, claims) = (decoded("header", header)?, decoded("claims", claims)?);
        let unreadable = |part, error| Cause::Malformed.because(format!("its {part} unreadable: {error}"));
        let header = Object::parse(&header).map_err(|error| unreadable("header is", error))?;
        let claims = Object::parse(&claims).map_err(|error| unreadable("claims are", error))?;

        // Nothing is believed yet; `iss` only says whose key has to fit.
        let name = claims.required_text("iss").map_err(|what| Cause::BadClaims.because(what))?;
        let issuer = self.issuers.get(&*name);
        let issuer = issuer.ok_or_else(|| Cause::UnknownIssuer.because(format!("its issuer {} is not known", quoted(&name))))?;
        issuer.authenticate(&header, message, signature)?;
        issuer.identify(claims, now)
    }
}

fn decoded(part: &str, base64url: &str) -> Checked<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(base64url).map_err(|error| Cause::Malformed.because(format!("its {part} is not base64url: {error}")))
}

#[cfg(test)]
mod tests;
