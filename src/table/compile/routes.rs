//! `routes:` of every group to route plans.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::backends::Backends;
use super::limits::Limits;
use super::process::{ENVELOPE_BYTES, Process, bytes};
use super::{entries, missing, request};
use crate::config::document::{self, Policy, Route};
use crate::config::grammar::Edit;
use crate::config::layers;
use crate::config::value::{ByteSize, MessageName, ProtocolNumber};
use crate::config::{Document, Group};
use crate::diagnostic::{Diagnostic, Report, Rule, Span, Spanned};
use crate::id::Protocol;
use crate::pipeline::permission::{PermissionId, RoleSpec, covers};
use crate::proto::{Kind, MessageType, Method, Pool};
use crate::table::plan::{Access, LogPayload, LogPlan, RoutePlan};

/// Built-in values of a policy.
mod built_in {
    use std::time::Duration;

    pub const TIMEOUT: Duration = Duration::from_secs(5);
    pub const REQUEST_BYTES_MAX: usize = 64 << 10;
    pub const REPLY_BYTES_MAX: usize = 256 << 10;
    pub const SLOW: Duration = Duration::from_secs(1);
}

/// What a route may refer to.
pub struct Scope<'a> {
    pub pool: &'a Pool,
    pub backends: &'a Backends,
    pub limits: &'a Limits,
    pub roles: &'a [RoleSpec],
    pub process: &'a Process,
}

/// Every sound route, by number, and every permission that one of them needs.
pub struct Routes {
    pub routes: Vec<RoutePlan>,
    /// The index is the permission's bit.
    pub permissions: Vec<Arc<str>>,
}

/// One written route, its layers found.
struct Written<'a> {
    number: u32,
    place: Span,
    route: &'a Spanned<Route>,
    policy: Policy,
    /// Where it is in the document, `routes.2003`.
    path: String,
}

/// Compiles every route of every group.
pub fn compile(document: &Document, scope: &Scope<'_>, report: &mut Report) -> Routes {
    let mut routes = Routes { routes: Vec::new(), permissions: Vec::new() };
    for written in collect(document, report).into_values() {
        if let Some(plan) = route(&written, scope, &mut routes.permissions, report) {
            routes.routes.push(plan);
        }
    }
    routes
}

/// Every route once, by number; what is declared twice or out of range is reported.
fn collect<'a>(document: &'a Document, report: &mut Report) -> BTreeMap<u32, Written<'a>> {
    let mut found: BTreeMap<u32, Written<'a>> = BTreeMap::new();
    let mut names: BTreeMap<String, Span> = BTreeMap::new();
    let base = document.groups.first().and_then(|group| group.routes.defaults.as_ref());
    for (index, group) in document.groups.iter().enumerate() {
        for (number, route) in entries(&group.routes.routes) {
            let place = number.span;
            let ProtocolNumber(number) = number.value;
            let path = format!("routes.{number}");
            in_range(group, number, place, &path, report);
            if let Some(name) = &route.name
                && let Some(first) = names.insert(name.as_str().to_owned(), name.span)
            {
                report.push(
                    Diagnostic::new(Rule::DuplicateName, name.span, format!("the route name `{}` is used twice", name.as_str()))
                        .label("used again here")
                        .related(first, "used first here")
                        .help("rename one of them; logs and overlays tell routes apart by name")
                        .path(format!("{path}.name")),
                );
            }
            if let Some(first) = found.get(&number) {
                report.push(
                    Diagnostic::new(Rule::DuplicateNumber, place, format!("the protocol number {number} is declared twice"))
                        .label("declared again here")
                        .related(first.place, "declared first here")
                        .help("give one of them another number")
                        .path(path),
                );
                continue;
            }
            let own: Option<&Spanned<Policy>> = if index == 0 { None } else { group.routes.defaults.as_ref() };
            let layers: Vec<&Policy> = base.into_iter().chain(own).map(|layer| &layer.value).chain([&route.policy]).collect();
            let policy = layers::resolve(&layers, &path, report);
            found.insert(number, Written { number, place, route, policy, path });
        }
    }
    found
}

fn in_range(group: &Group, number: u32, place: Span, path: &str, report: &mut Report) {
    let Some(range) = &group.routes.numbers else { return };
    if !range.contains(ProtocolNumber(number)) {
        report.push(
            Diagnostic::new(Rule::NumberRange, place, format!("the protocol number {number} is outside this file's range"))
                .related(range.span, "the range")
                .help("choose a number in the range, or widen it")
                .path(path),
        );
    }
}

fn route(written: &Written<'_>, scope: &Scope<'_>, bits: &mut Vec<Arc<str>>, report: &mut Report) -> Option<RoutePlan> {
    let Written { number, place, route, policy, path } = written;
    let method = method(written, scope.pool, report);
    let backend = match &policy.backend {
        Some(backend) => scope.backends.find(backend, &format!("{path}.backend"), report),
        None => {
            let help = "write `backend: NAME` here or under `defaults`";
            report.push(missing(*place, format!("route {number} has no backend"), help).path(path.as_str()));
            None
        }
    };
    let access = match policy.access.as_ref().map(|access| access.value) {
        Some(document::Access::Anonymous) => Access::Anonymous,
        Some(document::Access::Authenticated) | None => Access::Authenticated,
    };
    let permissions =
        edited(&policy.permissions).iter().map(|permission| (bit(bits, permission.as_str()), Arc::from(permission.as_str()))).collect();
    lint_permissions(written, access, scope, report);
    let used = used_limits(written, access, scope, report);
    let request_bytes_max = size(&policy.request_bytes_max, built_in::REQUEST_BYTES_MAX);
    let reply_bytes_max = size(&policy.reply_bytes_max, built_in::REPLY_BYTES_MAX);
    bounds(written, request_bytes_max, reply_bytes_max, scope.process, report);

    let method = method?;
    let request = request::compile(&method.input, policy, path, &used, scope.limits, report);
    let log = policy.log.as_ref();
    Some(RoutePlan {
        number: Protocol(*number),
        name: route.name.as_ref()?.shared(),
        backend: backend?,
        access,
        permissions,
        limits: request.limits,
        walk: request.walk,
        stamps: request.stamps,
        redact: request.redact,
        timeout: policy.timeout.as_ref().map_or(built_in::TIMEOUT, |timeout| timeout.0),
        request_bytes_max,
        reply_bytes_max,
        answers_success: policy.reply.as_ref().is_none_or(|reply| reply.value == document::ReplyMode::Always),
        metadata: edited(&policy.metadata).iter().map(|key| key.shared()).collect(),
        forward_token: policy.forward_token.as_ref().is_some_and(|on| on.value),
        expose_errors: policy.expose_errors.as_ref().map_or(scope.process.settings.shortcuts, |on| on.value),
        log: LogPlan {
            payload: match log.and_then(|log| log.payload.as_ref()).map(|payload| payload.value) {
                Some(document::LogPayload::Failures) => LogPayload::Failures,
                Some(document::LogPayload::All) => LogPayload::All,
                Some(document::LogPayload::None) | None => LogPayload::None,
            },
            slow: log.and_then(|log| log.slow.as_ref()).map_or(built_in::SLOW, |slow| slow.0),
        },
        method,
    })
}

/// What a list comes to when its layers are resolved.
pub(super) fn edited<T>(list: &Option<Spanned<Edit<T>>>) -> &[Spanned<T>] {
    list.as_ref().map(|list| list.items()).unwrap_or_default()
}

fn size(written: &Option<Spanned<ByteSize>>, built_in: usize) -> usize {
    written.as_ref().map_or(built_in, |size| bytes(size.value))
}

/// The method, if it exists, is unary, and has the types that the route states.
fn method(written: &Written<'_>, pool: &Pool, report: &mut Report) -> Option<Method> {
    let route = written.route;
    let rpc = route.rpc.as_ref()?;
    let method = match pool.method(rpc.as_str()) {
        Ok(method) => method,
        Err(missing) => {
            // With a source broken, the method may be in it: that has been said once already.
            if pool.is_complete() {
                report.push(
                    Diagnostic::new(Rule::UnknownMethod, rpc.span, missing.what)
                        .did_you_mean(rpc.as_str(), missing.known.iter().map(String::as_str))
                        .path(format!("{}.rpc", written.path)),
                );
            }
            return None;
        }
    };
    if method.kind != Kind::Unary {
        let what = format!("`{}` is a streaming method, which routes cannot call yet", rpc.as_str());
        report.push(
            Diagnostic::new(Rule::StreamingMethod, rpc.span, what)
                .help("route a method that takes one message and answers with one")
                .path(format!("{}.rpc", written.path)),
        );
        return None;
    }
    let stated = |stated: &Option<Spanned<MessageName>>, actual: &MessageType, rule, side: &str, report: &mut Report| {
        let Some(stated) = stated else { return };
        if stated.as_str() == actual.name() {
            return;
        }
        let (rule, what) = match pool.message(stated.as_str()) {
            Ok(_) => (rule, format!("`{}` {side} `{}`, not `{}`", rpc.as_str(), actual.name(), stated.as_str())),
            Err(missing) => (Rule::UnknownMessage, missing.what),
        };
        report.push(
            Diagnostic::new(rule, stated.span, what)
                .related(rpc.span, "the method")
                .help(format!("write `{}`, or leave it out: the type comes from the method", actual.name()))
                .path(written.path.as_str()),
        );
    };
    stated(&route.request, &method.input, Rule::RequestType, "takes", report);
    stated(&route.response, &method.output, Rule::ResponseType, "answers with", report);
    Some(method)
}

/// The bit of a permission: its place among all that some route needs.
fn bit(bits: &mut Vec<Arc<str>>, permission: &str) -> PermissionId {
    let place = bits.iter().position(|known| &**known == permission).unwrap_or_else(|| {
        bits.push(permission.into());
        bits.len() - 1
    });
    PermissionId(u32::try_from(place).expect("there are fewer permissions than bytes in the files"))
}

fn lint_permissions(written: &Written<'_>, access: Access, scope: &Scope<'_>, report: &mut Report) {
    for permission in edited(&written.policy.permissions) {
        let granted = scope.roles.iter().any(|role| role.grant.iter().any(|pattern| covers(pattern, permission.as_str())));
        if !granted {
            let what = format!("no role grants `{}`, so nobody can call route {}", permission.as_str(), written.number);
            let help = "grant it under `permissions.roles`, or remove it from the route";
            report.push(
                Diagnostic::new(Rule::UnreachableRoute, permission.span, what).help(help).path(format!("{}.permissions", written.path)),
            );
        }
    }
    if access == Access::Anonymous && edited(&written.policy.rate_limits).is_empty() {
        let place = written.route.name.as_ref().map_or(written.place, |name| name.span);
        let what = format!("route {} is open to anonymous clients and has no rate limit", written.number);
        report.push(
            Diagnostic::new(Rule::UnlimitedAnonymous, place, what)
                .help("name one under `rate_limits`, such as one with `key: [caller]`")
                .path(written.path.as_str()),
        );
    }
}

/// The limits of a route, those that exist, each once.
fn used_limits(written: &Written<'_>, access: Access, scope: &Scope<'_>, report: &mut Report) -> Vec<usize> {
    let mut used = Vec::new();
    let path = format!("{}.rate_limits", written.path);
    for name in edited(&written.policy.rate_limits) {
        let Some(index) = scope.limits.find(name, &path, report) else { continue };
        let limit = scope.limits.get(index);
        if let (Some(part), Access::Anonymous) = (limit.needs_user, access) {
            let what = format!("the rate limit `{}` counts by `{part}`, which an anonymous caller has not", name.as_str());
            report.push(
                Diagnostic::new(Rule::LimitKey, name.span, what)
                    .help("use `caller`: the user, or the address of one without a token")
                    .path(path.as_str()),
            );
        }
        if !used.contains(&index) {
            used.push(index);
        }
    }
    used
}

/// Byte bounds nest: a request fits into a message, a reply into an outbox.
fn bounds(written: &Written<'_>, request: usize, reply: usize, process: &Process, report: &mut Report) {
    let settings = &process.settings;
    if request + ENVELOPE_BYTES > settings.message_bytes_max {
        let place = written.policy.request_bytes_max.as_ref().map_or(written.place, |size| size.span);
        let what =
            format!("a request of {request} bytes and its envelope do not fit into a message of {} bytes", settings.message_bytes_max);
        report.push(
            Diagnostic::new(Rule::Bounds, place, what)
                .help("lower `request_bytes_max`, or raise `connections.message_bytes_max` in gateway.yaml")
                .path(format!("{}.request_bytes_max", written.path)),
        );
    }
    if reply > settings.outbox_bytes_max {
        let place = written.policy.reply_bytes_max.as_ref().map_or(written.place, |size| size.span);
        let what = format!("a reply of {reply} bytes does not fit into an outbox of {} bytes", settings.outbox_bytes_max);
        report.push(
            Diagnostic::new(Rule::Bounds, place, what)
                .help("lower `reply_bytes_max`, or raise `connections.outbox_bytes_max` in gateway.yaml")
                .path(format!("{}.reply_bytes_max", written.path)),
        );
    }
}
