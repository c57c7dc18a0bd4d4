//! `tls:` of a listener to the certificate it shows.

use super::backends::read;
use super::missing;
use crate::config::document::{EdgeTls, PushTls};
use crate::config::value::FilePath;
use crate::diagnostic::{Diagnostic, Report, Rule, Span, Spanned};
use crate::files::Files;
use crate::tls::{self, Authority, Certificate, Peers, Pems, Place, Without};

/// What `tls` of the edge says. What is wrong with it is reported.
pub fn of_edge(written: &Spanned<EdgeTls>, files: &Files, report: &mut Report) -> Option<Certificate> {
    compile(Written { place: written.span, cert: &written.cert, key: &written.key, authority: None }, files, "tls", report)
}

/// What `push.tls` says.
pub fn of_push(written: &Spanned<PushTls>, without: Without, files: &Files, report: &mut Report) -> Option<Certificate> {
    let authority = written.client_ca.as_ref().map(|ca| (ca, without));
    let certificate = Written { place: written.span, cert: &written.cert, key: &written.key, authority: Some(authority) };
    compile(certificate, files, "push.tls", report)
}

struct Written<'a> {
    place: Span,
    cert: &'a Option<Spanned<FilePath>>,
    key: &'a Option<Spanned<FilePath>>,
    /// Where services come: who signs their certificates, if anybody does.
    authority: Option<Option<(&'a Spanned<FilePath>, Without)>>,
}

fn compile(written: Written<'_>, files: &Files, path: &str, report: &mut Report) -> Option<Certificate> {
    let (Some(cert), Some(key)) = (written.cert, written.key) else {
        if !report.speaks_of(&format!("{path}.cert")) && !report.speaks_of(&format!("{path}.key")) {
            let help = format!("write `{}: {{ cert: server.pem, key: server.key }}`", path.rsplit('.').next().unwrap_or(path));
            report.push(missing(written.place, "TLS needs both `cert` and `key`", help).path(path));
        }
        return None;
    };
    let authority = written.authority.flatten();
    let mut readable = |file: &Spanned<FilePath>| read(file, files).map_err(|finding| report.push(finding.path(path))).ok();
    let (cert_pem, key_pem, authority_pem) = (readable(cert), readable(key), authority.map(|(ca, _)| readable(ca)));
    let (Some(cert_pem), Some(key_pem)) = (cert_pem, key_pem) else { return None };
    let authority_pem = match authority_pem {
        Some(pem) => Some(pem?),
        None => None,
    };
    if let (Some((ca, _)), Some(pem)) = (authority, &authority_pem)
        && let Err(problem) = tls::authorities(pem)
    {
        let help = "`client_ca` is a PEM file with the certificates that sign those of services";
        report.push(Diagnostic::new(Rule::TlsFile, ca.span, problem).help(help).path(format!("{path}.client_ca")));
        return None;
    }
    let authority_of = |(ca, without): (&Spanned<FilePath>, Without)| Authority { ca: ca.as_path().to_path_buf(), without };
    let peers = written.authority.map_or(Peers::Clients, |authority| Peers::Services(authority.map(authority_of)));
    let place = Place { cert: cert.as_path().to_path_buf(), key: key.as_path().to_path_buf(), peers };
    lint_dates(cert, &cert_pem, path, report);
    match Certificate::new(place, &Pems { cert: cert_pem, key: key_pem, authority: authority_pem }) {
        Ok(certificate) => Some(certificate),
        Err(problem) => {
            let help = "both files are PEM: the certificate chain, and its private key";
            let finding = Diagnostic::new(Rule::TlsFile, cert.span, problem).label("the certificate").related(key.span, "the key");
            report.push(finding.help(help).path(path));
            None
        }
    }
}

/// Reports a certificate that peers will refuse because of its dates. `pem` is what its file holds.
pub fn lint_dates(written: &Spanned<FilePath>, pem: &[u8], path: &str, report: &mut Report) {
    if let Some(problem) = tls::chain(pem).ok().and_then(|chain| tls::out_of_date(&chain)) {
        let what = format!("the certificate `{}` {problem}, so peers will refuse it", written.as_path().display());
        let help = "renew it; the file is followed, so that needs no reload";
        report.push(Diagnostic::new(Rule::CertificateDates, written.span, what).help(help).path(format!("{path}.cert")));
    }
}
