//! `idempotent` and `retry` of a route: whether its calls may be repeated although the service may have acted upon them, and how.

use std::sync::Arc;
use std::time::Duration;

use super::routes::edited;
use crate::backend::RetryPolicy;
use crate::config::document::{Policy, Retry};
use crate::config::value::Idempotent;
use crate::diagnostic::{Diagnostic, Report, Rule, Spanned};
use crate::proto::{Kind, Method};
use crate::table::plan::Repeatable;

/// More attempts than this would be a load test; gRPC has the same bound.
const ATTEMPTS_MAX: u32 = 5;

/// A shorter wait is none.
const BACKOFF_MIN: Duration = Duration::from_millis(1);

/// What a route may do. `own` is what it says itself, `policy` what all layers together come to.
pub fn compile(method: &Method, own: &Policy, policy: &Policy, path: &str, report: &mut Report) -> Repeatable {
    let repeated = match policy.idempotent.as_ref().map(|idempotent| idempotent.value) {
        Some(Idempotent::Yes) => Repeatable::Always,
        Some(Idempotent::ByKey) => Repeatable::ByKey,
        None if method.idempotent => Repeatable::Always,
        denied @ (Some(Idempotent::No) | None) => {
            let spoken_of = ["defaults", path].iter().any(|layer| report.speaks_of(&format!("{layer}.idempotent")));
            if !spoken_of {
                lint_without_leave(own, denied.is_some(), path, report);
            }
            return Repeatable::Never;
        }
    };
    let policy = policy.retry.as_ref().map_or_else(RetryPolicy::default, |retry| read(retry, &format!("{path}.retry"), report));
    repeated(Arc::new(policy))
}

/// A stream is never repeated: what was said in it is not kept.
pub fn lint_streaming(method: &Method, own: &Policy, path: &str, report: &mut Report) {
    if method.kind == Kind::Unary {
        return;
    }
    let keys = [("retry", own.retry.as_ref().map(|retry| retry.span)), ("idempotent", own.idempotent.as_ref().map(|written| written.span))];
    for (key, span) in keys {
        let Some(span) = span else { continue };
        let what = format!("`{key}` does nothing: the method is a streaming one, and streams are not repeated");
        report.push(Diagnostic::new(Rule::RetryImpossible, span, what).help("remove it").path(format!("{path}.{key}")));
    }
}

fn lint_without_leave(own: &Policy, denied: bool, path: &str, report: &mut Report) {
    let Some(retry) = &own.retry else { return };
    let what = match denied {
        true => "`retry` does nothing: `idempotent: false` forbids it",
        false => "`retry` does nothing: nothing says that the method may be repeated",
    };
    report.push(
        Diagnostic::new(Rule::RetryImpossible, retry.span, what)
            .help("say `idempotent: true`, or `by_key`, here; or give the method an `idempotency_level` in its .proto file")
            .path(format!("{path}.retry")),
    );
}

fn read(retry: &Spanned<Retry>, path: &str, report: &mut Report) -> RetryPolicy {
    let built_in = RetryPolicy::default();
    let codes_are_read = [format!("{path}.codes"), "defaults.retry.codes".to_owned()].iter().all(|at| !report.speaks_of_part(at));
    let mut wrong = |span, key: &str, what: &str, help: &str| {
        report.push(Diagnostic::new(Rule::BadValue, span, what).help(help).path(format!("{path}.{key}")));
    };
    if let Some(attempts) = retry.attempts.as_ref().filter(|attempts| !(1..=ATTEMPTS_MAX).contains(&attempts.value)) {
        wrong(attempts.span, "attempts", "`attempts` is not from 1 to 5", "write `3`; 1 is no repetition at all");
    }
    let codes: Vec<_> = edited(&retry.codes).iter().map(|code| code.value.0).collect();
    if let Some(written) = retry.codes.as_ref().filter(|_| codes.is_empty() && codes_are_read) {
        wrong(written.span, "codes", "`codes` names none", "name one, such as `[UNAVAILABLE]`, or say `attempts: 1`");
    }
    let backoff = retry.backoff.as_ref().map(|backoff| &backoff.value);
    let (min, max) = (backoff.and_then(|backoff| backoff.min.as_ref()), backoff.and_then(|backoff| backoff.max.as_ref()));
    if let Some(min) = min.filter(|min| min.value.0 < BACKOFF_MIN) {
        wrong(min.span, "backoff.min", "`min` is no wait at all", "write a longer one, such as `25ms`");
    }
    let backoff_min = min.map_or(built_in.backoff_min, |min| min.value.0);
    if let Some(max) = max.filter(|max| max.value.0 < backoff_min) {
        wrong(max.span, "backoff.max", "`max` is shorter than `min`", "make it longer, or `min` shorter");
    }
    RetryPolicy {
        attempts: retry.attempts.as_ref().map_or(built_in.attempts, |attempts| attempts.value),
        codes: if codes.is_empty() { built_in.codes } else { codes },
        backoff_min,
        backoff_max: max.map_or(built_in.backoff_max.max(backoff_min), |max| max.value.0),
    }
}
