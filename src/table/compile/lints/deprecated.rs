//! Methods and fields that their .proto files advise against.

use super::Scope;
use crate::config::value::HashKey;
use crate::diagnostic::{Diagnostic, Report, Rule, Span};
use crate::proto::{FieldPath, MessageType};
use crate::table::compile::entries;

pub fn lint(scope: &Scope<'_>, report: &mut Report) {
    for (written, plan) in scope.routes() {
        if plan.method.deprecated {
            let place = written.route.rpc.as_ref().map_or(written.place, |rpc| rpc.span);
            let method = plan.method.path.as_str().trim_start_matches('/');
            report.push(
                Diagnostic::new(Rule::Deprecated, place, format!("`{method}` is deprecated"))
                    .label("its .proto file says so")
                    .help("route what takes its place; or say in `allow` until when old clients need it")
                    .path(format!("{}.rpc", written.path)),
            );
        }
        let mut field =
            |path: &str, place: Span, key: &str| field(&plan.method.input, path, place, format!("{}.{key}", written.path), report);
        for used in &plan.limits {
            scope.limits.get(used.limit).fields.iter().for_each(|(path, place)| field(path, *place, "rate_limits"));
        }
        if let Some((HashKey::Field(path), place)) = written.policy.hash.as_ref().map(|hash| (&hash.value, hash.span)) {
            field(path.below_request(), place, "hash");
        }
        entries(&written.policy.set).for_each(|(target, _)| field(target.below_request(), target.span, "set"));
    }
}

fn field(input: &MessageType, path: &str, place: Span, at: String, report: &mut Report) {
    if !FieldPath::resolve(input, path).is_ok_and(|found| found.is_deprecated()) {
        return;
    }
    let what = format!("`request.{path}` is deprecated, and clients may have ceased to send it");
    report.push(
        Diagnostic::new(Rule::Deprecated, place, what)
            .label("its .proto file says so")
            .help("name the field that takes its place")
            .path(at),
    );
}
