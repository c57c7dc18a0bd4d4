//! Where the endpoints of a `grpc` backend come from: exactly one of `endpoints`, `dns`, `file` and `registry`.

use std::net::IpAddr;
use std::time::Duration;

use super::super::process::bearer;
use super::super::{entries, items, missing};
use crate::backend::{Source, endpoints_in};
use crate::config::Document;
use crate::config::document::{DnsSource, Grpc, RegistrySource};
use crate::config::value::FilePath;
use crate::diagnostic::{Diagnostic, Report, Rule, Spanned};
use crate::files::{Files, reason};
use crate::push::door::{TOKEN_BYTES_MIN, Token};
use crate::registry;

/// How often a name is looked up where nothing is said, and how often it may be.
const REFRESH: Duration = Duration::from_secs(10);
const REFRESH_MIN: Duration = Duration::from_secs(1);
const REFRESH_MAX: Duration = Duration::from_secs(3600);

/// Whether what the backend at `path` says of its endpoints could not be read, which has been reported.
pub fn is_broken(path: &str, report: &Report) -> bool {
    ["endpoints", "dns", "file", "registry"].iter().any(|key| report.speaks_of_part(&format!("{path}.grpc.{key}")))
}

/// The one source that is written.
pub fn source(name: &str, grpc: &Spanned<Grpc>, document: &Document, files: &Files) -> Result<Source, Diagnostic> {
    let written = [
        grpc.endpoints.as_ref().map(|written| ("endpoints", written.span)),
        grpc.dns.as_ref().map(|written| ("dns", written.span)),
        grpc.file.as_ref().map(|written| ("file", written.span)),
        grpc.registry.as_ref().map(|written| ("registry", written.span)),
    ];
    let mut written = written.into_iter().flatten();
    if let (Some((first, place)), Some((second, again))) = (written.next(), written.next()) {
        let what = format!("the endpoints of `{name}` come from `{first}` or from `{second}`, not both");
        return Err(Diagnostic::new(Rule::BadValue, again, what)
            .related(place, "the first source")
            .help("keep one of `endpoints`, `dns`, `file` and `registry`")
            .path(format!("grpc.{second}")));
    }
    match (&grpc.dns, &grpc.file, &grpc.registry) {
        (Some(dns), _, _) => looked_up(dns),
        (_, Some(file), _) => listed(file, files),
        (_, _, Some(registry)) => registered(name, registry, document),
        _ => stated(name, grpc),
    }
}

fn stated(name: &str, grpc: &Spanned<Grpc>) -> Result<Source, Diagnostic> {
    let endpoints = super::balance::endpoints(grpc)?;
    if endpoints.is_empty() {
        let place = grpc.endpoints.as_ref().map_or(grpc.span, |list| list.span);
        let help = "write `endpoints: [\"http://127.0.0.1:50051\"]`; or `dns`, `file` or `registry`, by which endpoints come and go";
        return Err(missing(place, format!("the backend `{name}` has no endpoint"), help).path("grpc.endpoints"));
    }
    Ok(Source::Static(endpoints))
}

fn looked_up(dns: &Spanned<DnsSource>) -> Result<Source, Diagnostic> {
    let url = dns.url.as_ref().expect("a section without a key it requires is left out before");
    if url.host.parse::<IpAddr>().is_ok() {
        let what = format!("`{}` is an address, not a name to look up", url.host);
        let help = format!("write `endpoints: [\"{}\"]` instead of `dns`", url.value);
        return Err(Diagnostic::new(Rule::BadValue, url.span, what).help(help).path("grpc.dns.url"));
    }
    let refresh = dns.refresh.as_ref().map_or(REFRESH, |refresh| refresh.0);
    if !(REFRESH_MIN..=REFRESH_MAX).contains(&refresh) {
        let place = dns.refresh.as_ref().map_or(dns.span, |refresh| refresh.span);
        let finding = Diagnostic::new(Rule::Bounds, place, "a name is looked up every second at most, and every hour at least");
        return Err(finding.help("write a time from `1s` to `1h`").path("grpc.dns.refresh"));
    }
    Ok(Source::Dns { host: url.host.clone(), port: url.port, tls: url.tls, refresh })
}

/// The file is read to see whether it can be, and is no part of the table: a change of it is in force without a reload.
fn listed(file: &Spanned<FilePath>, files: &Files) -> Result<Source, Diagnostic> {
    let path = file.as_path();
    let bytes = files.read_apart(path).map_err(|error| {
        let what = format!("`{}` cannot be read: {}", path.display(), reason(&error));
        Diagnostic::new(Rule::Unreadable, file.span, what).help("paths are relative to the file they are written in").path("grpc.file")
    })?;
    endpoints_in(&bytes).map_err(|problem| {
        let what = format!("`{}` is no list of endpoints: {problem}", path.display());
        let help = "write one endpoint a line: `- http://10.0.0.5:50051`, or `- { url: \"http://10.0.0.5:50051\", weight: 2, zone: a }`";
        Diagnostic::new(Rule::BadValue, file.span, what).help(help).path("grpc.file")
    })?;
    Ok(Source::File(path.to_path_buf()))
}

fn registered(name: &str, registry: &Spanned<RegistrySource>, document: &Document) -> Result<Source, Diagnostic> {
    let allow: Vec<_> = items(&registry.allow).iter().map(|network| network.0).collect();
    if allow.is_empty() {
        let place = registry.allow.as_ref().map_or(registry.span, |allow| allow.span);
        let help = "name the networks that its endpoints are in: `allow: [\"10.0.0.0/8\"]`, or `[\"127.0.0.1\"]` for this machine alone";
        return Err(missing(place, format!("nobody may register as an endpoint of `{name}`"), help).path("grpc.registry.allow"));
    }
    if document.gateway.push.is_none() && document.complete {
        let lines = "add to gateway.yaml:\nvars:\n  push_token: { env: PUSH_TOKEN, secret: true }\npush:\n  token: \"${var.push_token}\"";
        let what = format!("endpoints of `{name}` register where services push, and that is nowhere");
        return Err(missing(registry.span, what, lines).path("grpc.registry"));
    }
    Ok(Source::Registry { allow })
}

/// Who may register for which backend.
pub fn rules(document: &Document, report: &mut Report) -> registry::Rules {
    let mut rules = registry::Rules::new();
    let backends = document.groups.iter().flat_map(|group| entries(&group.routes.backends));
    for (name, backend) in backends {
        let registry = backend.grpc.as_ref().and_then(|grpc| grpc.registry.as_ref());
        let Some((registry, token)) = registry.and_then(|registry| Some((registry, registry.token.as_ref()?))) else { continue };
        let path = format!("backends.{}.grpc.registry.token", name.as_str());
        bearer(token, "the token of who registers", TOKEN_BYTES_MIN, &path, report);
        let allow = items(&registry.allow).iter().map(|network| network.0).collect();
        rules.push(registry::Rule { backend: name.shared(), token: Token::new(token.expose()), allow });
    }
    rules
}
