//! `auth.issuers` to specs whose keys can be used.

use std::collections::BTreeMap;

use super::backends::{read, read_path};
use super::process::lint_secret;
use super::signing::Signing;
use super::{items, missing, signing};
use crate::config::document::{self, GatewayFile, Issuer};
use crate::config::value::KeySetPlace;
use crate::diagnostic::{Diagnostic, Report, Rule, Span, Spanned};
use crate::files::Files;
use crate::pipeline::auth::{Algorithm, IssuerSpec, KeySource, LEEWAY_MAX, Verifier};

/// How far clocks may differ where nothing is said.
const LEEWAY: std::time::Duration = std::time::Duration::from_secs(30);

/// Keys that come over `http` from elsewhere could be anybody's.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum OpenUrls {
    Allowed,
    Refused,
}

/// Every issuer whose keys can be used; the others are reported. The development issuer and our own are among them.
pub fn compile(
    gateway: &GatewayFile,
    development: Option<IssuerSpec>,
    own: Option<&Signing>,
    open_urls: OpenUrls,
    files: &Files,
    report: &mut Report,
) -> Vec<IssuerSpec> {
    let mut specs: Vec<IssuerSpec> = development.into_iter().chain(own.map(Signing::issuer)).collect();
    let mut names: BTreeMap<&str, Span> = BTreeMap::new();
    if let (Some(own), Some(place)) = (own, signing::name_written(gateway)) {
        names.insert(&own.plan.issuer, place);
    }
    let written = gateway.auth.iter().flat_map(|auth| items(&auth.issuers));
    for (index, issuer) in written.enumerate() {
        let path = format!("auth.issuers[{index}]");
        if let Some(secret) = &issuer.secret {
            lint_secret(secret, &format!("{path}.secret"), report);
        }
        let name = issuer.issuer.as_ref().map(|name| (name.as_str(), name.span));
        let first = name.map(|(name, place)| (name, place, *names.entry(name).or_insert(place)));
        if let Some((name, place, first)) = first.filter(|(_, place, first)| place != first) {
            report.push(
                Diagnostic::new(Rule::DuplicateName, place, format!("the issuer `{name}` is declared twice"))
                    .label("declared again here")
                    .related(first, "declared first here")
                    .help("put the keys of both into one key set, and name it under `jwks`")
                    .path(format!("{path}.issuer")),
            );
            continue;
        }
        let Some((spec, key)) = spec(issuer, &path, open_urls, files, report) else { continue };
        match Verifier::new(std::slice::from_ref(&spec)) {
            Ok(_) => specs.push(spec),
            Err(problems) => {
                for (_, problem) in problems {
                    let what = format!("tokens of `{}` cannot be verified: {problem}", spec.issuer);
                    report.push(Diagnostic::new(Rule::TokenKey, key, what).path(path.as_str()));
                }
            }
        }
    }
    if let Err(problems) = Verifier::new(&specs) {
        // Each is sound by itself and has a name of its own, unless it is that of an issuer which development brings along.
        let place = gateway.auth.as_ref().expect("what development brings along is sound").span;
        problems.into_iter().for_each(|(_, problem)| report.push(Diagnostic::new(Rule::TokenKey, place, problem).path("auth.issuers")));
    }
    specs
}

fn spec(issuer: &Spanned<Issuer>, path: &str, open_urls: OpenUrls, files: &Files, report: &mut Report) -> Option<(IssuerSpec, Span)> {
    if issuer.audience.is_none() && report.speaks_of(&format!("{path}.audience")) {
        return None;
    }
    if let Some(audience) = issuer.audience.as_ref().filter(|audience| audience.is_empty()) {
        let path = format!("{path}.audience");
        if !report.speaks_of_part(&path) {
            report.push(missing(audience.span, "an issuer needs at least one audience", "write `audience: [game]`").path(path));
        }
        return None;
    }
    if let Some(leeway) = issuer.leeway.as_ref().filter(|leeway| leeway.0 > LEEWAY_MAX) {
        let what = "a leeway of more than five minutes keeps expired tokens alive";
        report.push(Diagnostic::new(Rule::BadValue, leeway.span, what).help("write `5m` or less").path(format!("{path}.leeway")));
        return None;
    }
    if ["public_key", "jwks", "secret"].into_iter().any(|key| report.speaks_of(&format!("{path}.{key}"))) {
        return None;
    }
    let (keys, place) = keys(issuer, open_urls, files).map_err(|finding| report.push(finding.path(path))).ok()?;
    let spec = IssuerSpec {
        issuer: issuer.issuer.as_ref()?.as_str().to_owned(),
        audience: items(&issuer.audience).iter().map(|text| text.as_str().to_owned()).collect(),
        algorithm: match issuer.algorithm.as_ref()?.value {
            document::Algorithm::Hs256 => Algorithm::Hs256,
            document::Algorithm::Rs256 => Algorithm::Rs256,
            document::Algorithm::Es256 => Algorithm::Es256,
            document::Algorithm::EdDsa => Algorithm::EdDsa,
        },
        keys,
        roles_claim: issuer.roles.as_ref().map(|path| path.segments().map(str::to_owned).collect()),
        default_roles: items(&issuer.default_roles).iter().map(|role| role.as_str().to_owned()).collect(),
        leeway: issuer.leeway.as_ref().map_or(LEEWAY, |leeway| leeway.0),
    };
    Some((spec, place))
}

/// The one source of keys, and where it is written.
fn keys(issuer: &Spanned<Issuer>, open_urls: OpenUrls, files: &Files) -> Result<(KeySource, Span), Diagnostic> {
    match (&issuer.public_key, &issuer.jwks, &issuer.secret) {
        (Some(pem), None, None) => Ok((KeySource::Pem(read(pem, files)?), pem.span)),
        (None, Some(jwks), None) => Ok((key_set(jwks, open_urls, files)?, jwks.span)),
        (None, None, Some(secret)) => Ok((KeySource::Secret(secret.expose().as_bytes().to_vec()), secret.span)),
        _ => {
            let several = [issuer.public_key.is_some(), issuer.jwks.is_some(), issuer.secret.is_some()].contains(&true);
            let help = if several {
                "remove all but one"
            } else {
                "write `public_key: id.pem` for EdDSA, ES256 and RS256, or `secret: \"${var.jwt_secret}\"` for HS256"
            };
            Err(missing(issuer.span, "an issuer needs exactly one of `public_key`, `jwks` and `secret`", help))
        }
    }
}

fn key_set(jwks: &Spanned<KeySetPlace>, open_urls: OpenUrls, files: &Files) -> Result<KeySource, Diagnostic> {
    match &jwks.value {
        KeySetPlace::File(path) => Ok(KeySource::Jwks(read_path(path, jwks.span, files)?)),
        KeySetPlace::Url { in_the_open: true, .. } if open_urls == OpenUrls::Refused => {
            let what = "keys that come over plain `http` could be anybody's";
            Err(Diagnostic::new(Rule::TokenKey, jwks.span, what).help("write an `https` URL, or download the set and name the file"))
        }
        KeySetPlace::Url { url, .. } => Ok(KeySource::Url(url.as_str().into())),
    }
}
