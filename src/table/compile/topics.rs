//! `topics:` of every group: which there may be, who may hear them, what is kept.

use std::sync::Arc;
use std::time::Duration;

use super::routes::Routes;
use super::{entries, items};
use crate::config::Document;
use crate::config::document::{History, Topic};
use crate::config::value::{Join as Written, TopicTemplate};
use crate::diagnostic::{Diagnostic, Report, Rule, Span, Spanned};
use crate::push::declared::TopicRule;
use crate::store::Bounds;
use crate::table::plan::{Join, TopicPlan};
use crate::topic::Pattern;

/// What a topic keeps that says no more than that it has a history.
const COUNT: u32 = 256;
const BYTES: u64 = 256 << 10;
const AGE: Duration = Duration::from_secs(300);

/// The most of it: a history is read as a whole by whoever comes back.
const COUNT_MAX: u32 = 10_000;
const BYTES_MAX: u64 = 16 << 20;

/// The longest that it lasts, by as much as the store knows what a session hears.
const AGE_MAX: Duration = Duration::from_secs(7 * 86_400);

/// The type by which hearers are told who comes and goes.
const PRESENCE_EVENT: &str = "protogate.push.v1.PresenceEvent";

/// Every topic that is declared, whatever else is wrong with it.
pub struct Declared<'a> {
    patterns: Vec<(&'a Pattern, Span, &'a Spanned<Topic>)>,
}

/// Lists the patterns; two that could mean the same topic are reported.
pub fn declare<'a>(document: &'a Document, report: &mut Report) -> Declared<'a> {
    let mut patterns: Vec<(&Pattern, Span, &Spanned<Topic>)> = Vec::new();
    for (name, topic) in document.groups.iter().flat_map(|group| entries(&group.routes.topics)) {
        let pattern = name.value.pattern();
        if let Some((other, place, _)) = patterns.iter().find(|(other, ..)| other.overlaps(pattern)) {
            let what = format!("a topic could be both of `{}` and of `{}`", pattern.as_str(), other.as_str());
            report.push(
                Diagnostic::new(Rule::TopicConflict, name.span, what)
                    .related(*place, "declared here")
                    .help("begin them with different words, such as `room/{id}` and `chat/{id}`")
                    .path(format!("topics.{}", pattern.as_str())),
            );
            continue;
        }
        patterns.push((pattern, name.span, topic));
    }
    Declared { patterns }
}

/// Compiles every topic, once the pushes and the permissions that routes need are known.
pub fn compile(declared: &Declared<'_>, routes: &mut Routes, report: &mut Report) -> Vec<TopicPlan> {
    declared.patterns.iter().filter_map(|(pattern, _, topic)| compile_one(pattern, topic, routes, report)).collect()
}

fn compile_one(pattern: &Pattern, topic: &Topic, routes: &mut Routes, report: &mut Report) -> Option<TopicPlan> {
    let at = format!("topics.{}", pattern.as_str());
    let mut pushes = Vec::new();
    for (index, number) in items(&topic.pushes).iter().enumerate() {
        let wanted = number.value.0;
        match routes.pushes.iter().any(|push| push.number.0 == wanted) {
            true => pushes.push(wanted),
            false => unknown_push(wanted, number.span, format!("{at}.pushes[{index}]"), report),
        }
    }
    let presence_events = topic.presence_events.as_ref().and_then(|number| {
        let path = format!("{at}.presence_events");
        let wanted = number.value.0;
        let Some(push) = routes.pushes.iter().find(|push| push.number.0 == wanted) else {
            unknown_push(wanted, number.span, path, report);
            return None;
        };
        if push.message.name() != PRESENCE_EVENT {
            let what = format!("the push {wanted} is a `{}`, not a `{PRESENCE_EVENT}`", push.message.name());
            report.push(
                Diagnostic::new(Rule::FieldType, number.span, what).help(format!("declare a push of type `{PRESENCE_EVENT}`")).path(path),
            );
            return None;
        }
        Some(wanted)
    });
    let join = topic.join.as_ref()?;
    let join = match &join.value {
        Written::Effect => Join::Effect,
        Written::Permission(name) => {
            let (bit, name) = routes.bit(&Spanned::new(name.clone(), join.span), format!("{at}.join"));
            Join::Permission(bit, name)
        }
    };
    let rule = TopicRule {
        pattern: pattern.clone(),
        history: topic.history.as_ref().map(|history| bounds(history, &at, report)),
        presence: topic.presence.as_ref().is_some_and(|on| on.value) || presence_events.is_some(),
        presence_events,
        pushes,
    };
    Some(TopicPlan { rule: Arc::new(rule), join })
}

fn bounds(history: &History, at: &str, report: &mut Report) -> Bounds {
    let mut refuse = |place: Span, key: &str, what: String, help: String| {
        report.push(Diagnostic::new(Rule::Bounds, place, what).help(help).path(format!("{at}.history.{key}")));
    };
    if let Some(count) = history.count.as_ref().filter(|count| !(1..=COUNT_MAX).contains(&count.value)) {
        refuse(count.span, "count", format!("a history keeps 1 to {COUNT_MAX} messages"), format!("write `count: {COUNT}`"));
    }
    if let Some(bytes) = history.bytes.as_ref().filter(|bytes| !(1..=BYTES_MAX).contains(&bytes.0)) {
        refuse(bytes.span, "bytes", "a history keeps at most 16MiB, and more than nothing".to_owned(), "write `bytes: 256KiB`".to_owned());
    }
    if let Some(age) = history.age.as_ref().filter(|age| !(Duration::from_secs(1)..=AGE_MAX).contains(&age.0)) {
        refuse(age.span, "age", "a history lasts 1s to 7d".to_owned(), "write `age: 5m`".to_owned());
    }
    Bounds {
        count: history.count.as_ref().map_or(COUNT, |count| count.value),
        bytes: Some(history.bytes.as_ref().map_or(BYTES, |bytes| bytes.0)),
        age: history.age.as_ref().map_or(AGE, |age| age.0),
    }
}

fn unknown_push(number: u32, place: Span, path: String, report: &mut Report) {
    if report.speaks_of_part(&format!("pushes.{number}")) {
        return;
    }
    let finding = Diagnostic::new(Rule::UnknownPush, place, format!("no push has the number {number}"));
    report.push(finding.label("not declared").help(format!("declare it: `pushes: {{ {number}: {{ name: …, message: … }} }}`")).path(path));
}

// === impl Declared ===

impl Declared<'_> {
    /// The topic that a template names; none is reported.
    pub fn find(&self, template: &Spanned<TopicTemplate>, path: &str, report: &mut Report) -> Option<&Spanned<Topic>> {
        let segments = template.segments();
        let segments: Vec<Option<&str>> = segments.iter().map(Option::as_deref).collect();
        let found = self.patterns.iter().find(|(pattern, ..)| pattern.takes(&segments));
        if found.is_none() && !report.speaks_of_part("topics") {
            let finding =
                Diagnostic::new(Rule::UnknownTopic, template.span, format!("no pattern under `topics` takes `{}`", template.as_str()));
            report.push(match self.patterns.is_empty() {
                true => finding.help("declare it: `topics: { \"room/{id}\": { join: effect, pushes: […] } }`").path(path),
                false => finding.did_you_mean(template.as_str(), self.patterns.iter().map(|(pattern, ..)| pattern.as_str())).path(path),
            });
        }
        found.map(|(.., topic)| *topic)
    }
}
