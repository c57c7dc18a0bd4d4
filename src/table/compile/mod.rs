//! Document and files to plan: the passes, in this order.
//!
//! A pass reports what is wrong and leaves the broken item out; later passes stay silent about what an earlier one found broken, so one
//! report holds every independent error. Nothing here opens a socket or starts a task: this is what `check` runs.
//!
//! - `process`: `gateway.yaml`: addresses, bounds, `issuers` for whose tokens are believed, `stores` for what outlives the process,
//!   `push` for where services push, `certificate` for what a listener shows; `restart` for what a reload cannot change
//! - `names`: what is declared, once each, and whether anybody uses it
//! - `issuers`, `signing`, `api_keys`: whose tokens are believed
//! - `descriptors`: where message types come from, and which of them are asked of backends
//! - `known`: every name that there is, for editors
//! - `accounts`: what the auth service is told
//! - `backends` with `balance`, `limits`, `roles`: the named things
//! - `guards`: who else decides about the calls of a route
//! - `routes`, with `targets` for who answers them, `retry` for which calls may be repeated, `request` for what is read from a request,
//!   `effects` for what is done
//!   with the reply
//! - `streams`: how long a stream may last, and what a route with streams cannot say
//! - `topics`: which there may be, and `sendings`: what routes do about them
//! - `catalogue`: what clients are told
//! - `lints`: what is no error and probably not meant; `allow`: which of that somebody wants no more

mod accounts;
mod allow;
mod api_keys;
mod backends;
mod balance;
mod catalogue;
mod certificate;
mod descriptors;
mod effects;
mod explain;
mod guards;
mod issuers;
mod known;
mod limits;
mod lints;
mod names;
mod numbers;
mod process;
mod push;
mod pushes;
mod request;
mod restart;
mod retry;
mod roles;
mod routes;
mod sendings;
mod signing;
mod stores;
mod streams;
mod targets;
mod topics;
mod tracing;

pub use known::known;

use std::net::SocketAddr;

use super::plan::{LockPlan, Plan, TokenPlan};
use super::settings::Fixed;
use crate::config::Document;
use crate::config::grammar::{List, Map};
use crate::diagnostic::{Diagnostic, Report, Rule, Span, Spanned};
use crate::files::Files;
use crate::pipeline::permission::Permissions;
use crate::pipeline::signer::Signer;
use crate::proto::Pools;

/// What compiling depends on besides the files.
#[derive(Clone, Default)]
pub struct Context {
    /// Over `listen.address`.
    pub listen: Option<SocketAddr>,
    /// Over `admin.address`.
    pub admin: Option<SocketAddr>,
    /// Over `push.address`, where there is a push side.
    pub push: Option<SocketAddr>,
    /// The key of the development issuer, and of our own tokens too where no other is given; where development shortcuts are in force.
    pub development: Option<Signer>,
}

/// What came of it.
pub struct Compiled {
    /// Present when the report has no error.
    pub plan: Option<Plan>,
    /// The fixed part, whatever else is wrong.
    pub fixed: Fixed,
    /// The locks of descriptors, whatever else is wrong.
    pub locks: Vec<LockPlan>,
}

/// Runs every pass. `running` is the fixed part that only a restart could change.
pub fn compile(
    document: &mut Document,
    files: &Files,
    pools: &Pools,
    context: &Context,
    running: Option<&Fixed>,
    report: &mut Report,
) -> Compiled {
    let whole = document.complete && !report.has_errors();
    let loaded = descriptors::load(document, files, pools, report);
    let process = process::compile(document, files, context, running, report);
    if let Some(running) = running {
        restart::needs_restart(document, &process, running, report);
    }

    let backends = backends::compile(document, files, report);
    let locks = descriptors::locks(document, &backends, report);
    let registry = backends::rules(document, report);
    let limits = limits::compile(document, report);
    let roles = roles::compile(document, report);
    let topics = topics::declare(document, report);
    let scope = routes::Scope {
        topics: &topics,
        descriptors: &loaded,
        backends: &backends,
        limits: &limits,
        gateway: &document.gateway,
        settings: &process.settings,
        sound: routes::Around::of(report),
    };
    let (mut routes, noted, written) = routes::compile(document, &scope, report);
    let topics = topics::compile(&topics, &mut routes, report);
    if !report.has_errors() {
        // With errors about, what seems unused may be what a misspelt name meant.
        backends.lint_unused(report);
        limits.lint_unused(report);
        descriptors::lint_unused(document, &loaded, report);
    }
    if whole {
        // A role that could not be read may be the one that grants.
        roles::lint_unreachable(&roles, &routes, report);
    }
    tracing::lint_nowhere(document, report);
    process::somebody_can_authenticate(document, &process, &routes.routes, report);

    if !report.has_errors() {
        let settings = &process.settings;
        let scope =
            lints::Scope { document, settings, backends: &backends, limits: &limits, roles: &roles, written: &written, routes: &routes };
        lints::run(&scope, report);
    }
    document.expanded.explain(report);
    let allowances = allow::Allowances::of(document, &written);
    // An allowed secret is a secret.
    for place in report.places_of(Rule::SecretInFile) {
        document.sources.mask(place);
    }
    allowances.apply(whole, report);

    let explained = noted.explained(document, process.settings.shortcuts);
    let catalogue_hash = catalogue::hash(&routes.routes, &routes.pushes);
    let permissions = Permissions::compile(&roles, &routes.permissions);
    let fixed = process.fixed.clone();
    let plan = (!report.has_errors()).then(|| Plan {
        fixed: process.fixed,
        settings: process.settings,
        tokens: TokenPlan { keep_tokens: routes.routes.iter().any(|route| route.forward_token), ..process.tokens },
        permissions,
        backends: backends.into_items(),
        registry,
        limits: limits::into_specs(limits),
        routes: routes.routes,
        pushes: routes.pushes,
        topics,
        catalogue_hash,
        explained: explained.into(),
        locks: locks.clone(),
    });
    Compiled { plan, fixed, locks }
}

/// The items of a list that may not have been written at all.
fn items<T>(list: &Option<Spanned<List<T>>>) -> &[Spanned<T>] {
    list.as_ref().map(|list| list.value.as_slice()).unwrap_or_default()
}

/// The entries of a map that may not have been written at all.
fn entries<K, V>(map: &Option<Spanned<Map<K, V>>>) -> impl Iterator<Item = (&Spanned<K>, &Spanned<V>)> {
    map.iter().flat_map(|map| map.iter())
}

/// Keys whose values could not be read, which has been reported.
fn broken<K, V>(map: &Option<Spanned<Map<K, V>>>) -> &[K] {
    map.as_ref().map(|map| map.broken()).unwrap_or_default()
}

/// A size as people write it: `64KiB`.
fn size(bytes: usize) -> String {
    let units = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    match units.into_iter().find(|(unit, _)| bytes >= *unit && bytes.is_multiple_of(*unit)) {
        Some((unit, name)) => format!("{}{name}", bytes / unit),
        None => format!("{bytes}B"),
    }
}

fn missing(span: Span, what: impl Into<String>, help: impl Into<String>) -> Diagnostic {
    Diagnostic::new(Rule::MissingKey, span, what).help(help)
}
