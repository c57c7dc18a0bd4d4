//! `subscribe`, `unsubscribe` and `publish` of a route: names of topics with values of the call in them, and what is published.

use super::topics::Declared;
use crate::config::document::PublishEffect;
use crate::config::grammar::Several;
use crate::config::value::{CallMessage, Part, TopicTemplate};
use crate::diagnostic::{Diagnostic, Report, Rule, Spanned};
use crate::proto::{FieldKind, FieldPath, MessageType, Method, Submessage};
use crate::push::rules::PushPlan;
use crate::table::plan::{PublishPlan, SessionValue, Taken, TopicName, TopicPart};

/// What is read of a call, in the order of the walks.
pub struct Sources<'a> {
    pub method: &'a Method,
    pub declared: &'a Declared<'a>,
    pub pushes: &'a [PushPlan],
    pub request: Vec<FieldPath>,
    pub response: Vec<FieldPath>,
    /// A message of the request is published.
    pub takes_request: bool,
}

// === impl Sources ===

impl Sources<'_> {
    /// The names under one key.
    pub fn names(&mut self, written: &Option<Spanned<Several<TopicTemplate>>>, at: &str, report: &mut Report) -> Vec<TopicName> {
        let templates = written.iter().flat_map(|several| several.0.iter());
        templates
            .filter_map(|template| self.name(template, at, report).filter(|_| self.declared.find(template, at, report).is_some()))
            .collect()
    }

    /// What is published.
    pub fn publishes(&mut self, written: &Option<Spanned<Several<PublishEffect>>>, at: &str, report: &mut Report) -> Vec<PublishPlan> {
        let effects = written.iter().flat_map(|several| several.0.iter());
        effects.filter_map(|effect| self.publish(effect, at, report)).collect()
    }

    fn publish(&mut self, effect: &PublishEffect, at: &str, report: &mut Report) -> Option<PublishPlan> {
        let (template, number, message) = (effect.topic.as_ref()?, effect.number.as_ref()?, effect.message.as_ref()?);
        let topic = self.name(template, &format!("{at}.topic"), report);
        let declared = self.declared.find(template, &format!("{at}.topic"), report);
        let wanted = number.value.0;
        let Some(push) = self.pushes.iter().find(|push| push.number.0 == wanted) else {
            if !report.speaks_of_part(&format!("pushes.{wanted}")) {
                let finding = Diagnostic::new(Rule::UnknownPush, number.span, format!("no push has the number {wanted}"));
                report.push(finding.label("not declared").help("declare it under `pushes`").path(format!("{at}.number")));
            }
            return None;
        };
        if let Some(declared) = declared
            && !super::items(&declared.pushes).iter().any(|listed| listed.value.0 == wanted)
            && !report.speaks_of_part("topics")
        {
            let finding =
                Diagnostic::new(Rule::UnknownPush, number.span, format!("`{}` does not list the push {wanted}", template.as_str()));
            report.push(
                finding.related(declared.span, "the topic").help(format!("add {wanted} to its `pushes`")).path(format!("{at}.number")),
            );
        }
        let (source, kind) = self.message(message, &format!("{at}.message"), report)?;
        if kind != push.message.name() {
            let what = format!("`{}` is a `{kind}`, and the push {wanted} a `{}`", message.as_str(), push.message.name());
            report.push(
                Diagnostic::new(Rule::FieldType, message.span, what).help("publish a message of its type").path(format!("{at}.message")),
            );
        }
        self.takes_request |= !message.is_of_response;
        Some(PublishPlan { topic: topic?, number: wanted, source })
    }

    fn message(&self, path: &Spanned<CallMessage>, at: &str, report: &mut Report) -> Option<(Taken, String)> {
        let root = if path.is_of_response { &self.method.output } else { &self.method.input };
        let taken = |part| if path.is_of_response { Taken::Response(part) } else { Taken::Request(part) };
        let Some(below) = path.below() else { return Some((taken(None), root.name().to_owned())) };
        let found = resolve(root, below, path, at, report)?;
        match Submessage::compile(&found) {
            Some((part, kind)) => Some((taken(Some(part)), kind)),
            None => {
                let what = format!("`{}` is a {}, and only one whole message can be published", path.as_str(), found.kind());
                report.push(Diagnostic::new(Rule::FieldType, path.span, what).help("name a field that holds one message").path(at));
                None
            }
        }
    }

    fn name(&mut self, template: &Spanned<TopicTemplate>, at: &str, report: &mut Report) -> Option<TopicName> {
        let parts = template.parts().iter().map(|part| {
            Some(match part {
                Part::Text(text) => TopicPart::Text(text.as_str().into()),
                Part::User => TopicPart::Session(SessionValue::User),
                Part::Session => TopicPart::Session(SessionValue::Id),
                Part::TokenId => TopicPart::Session(SessionValue::TokenId),
                Part::PeerIp => TopicPart::Session(SessionValue::PeerIp),
                Part::Request(path) => {
                    let found = value(&self.method.input, path, template, at, report)?;
                    self.request.push(found);
                    TopicPart::Request(self.request.len() - 1)
                }
                Part::Response(path) => {
                    let found = value(&self.method.output, path, template, at, report)?;
                    self.response.push(found);
                    TopicPart::Response(self.response.len() - 1)
                }
            })
        });
        parts.collect::<Vec<_>>().into_iter().collect::<Option<Vec<_>>>().map(TopicName)
    }
}

/// A field whose value can be part of a name.
fn value(root: &MessageType, path: &str, template: &Spanned<TopicTemplate>, at: &str, report: &mut Report) -> Option<FieldPath> {
    let found = resolve(root, path, template, at, report)?;
    let kinds = [FieldKind::String, FieldKind::Int, FieldKind::Uint];
    if found.is_scalar() && kinds.contains(&found.kind()) {
        return Some(found);
    }
    let what = match found.is_repeated_anywhere() {
        true => format!("`{path}` has several values"),
        false => format!("`{path}` is a {}, which cannot be part of a name", found.kind()),
    };
    report.push(Diagnostic::new(Rule::FieldType, template.span, what).help("name a field that holds one text or whole number").path(at));
    None
}

fn resolve<T>(root: &MessageType, path: &str, place: &Spanned<T>, at: &str, report: &mut Report) -> Option<FieldPath> {
    match FieldPath::resolve(root, path) {
        Ok(found) => Some(found),
        Err(problem) => {
            let finding = Diagnostic::new(Rule::FieldPath, place.span, problem.what.as_str());
            report.push(finding.did_you_mean(path, problem.known.iter().map(String::as_str)).path(at));
            None
        }
    }
}
