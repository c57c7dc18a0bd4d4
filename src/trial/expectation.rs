//! Whether what a test expects can come about at all: names that exist, messages of their types. Looked at before anything runs.

use super::meaning::Meaning;
use crate::config::document::trial::{Expect, Outcome, Published};
use crate::config::grammar::List;
use crate::diagnostic::{Diagnostic, Rule, Spanned};
use crate::table::plan::RoutePlan;

// === impl Meaning ===

impl Meaning<'_> {
    /// What is expected of a call of this route, or of a push.
    pub(super) fn expectation(&mut self, expect: &Expect, route: Option<&RoutePlan>) {
        let plan = self.plan;
        self.only_of_failures(expect);
        if let Some(limit) = expect.limit.as_ref().filter(|limit| plan.limits.iter().all(|known| *known.name != *limit.as_str())) {
            self.unknown::<()>(limit.span, "rate limit", limit.as_str(), plan.limits.iter().map(|known| &*known.name));
        }
        if let (Some(permission), Some(route)) = (&expect.permission, route) {
            let known: Vec<&str> = route.permissions.iter().map(|(_, name)| &**name).collect();
            if !known.contains(&permission.as_str()) {
                let finding = Diagnostic::new(Rule::TestName, permission.span, format!("`{}` needs no such permission", route.name));
                self.push::<()>(finding.did_you_mean(permission.as_str(), known));
            }
        }
        if let Some(backend) = &expect.backend {
            self.known_backend(backend);
        }
        let topics = [&expect.subscribed, &expect.unsubscribed];
        topics.into_iter().flatten().flat_map(|topics| &topics.value).for_each(|topic| self.known_topic(topic));
        if let (Some(sent), Some(route)) = (&expect.sent, route) {
            self.message(&route.method.input, sent);
        }
        if let (Some(reply), Some(route)) = (&expect.reply, route) {
            self.message(&route.method.output, reply);
        }
        for pushes in [&expect.published, &expect.heard].into_iter().flatten() {
            self.pushes(pushes);
        }
        if route.is_none() {
            self.only_heard(expect);
        }
    }

    fn pushes(&mut self, pushes: &Spanned<List<Published>>) {
        for push in &pushes.value {
            let Some(number) = &push.number else { continue };
            let Some(plan) = self.push_of(number.value.0, number.span) else { continue };
            if let Some(topic) = &push.topic {
                self.known_topic(topic);
            }
            if let Some(message) = &push.message {
                self.message(&plan.message, message);
            }
        }
    }

    /// What succeeds says nothing that only a failure says; it would never be looked at.
    fn only_of_failures(&mut self, expect: &Expect) {
        if expect.outcome.as_ref().is_none_or(|outcome| outcome.value != Outcome::Ok) {
            return;
        }
        let keys = [
            ("code", expect.code.as_ref().map(|key| key.span)),
            ("reason", expect.reason.as_ref().map(|key| key.span)),
            ("message", expect.message.as_ref().map(|key| key.span)),
            ("permission", expect.permission.as_ref().map(|key| key.span)),
            ("limit", expect.limit.as_ref().map(|key| key.span)),
            ("retry_after", expect.retry_after.as_ref().map(|key| key.span)),
            ("violations", expect.violations.as_ref().map(|key| key.span)),
        ];
        for (key, span) in keys {
            if let Some(span) = span {
                let finding = Diagnostic::new(Rule::TestStep, span, format!("what succeeds has no `{key}`"));
                self.push::<()>(finding.help("remove it, or say how the call fails"));
            }
        }
    }

    /// A push comes to nothing but that it is heard, or that it fails.
    fn only_heard(&mut self, expect: &Expect) {
        let keys = [
            ("permission", expect.permission.as_ref().map(|key| key.span)),
            ("limit", expect.limit.as_ref().map(|key| key.span)),
            ("retry_after", expect.retry_after.as_ref().map(|key| key.span)),
            ("violations", expect.violations.as_ref().map(|key| key.span)),
            ("rpc", expect.rpc.as_ref().map(|key| key.span)),
            ("backend", expect.backend.as_ref().map(|key| key.span)),
            ("endpoint", expect.endpoint.as_ref().map(|key| key.span)),
            ("attempts", expect.attempts.as_ref().map(|key| key.span)),
            ("sent", expect.sent.as_ref().map(|key| key.span)),
            ("metadata", expect.metadata.as_ref().map(|key| key.span)),
            ("reply", expect.reply.as_ref().map(|key| key.span)),
            ("bound", expect.bound.as_ref().map(|key| key.span)),
            ("unbound", expect.unbound.as_ref().map(|key| key.span)),
            ("subscribed", expect.subscribed.as_ref().map(|key| key.span)),
            ("unsubscribed", expect.unsubscribed.as_ref().map(|key| key.span)),
            ("published", expect.published.as_ref().map(|key| key.span)),
        ];
        for (key, span) in keys {
            if let Some(span) = span {
                let finding = Diagnostic::new(Rule::TestStep, span, format!("`{key}` cannot come of a push"));
                self.push::<()>(finding.help("of a push there is `heard`, or how it fails"));
            }
        }
    }
}
