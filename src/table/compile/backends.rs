//! `backends:` of every group to specs.

use super::names::Names;
use crate::backend::{self, EndpointSpec, Spec, SpecKind, TlsSpec};
use crate::config::Document;
use crate::config::document::{Backend, BackendTls, Grpc};
use crate::config::grammar::{Entries, Items};
use crate::diagnostic::{Diagnostic, Report, Rule, Spanned};
use crate::files::Files;
use crate::services;

/// How long to wait for a connection to an endpoint where nothing is said: three times the longest sensible round trip within a region,
/// for TCP and TLS.
const CONNECT_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(1);

/// The backends by name.
pub type Backends = Names<Spec>;

/// Declares every backend of every group.
pub fn compile(document: &Document, files: &Files, report: &mut Report) -> Backends {
    let mut backends = Names::new("backend", Rule::UnknownBackend);
    for group in &document.groups {
        for (name, backend) in group.routes.backends.entries() {
            let spec = kind(name.as_str(), backend, files, report).map(|kind| Spec { name: name.as_str().into(), kind });
            backends.declare(name.as_str(), name.span, spec, report);
        }
    }
    backends
}

fn kind(name: &str, backend: &Spanned<Backend>, files: &Files, report: &mut Report) -> Option<SpecKind> {
    match (&backend.builtin, &backend.grpc) {
        (Some(service), None) => match services::NAMES.contains(&service.as_str()) {
            true => Some(SpecKind::Builtin(service.as_str().into())),
            false => {
                let what = format!("there is no built-in service `{}`", service.as_str());
                report.push(Diagnostic::new(Rule::UnknownBuiltin, service.span, what).did_you_mean(service.as_str(), services::NAMES.iter().copied()));
                None
            }
        },
        (None, Some(grpc)) => grpc_kind(name, grpc, files, report),
        (None, None) => {
            let help = "write `grpc: { endpoints: [\"http://127.0.0.1:50051\"] }`, or `builtin: echo`";
            report.push(super::missing(backend.span, format!("the backend `{name}` says neither `grpc` nor `builtin`"), help));
            None
        }
        (Some(_), Some(grpc)) => {
            report.push(Diagnostic::new(Rule::BadValue, grpc.span, format!("the backend `{name}` is `grpc` or `builtin`, not both")).help("remove one of them"));
            None
        }
    }
}

fn grpc_kind(name: &str, grpc: &Spanned<Grpc>, files: &Files, report: &mut Report) -> Option<SpecKind> {
    let endpoints: Vec<EndpointSpec> = grpc
        .endpoints
        .items()
        .map(|url| EndpointSpec { host: url.host().to_owned(), port: url.port(), tls: url.is_tls() })
        .collect();
    if endpoints.is_empty() {
        let place = grpc.endpoints.as_ref().map_or(grpc.span, |list| list.span);
        report.push(super::missing(place, format!("the backend `{name}` has no endpoint"), "write `endpoints: [\"http://127.0.0.1:50051\"]`"));
        return None;
    }
    let tls = match &grpc.tls {
        Some(tls) => Some(tls_spec(tls, files, report)?),
        None => None,
    };
    if let Some(tls) = &grpc.tls
        && !endpoints.iter().any(|endpoint| endpoint.tls)
    {
        let what = format!("`tls` does nothing: no endpoint of `{name}` begins with `https://`");
        report.push(Diagnostic::new(Rule::BadValue, tls.span, what).help("write `https://` in the endpoints, or remove `tls`"));
        return None;
    }
    let connect_timeout = grpc.connect_timeout.as_ref().map_or(CONNECT_TIMEOUT, |timeout| timeout.get());
    let kind = SpecKind::Grpc { endpoints, tls, connect_timeout };
    if let Some(problem) = backend::problem(&kind) {
        let place = grpc.tls.as_ref().map_or(grpc.span, |tls| tls.ca.as_ref().map_or(tls.span, |ca| ca.span));
        report.push(Diagnostic::new(Rule::TlsFile, place, format!("the backend `{name}` cannot be called: {problem}")).help("`ca` is a PEM file with the certificates of the authorities to trust"));
        return None;
    }
    Some(kind)
}

fn tls_spec(tls: &Spanned<BackendTls>, files: &Files, report: &mut Report) -> Option<TlsSpec> {
    let mut spec = TlsSpec { roots_pem: None, server_name: tls.server_name.as_ref().map(|name| name.as_str().to_owned()) };
    if let Some(ca) = &tls.ca {
        spec.roots_pem = Some(read(ca, files, report)?);
    }
    Some(spec)
}

/// A file that a setting names; one that cannot be read is reported.
pub fn read(path: &Spanned<crate::config::value::FilePath>, files: &Files, report: &mut Report) -> Option<Vec<u8>> {
    match files.read(path.path()) {
        Ok(bytes) => Some(bytes),
        Err(error) => {
            let what = format!("`{}` cannot be read: {error}", path.path().display());
            report.push(Diagnostic::new(Rule::Unreadable, path.span, what).help("paths are relative to the file they are written in"));
            None
        }
    }
}
