//! What breaks clients, as diagnostics: with the routes, how often they were called lately, and what to do.

use super::{Change, Comparison, Named};
use crate::diagnostic::{Diagnostic, Report, Rule};
use crate::proto::Codec;
use crate::table::explain::Explained;

/// Routes that one finding names.
const NAMED_MAX: usize = 5;

/// How often routes were called in the last hour; nothing: nobody knows.
pub type Calls<'a> = &'a dyn Fn(&Named) -> Option<u64>;

const HELP: &str = "keep it as clients know it; or let them break, with `protogate reload --allow-breaking` or `reload: { allow_breaking: true }` in gateway.yaml";

// === impl Comparison ===

impl Comparison {
    /// A finding for everything that breaks clients. `after`: what the second table is explained by.
    pub fn report(&self, after: &Explained, calls: Calls<'_>) -> Report {
        let mut report = Report::default();
        for change in self.breaks() {
            let (Some(rule), Some(place)) = (change.rule, change.place.or_else(|| after.top())) else { continue };
            let message = format!("{}{}", change.what, change.tail(calls));
            let path = change.routes.first().map(|first| {
                let section = if after.push(first.number).is_some() || rule == Rule::PushGone { "pushes" } else { "routes" };
                format!("{section}.{}", first.number)
            });
            report.push(Diagnostic::new(rule, place, message).help(HELP).path(path.unwrap_or_default()));
        }
        report
    }
}

// === impl Change ===

impl Change {
    /// Whom it concerns, behind the sentence that says what it is.
    fn tail(&self, calls: Calls<'_>) -> String {
        let mut parts = Vec::new();
        match self.codec {
            Codec::Both => {}
            Codec::Proto => parts.push("for clients that speak protobuf".to_owned()),
            Codec::Json => parts.push("for clients that speak JSON".to_owned()),
        }
        let is_named = |route: &Named| self.what.contains(&format!("{} `{}`", route.number, route.name));
        match &*self.routes {
            [] => {}
            [route] if is_named(route) => parts.extend(calls(route).map(|calls| format!("called {} in the last hour", times(calls)))),
            routes => {
                let told = routes.iter().take(NAMED_MAX).map(|route| match calls(route) {
                    Some(calls) => format!("{} `{}` (called {} in the last hour)", route.number, route.name, times(calls)),
                    None => format!("{} `{}`", route.number, route.name),
                });
                let told = told.collect::<Vec<_>>().join(", ");
                let more = routes.len().saturating_sub(NAMED_MAX);
                parts.push(if more > 0 { format!("in {told} and {more} more") } else { format!("in {told}") });
            }
        }
        parts.iter().map(|part| format!("; {part}")).collect()
    }
}

fn times(count: u64) -> String {
    if count == 1 { "once".to_owned() } else { format!("{count} times") }
}
