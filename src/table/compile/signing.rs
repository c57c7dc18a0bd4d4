//! `auth.signing` to how our own tokens are signed, and to the issuer that believes them.

use std::time::Duration;

use super::backends::read;
use super::process::{Surroundings, needed};
use super::{entries, items};
use crate::config::document::{self, GatewayFile};
use crate::config::{Document, value};
use crate::diagnostic::{Diagnostic, Report, Rule, Span, Spanned};
use crate::files::Files;
use crate::pipeline::auth::IssuerSpec;
use crate::pipeline::public_key::{PublicKey, key_set};
use crate::pipeline::signer::{Signer, issuer_of};
use crate::table::plan::SigningPlan;

/// The issuer, and the audience, where nothing is said.
const NAME: &str = "protogate";

const ACCESS_TTL: Duration = Duration::from_secs(15 * 60);
const REFRESH_TTL: Duration = Duration::from_secs(30 * 86_400);

/// A longer one could be used long after whoever has it lost every right to.
const ACCESS_TTL_MAX: Duration = Duration::from_secs(86_400);

/// The service that signs.
const SERVICE: &str = "auth";

/// What is signed with, and what of it is published.
pub struct Signing {
    pub plan: SigningPlan,
    keys: Vec<PublicKey>,
}

// === impl Signing ===

impl Signing {
    /// Whoever believes these tokens: we.
    pub fn issuer(&self) -> IssuerSpec {
        issuer_of(&self.keys, &self.plan.issuer, &self.plan.audience)
    }

    /// What others need to verify them.
    pub fn jwks(&self) -> String {
        key_set(&self.keys)
    }
}

/// Nothing where there is no key; one that is needed is reported. `development` is the key of a process that may use shortcuts.
pub fn compile(
    document: &Document,
    surroundings: &Surroundings<'_>,
    development: Option<&Signer>,
    files: &Files,
    report: &mut Report,
) -> Option<Signing> {
    let written = written(&document.gateway);
    let (access_ttl, refresh_ttl) = lifetimes(written, report);
    let previous = previous(written, files, report);
    let signer = match written.and_then(|signing| signing.key.as_ref()) {
        Some(key) => signer(key, files).map_err(|finding| report.push(finding.path("auth.signing.key"))).ok()?,
        None => match development {
            Some(signer) => signer.clone(),
            None => {
                require(document, surroundings, report);
                return None;
            }
        },
    };
    let mut keys = vec![signer.public()];
    for key in previous {
        if !keys.contains(&key) {
            keys.push(key);
        }
    }
    let text = |text: Option<&Spanned<value::Line>>| text.map_or(NAME, |text| text.as_str()).to_owned();
    let issuer = text(written.and_then(|signing| signing.issuer.as_ref()));
    let audience = text(written.and_then(|signing| signing.audience.as_ref()));
    Some(Signing { plan: SigningPlan { signer, issuer, audience, access_ttl, refresh_ttl }, keys })
}

/// Where the name of our own issuer is written, if it is.
pub fn name_written(gateway: &GatewayFile) -> Option<Span> {
    let signing = written(gateway)?;
    Some(signing.issuer.as_ref().map_or(signing.span, |issuer| issuer.span))
}

fn written(gateway: &GatewayFile) -> Option<&Spanned<document::Signing>> {
    gateway.auth.as_ref()?.signing.as_ref()
}

fn signer(key: &Spanned<value::FilePath>, files: &Files) -> Result<Signer, Diagnostic> {
    let pem = read(key, files).map_err(|finding| finding.help("make one with `openssl genpkey -algorithm ed25519 -out signing.pem`"))?;
    Signer::from_pem(&pem).map_err(|problem| Diagnostic::new(Rule::TokenKey, key.span, format!("tokens cannot be signed: {problem}")))
}

fn previous(written: Option<&Spanned<document::Signing>>, files: &Files, report: &mut Report) -> Vec<PublicKey> {
    let paths = written.map_or(&[][..], |signing| items(&signing.previous));
    let mut keys = Vec::new();
    for (index, path) in paths.iter().enumerate() {
        let key = read(path, files).and_then(|pem| {
            let unusable = |problem| Diagnostic::new(Rule::TokenKey, path.span, format!("a previous key cannot be used: {problem}"));
            PublicKey::from_pem(&pem).map_err(unusable)
        });
        match key {
            Ok(key) => keys.push(key),
            Err(finding) => report.push(finding.path(format!("auth.signing.previous[{index}]"))),
        }
    }
    keys
}

/// How long access and refresh tokens are good.
fn lifetimes(written: Option<&Spanned<document::Signing>>, report: &mut Report) -> (Duration, Duration) {
    let access = written.and_then(|signing| signing.access_ttl.as_ref());
    let refresh = written.and_then(|signing| signing.refresh_ttl.as_ref());
    let access_ttl = access.map_or(ACCESS_TTL, |ttl| ttl.0);
    let refresh_ttl = refresh.map_or(REFRESH_TTL, |ttl| ttl.0);
    let mut wrong = |place: Span, key: &str, what: &str, help: &str| {
        report.push(Diagnostic::new(Rule::BadValue, place, what).help(help).path(format!("auth.signing.{key}")));
    };
    if let Some(access) = access {
        if access_ttl > ACCESS_TTL_MAX {
            let what = "an access token that is good for more than a day outlives what it stands for";
            wrong(access.span, "access_ttl", what, "write `24h` or less; refresh tokens are for the rest");
        } else if access_ttl < Duration::from_secs(1) {
            wrong(access.span, "access_ttl", "an access token of less than a second has expired when it arrives", "write `15m`");
        }
    }
    if let Some(place) = refresh.map(|ttl| ttl.span).or(access.map(|ttl| ttl.span)).filter(|_| refresh_ttl < access_ttl) {
        let what = "refresh tokens would end before the access tokens that they are to replace";
        wrong(place, "refresh_ttl", what, "make `refresh_ttl` at least as long as `access_ttl`");
    }
    (access_ttl, refresh_ttl)
}

/// A key that is missing where somebody signs and development's is not used.
fn require(document: &Document, surroundings: &Surroundings<'_>, report: &mut Report) {
    if surroundings.shortcuts || !document.complete || report.speaks_of("auth.signing.key") {
        return;
    }
    let service = document.groups.iter().flat_map(|group| entries(&group.routes.backends)).find_map(|(_, backend)| {
        let name = backend.builtin.as_ref()?;
        (name.as_str() == SERVICE).then_some(name.span)
    });
    let Some(place) = written(&document.gateway).map(|signing| signing.span).or(service) else { return };
    let help = "make one with `openssl genpkey -algorithm ed25519 -out signing.pem`, beside gateway.yaml, and \
                add to gateway.yaml:\nauth:\n  signing: { key: signing.pem }";
    report.push(needed(surroundings, place, "a key that signs tokens", "signing key").help(help).path("auth.signing.key"));
}
