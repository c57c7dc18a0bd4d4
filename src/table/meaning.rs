//! What a route comes to, in words: what it takes and answers, who may call it, what limits it, who answers, and whether it is repeated.
//!
//! The values are [`super::explain`]'s to show; this says what follows from them. Promise: a plan and the table that was made of it say
//! the same.

use std::sync::Arc;

use serde::Serialize;

use super::explain::duration;
use super::plan::{Plan, Repeatable, RoutePlan};
use super::{Access, Route, Table};
use crate::backend::{self, BalancePolicy, EndpointSpec, Source, SpecKind};
use crate::pipeline::permission::{PermissionId, Permissions};
use crate::pipeline::rate_limit::{KeyPart, LimitSpec, Mode};
use crate::proto::{Kind, Method};

/// Endpoints that are named one by one; of more only their number is told.
const NAMED_MAX: usize = 4;

/// All of it, as people and programs are told.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Meaning {
    pub takes: String,
    pub answers: String,
    /// Who may call it, in one sentence.
    pub callers: String,
    /// The roles that suffice, and those that do not, by name. Both are empty where no role is needed.
    pub roles: Vec<String>,
    pub other_roles: Vec<String>,
    /// One a limit.
    pub limits: Vec<String>,
    /// One a backend.
    pub backends: Vec<String>,
    /// Whether a call may be made again, and why.
    pub repeated: String,
}

/// What of a route is looked at, of a plan or of a table.
struct Subject<'a> {
    method: &'a Method,
    access: Access,
    needed: Vec<(PermissionId, &'a str)>,
    permissions: &'a Permissions,
    limits: Vec<&'a LimitSpec>,
    backends: Vec<&'a backend::Spec>,
    retry: &'a Repeatable,
}

// === impl Meaning ===

impl Meaning {
    /// Of a route that was compiled.
    pub fn of_plan(plan: &Plan, route: &RoutePlan) -> Meaning {
        Meaning::of(&Subject {
            method: &route.method,
            access: route.access,
            needed: route.permissions.iter().map(|(bit, name)| (*bit, &**name)).collect(),
            permissions: &plan.permissions,
            limits: route.limits.iter().map(|used| &plan.limits[used.limit]).collect(),
            backends: route.backends.all().map(|backend| &plan.backends[backend]).collect(),
            retry: &route.retry,
        })
    }

    /// Of a route that is live.
    pub fn of_table(table: &Table, route: &Route) -> Meaning {
        Meaning::of(&Subject {
            method: &route.method,
            access: route.access,
            needed: route.permissions.iter().map(|(bit, name)| (*bit, &**name)).collect(),
            permissions: &table.permissions,
            limits: route.limits.iter().map(|used| used.limiter.spec()).collect(),
            backends: route.target.backends().iter().map(|backend| backend.spec()).collect(),
            retry: &route.retry,
        })
    }

    fn of(subject: &Subject<'_>) -> Meaning {
        let kind = subject.method.kind;
        let said = |name: &str, streams: bool| if streams { format!("a stream of {name}") } else { name.to_owned() };
        let (roles, other_roles) = subject.roles();
        Meaning {
            takes: said(subject.method.input.name(), matches!(kind, Kind::ClientStream | Kind::Bidi)),
            answers: said(subject.method.output.name(), matches!(kind, Kind::ServerStream | Kind::Bidi)),
            callers: subject.callers(),
            roles,
            other_roles,
            limits: subject.limits.iter().map(|limit| self::limit(limit)).collect(),
            backends: subject.backends.iter().map(|backend| self::backend(backend)).collect(),
            repeated: subject.repeated(),
        }
    }
}

// === impl Subject ===

impl Subject<'_> {
    fn callers(&self) -> String {
        let who = match self.access {
            Access::Anonymous => "whoever is connected",
            Access::Authenticated => "whoever has shown a valid token",
        };
        match self.needed.as_slice() {
            [] => who.to_owned(),
            needed => format!("{who} and may {}", needed.iter().map(|(_, name)| *name).collect::<Vec<_>>().join(", ")),
        }
    }

    /// The roles with which alone somebody may call, and all others.
    fn roles(&self) -> (Vec<String>, Vec<String>) {
        if self.needed.is_empty() {
            return Default::default();
        }
        let mut roles: Vec<_> = self.permissions.roles().collect();
        roles.sort_unstable();
        let suffices = |role: &&Arc<str>| {
            let grants = self.permissions.grants(&[Arc::clone(role)]);
            self.needed.iter().all(|(bit, _)| grants.permits(*bit))
        };
        let (suffice, others): (Vec<_>, Vec<_>) = roles.into_iter().partition(suffices);
        let names = |roles: Vec<&Arc<str>>| roles.iter().map(ToString::to_string).collect();
        (names(suffice), names(others))
    }

    fn repeated(&self) -> String {
        let (policy, why) = match self.retry {
            Repeatable::Never if self.method.kind != Kind::Unary => {
                return "never, once the service has had it: what is said in a stream is not kept".to_owned();
            }
            Repeatable::Never => return "never, once the service may have acted upon it: nothing says that it may act twice".to_owned(),
            Repeatable::Always(policy) if self.method.idempotent => (policy, "its .proto file says that it may act twice"),
            Repeatable::Always(policy) => (policy, "`idempotent: true` says that it may act twice"),
            Repeatable::ByKey(policy) => (policy, "if its client gives an idempotency key, by which the service can tell"),
        };
        if policy.attempts <= 1 {
            return "never, once the service may have acted upon it: `attempts` is 1".to_owned();
        }
        let codes = policy.codes.iter().map(|code| code.name()).collect::<Vec<_>>().join(", ");
        let waits = format!("{} to {}", duration(policy.backoff_min), duration(policy.backoff_max));
        format!("up to {} attempts, after {codes}, with {waits} between them: {why}", policy.attempts)
    }
}

fn limit(limit: &LimitSpec) -> String {
    let dry = if limit.mode == Mode::DryRun { "; refuses nothing (dry run)" } else { "" };
    let of = match limit.key.as_slice() {
        [KeyPart::Global] => "one bucket for all".to_owned(),
        key => format!("a bucket for each {}", key.iter().map(part).collect::<Vec<_>>().join(" and ")),
    };
    let per = match limit.per.as_secs() {
        1 => "a second".to_owned(),
        60 => "a minute".to_owned(),
        3600 => "an hour".to_owned(),
        _ => format!("in {}", duration(limit.per)),
    };
    format!("{}: {} {per}, {} at once, {of}{dry}", limit.name, limit.count, limit.burst)
}

fn part(part: &KeyPart) -> String {
    match part {
        KeyPart::Global => "gateway".to_owned(),
        KeyPart::Route => "route".to_owned(),
        KeyPart::Caller => "caller (the user, else the address)".to_owned(),
        KeyPart::User => "user".to_owned(),
        KeyPart::Session => "session".to_owned(),
        KeyPart::PeerIp => "address".to_owned(),
        KeyPart::Connection => "connection".to_owned(),
        KeyPart::Field(path) => format!("value of request.{path}"),
    }
}

fn backend(spec: &backend::Spec) -> String {
    let (name, grpc) = match &spec.kind {
        SpecKind::Builtin(service) => return format!("{}: the service `{service}` of the gateway itself", spec.name),
        SpecKind::Grpc(grpc) => (&spec.name, grpc),
    };
    let (from, is_one) = match &grpc.source {
        Source::Static(endpoints) => (endpoints.iter().take(NAMED_MAX).map(url).collect::<Vec<_>>().join(", "), endpoints.len() == 1),
        Source::Dns { host, port, tls, .. } => (format!("every address of {}", url(&EndpointSpec::new(host.as_str(), *port, *tls))), false),
        Source::File(path) => (format!("the endpoints listed in {}", path.display()), false),
        Source::Registry { .. } => ("the endpoints that have registered".to_owned(), false),
    };
    let more = match &grpc.source {
        Source::Static(endpoints) if endpoints.len() > NAMED_MAX => format!(" and {} more", endpoints.len() - NAMED_MAX),
        _ => String::new(),
    };
    let choice = match grpc.balance {
        _ if is_one => "",
        BalancePolicy::RoundRobin => "; one after the other",
        BalancePolicy::LeastRequest => "; of two at random the one with fewer calls in flight",
        BalancePolicy::ConsistentHash => "; the one that `hash` leads to",
    };
    format!("{name}: {from}{more}{choice}")
}

fn url(endpoint: &EndpointSpec) -> String {
    format!("{}://{}", if endpoint.tls { "https" } else { "http" }, endpoint.name())
}
