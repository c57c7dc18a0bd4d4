//! `breaker`, `limits` and `retry_budget` of a backend: what is done when it fails, or has too much to do.

use std::time::Duration;

use crate::backend::{BreakerSpec, BudgetSpec, LimitsSpec, SpecKind};
use crate::config::document::{Backend, BackendLimits, Breaker, RetryBudget};
use crate::config::value;
use crate::diagnostic::{Diagnostic, Report, Rule, Spanned};
use crate::table::compile::items;

/// A shorter window, or being left alone for less, would be decided by chance.
const WINDOW_MIN: Duration = Duration::from_secs(1);
const OPEN_MIN: Duration = Duration::from_millis(100);

/// Reads the three sections into the spec of a backend, where there is one.
pub fn compile(name: &str, backend: &Backend, kind: Option<&mut SpecKind>, path: &str, report: &mut Report) {
    let mut read = Reading { path, report };
    match kind {
        Some(SpecKind::Builtin(_)) => read.nothing_to_do(name, backend),
        Some(SpecKind::Grpc(spec)) => {
            spec.breaker = backend.breaker.as_ref().map_or_else(BreakerSpec::default, |breaker| read.breaker(breaker));
            spec.limits = backend.limits.as_ref().map_or_else(LimitsSpec::default, |limits| read.limits(limits));
            spec.retry_budget = backend.retry_budget.as_ref().map_or_else(BudgetSpec::default, |budget| read.budget(budget));
        }
        None => {}
    }
}

struct Reading<'r> {
    path: &'r str,
    report: &'r mut Report,
}

// === impl Reading ===

impl Reading<'_> {
    fn breaker(&mut self, written: &Breaker) -> BreakerSpec {
        let built_in = BreakerSpec::default();
        let open_for = written.open_for.as_ref().map(|open_for| &open_for.value);
        let open_min = self.duration(open_for.and_then(|open| open.min.as_ref()), built_in.open_min, OPEN_MIN, "breaker.open_for.min");
        let open_max = open_for.and_then(|open| open.max.as_ref());
        if let Some(max) = open_max.filter(|max| max.value.0 < open_min) {
            self.wrong(max, "breaker.open_for.max", "`max` is shorter than `min`", "make it longer, or `min` shorter");
        }
        let spoken_of = self.report.speaks_of(&format!("{}.breaker.success_min", self.path));
        let (window, requests) = (written.window.as_ref().filter(|_| !spoken_of), written.requests_min.as_ref().filter(|_| !spoken_of));
        if let (None, Some(window)) = (&written.success_min, window) {
            let what = "`window` does nothing without `success_min`";
            self.wrong(window, "breaker.window", what, "say `success_min: 80%`, or remove it");
        }
        if let (None, Some(requests)) = (&written.success_min, requests) {
            let what = "`requests_min` does nothing without `success_min`";
            self.wrong(requests, "breaker.requests_min", what, "say `success_min: 80%`, or remove it");
        }
        BreakerSpec {
            consecutive_failures: self.at_least_one(
                &written.consecutive_failures,
                built_in.consecutive_failures,
                "breaker.consecutive_failures",
            ),
            success_percent: written.success_min.as_ref().map(|share| share.value.0),
            window: self.duration(written.window.as_ref(), built_in.window, WINDOW_MIN, "breaker.window"),
            requests_min: self.at_least_one(&written.requests_min, built_in.requests_min, "breaker.requests_min"),
            open_min,
            open_max: open_max.map_or(built_in.open_max.max(open_min), |max| max.value.0),
            ejected_percent: written.ejected_max.as_ref().map_or(built_in.ejected_percent, |share| share.value.0),
            failures: match &written.failures {
                None => built_in.failures,
                Some(_) => items(&written.failures).iter().map(|code| code.value.0).collect(),
            },
        }
    }

    fn limits(&mut self, written: &BackendLimits) -> LimitsSpec {
        let built_in = LimitsSpec::default();
        let mut bound = |bound, built_in: usize, key| self.at_least_one(bound, built_in as u32, key) as usize;
        LimitsSpec {
            in_flight_max: bound(&written.in_flight_max, built_in.in_flight_max, "limits.in_flight_max"),
            pending_max: bound(&written.pending_max, built_in.pending_max, "limits.pending_max"),
        }
    }

    fn budget(&mut self, written: &RetryBudget) -> BudgetSpec {
        let built_in = BudgetSpec::default();
        if let Some(percent) = written.percent.as_ref().filter(|percent| percent.value > 100) {
            self.wrong(percent, "retry_budget.percent", "there are no more than 100 of a hundred", "write 0 to 100, such as `20`");
        }
        BudgetSpec {
            percent: written.percent.as_ref().map_or(built_in.percent, |percent| percent.value),
            min_concurrent: written.min_concurrent.as_ref().map_or(built_in.min_concurrent, |count| count.value),
        }
    }

    /// A service of this process is called without a network, and has bounds of its own.
    fn nothing_to_do(&mut self, name: &str, backend: &Backend) {
        let written = [
            ("breaker", backend.breaker.as_ref().map(|section| section.span)),
            ("limits", backend.limits.as_ref().map(|section| section.span)),
            ("retry_budget", backend.retry_budget.as_ref().map(|section| section.span)),
        ];
        for (key, span) in written {
            let Some(span) = span else { continue };
            let what = format!("`{key}` does nothing: `{name}` is a service of this process");
            self.wrong(&Spanned::new((), span), key, &what, "remove it");
        }
    }

    fn at_least_one(&mut self, written: &Option<Spanned<u32>>, built_in: u32, key: &str) -> u32 {
        let Some(written) = written else { return built_in };
        if written.value == 0 {
            let what = format!("`{}` must be at least 1", last(key));
            self.wrong(written, key, &what, &format!("write a larger number, such as `{built_in}`"));
        }
        written.value.max(1)
    }

    fn duration(&mut self, written: Option<&Spanned<value::Duration>>, built_in: Duration, min: Duration, key: &str) -> Duration {
        let Some(written) = written else { return built_in };
        if written.value.0 < min {
            let what = format!("`{}` must be at least {min:?}", last(key));
            self.wrong(written, key, &what, &format!("write a longer time, such as `{built_in:?}`"));
        }
        written.value.0.max(min)
    }

    fn wrong<T>(&mut self, written: &Spanned<T>, key: &str, what: &str, help: &str) {
        let path = format!("{}.{key}", self.path);
        self.report.push(Diagnostic::new(Rule::BadValue, written.span, what).help(help).path(path));
    }
}

fn last(key: &str) -> &str {
    key.rsplit('.').next().unwrap_or(key)
}
