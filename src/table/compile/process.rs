//! `gateway.yaml` to the fixed part, the settings, and whose tokens are believed.

use std::net::SocketAddr;
use std::sync::Arc;

use super::accounts::{self, Outbox};
use super::issuers::OpenUrls;
use super::{Context, api_keys, certificate, entries, issuers, items, push, signing, stores, tracing};
use crate::config::document::{self, GatewayFile};
use crate::config::value::{ByteSize, Duration, Secret, SocketUrl, UrlPath, Workers};
use crate::config::{Document, Environment};
use crate::diagnostic::{Diagnostic, Report, Rule, Span, Spanned};
use crate::files::Files;
use crate::pipeline::signer::Signer;
use crate::session::roster::WhenFull;
use crate::table::plan::{Access, RoutePlan, TokenPlan};
use crate::table::settings::{AdminToken, DRAIN_MAX, DrainSettings, ENVELOPE_BYTES, Fixed, PushSide, Settings};

const LISTEN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 7080);
const ADMIN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 7081);

/// Shorter ones can be guessed.
const ADMIN_TOKEN_BYTES_MIN: usize = 16;

/// `gateway.yaml`, as meant.
pub struct Process {
    pub fixed: Fixed,
    pub settings: Settings,
    pub tokens: TokenPlan,
}

/// What a shortcut depends on.
pub struct Surroundings<'a> {
    pub document: &'a Document,
    pub fixed: &'a Fixed,
    pub shortcuts: bool,
}

/// Reads every setting; what is broken keeps its built-in value and is reported.
pub fn compile(document: &Document, files: &Files, context: &Context, running: Option<&Fixed>, report: &mut Report) -> Process {
    let gateway = &document.gateway;
    let (push, push_tls) = push::compile(gateway, files, context, report);
    let fixed = fixed(gateway, push, context, running, report);
    let loopback = fixed.addresses().all(|address| address.ip().is_loopback());
    let development = document.environment == Environment::Development;
    let mut settings = Settings {
        shortcuts: loopback && document.environment != Environment::Production,
        watch: development,
        allow_breaking: development,
        // Who develops stops often, and nobody else is there.
        drain: if development { DrainSettings::AT_ONCE } else { DrainSettings::default() },
        tls: gateway.tls.as_ref().and_then(|tls| certificate::of_edge(tls, files, report)),
        push_tls,
        ..Settings::default()
    };
    apply(gateway, &mut settings);
    settings.otlp = tracing::collector(gateway, report).map(Arc::new);
    require(document, &fixed, &settings, report);
    bounds(gateway, &settings, report);
    lint_defaults(document, report);
    let outbox = if settings.shortcuts { Outbox::Allowed } else { Outbox::Refused };
    settings.accounts = accounts::compile(gateway, outbox, report).into();
    let tokens = tokens(document, files, context, &fixed, &mut settings, report);
    Process { fixed, settings, tokens }
}

/// Whose tokens are believed, and how ours are signed.
fn tokens(document: &Document, files: &Files, context: &Context, fixed: &Fixed, settings: &mut Settings, report: &mut Report) -> TokenPlan {
    let gateway = &document.gateway;
    let surroundings = Surroundings { document, fixed, shortcuts: settings.shortcuts };
    let development = context.development.as_ref().filter(|_| settings.shortcuts);
    let signing = signing::compile(document, &surroundings, development, files, report);
    if let Some(signing) = &signing {
        settings.jwks = signing.jwks().into();
        settings.token_ttls = (signing.plan.access_ttl, signing.plan.refresh_ttl);
    }
    let open_urls = if settings.shortcuts { OpenUrls::Allowed } else { OpenUrls::Refused };
    let development = development.map(Signer::development_issuer);
    let issuers = issuers::compile(gateway, development, signing.as_ref(), open_urls, files, report);
    let api_keys = api_keys::compile(gateway, report);
    TokenPlan { issuers, api_keys, keep_tokens: false, signing: signing.map(|signing| signing.plan) }
}

fn fixed(gateway: &GatewayFile, push: Option<PushSide>, context: &Context, running: Option<&Fixed>, report: &mut Report) -> Fixed {
    let listen = gateway.listen.as_ref();
    let admin = gateway.admin.as_ref();
    let admin_token = admin.and_then(|admin| admin.token.as_ref()).map(|token| {
        bearer(token, "the admin token", ADMIN_TOKEN_BYTES_MIN, "admin.token", report);
        AdminToken(token.expose().into())
    });
    Fixed {
        listen: context.listen.or(listen.and_then(|listen| listen.address.as_ref()).map(|address| address.0)).unwrap_or(LISTEN),
        admin: context.admin.or(admin.and_then(|admin| admin.address.as_ref()).map(|address| address.0)).unwrap_or(ADMIN),
        workers: match listen.and_then(|listen| listen.workers.as_ref()).map(|workers| workers.value) {
            Some(Workers::Count(count)) => count,
            // A running process keeps its workers, however many processors it may use by now.
            Some(Workers::Auto) | None => match running {
                Some(running) => running.workers,
                None => std::thread::available_parallelism().map_or(1, usize::from),
            },
        },
        admin_token,
        store: stores::compile(gateway, report),
        push,
        log_json: log_format(gateway).is_some_and(|format| format.value == document::LogFormat::Json),
    }
}

/// Overwrites a built-in value where the file says something.
macro_rules! take {
    ($settings:ident . $field:ident, $written:expr, $convert:expr) => {
        if let Some(written) = $written {
            $settings.$field = $convert(&written.value);
        }
    };
}

fn apply(gateway: &GatewayFile, settings: &mut Settings) {
    settings.origins = items(&gateway.origins).iter().map(|origin| origin.as_str().to_owned()).collect();
    settings.trusted_proxies = items(&gateway.trusted_proxies).iter().map(|network| network.0).collect();
    take!(settings.proxy_protocol, &gateway.proxy_protocol, |on: &bool| *on);
    if let Some(listen) = &gateway.listen {
        take!(settings.path, &listen.path, |path: &UrlPath| path.as_str().to_owned());
        take!(settings.public_url, &listen.public_url, |url: &SocketUrl| Some(url.as_str().to_owned()));
    }
    let bytes = |size: &ByteSize| bytes(*size);
    if let Some(connections) = &gateway.connections {
        let number = |number: &u32| *number;
        take!(settings.connections_max, &connections.max, number);
        take!(settings.per_ip_max, &connections.per_ip_max, number);
        take!(settings.inflight_max, &connections.inflight_max, |number: &u32| *number as usize);
        take!(settings.streams_max, &connections.streams_max, |number: &u32| *number as usize);
        take!(settings.stream_credit, &connections.stream_credit, number);
        take!(settings.auth_timeout, &connections.auth_timeout, |duration: &Duration| duration.0);
        take!(settings.anonymous_max_age, &connections.anonymous_max_age, |duration: &Duration| duration.0);
        take!(settings.heartbeat, &connections.heartbeat, |duration: &Duration| duration.0);
        take!(settings.heartbeat_grace, &connections.heartbeat_grace, |duration: &Duration| duration.0);
        take!(settings.message_bytes_max, &connections.message_bytes_max, bytes);
        take!(settings.outbox_bytes_max, &connections.outbox_bytes_max, bytes);
    }
    if let Some(memory) = &gateway.memory {
        take!(settings.memory_outboxes, &memory.outboxes, bytes);
        take!(settings.memory_partial, &memory.partial_messages, bytes);
    }
    if let Some(written) = &gateway.sessions {
        let sessions = &mut settings.sessions;
        take!(sessions.per_user_max, &written.per_user_max, |number: &u32| *number as usize);
        take!(sessions.topics_max, &written.topics_max, |number: &u32| *number as usize);
        take!(sessions.resume_window, &written.resume_window, |duration: &Duration| duration.0);
        take!(sessions.ring_bytes_max, &written.ring_bytes_max, bytes);
        take!(sessions.when_full, &written.when_full, |full: &document::WhenFull| match full {
            document::WhenFull::ReplaceOldest => WhenFull::ReplaceOldest,
            document::WhenFull::Refuse => WhenFull::Refuse,
        });
    }
    if let Some(log) = gateway.telemetry.as_ref().and_then(|telemetry| telemetry.log.as_ref()) {
        take!(settings.log_level, &log.level, |level: &document::LogLevel| log_level(*level));
    }
    if let Some(reload) = &gateway.reload {
        take!(settings.watch, &reload.watch, |on: &bool| *on);
        take!(settings.debounce, &reload.debounce, |duration: &Duration| duration.0);
        take!(settings.allow_breaking, &reload.allow_breaking, |on: &bool| *on);
    }
    if let Some(written) = &gateway.drain {
        let drain = &mut settings.drain;
        take!(drain.grace, &written.grace, |duration: &Duration| duration.0);
        take!(drain.over, &written.over, |duration: &Duration| duration.0);
    }
}

fn log_level(level: document::LogLevel) -> ::tracing::Level {
    match level {
        document::LogLevel::Error => ::tracing::Level::ERROR,
        document::LogLevel::Warn => ::tracing::Level::WARN,
        document::LogLevel::Info => ::tracing::Level::INFO,
        document::LogLevel::Debug => ::tracing::Level::DEBUG,
        document::LogLevel::Trace => ::tracing::Level::TRACE,
    }
}

/// What may not be missing where others can reach the gateway.
fn require(document: &Document, fixed: &Fixed, settings: &Settings, report: &mut Report) {
    let admin = document.gateway.admin.as_ref();
    // A token that was written and could not be read has been reported.
    if settings.shortcuts || fixed.admin_token.is_some() || !document.complete {
        return;
    }
    let Some(place) = place_of_gateway(document) else { return };
    if report.speaks_of("admin.token") {
        return;
    }
    let place = admin.map_or(place, |admin| admin.span);
    let lines = "add to gateway.yaml:\nvars:\n  admin_token: { env: ADMIN_TOKEN, secret: true }\nadmin:\n  token: \"${var.admin_token}\"";
    let surroundings = Surroundings { document, fixed, shortcuts: settings.shortcuts };
    report.push(needed(&surroundings, place, "an admin token", "admin token").help(lines).path("admin.token"));
}

/// What is said where something is missing that development would make by itself.
pub fn needed(surroundings: &Surroundings<'_>, place: Span, what: &str, made: &str) -> Diagnostic {
    if surroundings.document.environment == Environment::Production {
        return Diagnostic::new(Rule::Production, place, format!("production needs {what}"));
    }
    let (address, written) = open_address(surroundings.document, surroundings.fixed);
    let what = format!("others can reach {address}, so the {made} of development is not used and another is needed");
    let finding = Diagnostic::new(Rule::Exposed, written.unwrap_or(place), what);
    if written.is_some() { finding.label("not on loopback") } else { finding }
}

/// An address that is not on loopback, and where it is written.
fn open_address(document: &Document, fixed: &Fixed) -> (SocketAddr, Option<Span>) {
    let gateway = &document.gateway;
    let listen = gateway.listen.as_ref().and_then(|listen| listen.address.as_ref());
    let admin = gateway.admin.as_ref().and_then(|admin| admin.address.as_ref());
    let push = gateway.push.as_ref().and_then(|push| push.address.as_ref());
    let mut all = fixed.addresses().zip([listen, admin, push]);
    let (address, written) = all.find(|(address, _)| !address.ip().is_loopback()).unwrap_or((fixed.listen, listen));
    // The command line may say another address than the file.
    (address, written.filter(|written| written.0 == address).map(|written| written.span))
}

/// Whether anybody could ever call the routes that need a token.
pub fn somebody_can_authenticate(document: &Document, process: &Process, routes: &[RoutePlan], report: &mut Report) {
    let Some(route) = routes.iter().find(|route| route.access == Access::Authenticated) else { return };
    // What was written and cannot be used has been reported.
    let written = document.gateway.auth.as_ref().is_some_and(|auth| !items(&auth.issuers).is_empty() || !items(&auth.api_keys).is_empty());
    let somebody = written || !process.tokens.issuers.is_empty();
    let spoken_of = ["auth.issuers", "auth.api_keys", "auth.signing.key"].into_iter().any(|key| report.speaks_of(key));
    if process.settings.shortcuts || somebody || !document.complete || spoken_of {
        return;
    }
    let Some(place) = place_of_gateway(document) else { return };
    let place = document.gateway.auth.as_ref().map_or(place, |auth| auth.span);
    let rule = if document.environment == Environment::Production { Rule::Production } else { Rule::Exposed };
    let what = format!("no issuer's tokens are believed, so nobody could call `{}`", route.name);
    let lines = "add to gateway.yaml:\nauth:\n  issuers:\n    - { issuer: \"https://id.example.com\", audience: [game], algorithm: EdDSA, public_key: id.pem, roles: claims.roles }";
    report.push(Diagnostic::new(rule, place, what).help(lines).path("auth.issuers"));
}

/// The most topics that one session may hear: they are one document, and all are looked at when its client comes back.
const TOPICS_MAX: u32 = 1000;

/// The most sessions of one user that may be: they are one document, which is written whenever one of them changes.
const PER_USER_MAX: u32 = 64;

/// The longest that a session may wait for its client.
const RESUME_WINDOW_MAX: std::time::Duration = std::time::Duration::from_secs(86_400);

/// The most that one session may keep; it travels from node to node as one message.
const RING_BYTES_MAX: u64 = 1 << 20;

fn session_bounds(gateway: &GatewayFile, report: &mut Report) {
    let Some(sessions) = &gateway.sessions else { return };
    let mut refuse = |place: Span, key: &str, what: &str, help: &str| {
        report.push(Diagnostic::new(Rule::Bounds, place, what).help(help).path(format!("sessions.{key}")));
    };
    if let Some(written) = sessions.topics_max.as_ref().filter(|written| !(1..=TOPICS_MAX).contains(&written.value)) {
        refuse(written.span, "topics_max", "a session may hear 1 to 1000 topics", "write a number from 1 to 1000");
    }
    if let Some(written) = sessions.per_user_max.as_ref().filter(|written| !(1..=PER_USER_MAX).contains(&written.value)) {
        refuse(written.span, "per_user_max", "a user may have 1 to 64 sessions", "write a number from 1 to 64");
    }
    if let Some(written) = sessions.resume_window.as_ref().filter(|written| written.0 > RESUME_WINDOW_MAX) {
        refuse(written.span, "resume_window", "a session waits for its client at most a day", "write `24h` or less");
    }
    if let Some(written) = sessions.ring_bytes_max.as_ref().filter(|written| written.0 > RING_BYTES_MAX) {
        refuse(written.span, "ring_bytes_max", "a session keeps at most 1 MiB for its client", "write `1MiB` or less");
    }
}

/// The most messages that a new stream may be sent unasked. They may all wait in the gateway.
const STREAM_CREDIT_MAX: u32 = 1024;

fn stream_bounds(gateway: &GatewayFile, report: &mut Report) {
    let credit = gateway.connections.as_ref().and_then(|connections| connections.stream_credit.as_ref());
    if let Some(written) = credit.filter(|written| !(1..=STREAM_CREDIT_MAX).contains(&written.value)) {
        let what = "on a new stream either side may send 1 to 1024 messages";
        let help = "write a number from 1 to 1024";
        report.push(Diagnostic::new(Rule::Bounds, written.span, what).help(help).path("connections.stream_credit"));
    }
}

/// Whoever asks a process to end waits for half a minute, and what is left behind grace and slots is for calls in flight.
fn drain_bounds(gateway: &GatewayFile, settings: &Settings, report: &mut Report) {
    let Some(written) = &gateway.drain else { return };
    let DrainSettings { grace, over } = settings.drain;
    if grace.saturating_add(over) > DRAIN_MAX {
        let place = written.over.as_ref().or(written.grace.as_ref()).map_or(written.span, |duration| duration.span);
        let what = format!("a drain of {grace:?} and {over:?} leaves calls in flight too little of the 30 s in which the gateway ends");
        let help = "`drain.grace` and `drain.over` are at most `15s` together";
        report.push(Diagnostic::new(Rule::DrainTime, place, what).help(help).path("drain"));
    }
}

/// Byte bounds that must fit into each other whatever the routes say.
fn bounds(gateway: &GatewayFile, settings: &Settings, report: &mut Report) {
    session_bounds(gateway, report);
    stream_bounds(gateway, report);
    drain_bounds(gateway, settings, report);
    let Some(connections) = &gateway.connections else { return };
    let zero = |place: Span, key: &str| {
        Diagnostic::new(Rule::Bounds, place, format!("`{key}` is 0, so nobody could connect"))
            .help("write at least 1")
            .path(format!("connections.{key}"))
    };
    let counts = [("max", &connections.max), ("per_ip_max", &connections.per_ip_max), ("inflight_max", &connections.inflight_max)];
    for (key, written) in counts {
        if let Some(written) = written
            && written.value == 0
        {
            report.push(zero(written.span, key));
        }
    }
    if let Some(written) = &connections.message_bytes_max
        && settings.message_bytes_max <= ENVELOPE_BYTES
    {
        report.push(
            Diagnostic::new(Rule::Bounds, written.span, "a message of at most 1 KiB has no room for a payload")
                .help("write at least `2KiB`")
                .path("connections.message_bytes_max"),
        );
    }
}

pub(super) fn log_format(gateway: &GatewayFile) -> Option<&Spanned<document::LogFormat>> {
    gateway.telemetry.as_ref()?.log.as_ref()?.format.as_ref()
}

/// Where something that is missing from `gateway.yaml` is missing: at its beginning, or beside it when there is none.
pub(super) fn place_of_gateway(document: &Document) -> Option<Span> {
    let gateway = document.gateway.version.as_ref().map(|version| version.span.file);
    gateway.or_else(|| document.groups.first().map(|group| group.file)).map(Span::start_of)
}

/// Reports a token that can be guessed, or that nobody can send, because it stands in a header.
pub fn bearer(token: &Spanned<Secret>, what: &str, bytes_min: usize, path: &str, report: &mut Report) {
    lint_secret(token, path, report);
    let finding = |what: String| Diagnostic::new(Rule::BadValue, token.span, what).path(path);
    let text = token.expose();
    if text.len() < bytes_min {
        report.push(finding(format!("{what} has fewer than {bytes_min} bytes")).help("make one with `openssl rand -base64 32`"));
    }
    if !text.bytes().all(|byte| (b' '..=b'~').contains(&byte)) || text.trim_ascii() != text {
        let help = "use printable ASCII without spaces around it; a line break at the end of a file or variable is one too many";
        report.push(finding(format!("{what} holds something that a header cannot")).help(help));
    }
}

/// A secret in a file is a secret in a version control system.
pub fn lint_secret(secret: &Spanned<Secret>, path: &str, report: &mut Report) {
    if secret.is_literal() {
        let help = "declare a variable with `secret: true` under `vars`, and write `\"${var.name}\"` here";
        report.push(Diagnostic::new(Rule::SecretInFile, secret.span, "a secret stands in the file itself").help(help).path(path));
    }
}

/// So is the default of a secret variable.
fn lint_defaults(document: &Document, report: &mut Report) {
    let vars = std::iter::once(&document.gateway.vars).chain(document.groups.iter().map(|group| &group.routes.vars));
    for (name, variable) in vars.flat_map(entries) {
        if let Some(default) = variable.default.as_ref().filter(|_| variable.secret.as_ref().is_some_and(|secret| secret.value)) {
            let what = format!("the secret `{}` stands in the file itself", name.as_str());
            let help = "remove the default; the variable must then be set where the gateway runs";
            report.push(Diagnostic::new(Rule::SecretInFile, default.span, what).help(help).path(format!("vars.{}.default", name.as_str())));
        }
    }
}

/// A size as memory is counted. What does not fit is more than there is.
pub fn bytes(size: ByteSize) -> usize {
    usize::try_from(size.0).unwrap_or(usize::MAX)
}
