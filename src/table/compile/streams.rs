//! Routes of streaming methods: how long a stream may last, and which keys mean nothing there.
//!
//! Only what stands in the route itself is held against it: `defaults` speak for routes of every kind.

use std::time::Duration;

use crate::config::document::{Policy, ReplyMode, Route};
use crate::diagnostic::{Diagnostic, Report, Rule, Span};
use crate::proto::{Kind, Method};
use crate::table::plan::StreamPlan;

/// How long a stream may last where nothing is said.
pub const IDLE: Duration = Duration::from_secs(5 * 60);
pub const MAX_AGE: Duration = Duration::from_secs(60 * 60);

/// How long a stream of the route may last.
pub fn plan(policy: &Policy, path: &str, report: &mut Report) -> StreamPlan {
    let (idle, max_age) = policy.stream.as_ref().map_or((None, None), |stream| (stream.idle.as_ref(), stream.max_age.as_ref()));
    for (key, written) in [("idle", idle), ("max_age", max_age)] {
        if let Some(written) = written.filter(|written| written.0.is_zero()) {
            let finding = Diagnostic::new(Rule::Bounds, written.span, "no stream could last");
            report.push(finding.help("write at least `1s`").path(format!("{path}.stream.{key}")));
        }
    }
    StreamPlan { idle: idle.map_or(IDLE, |idle| idle.0), max_age: max_age.map_or(MAX_AGE, |age| age.0) }
}

/// Reports what the route says that does not go with its method.
pub fn fits(method: &Method, route: &Route, path: &str, report: &mut Report) {
    let mut refuse = |key: &str, place: Span, what: String, help: &str| {
        let mut finding = Diagnostic::new(Rule::StreamKey, place, what).help(help).path(format!("{path}.{key}"));
        if let Some(rpc) = &route.rpc {
            finding = finding.related(rpc.span, kind(method.kind));
        }
        report.push(finding);
    };
    let policy = &route.policy;
    if method.kind == Kind::Unary {
        if let Some(stream) = &policy.stream {
            let what = "`stream` says how long streams last, and this method has none".to_owned();
            refuse("stream", stream.span, what, "write `timeout` to bound a call, or remove it");
        }
        return;
    }
    if let Some(effect) = &route.on_success {
        let what = "`on_success` follows from the reply of a call, and a stream has none".to_owned();
        refuse("on_success", effect.span, what, "remove it, or give it to a route whose method answers with one message");
    }
    if let Some(reply) = policy.reply.as_ref().filter(|reply| reply.value == ReplyMode::OnFailure) {
        let what = "`reply: on_failure` would hide how a stream ends, which its client has to know".to_owned();
        refuse("reply", reply.span, what, "remove it");
    }
}

/// What is said about the method beside a finding.
fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Unary => "takes one message and answers with one",
        Kind::ServerStream => "answers with a stream of messages",
        Kind::ClientStream => "takes a stream of messages",
        Kind::Bidi => "takes a stream of messages and answers with one",
    }
}
