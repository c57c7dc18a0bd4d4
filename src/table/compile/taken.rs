//! Protocol numbers and names: each is used once, by a route or by a push, and lies in the range of its group.

use std::collections::BTreeMap;

use crate::config::Group;
use crate::config::value::{ProtocolNumber, RouteName};
use crate::diagnostic::{Diagnostic, Report, Rule, Span, Spanned};

/// Numbers and names, and where each was used first. Routes and pushes share both.
#[derive(Default)]
pub struct Taken<'a> {
    numbers: BTreeMap<u32, Span>,
    names: BTreeMap<&'a str, Span>,
}

// === impl Taken ===

impl<'a> Taken<'a> {
    /// Takes number and name; false if the number was taken, which is reported.
    pub fn take(&mut self, number: u32, place: Span, name: Option<&'a Spanned<RouteName>>, path: &str, report: &mut Report) -> bool {
        if let Some(name) = name {
            let first = *self.names.entry(name.value.as_str()).or_insert(name.span);
            if first != name.span {
                report.push(named_twice(name.as_str(), name.span, first, path));
            }
        }
        let first = *self.numbers.entry(number).or_insert(place);
        if first != place {
            report.push(
                Diagnostic::new(Rule::DuplicateNumber, place, format!("the protocol number {number} is declared twice"))
                    .label("declared again here")
                    .related(first, "declared first here")
                    .help("give one of them another number")
                    .path(path),
            );
        }
        first == place
    }
}

fn named_twice(name: &str, place: Span, first: Span, path: &str) -> Diagnostic {
    Diagnostic::new(Rule::DuplicateName, place, format!("the route name `{name}` is used twice"))
        .label("used again here")
        .related(first, "used first here")
        .help("rename one of them; logs and overlays tell routes apart by name")
        .path(format!("{path}.name"))
}

pub fn in_range(group: &Group, number: u32, place: Span, path: &str, report: &mut Report) {
    let Some(range) = &group.routes.numbers else { return };
    if !range.contains(ProtocolNumber(number)) {
        report.push(
            Diagnostic::new(Rule::NumberRange, place, format!("the protocol number {number} is outside this file's range"))
                .related(range.span, "the range")
                .help("choose a number in the range, or widen it")
                .path(path),
        );
    }
}
