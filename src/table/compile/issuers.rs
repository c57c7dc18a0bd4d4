//! `auth.issuers` to a verifier.

use super::backends::read;
use crate::config::document::{self, GatewayFile, Issuer};
use crate::config::grammar::Items;
use crate::diagnostic::{Diagnostic, Report, Rule, Span, Spanned};
use crate::files::Files;
use crate::pipeline::auth::{Algorithm, IssuerSpec, KeySource, Verifier};

/// How far clocks may differ where nothing is said.
const LEEWAY: std::time::Duration = std::time::Duration::from_secs(30);

/// The verifier of every issuer whose keys can be used; the others are reported.
pub fn compile(gateway: &GatewayFile, development: Option<&IssuerSpec>, files: &Files, report: &mut Report) -> Verifier {
    let mut specs: Vec<IssuerSpec> = development.cloned().into_iter().collect();
    let written = gateway.auth.iter().flat_map(|auth| auth.issuers.items());
    for issuer in written {
        let Some((spec, key)) = spec(issuer, files, report) else { continue };
        match Verifier::new(std::slice::from_ref(&spec)) {
            Ok(_) => specs.push(spec),
            Err(problems) => problems.into_iter().for_each(|(_, problem)| report.push(Diagnostic::new(Rule::TokenKey, key, problem))),
        }
    }
    Verifier::new(&specs).unwrap_or_else(|problems| {
        // Each is sound by itself, so what is left is that two name the same issuer.
        let place = gateway.auth.as_ref().map_or(gateway.span, |auth| auth.span);
        problems.into_iter().for_each(|(_, problem)| report.push(Diagnostic::new(Rule::TokenKey, place, problem)));
        Verifier::default()
    })
}

fn spec(issuer: &Spanned<Issuer>, files: &Files, report: &mut Report) -> Option<(IssuerSpec, Span)> {
    let before = report.errors();
    let mut need = |present: bool, key: &str, example: &str| {
        if !present {
            report.push(super::missing(issuer.span, format!("an issuer needs `{key}`"), format!("write `{example}`")));
        }
    };
    need(issuer.issuer.is_some(), "issuer", "issuer: \"https://id.example.com\"");
    need(issuer.audience.items().next().is_some(), "audience", "audience: [game]");
    need(issuer.algorithm.is_some(), "algorithm", "algorithm: EdDSA");
    let (keys, place) = keys(issuer, files, report)?;
    if report.errors() > before {
        return None;
    }
    let spec = IssuerSpec {
        issuer: issuer.issuer.as_ref()?.as_str().to_owned(),
        audience: issuer.audience.items().map(|text| text.as_str().to_owned()).collect(),
        algorithm: match issuer.algorithm.as_ref()?.value {
            document::Algorithm::Hs256 => Algorithm::Hs256,
            document::Algorithm::Rs256 => Algorithm::Rs256,
            document::Algorithm::Es256 => Algorithm::Es256,
            document::Algorithm::EdDsa => Algorithm::EdDsa,
        },
        keys,
        roles_claim: issuer.roles.as_ref().map(|path| path.as_str().trim_start_matches("claims.").split('.').map(str::to_owned).collect()),
        default_roles: issuer.default_roles.items().map(|role| role.as_str().to_owned()).collect(),
        leeway: issuer.leeway.as_ref().map_or(LEEWAY, |leeway| leeway.get()),
    };
    Some((spec, place))
}

/// The one source of keys, and where it is written.
fn keys(issuer: &Spanned<Issuer>, files: &Files, report: &mut Report) -> Option<(KeySource, Span)> {
    match (&issuer.public_key, &issuer.jwks, &issuer.secret) {
        (Some(pem), None, None) => Some((KeySource::Pem(read(pem, files, report)?), pem.span)),
        (None, Some(jwks), None) => Some((KeySource::Jwks(read(jwks, files, report)?), jwks.span)),
        (None, None, Some(secret)) => Some((KeySource::Secret(secret.expose().as_bytes().to_vec()), secret.span)),
        _ => {
            let what = "an issuer needs exactly one of `public_key`, `jwks` and `secret`";
            report.push(super::missing(issuer.span, what, "write `public_key: id.pem` for EdDSA, ES256 and RS256, or `secret: \"${var.jwt_secret}\"` for HS256"));
            None
        }
    }
}
