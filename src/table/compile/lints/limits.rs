//! Routes that are not limited as the others are, or by what their callers choose.

use super::Scope;
use crate::diagnostic::{Diagnostic, Report, Rule};
use crate::pipeline::rate_limit::KeyPart;
use crate::table::compile::routes::{Written, edited};
use crate::table::plan::{Access, RoutePlan};

pub fn lint(scope: &Scope<'_>, report: &mut Report) {
    let limited = scope.routes.routes.iter().filter(|plan| !plan.limits.is_empty()).count();
    for (written, plan) in scope.routes() {
        match plan.access {
            Access::Authenticated if limited > 0 => unlimited(written, plan, limited, report),
            Access::Anonymous => chosen(written, plan, scope, report),
            Access::Authenticated => {}
        }
    }
}

/// The one that was forgotten. Whoever writes an empty list has thought of it.
fn unlimited(written: &Written<'_>, plan: &RoutePlan, limited: usize, report: &mut Report) {
    if !plan.limits.is_empty() || written.route.policy.rate_limits.is_some() {
        return;
    }
    let others = if limited == 1 { "another route has one".to_owned() } else { format!("{limited} others have one") };
    let what = format!("route {} has no rate limit, and {others}", plan.number.0);
    report.push(
        Diagnostic::new(Rule::Unlimited, written.place, what)
            .label("a user with a loop may call it as fast as the network carries")
            .help("name one under `rate_limits`, here or under `defaults`; or write `rate_limits: []` where none is meant")
            .path(format!("{}.rate_limits", written.path)),
    );
}

/// Every limit has a bucket for each value of a field, and whoever wants a full bucket sends a new value.
fn chosen(written: &Written<'_>, plan: &RoutePlan, scope: &Scope<'_>, report: &mut Report) {
    let is_chosen = |limit: usize| scope.limits.get(limit).spec.key.iter().any(|part| matches!(part, KeyPart::Field(_)));
    let (Some(first), true) = (plan.limits.first(), plan.limits.iter().all(|used| is_chosen(used.limit))) else { return };
    let limit = scope.limits.get(first.limit);
    let place = edited(&written.policy.rate_limits).first().map_or(written.place, |name| name.span);
    let what = format!("whoever calls route {} chooses the bucket of `{}`, and anybody may call it", plan.number.0, limit.spec.name);
    let finding = Diagnostic::new(Rule::ChosenKey, place, what);
    let finding =
        limit.fields.first().into_iter().fold(finding, |finding, (_, span)| finding.related(*span, "another value, another bucket"));
    report.push(
        finding
            .help("add a limit with `key: [peer.ip]` to the route: it bounds how many values one address can try")
            .path(format!("{}.rate_limits", written.path)),
    );
}
