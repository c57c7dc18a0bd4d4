//! What the rules of a type ask, in the words in which a violation is told: for whoever writes a client, before anybody breaks one, and for
//! whoever compares two versions of the type.

use super::check::{Bound, Check, Test};
use super::compile::{Content, Element, Looked, Rules};
use super::constant::Constant;

/// One rule.
pub(in crate::proto) struct Told {
    pub about: About,
    /// Which of the rules about it this is.
    pub rule: String,
    pub says: String,
    /// What it lets through, least and most, where that is a matter of more and less.
    pub room: Option<(i128, i128)>,
}

/// What a rule is about.
#[derive(Clone, PartialEq, Eq)]
pub(in crate::proto) enum About {
    Field {
        number: u32,
        name: Box<str>,
        part: Part,
    },
    /// Several fields together, by the name of their oneof, or by none.
    Several(Box<str>),
}

/// What of a field.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::proto) enum Part {
    All,
    Item,
    Key,
    Value,
}

// === impl Rules ===

impl Rules {
    /// All that is asked of messages of a type, in the order of its fields; not what is asked of messages in them.
    pub(in crate::proto) fn told(&self, message: &str) -> Vec<Told> {
        let Some(program) = self.find(message).map(|place| self.program(place)) else { return Vec::new() };
        let mut told: Vec<Told> = program.fields.iter().flat_map(Looked::told).collect();
        for choice in &program.choices {
            let says = [choice.required.then_some(&choice.at_least), Some(&choice.at_most).filter(|says| !says.is_empty())];
            let about = About::Several(choice.name.clone());
            told.extend(says.into_iter().flatten().map(|says| Told::new(about.clone(), says, says)));
        }
        told
    }
}

// === impl Looked ===

impl Looked {
    fn told(&self) -> Vec<Told> {
        let about = |part| About::Field { number: self.number, name: self.name.clone(), part };
        let of = |checks: &[Check], part| checks.iter().map(|check| Told::of(check, about(part))).collect::<Vec<_>>();
        let each = |element: &Element, part| of(&element.checks, part);
        let mut told = Vec::new();
        if self.required {
            told.push(Told::new(about(Part::All), "required", "must be set"));
        }
        match &self.content {
            Content::One(element) => told.extend(each(element, Part::All)),
            Content::List { element, sizes, unique } => {
                told.extend(of(sizes, Part::All));
                told.extend(unique.then(|| Told::new(about(Part::All), "unique", "must contain unique items")));
                told.extend(each(element, Part::Item));
            }
            Content::Map { key, value, sizes } => {
                told.extend(of(sizes, Part::All));
                told.extend(each(key, Part::Key));
                told.extend(each(value, Part::Value));
            }
        }
        told
    }
}

// === impl Told ===

impl Told {
    fn new(about: About, rule: &str, says: &str) -> Told {
        Told { about, rule: rule.to_owned(), says: says.to_owned(), room: None }
    }

    fn of(check: &Check, about: About) -> Told {
        Told { room: room(&check.test), ..Told::new(about, kind(check), &check.says) }
    }
}

// === impl About ===

impl About {
    /// As a path to it is written, such as `field[]`.
    pub fn path(&self) -> String {
        match self {
            About::Field { name, part, .. } => match part {
                Part::All => name.to_string(),
                Part::Item => format!("{name}[]"),
                Part::Key => format!("{name}{{key}}"),
                Part::Value => format!("{name}{{}}"),
            },
            About::Several(name) => name.to_string(),
        }
    }
}

// === impl Part ===

impl Part {
    /// Before what is said of it, where the field is known.
    pub fn words(self) -> &'static str {
        match self {
            Part::All => "",
            Part::Item => "each item ",
            Part::Key => "each key ",
            Part::Value => "each value ",
        }
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
            let end = |bound: &Bound, step: i128| Some(whole(&bound.at)? + if bound.included { 0 } else { step });
            let least = range.lower.as_ref().map_or(Some(i128::MIN), |bound| end(bound, 1))?;
            let most = range.upper.as_ref().map_or(Some(i128::MAX), |bound| end(bound, -1))?;
            (least <= most).then_some((least, most))
        }
        _ => None,
    }
}
