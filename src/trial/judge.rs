//! Whether what came of a step is what the test expects; where not, a finding at the place of the expectation.

use std::collections::BTreeSet;
use std::time::Duration;

use super::matching::{canonical, difference};
use super::step::Got;
use super::world::Push;
use crate::config::document::trial::{Bound, Expect, Outcome, Published};
use crate::config::grammar::List;
use crate::config::value::{Json, Text};
use crate::diagnostic::{Diagnostic, Rule, Span, Spanned};
use crate::proto::MessageType;
use crate::table::Table;

/// How far the time that a session lasts may be from what is expected, since a little of it has gone by.
const TTL_SLACK: Duration = Duration::from_secs(2);

/// Collects what differs.
struct Judge<'a> {
    table: &'a Table,
    got: &'a Got,
    findings: Vec<Diagnostic>,
}

/// What differs, if anything. `step` is where the call is written.
pub fn judge(table: &Table, expect: &Expect, got: &Got, heard: &[Push], step: Span) -> Vec<Diagnostic> {
    let mut judge = Judge { table, got, findings: Vec::new() };
    judge.outcome(expect, step);
    // What a call did that ended otherwise than expected is no finding of its own.
    if judge.findings.is_empty() {
        judge.failure(expect);
        judge.way(expect);
        judge.effects(expect);
        if let Some(expected) = &expect.heard {
            let heard: Vec<_> = heard.iter().map(|push| (push.topic.as_str(), push.number, &*push.message)).collect();
            judge.pushes("hears", expected, &heard);
        }
    }
    judge.findings
}

// === impl Judge ===

impl Judge<'_> {
    fn differs(&mut self, span: Span, what: impl Into<String>) {
        self.findings.push(Diagnostic::new(Rule::TestFailed, span, what));
    }

    fn same(&mut self, what: &str, expected: Option<Spanned<&str>>, found: &str) {
        if let Some(expected) = expected.filter(|expected| expected.value != found) {
            let found = if found.is_empty() { "none".to_owned() } else { format!("`{found}`") };
            self.differs(expected.span, format!("expected {what} `{}`, and it is {found}", expected.value));
        }
    }

    fn outcome(&mut self, expect: &Expect, step: Span) {
        let outcome = self.got.failure.as_ref().map_or(Outcome::Ok, |said| said.outcome);
        let says_how = expect.code.is_some() || expect.reason.is_some() || expect.message.is_some() || expect.permission.is_some();
        let says_why = expect.limit.is_some() || expect.retry_after.is_some() || expect.violations.is_some();
        let is_expected = match &expect.outcome {
            Some(expected) => expected.value == outcome,
            None => (outcome != Outcome::Ok) == (says_how || says_why),
        };
        if !is_expected {
            let expected =
                expect.outcome.as_ref().map_or(if says_how || says_why { "failed" } else { "ok" }, |expected| expected.value.word());
            let span = expect.outcome.as_ref().map_or(step, |expected| expected.span);
            let finding = Diagnostic::new(Rule::TestFailed, span, format!("expected `{expected}`, and it is `{}`", outcome.word()));
            self.findings.push(match &self.got.failure {
                Some(said) => finding.label(said.text()),
                None => finding.label("it succeeds"),
            });
        }
    }

    fn failure(&mut self, expect: &Expect) {
        let Some(said) = &self.got.failure else { return };
        let code = crate::failure::Code::from_number(said.status.code).name();
        self.same("the code", expect.code.as_ref().map(|code| Spanned::new(code.value.0.name(), code.span)), code);
        self.same("the reason", text(&expect.reason), &said.status.reason);
        self.same(
            "the limit",
            expect.limit.as_ref().map(|limit| Spanned::new(limit.as_str(), limit.span)),
            said.limit.as_deref().unwrap_or_default(),
        );
        if let Some(words) = expect.message.as_ref().filter(|words| !said.status.message.contains(words.as_str())) {
            self.differs(words.span, format!("the message does not say so: {}", said.status.message));
        }
        if let Some(permission) = &expect.permission
            && (said.outcome != Outcome::Denied
                || !said.status.message.contains(&format!("needs the permission `{}`", permission.as_str())))
        {
            self.differs(permission.span, format!("it is not refused for want of this permission: {}", said.text()));
        }
        if let Some(wait) = &expect.retry_after {
            let told = Duration::from_millis(said.status.retry_after_ms.into());
            if told != wait.value.0 {
                let told = if told.is_zero() { "not".to_owned() } else { format!("{told:?}") };
                self.differs(wait.span, format!("expected that the client is told to wait {:?}, and it is {told}", wait.value.0));
            }
        }
        if let Some(expected) = &expect.violations {
            self.sets("fields that break rules", expected, &said.violations());
        }
    }

    /// Who was asked, what, and what came back.
    fn way(&mut self, expect: &Expect) {
        let Some(route) = &self.got.route else { return };
        let last = self.got.asked.last();
        let rpc = route.method.path.path().trim_start_matches('/');
        self.same("the method", expect.rpc.as_ref().map(|rpc| Spanned::new(rpc.as_str(), rpc.span)), rpc);
        let backend = if self.got.asked.is_empty() { "" } else { &self.got.backend };
        self.same("the backend", expect.backend.as_ref().map(|name| Spanned::new(name.as_str(), name.span)), backend);
        self.same("the endpoint", text(&expect.endpoint), last.map_or("", |heard| heard.endpoint.as_str()));
        if let Some(attempts) = expect.attempts.as_ref().filter(|attempts| attempts.value as usize != self.got.asked.len()) {
            let what = format!("expected that the service is asked {} times, and it is {}", attempts.value, self.got.asked.len());
            self.differs(attempts.span, what);
        }
        if let Some(sent) = &expect.sent {
            let found = last.and_then(|heard| canonical(&route.method.input, &heard.message));
            self.message("the service is sent", &route.method.input, sent, found.as_ref());
        }
        for (key, value) in expect.metadata.iter().flat_map(|metadata| metadata.value.iter()) {
            let found = last.and_then(|heard| heard.metadata.get(key.as_str())).and_then(|found| found.to_str().ok()).unwrap_or_default();
            self.same(&format!("the metadata `{}`", key.as_str()), Some(Spanned::new(value.as_str(), value.span)), found);
        }
        if let Some(reply) = &expect.reply {
            self.message("the client gets", &route.method.output, reply, self.got.reply.as_ref());
        }
    }

    fn message(&mut self, who: &str, kind: &MessageType, expected: &Spanned<Json>, found: Option<&serde_json::Value>) {
        let Some(found) = found else { return self.differs(expected.span, format!("{who} nothing")) };
        if let Some(differs) = difference(kind, &expected.value.value(), found) {
            let what = format!("{who} something else in `{}`: expected {}, and it is {}", differs.path, differs.expected, differs.found);
            self.differs(expected.value.place(&differs.path), what);
        }
    }

    fn effects(&mut self, expect: &Expect) {
        if let Some(expected) = &expect.bound {
            self.bound(expected);
        }
        if let Some(expected) = expect.unbound.as_ref().filter(|expected| expected.value != self.got.unbound) {
            self.differs(
                expected.span,
                if self.got.unbound { "the client leaves its session" } else { "the client does not leave a session" },
            );
        }
        if let Some(expected) = &expect.subscribed {
            self.sets("topics that are heard from now on", expected, &self.got.subscribed);
        }
        if let Some(expected) = &expect.unsubscribed {
            self.sets("topics that are heard no more", expected, &self.got.unsubscribed);
        }
        if let Some(expected) = &expect.published {
            let found: Vec<_> = self.got.published.iter().map(|(topic, number, message)| (topic.as_str(), *number, &**message)).collect();
            self.pushes("publishes", expected, &found);
        }
    }

    fn bound(&mut self, expected: &Spanned<Bound>) {
        let Some((identity, ttl)) = &self.got.bound else {
            return self.differs(expected.span, "the client is in no session by this call");
        };
        self.same("the user", text(&expected.user), &identity.user);
        if let Some(roles) = &expected.roles {
            let written: BTreeSet<&str> = roles.value.iter().map(|role| role.as_str()).collect();
            let found: BTreeSet<&str> = identity.roles.iter().map(|role| &**role).collect();
            if written != found {
                self.differs(roles.span, format!("expected the roles {}, and they are {}", listed(&written), listed(&found)));
            }
        }
        if let Some(expected) = expected.ttl.as_ref().filter(|expected| expected.value.0.abs_diff(*ttl) > TTL_SLACK) {
            let what = format!(
                "expected that the session lasts {:?}, and it is {:?}",
                expected.value.0,
                Duration::from_secs_f64(ttl.as_secs_f64().round())
            );
            self.differs(expected.span, what);
        }
    }

    fn sets(&mut self, what: &str, expected: &Spanned<List<Text>>, found: &BTreeSet<String>) {
        let written: BTreeSet<&str> = expected.value.iter().map(|item| item.as_str()).collect();
        let found: BTreeSet<&str> = found.iter().map(String::as_str).collect();
        if written != found {
            self.differs(expected.span, format!("expected {what}: {}, and it is {}", listed(&written), listed(&found)));
        }
    }

    fn pushes(&mut self, what: &str, expected: &Spanned<List<Published>>, found: &[(&str, u32, &[u8])]) {
        let shown = || listed(found.iter().map(|(topic, number, _)| format!("{number} {topic}").trim_end().to_owned()));
        if expected.value.len() != found.len() {
            let what = format!("expected that it {what} {} messages, and it is {}", expected.value.len(), shown());
            return self.differs(expected.span, what);
        }
        for (push, (topic, number, message)) in expected.value.iter().zip(found) {
            if let Some(expected) = push.number.as_ref().filter(|expected| expected.value.0 != *number) {
                self.differs(expected.span, format!("expected that it {what} {}, and it is {}", expected.value.0, shown()));
                continue;
            }
            self.same("the topic", text(&push.topic), topic);
            if let (Some(expected), Some(plan)) = (&push.message, self.table.push(*number)) {
                self.message(&format!("it {what}"), &plan.message, expected, canonical(&plan.message, message).as_ref());
            }
        }
    }
}

fn text(text: &Option<Spanned<Text>>) -> Option<Spanned<&str>> {
    text.as_ref().map(|text| Spanned::new(text.value.as_str(), text.span))
}

fn listed<T: std::fmt::Display>(items: impl IntoIterator<Item = T>) -> String {
    let items: Vec<String> = items.into_iter().map(|item| format!("`{item}`")).collect();
    if items.is_empty() { "none".to_owned() } else { items.join(", ") }
}
