//! `guards:` of a route: who is asked besides the gateway whether a call may happen.

use std::time::Duration;

use super::backends::Backends;
use super::descriptors::{self, suggest};
use super::routes::edited;
use crate::config::document::{Guard, Policy, WhenUnavailable as Written};
use crate::config::value::MethodName;
use crate::diagnostic::{Diagnostic, Report, Rule, Spanned};
use crate::proto::{Kind, Loaded, Method};
use crate::table::plan::{GuardPlan, WhenUnavailable};

/// How long a guard may take where nothing is said: a decision is a look-up, and every call of the route waits for it.
pub const TIMEOUT: Duration = Duration::from_millis(500);

/// What a guard takes and answers with.
const REQUEST: &str = "protogate.guard.v1.CheckRequest";
const RESPONSE: &str = "protogate.guard.v1.CheckResponse";

/// The guards of a route, in the order in which they are asked. Those that make no sense are reported and left out.
pub fn compile(policy: &Policy, descriptors: &Loaded, backends: &Backends, at: &str, report: &mut Report) -> Vec<GuardPlan> {
    let guards = edited(&policy.guards).iter().enumerate();
    guards
        .filter_map(|(index, guard)| self::guard(guard, policy, descriptors, backends, &format!("{at}.guards[{index}]"), report))
        .collect()
}

fn guard(
    guard: &Spanned<Guard>,
    policy: &Policy,
    descriptors: &Loaded,
    backends: &Backends,
    at: &str,
    report: &mut Report,
) -> Option<GuardPlan> {
    let method = guard.rpc.as_ref().and_then(|rpc| method(rpc, descriptors, at, report));
    let backend = guard.backend.as_ref().and_then(|backend| backends.find(backend, &format!("{at}.backend"), report));
    let metadata = guard.metadata.as_ref().map(|list| list.value.as_slice()).unwrap_or_default();
    for key in metadata {
        let Some(client) = edited(&policy.metadata).iter().find(|client| client.as_str() == key.as_str()) else { continue };
        let what = format!("`{}` is set by a guard, and a client could send it too", key.as_str());
        report.push(
            Diagnostic::new(Rule::ReservedMetadata, client.span, what)
                .related(key.span, "the guard sets it")
                .help("remove it from the `metadata` of the route, or choose another key for the guard")
                .path(at),
        );
    }
    Some(GuardPlan {
        path: method?.path,
        backend: backend?,
        timeout: guard.timeout.as_ref().map_or(TIMEOUT, |timeout| timeout.0),
        when_unavailable: match guard.when_unavailable.as_ref().map(|when| when.value) {
            Some(Written::Allow) => WhenUnavailable::Allow,
            Some(Written::Deny) | None => WhenUnavailable::Deny,
        },
        send_payload: guard.send_payload.as_ref().is_some_and(|on| on.value),
        metadata: metadata.iter().map(|key| key.shared()).collect(),
    })
}

/// The method, if it exists and is a guard's.
fn method(rpc: &Spanned<MethodName>, descriptors: &Loaded, at: &str, report: &mut Report) -> Option<Method> {
    let at = format!("{at}.rpc");
    let method = match descriptors.method(rpc.as_str()) {
        Ok(method) => method,
        Err(missing) => {
            if descriptors::are_known(descriptors, report) {
                let finding = Diagnostic::new(Rule::UnknownMethod, rpc.span, missing.what.as_str());
                report.push(suggest(finding, rpc.as_str(), &missing).path(at));
            }
            return None;
        }
    };
    let (takes, answers) = (method.input.name(), method.output.name());
    let wrong = match method.kind {
        Kind::Unary if takes != REQUEST => format!("`{}` is no guard: it takes `{takes}`", rpc.as_str()),
        Kind::Unary if answers != RESPONSE => format!("`{}` is no guard: it answers with `{answers}`", rpc.as_str()),
        Kind::Unary => return Some(method),
        _ => format!("`{}` is no guard: it is a streaming method", rpc.as_str()),
    };
    let help = format!("a guard takes `{REQUEST}` and answers with `{RESPONSE}`, of protogate/guard/v1/guard.proto");
    report.push(Diagnostic::new(Rule::Guard, rpc.span, wrong).help(help).path(at));
    None
}
