//! `backends:` of every group to specs.
//!
//! - `discovery`: where endpoints come from
//! - `failing`: `breaker`, `limits`, `retry_budget`
//! - `tls`: `grpc.tls`
//! - `upkeep`: `health`, `grpc.connections`

mod discovery;
mod failing;
mod tls;
mod upkeep;

use std::path::Path;

use super::names::Names;
use super::{balance, broken, entries, missing};
use crate::backend::{self, GrpcSpec, Source, Spec, SpecKind};
use crate::config::Document;
use crate::config::document::{Backend, Grpc};
use crate::config::value::FilePath;
use crate::diagnostic::{Diagnostic, Report, Rule, Span, Spanned};
use crate::files::{Files, reason};
use crate::services;

pub use discovery::rules;

/// The backends by name.
pub type Backends = Names<Spec>;

/// Declares every backend of every group.
pub fn compile(document: &Document, files: &Files, report: &mut Report) -> Backends {
    let mut backends = Names::new("backend", "backends", Rule::UnknownBackend, document.complete && !report.speaks_of("backends"));
    for group in &document.groups {
        for (name, backend) in entries(&group.routes.backends) {
            let path = format!("backends.{}", name.as_str());
            let says_nothing = backend.builtin.is_none() && backend.grpc.is_none();
            if discovery::is_broken(&path, report) || says_nothing && says_something(&path, report) {
                backends.declare(name.as_str(), name.span, &path, None, report);
                continue;
            }
            let spec = kind(name.as_str(), backend, document, files).and_then(|kind| balance::apply(name.as_str(), backend, kind)).map_err(
                |finding| {
                    let inside = if finding.path.is_empty() { path.clone() } else { format!("{path}.{}", finding.path) };
                    report.push(finding.path(inside));
                },
            );
            let mut spec = spec.ok();
            failing::compile(name.as_str(), backend, spec.as_mut(), &path, report);
            if let Some(tls) = backend.grpc.as_ref().and_then(|grpc| grpc.tls.as_ref()) {
                tls::lint(tls, &path, files, report);
            }
            upkeep::compile(name.as_str(), backend, spec.as_mut(), &path, report);
            let spec = spec.map(|kind| Spec { name: name.shared(), kind });
            backends.declare(name.as_str(), name.span, &path, spec, report);
        }
        broken(&group.routes.backends).iter().for_each(|name| backends.declare_broken(name.as_str()));
    }
    backends
}

/// Whether what the backend is was written, and could not be read.
fn says_something(path: &str, report: &Report) -> bool {
    ["builtin", "grpc"].iter().any(|key| report.speaks_of(&format!("{path}.{key}")))
}

fn kind(name: &str, backend: &Spanned<Backend>, document: &Document, files: &Files) -> Result<SpecKind, Diagnostic> {
    match (&backend.builtin, &backend.grpc) {
        (Some(service), None) if services::NAMES.contains(&service.as_str()) => Ok(SpecKind::Builtin(service.shared())),
        (Some(service), None) => {
            let what = format!("there is no built-in service `{}`", service.as_str());
            Err(Diagnostic::new(Rule::UnknownBuiltin, service.span, what)
                .did_you_mean(service.as_str(), services::NAMES.iter().copied())
                .path("builtin"))
        }
        (None, Some(grpc)) => grpc_kind(name, grpc, document, files),
        (None, None) => {
            let help = "write `grpc: { endpoints: [\"http://127.0.0.1:50051\"] }`, or `builtin: echo`";
            Err(missing(backend.span, format!("the backend `{name}` says neither `grpc` nor `builtin`"), help))
        }
        (Some(_), Some(grpc)) => {
            let what = format!("the backend `{name}` is `grpc` or `builtin`, not both");
            Err(Diagnostic::new(Rule::BadValue, grpc.span, what).help("remove one of them"))
        }
    }
}

fn grpc_kind(name: &str, grpc: &Spanned<Grpc>, document: &Document, files: &Files) -> Result<SpecKind, Diagnostic> {
    let source = discovery::source(name, grpc, document, files)?;
    let tls = grpc.tls.as_ref().map(|tls| tls::compile(tls, files)).transpose()?;
    if let Some(written) = &grpc.tls
        && is_clear_text(&source)
    {
        let what = format!("`tls` does nothing: no endpoint of `{name}` begins with `https://`");
        return Err(Diagnostic::new(Rule::BadValue, written.span, what)
            .help("write `https://` in the endpoints, or remove `tls`")
            .path("grpc.tls"));
    }
    let mut spec = GrpcSpec { source, tls, ..GrpcSpec::at(Vec::new()) };
    if let Some(timeout) = &grpc.connect_timeout {
        spec.connect_timeout = timeout.0;
    }
    let kind = SpecKind::Grpc(Box::new(spec));
    match backend::problem(&kind) {
        None => Ok(kind),
        Some(problem) => {
            let place = grpc.tls.as_ref().map_or(grpc.span, |tls| tls.span);
            let what = format!("the backend `{name}` cannot be called: {problem}");
            Err(Diagnostic::new(Rule::TlsFile, place, what)
                .help("`ca` is a PEM file with the certificates of the authorities to trust")
                .path("grpc.tls"))
        }
    }
}

/// Whether it is certain that no endpoint has a certificate.
fn is_clear_text(source: &Source) -> bool {
    match source {
        Source::Static(endpoints) => !endpoints.iter().any(|endpoint| endpoint.tls),
        Source::Dns { tls, .. } => !tls,
        Source::File(_) | Source::Registry { .. } => false,
    }
}

/// A file that a setting names.
pub fn read(path: &Spanned<FilePath>, files: &Files) -> Result<Vec<u8>, Diagnostic> {
    read_path(path.as_path(), path.span, files)
}

/// The same, where the path is one of several things that may be written.
pub fn read_path(path: &Path, place: Span, files: &Files) -> Result<Vec<u8>, Diagnostic> {
    files.read(path).map_err(|error| {
        let what = format!("`{}` cannot be read: {}", path.display(), reason(&error));
        Diagnostic::new(Rule::Unreadable, place, what).help("paths are relative to the file they are written in")
    })
}
