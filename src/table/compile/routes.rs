//! `routes:` of every group to route plans.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::backends::Backends;
use super::descriptors::suggest;
use super::explain::{Explaining, Noted};
use super::limits::Limits;
use super::numbers::{Taken, in_range};
use super::process::bytes;
use super::topics::Declared;
use super::{descriptors, effects, entries, guards, pushes, request, retry, size as shown, streams, targets, tracing};
use crate::config::Document;
use crate::config::document::{self, GatewayFile, Policy, Route};
use crate::config::grammar::Edit;
use crate::config::layers;
use crate::config::value::{ByteSize, MessageName, PermissionName, ProtocolNumber};
use crate::diagnostic::{Diagnostic, Report, Rule, Span, Spanned};
use crate::id::Protocol;
use crate::pipeline::permission::PermissionId;
use crate::proto::{Loaded, MessageType, Method, RuleProblem};
use crate::push::rules::PushPlan;
use crate::table::plan::{Access, LogPayload, LogPlan, RoutePlan};
use crate::table::settings::{ENVELOPE_BYTES, Settings};

/// Built-in values of a policy.
pub(super) mod built_in {
    use std::time::Duration;

    pub const TIMEOUT: Duration = Duration::from_secs(5);
    pub const REQUEST_BYTES_MAX: usize = 64 << 10;
    pub const REPLY_BYTES_MAX: usize = 256 << 10;
    pub const SLOW: Duration = Duration::from_secs(1);
    /// No success.
    pub const SAMPLE: u32 = 0;
}

/// What a route may refer to.
pub struct Scope<'a> {
    pub descriptors: &'a Loaded,
    pub backends: &'a Backends,
    pub limits: &'a Limits,
    pub topics: &'a Declared<'a>,
    pub gateway: &'a GatewayFile,
    pub settings: &'a Settings,
    /// Which bounds around a request and a reply are sound; by one that was reported nothing is measured.
    pub sound: Around,
}

/// Every sound route, by number, and every permission that one of them needs.
#[derive(Default)]
pub struct Routes {
    pub routes: Vec<RoutePlan>,
    pub pushes: Vec<PushPlan>,
    /// The index is the permission's bit.
    pub permissions: Vec<Arc<str>>,
    /// Where each of them is asked for first, and the path of that.
    pub first_uses: Vec<(Span, String)>,
    bits: BTreeMap<Arc<str>, PermissionId>,
    /// Rules of messages that were reported.
    told: BTreeSet<RuleProblem>,
}

/// The bounds that those of a route must fit into.
pub struct Around {
    pub message: bool,
    pub outbox: bool,
}

/// One written route, its layers found.
pub struct Written<'a> {
    pub number: u32,
    pub place: Span,
    pub route: &'a Spanned<Route>,
    pub policy: Policy,
    /// The index of its group.
    pub group: usize,
    /// Where it is in the document, `routes.2003`.
    pub path: String,
    /// Another route has the number already: this one is read for what there is to say about it.
    again: bool,
}

/// A call must pass one use of a limit by a route: which limit, and where the route names it.
pub struct Used {
    pub limit: usize,
    pub place: Span,
}

// === impl Around ===

impl Around {
    pub fn of(report: &Report) -> Around {
        Around { message: !report.speaks_of("connections.message_bytes_max"), outbox: !report.speaks_of("connections.outbox_bytes_max") }
    }
}

// === impl Routes ===

impl Routes {
    /// The bit of a permission: its place among all that some route needs.
    pub fn bit(&mut self, permission: &Spanned<PermissionName>, path: String) -> (PermissionId, Arc<str>) {
        if let Some((known, bit)) = self.bits.get_key_value(permission.as_str()) {
            return (*bit, Arc::clone(known));
        }
        let name: Arc<str> = permission.as_str().into();
        let bit = PermissionId(u32::try_from(self.permissions.len()).expect("there are fewer permissions than bytes in the files"));
        self.permissions.push(Arc::clone(&name));
        self.first_uses.push((permission.span, path));
        self.bits.insert(Arc::clone(&name), bit);
        (bit, name)
    }
}

/// Compiles every route of every group, and notes where each is written; with the routes as they are written, for who looks at both.
pub fn compile<'a>(document: &'a Document, scope: &Scope<'_>, report: &mut Report) -> (Routes, Noted, Vec<Written<'a>>) {
    let mut routes = Routes::default();
    let mut explaining = Explaining::new(document);
    let mut taken = Taken::default();
    let collected = collect(document, &mut taken, report);
    routes.pushes = pushes::compile(document, scope.descriptors, &mut taken, report);
    for written in &collected {
        if let Some(plan) = route(written, scope, &mut routes, report)
            && !written.again
        {
            explaining.route(written, &plan);
            routes.routes.push(plan);
        }
    }
    (routes, explaining.end(), collected)
}

/// Every route, by number; what is declared twice or out of range is reported.
fn collect<'a>(document: &'a Document, taken: &mut Taken<'a>, report: &mut Report) -> Vec<Written<'a>> {
    let mut found: Vec<Written<'a>> = Vec::new();
    let base = document.groups.first().and_then(|group| group.routes.defaults.as_ref());
    for (index, group) in document.groups.iter().enumerate() {
        let own = if index == 0 { None } else { group.routes.defaults.as_ref() };
        let below: Vec<&Policy> = base.into_iter().chain(own).map(|layer| &layer.value).collect();
        let below = layers::resolve(&below, "defaults", report);
        for (number, route) in entries(&group.routes.routes) {
            let place = number.span;
            let ProtocolNumber(number) = number.value;
            let path = format!("routes.{number}");
            in_range(group, number, place, &path, report);
            let again = !taken.take(number, place, route.name.as_ref(), &path, report);
            let policy = layers::resolve(&[&below, &route.policy], &path, report);
            found.push(Written { number, place, route, policy, group: index, path, again });
        }
    }
    found.sort_by_key(|written| written.number);
    found
}

fn route(written: &Written<'_>, scope: &Scope<'_>, routes: &mut Routes, report: &mut Report) -> Option<RoutePlan> {
    let Written { number, route, policy, path, .. } = written;
    let method = method(written, scope.descriptors, report);
    let backends = targets::backends(written, scope, report);
    let hash = backends.as_ref().and_then(|backends| targets::hash(written, backends, scope, report));
    let access = match policy.access.as_ref().map(|access| access.value) {
        Some(document::Access::Anonymous) => Access::Anonymous,
        Some(document::Access::Authenticated) | None => Access::Authenticated,
    };
    let permissions = edited(&policy.permissions).iter().map(|permission| routes.bit(permission, format!("{path}.permissions"))).collect();
    lint_unlimited(written, access, report);
    let used = used_limits(written, access, scope, report);
    let request_bytes_max = size(&policy.request_bytes_max, built_in::REQUEST_BYTES_MAX);
    let reply_bytes_max = size(&policy.reply_bytes_max, built_in::REPLY_BYTES_MAX);
    bounds(written, request_bytes_max, reply_bytes_max, scope, report);

    let guards = guards::compile(policy, scope.descriptors, scope.backends, path, report);
    let method = method?;
    streams::fits(&method, route, path, report);
    if policy.validate.as_ref().is_none_or(|validate| validate.value) {
        rules(written, &method.input, &mut routes.told, report);
    }
    let retry = retry::compile(&method, &route.policy, policy, path, report);
    let keys = request::Keys { used: &used, limits: scope.limits, hash };
    let request = request::compile(&method, policy, path, access, &keys, report);
    let sources = effects::Scope { method: &method, declared: scope.topics, pushes: &routes.pushes };
    let effect = effects::compile(&sources, route.on_success.as_ref(), path, report);
    let log = policy.log.as_ref();
    Some(RoutePlan {
        number: Protocol(*number),
        name: route.name.as_ref()?.shared(),
        backends: backends?,
        hash: request.hash,
        access,
        permissions,
        limits: request.limits,
        walk: request.walk,
        stamps: request.stamps,
        redact: request.redact,
        redact_reply: request.redact_reply,
        timeout: policy.timeout.as_ref().map_or(built_in::TIMEOUT, |timeout| timeout.0),
        retry,
        request_bytes_max,
        reply_bytes_max,
        answers_success: policy.reply.as_ref().is_none_or(|reply| reply.value == document::ReplyMode::Always),
        metadata: edited(&policy.metadata).iter().map(|key| key.shared()).collect(),
        forward_token: policy.forward_token.as_ref().is_some_and(|on| on.value),
        expose_errors: policy.expose_errors.as_ref().map_or(scope.settings.shortcuts, |on| on.value),
        guards,
        log: LogPlan {
            sample: log.and_then(|log| log.sample.as_ref()).map_or(built_in::SAMPLE, |sample| sample.0),
            payload: match log.and_then(|log| log.payload.as_ref()).map(|payload| payload.value) {
                Some(document::LogPayload::Failures) => LogPayload::Failures,
                Some(document::LogPayload::Sampled) => LogPayload::Sampled,
                Some(document::LogPayload::All) => LogPayload::All,
                Some(document::LogPayload::None) | None => LogPayload::None,
            },
            slow: log.and_then(|log| log.slow.as_ref()).map_or(built_in::SLOW, |slow| slow.0),
        },
        trace: tracing::plan(policy, scope.gateway),
        stream: streams::plan(policy, path, report),
        effect,
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

/// The method, if it exists and has the types that the route states.
fn method(written: &Written<'_>, descriptors: &Loaded, report: &mut Report) -> Option<Method> {
    let route = written.route;
    let rpc = route.rpc.as_ref()?;
    let method = match descriptors.method(rpc.as_str()) {
        Ok(method) => method,
        Err(missing) => {
            // With a source broken, the method may be in it: that has been said once already.
            if descriptors::are_known(descriptors, report) {
                let finding = Diagnostic::new(Rule::UnknownMethod, rpc.span, missing.what.as_str()).path(format!("{}.rpc", written.path));
                report.push(if missing.known.is_empty() {
                    finding.help("name the .proto files or the descriptor set of the service under `descriptors`")
                } else {
                    suggest(finding, rpc.as_str(), &missing)
                });
            }
            return None;
        }
    };
    retry::lint_streaming(&method, &route.policy, &written.path, report);
    let stated = |stated: &Option<Spanned<MessageName>>, actual: &MessageType, rule, (key, side): (&str, &str), report: &mut Report| {
        let Some(stated) = stated else { return };
        if stated.as_str() == actual.name() {
            return;
        }
        let (rule, what) = match descriptors.has_message(stated.as_str()) {
            Ok(()) => (rule, format!("`{}` {side} `{}`, not `{}`", rpc.as_str(), actual.name(), stated.as_str())),
            Err(missing) => (Rule::UnknownMessage, missing.what),
        };
        report.push(
            Diagnostic::new(rule, stated.span, what)
                .label("stated here")
                .related(rpc.span, format!("this method {side} `{}`", actual.name()))
                .help(format!("write `{}`, or leave it out: the type comes from the method", actual.name()))
                .path(format!("{}.{key}", written.path)),
        );
    };
    stated(&route.request, &method.input, Rule::RequestType, ("request", "takes"), report);
    stated(&route.response, &method.output, Rule::ResponseType, ("response", "answers with"), report);
    Some(method)
}

/// The rules of the request that cannot be enforced, each at the first route that asks for it.
fn rules(written: &Written<'_>, input: &MessageType, told: &mut BTreeSet<RuleProblem>, report: &mut Report) {
    let place = written.route.rpc.as_ref().map_or(written.place, |rpc| rpc.span);
    for problem in input.rule_problems() {
        if !told.insert(problem.clone()) {
            continue;
        }
        let RuleProblem { subject, rule, why } = problem;
        let what = format!("the rule `{rule}` of `{subject}` cannot be enforced: {why}");
        report.push(
            Diagnostic::new(Rule::ValidationRule, place, what)
                .label(format!("its requests are `{}`", input.name()))
                .help("change the rule, or write `validate: false` here or under `defaults` and leave validation to the service")
                .path(format!("{}.validate", written.path)),
        );
    }
}

/// Warns of a route that anybody may call as often as they like.
fn lint_unlimited(written: &Written<'_>, access: Access, report: &mut Report) {
    if access == Access::Authenticated || !edited(&written.policy.rate_limits).is_empty() || spoken_of(written, "rate_limits", report) {
        return;
    }
    let place = written.policy.access.as_ref().map_or(written.place, |access| access.span);
    let what = format!("route {} is open to anonymous clients and has no rate limit", written.number);
    report.push(
        Diagnostic::new(Rule::UnlimitedAnonymous, place, what)
            .related(written.place, "this route")
            .help("name one under `rate_limits`, such as one with `key: [caller]`")
            .path(format!("{}.rate_limits", written.path)),
    );
}

/// Whether what the route says under `key`, or what it would take from `defaults`, has been reported already.
pub fn spoken_of(written: &Written<'_>, key: &str, report: &Report) -> bool {
    report.speaks_of_part(&format!("{}.{key}", written.path)) || report.speaks_of_part(&format!("defaults.{key}"))
}

/// The limits of a route, those that exist, each once.
fn used_limits(written: &Written<'_>, access: Access, scope: &Scope<'_>, report: &mut Report) -> Vec<Used> {
    let mut used: Vec<Used> = Vec::new();
    let path = format!("{}.rate_limits", written.path);
    for name in edited(&written.policy.rate_limits) {
        let Some(limit) = scope.limits.find(name, &path, report) else { continue };
        if let (Some((part, place)), Access::Anonymous) = (scope.limits.get(limit).needs_user, access) {
            let what = format!("the rate limit `{}` counts by `{part}`, which an anonymous caller has not", name.as_str());
            let mut finding = Diagnostic::new(Rule::LimitKey, name.span, what).related(place, "its key").path(path.as_str());
            if let Some(access) = &written.policy.access {
                finding = finding.related(access.span, "open to anonymous callers");
            }
            report.push(finding.help("count by `caller`: the user, or the address of one without a token"));
        }
        if used.iter().all(|other| other.limit != limit) {
            used.push(Used { limit, place: name.span });
        }
    }
    used
}

/// Byte bounds nest: a request fits into a message, a reply into an outbox.
fn bounds(written: &Written<'_>, request: usize, reply: usize, scope: &Scope<'_>, report: &mut Report) {
    let settings = scope.settings;
    let connections = scope.gateway.connections.as_ref();
    if scope.sound.message && request + ENVELOPE_BYTES > settings.message_bytes_max {
        let inner = Bound { key: "request_bytes_max", written: written.policy.request_bytes_max.as_ref() };
        let around = Bound { key: "message_bytes_max", written: connections.and_then(|bounds| bounds.message_bytes_max.as_ref()) };
        let what = format!(
            "a request of {} and the {} of its envelope do not fit into a message of {}",
            shown(request),
            shown(ENVELOPE_BYTES),
            shown(settings.message_bytes_max)
        );
        does_not_fit(written, what, &inner, &around, report);
    }
    if scope.sound.outbox && reply > settings.outbox_bytes_max {
        let inner = Bound { key: "reply_bytes_max", written: written.policy.reply_bytes_max.as_ref() };
        let around = Bound { key: "outbox_bytes_max", written: connections.and_then(|bounds| bounds.outbox_bytes_max.as_ref()) };
        let what = format!("a reply of {} does not fit into an outbox of {}", shown(reply), shown(settings.outbox_bytes_max));
        does_not_fit(written, what, &inner, &around, report);
    }
}

/// A byte bound, and where it is written, if it is not the built-in one.
struct Bound<'a> {
    key: &'static str,
    written: Option<&'a Spanned<ByteSize>>,
}

/// Stands where the smaller bound is written; where only the larger one is, there, once for all routes.
fn does_not_fit(route: &Written<'_>, what: String, inner: &Bound<'_>, around: &Bound<'_>, report: &mut Report) {
    let around_path = format!("connections.{}", around.key);
    if spoken_of(route, inner.key, report) {
        return;
    }
    let help = format!("lower `{}` of the route, or raise `{around_path}` in gateway.yaml", inner.key);
    let finding = match (inner.written, around.written) {
        (Some(inner), Some(around)) => Diagnostic::new(Rule::Bounds, inner.span, what).related(around.span, "the bound around it"),
        (Some(inner), None) => Diagnostic::new(Rule::Bounds, inner.span, what),
        (None, Some(around)) => Diagnostic::new(Rule::Bounds, around.span, what).label("less than what routes have where they say nothing"),
        (None, None) => unreachable!("the built-in bounds nest"),
    };
    let path = if inner.written.is_some() { format!("{}.{}", route.path, inner.key) } else { around_path };
    report.push(finding.help(help).path(path));
}
