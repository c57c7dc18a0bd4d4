//! `pushes:` of every group to push plans.

use super::descriptors::{self, suggest};
use super::entries;
use super::numbers::{Taken, in_range};
use crate::config::Document;
use crate::config::document::{self, Push, SlowRule};
use crate::config::grammar::WordOr;
use crate::config::value::{MessagePath, ProtocolNumber};
use crate::diagnostic::{Diagnostic, Report, Rule, Spanned};
use crate::id::Protocol;
use crate::proto::{FieldPath, Loaded, MessageType};
use crate::push::rules::{Conflation, Delivery, PushPlan};
use crate::session::OnSlow;

/// Every sound push, by number.
pub fn compile<'a>(document: &'a Document, descriptors: &Loaded, taken: &mut Taken<'a>, report: &mut Report) -> Vec<PushPlan> {
    let mut found = Vec::new();
    for group in &document.groups {
        for (number, push) in entries(&group.routes.pushes) {
            let (ProtocolNumber(value), path) = (number.value, format!("pushes.{}", number.value.0));
            in_range(group, value, number.span, &path, report);
            let first = taken.take(value, number.span, push.name.as_ref(), &path, report);
            let message = push.message.as_ref().and_then(|message| match descriptors.message(message.as_str()) {
                Ok(kind) => Some(kind),
                Err(missing) if descriptors::are_known(descriptors, report) => {
                    let finding = Diagnostic::new(Rule::UnknownMessage, message.span, missing.what.as_str());
                    report.push(suggest(finding, message.as_str(), &missing).path(format!("{path}.message")));
                    None
                }
                Err(_) => {
                    report.doubt(path.clone());
                    None
                }
            });
            let delivery = delivery(push, message.as_ref(), &path, report);
            let (Some(name), Some(message), Some(delivery), true) = (&push.name, message, delivery, first) else { continue };
            found.push(PushPlan { number: Protocol(value), name: name.shared(), message, delivery });
        }
    }
    found.sort_by_key(|push| push.number);
    found
}

/// Nothing: what is written was reported, or cannot be judged without the message.
fn delivery(push: &Push, message: Option<&MessageType>, path: &str, report: &mut Report) -> Option<Delivery> {
    let at = format!("{path}.on_slow");
    let written = push.delivery.as_ref();
    let kept = match written.map(|delivery| delivery.value) {
        Some(document::Delivery::BestEffort) => {
            return Some(Delivery::BestEffort(match push.on_slow.as_ref().map(|on_slow| &on_slow.value) {
                None if report.speaks_of(&at) => return None,
                None | Some(WordOr::Word(SlowRule::Disconnect)) => OnSlow::Disconnect,
                Some(WordOr::Word(SlowRule::DropOldest)) => OnSlow::DropOldest,
                Some(WordOr::Map(map)) => OnSlow::Conflate(conflation(message?, map.conflate.as_ref()?, &at, report)?),
            }));
        }
        None if report.speaks_of(&format!("{path}.delivery")) => return None,
        None | Some(document::Delivery::Session) => Delivery::Session,
        Some(document::Delivery::Durable) => Delivery::Durable,
    };
    if let Some(on_slow) = &push.on_slow {
        let what = format!("a push with `delivery: {}` has no `on_slow`: a slow client is closed, and comes back for it", kept.name());
        let finding = Diagnostic::new(Rule::BadValue, on_slow.span, what);
        let finding = match written {
            Some(written) => finding.related(written.span, "the delivery"),
            None => finding.label("without `delivery` it is `session`"),
        };
        report.push(finding.help("remove it, or write `delivery: best_effort`").path(at));
        return None;
    }
    Some(kept)
}

fn conflation(message: &MessageType, path: &Spanned<MessagePath>, at: &str, report: &mut Report) -> Option<Conflation> {
    let at = format!("{at}.conflate");
    let found = match FieldPath::resolve(message, path.below_message()) {
        Ok(found) => found,
        Err(problem) => {
            let known: Vec<String> = problem.known.iter().map(|known| format!("message.{known}")).collect();
            let finding = Diagnostic::new(Rule::FieldPath, path.span, problem.what.as_str());
            report.push(finding.did_you_mean(path.as_str(), known.iter().map(String::as_str)).path(at));
            return None;
        }
    };
    let what = match found.is_repeated_anywhere() {
        true => format!("`{}` has several values", path.as_str()),
        false => format!("`{}` is a {}, by which nothing can be told apart", path.as_str(), found.kind()),
    };
    let conflation = Conflation::compile(message, found);
    if conflation.is_none() {
        let help = "name a field that holds one value, such as the id of what the message is about";
        report.push(Diagnostic::new(Rule::FieldType, path.span, what).help(help).path(at));
    }
    conflation
}
