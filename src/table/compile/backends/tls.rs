//! `grpc.tls` of a backend to the settings it is called with.

use super::read;
use crate::backend::{TlsPart, TlsPems, TlsPlace, TlsProblem, TlsSpec};
use crate::config::document::BackendTls;
use crate::config::value::FilePath;
use crate::diagnostic::{Diagnostic, Report, Rule, Spanned};
use crate::files::Files;
use crate::table::compile::certificate::lint_dates;
use crate::table::compile::missing;

/// Reads the files that are named. What is wrong with one of them is found here.
pub fn compile(written: &Spanned<BackendTls>, files: &Files) -> Result<TlsSpec, Diagnostic> {
    let identity = match (&written.cert, &written.key) {
        (Some(cert), Some(key)) => Some((cert, key)),
        (None, None) => None,
        (Some(half), None) | (None, Some(half)) => {
            let what = "a certificate to show needs both `cert` and `key`";
            return Err(missing(half.span, what, "write `cert: client.pem, key: client.key`").path("grpc.tls"));
        }
    };
    let read = |path: &Spanned<FilePath>| read(path, files).map_err(|finding| finding.path("grpc.tls"));
    let path = |path: &Spanned<FilePath>| path.as_path().to_path_buf();
    let place = TlsPlace {
        ca: written.ca.as_ref().map(path),
        identity: identity.map(|(cert, key)| (path(cert), path(key))),
        server_name: written.server_name.as_ref().map(|name| name.as_str().to_owned()),
    };
    let pems = TlsPems {
        ca: written.ca.as_ref().map(read).transpose()?,
        identity: identity.map(|(cert, key)| Ok((read(cert)?, read(key)?))).transpose()?,
    };
    TlsSpec::new(place, &pems).map_err(|problem| finding(written, problem))
}

/// Reports a certificate that backends will refuse because of its dates.
pub fn lint(written: &BackendTls, path: &str, files: &Files, report: &mut Report) {
    if let Some(cert) = &written.cert
        && let Ok(pem) = files.read(cert.as_path())
    {
        lint_dates(cert, &pem, &format!("{path}.grpc.tls"), report);
    }
}

fn finding(written: &Spanned<BackendTls>, problem: TlsProblem) -> Diagnostic {
    let TlsProblem { part, what } = problem;
    let place = match part {
        TlsPart::Authorities => written.ca.as_ref().map(|ca| ca.span),
        TlsPart::Identity => written.cert.as_ref().map(|cert| cert.span),
        TlsPart::ServerName => written.server_name.as_ref().map(|name| name.span),
    };
    let finding = Diagnostic::new(Rule::TlsFile, place.unwrap_or(written.span), what).path("grpc.tls");
    match (part, &written.key) {
        (TlsPart::Identity, Some(key)) => finding
            .label("the certificate")
            .related(key.span, "the key")
            .help("both files are PEM: the certificate chain, and its private key"),
        (TlsPart::ServerName, _) => finding.help("write a DNS name or an IP address, as it stands on the service's certificate"),
        _ => finding.help("`ca` is a PEM file with the certificates of the authorities to trust"),
    }
}
