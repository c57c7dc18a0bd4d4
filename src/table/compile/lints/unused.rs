//! Variables that stand nowhere, and topics that nobody can hear. Backends and limits see for themselves who names them.

use super::Scope;
use crate::config::value::{Join, TopicPattern};
use crate::diagnostic::{Diagnostic, Report, Rule};
use crate::table::compile::entries;

pub fn lint(scope: &Scope<'_>, report: &mut Report) {
    for name in &scope.document.unused_variables {
        report.push(
            Diagnostic::new(Rule::Unused, name.span, format!("the variable `{}` is never used", name.value))
                .help(format!("remove it, or write `${{var.{}}}` where it was meant", name.value))
                .path(format!("vars.{}", name.value)),
        );
    }
    topics(scope, report);
}

/// A topic that is joined by effect alone needs a route with that effect: services cannot subscribe anybody.
fn topics(scope: &Scope<'_>, report: &mut Report) {
    for (name, topic) in scope.document.groups.iter().flat_map(|group| entries(&group.routes.topics)) {
        let by_effect = topic.join.as_ref().is_some_and(|join| matches!(join.value, Join::Effect));
        if !by_effect || is_subscribed(scope, &name.value) {
            continue;
        }
        let what = format!("nobody can hear `{}`: no route subscribes anybody to it", name.pattern().as_str());
        report.push(
            Diagnostic::new(Rule::Unused, name.span, what)
                .help("write `on_success: { subscribe: … }` in the route that lets somebody in, or `join: PERMISSION` for whoever asks")
                .path(format!("topics.{}", name.pattern().as_str())),
        );
    }
}

fn is_subscribed(scope: &Scope<'_>, name: &TopicPattern) -> bool {
    let effects = scope.written.iter().filter_map(|written| written.route.on_success.as_ref());
    let mut templates = effects.filter_map(|effect| effect.subscribe.as_ref()).flat_map(|several| several.0.iter());
    templates.any(|template| {
        let segments = template.segments();
        name.pattern().takes(&segments.iter().map(Option::as_deref).collect::<Vec<_>>())
    })
}
