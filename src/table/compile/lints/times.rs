//! Times of which one keeps another from ever being reached.
//!
//! Only a time that somebody wrote is worth a word: built-in ones make room for whatever is written beside them.

use std::collections::BTreeSet;
use std::time::Duration;

use super::Scope;
use crate::config::document::{Backend, Policy};
use crate::diagnostic::{Diagnostic, Report, Rule, Span, Spanned};
use crate::proto::Kind;
use crate::table::compile::entries;
use crate::table::compile::routes::{Written, edited};
use crate::table::explain::duration as shown;
use crate::table::plan::{Repeatable, RoutePlan};

/// Collects findings, each place once: what stands in `defaults` is found at the first route that it does not fit.
struct Finding<'r> {
    told: BTreeSet<Span>,
    report: &'r mut Report,
}

pub fn lint(scope: &Scope<'_>, report: &mut Report) {
    let mut finding = Finding { told: BTreeSet::new(), report };
    for (written, plan) in scope.routes() {
        match plan.method.kind {
            Kind::Unary => {
                guards(written, plan, &mut finding);
                waits(written, plan, &mut finding);
                slow(written, plan, &mut finding);
            }
            _ => idle(written, plan, &mut finding),
        }
    }
    for (name, backend) in scope.document.groups.iter().flat_map(|group| entries(&group.routes.backends)) {
        connecting(name.as_str(), backend, scope, &mut finding);
        health(name.as_str(), backend, &mut finding);
    }
}

/// A guard that may take as long as the call: what it does when it is unavailable never happens.
fn guards(written: &Written<'_>, plan: &RoutePlan, finding: &mut Finding<'_>) {
    for (guard, compiled) in edited(&written.policy.guards).iter().zip(&plan.guards) {
        if compiled.timeout < plan.timeout {
            continue;
        }
        let place = guard.timeout.as_ref().map_or(guard.span, |timeout| timeout.span);
        let what = format!(
            "this guard may take {}, and a call of route {} ends after {}",
            shown(compiled.timeout),
            plan.number.0,
            shown(plan.timeout)
        );
        let help = "give the guard a shorter `timeout`, so that `when_unavailable` decides what happens, or the call a longer one";
        finding.about(place, what, help, format!("{}.guards", written.path), call_timeout(&written.policy));
    }
}

/// Waits between attempts that come to more than the call's time.
fn waits(written: &Written<'_>, plan: &RoutePlan, finding: &mut Finding<'_>) {
    let (Some(retry), Repeatable::Always(policy) | Repeatable::ByKey(policy)) = (&written.policy.retry, &plan.retry) else { return };
    let waits =
        (0..policy.attempts.saturating_sub(1)).map(|nth| policy.backoff_min.saturating_mul(1 << nth.min(16)).min(policy.backoff_max));
    // Each is a fifth shorter at the least.
    let least = waits.sum::<Duration>() * 4 / 5;
    if least < plan.timeout {
        return;
    }
    let what = format!(
        "{} attempts wait {} between them at the least, and a call of route {} ends after {}",
        policy.attempts,
        shown(least),
        plan.number.0,
        shown(plan.timeout)
    );
    let place = retry.backoff.as_ref().map_or(retry.span, |backoff| backoff.span);
    let help = "shorten `backoff`, allow fewer `attempts`, or give the call a longer `timeout`";
    finding.about(place, what, help, format!("{}.retry", written.path), call_timeout(&written.policy));
}

/// Calls that are slow only when they have ended already.
fn slow(written: &Written<'_>, plan: &RoutePlan, finding: &mut Finding<'_>) {
    let Some(slow) = written.policy.log.as_ref().and_then(|log| log.slow.as_ref()).filter(|slow| slow.0 > plan.timeout) else { return };
    let what = format!("no call of route {} is slow before it ends, after {}", plan.number.0, shown(plan.timeout));
    let help = "write a shorter time, such as half of `timeout`";
    finding.about(slow.span, what, help, format!("{}.log.slow", written.path), call_timeout(&written.policy));
}

/// A stream that is too old before it can have been idle for so long.
fn idle(written: &Written<'_>, plan: &RoutePlan, finding: &mut Finding<'_>) {
    let Some(stream) = &written.policy.stream else { return };
    let Some(idle) = stream.idle.as_ref().filter(|idle| idle.0 >= plan.stream.max_age) else { return };
    let what = format!("a stream of route {} is ended at {}, before it can be idle for so long", plan.number.0, shown(plan.stream.max_age));
    let related = stream.max_age.as_ref().map(|age| (age.span, "how old it may be"));
    let help = "write an `idle` that is shorter than `max_age`";
    finding.about(idle.span, what, help, format!("{}.stream.idle", written.path), related);
}

/// A wait for a connection that is longer than any call of the backend.
fn connecting(name: &str, backend: &Spanned<Backend>, scope: &Scope<'_>, finding: &mut Finding<'_>) {
    let Some(written) = backend.grpc.as_ref().and_then(|grpc| grpc.connect_timeout.as_ref()) else { return };
    let Some(index) = scope.backends.index_of(name) else { return };
    let plans = || scope.routes.routes.iter().filter(|plan| plan.backends.all().any(|used| used == index));
    let longest = plans().map(|plan| plan.timeout).max();
    let Some(longest) = longest.filter(|longest| written.0 >= *longest && plans().all(|plan| plan.method.kind == Kind::Unary)) else {
        return;
    };
    let what = format!("no call of `{name}` waits so long for a connection: all of them end after {} at the latest", shown(longest));
    let help = "write a shorter time, so that a call has some left to be tried elsewhere";
    finding.about(written.span, what, help, format!("backends.{name}.grpc.connect_timeout"), None);
}

/// An answer that may take longer than until the next question.
fn health(name: &str, backend: &Spanned<Backend>, finding: &mut Finding<'_>) {
    let Some(health) = &backend.health else { return };
    let (Some(timeout), Some(interval)) = (&health.timeout, &health.interval) else { return };
    if timeout.0 <= interval.0 {
        return;
    }
    let what = format!("an endpoint of `{name}` may take {} to answer what it is asked every {}", shown(timeout.0), shown(interval.0));
    let help = "write a `timeout` that is shorter than `interval`";
    finding.about(timeout.span, what, help, format!("backends.{name}.health.timeout"), Some((interval.span, "how often it is asked")));
}

fn call_timeout(policy: &Policy) -> Option<(Span, &'static str)> {
    policy.timeout.as_ref().map(|timeout| (timeout.span, "the time of the call"))
}

// === impl Finding ===

impl Finding<'_> {
    fn about(&mut self, place: Span, what: String, help: &str, path: String, related: Option<(Span, &str)>) {
        if !self.told.insert(place) {
            return;
        }
        let finding = Diagnostic::new(Rule::TimesDoNotNest, place, what).help(help).path(path);
        self.report.push(related.into_iter().fold(finding, |finding, (span, text)| finding.related(span, text)));
    }
}
