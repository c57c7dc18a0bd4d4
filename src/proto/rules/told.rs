//! The rules of one type in words, for whoever compares two versions of it.

use std::collections::BTreeMap;

use super::check::{Check, Test};
use super::compile::{Content, Rules};
use super::constant::Constant;

/// What is asked of a value: in words, and the room that it leaves, least and most, where that is a matter of more and less.
pub(in crate::proto) struct Told {
    pub says: String,
    pub room: Option<(i128, i128)>,
}

/// What a rule is about, and which it is.
type About = (String, String);

// === impl Rules ===

impl Rules {
    /// What is asked of messages of a type; not what is asked of messages in them.
    pub(in crate::proto) fn told(&self, name: &str) -> BTreeMap<About, Told> {
        let mut told = BTreeMap::new();
        let Some(program) = self.find(name).map(|place| self.program(place)) else { return told };
        let mut say = |about: &str, rule: &str, says: String, room| {
            told.insert((about.to_owned(), rule.to_owned()), Told { says, room });
        };
        for field in &program.fields {
            let mut checks = |about: &str, checks: &[Check]| {
                checks.iter().for_each(|check| say(about, kind(check), check.says.clone(), room(&check.test)));
            };
            let name = &*field.name;
            match &field.content {
                Content::One(element) => checks(name, &element.checks),
                Content::List { element, sizes, .. } => {
                    checks(name, sizes);
                    checks(&format!("{name}[]"), &element.checks);
                }
                Content::Map { key, value, sizes } => {
                    checks(name, sizes);
                    checks(&format!("{name}{{key}}"), &key.checks);
                    checks(&format!("{name}{{}}"), &value.checks);
                }
            }
            if matches!(field.content, Content::List { unique: true, .. }) {
                say(name, "unique", "must contain each item once".to_owned(), None);
            }
            if field.required {
                say(name, "required", "must be set".to_owned(), None);
            }
        }
        for choice in &program.choices {
            if choice.required {
                say(&choice.name, &choice.at_least, choice.at_least.clone(), None);
            }
            if !choice.at_most.is_empty() {
                say(&choice.name, &choice.at_most, choice.at_most.clone(), None);
            }
        }
        told
    }
}

/// The rule's id; ranges are one rule, whatever ends they have.
fn kind(check: &Check) -> &str {
    match &check.test {
        Test::Range(range) if check.rule.ends_with(&range.name()) => "range",
        _ => &check.rule,
    }
}

fn room(test: &Test) -> Option<(i128, i128)> {
    let whole = |constant: &Constant| match constant {
        Constant::Int(value) | Constant::Duration(value) | Constant::Timestamp(value) => Some(*value),
        _ => None,
    };
    match test {
        Test::Chars(least, most) | Test::Size(least, most) => Some((i128::from(*least), i128::from(*most))),
        Test::Range(range) => {
            // A bound that is left out is one further in.
            let end = |bound: &super::check::Bound, step: i128| Some(whole(&bound.at)? + if bound.included { 0 } else { step });
            let least = range.lower.as_ref().map_or(Some(i128::MIN), |bound| end(bound, 1))?;
            let most = range.upper.as_ref().map_or(Some(i128::MAX), |bound| end(bound, -1))?;
            (least <= most).then_some((least, most))
        }
        _ => None,
    }
}
