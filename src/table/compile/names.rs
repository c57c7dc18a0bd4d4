//! Things that are declared by name, each once, and found by name until everything is an index.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};

use crate::config::value::{Name, Value as _};
use crate::diagnostic::{Diagnostic, Report, Rule, Span, Spanned, nearest};

/// Declarations of one kind, in the order they were written.
pub struct Names<T> {
    /// What one of them is called, such as `backend`.
    kind: &'static str,
    /// Where they are declared, such as `backends`.
    section: &'static str,
    /// What is wrong when a name is not among them.
    unknown: Rule,
    items: Vec<T>,
    places: BTreeMap<String, Place>,
    /// Declared, and broken: using one of them is no error of its own.
    broken: BTreeSet<String>,
    /// False when part of a file could not be read: what seems not to be declared may stand there.
    complete: bool,
}

struct Place {
    /// Where it is declared.
    span: Span,
    path: String,
    /// None for what was declared but is itself broken: using it is not an error of the user's.
    index: Option<usize>,
    used: Cell<bool>,
}

// === impl Names ===

impl<T> Names<T> {
    pub fn new(kind: &'static str, section: &'static str, unknown: Rule, complete: bool) -> Names<T> {
        Names { kind, section, unknown, items: Vec::new(), places: BTreeMap::new(), broken: BTreeSet::new(), complete }
    }

    /// Remembers a name whose declaration could not even be read.
    pub fn declare_broken(&mut self, name: &str) {
        self.broken.insert(name.to_owned());
    }

    /// Declares `name`; a second declaration is reported with both places and ignored. `item` is None when it is broken.
    pub fn declare(&mut self, name: &str, span: Span, path: &str, item: Option<T>, report: &mut Report) {
        if let Some(first) = self.places.get(name) {
            report.push(
                Diagnostic::new(Rule::DuplicateName, span, format!("the {} `{name}` is declared twice", self.kind))
                    .label("declared again here")
                    .related(first.span, "declared first here")
                    .help("rename one of them, or remove it")
                    .path(path),
            );
            return;
        }
        let index = item.map(|item| {
            self.items.push(item);
            self.items.len() - 1
        });
        self.places.insert(name.to_owned(), Place { span, path: path.to_owned(), index, used: Cell::new(false) });
    }

    /// The index of what `name` refers to; a name that nobody declared is reported.
    pub fn find(&self, name: &Spanned<Name>, path: &str, report: &mut Report) -> Option<usize> {
        let text = name.as_str();
        match self.places.get(text) {
            Some(place) => {
                place.used.set(true);
                place.index
            }
            None if self.broken.contains(text) || !self.complete || self.is_refused(text, report) => None,
            None => {
                let what = format!("there is no {} `{text}`", self.kind);
                let known = || self.places.keys().chain(&self.broken).map(String::as_str);
                let finding = Diagnostic::new(self.unknown, name.span, what).label("not declared").did_you_mean(text, known()).path(path);
                let near = nearest(text, known()).and_then(|near| Some((near, self.places.get(near)?)));
                report.push(match near {
                    Some((near, place)) => finding.related(place.span, format!("`{near}` is declared here")),
                    None => finding,
                });
                None
            }
        }
    }

    /// Whether a declaration was probably meant to be of this name, and has none.
    fn is_refused(&self, name: &str, report: &Report) -> bool {
        nearest(name, report.wrong_within(self.section).filter(|key| Name::parse(key).is_err())).is_some()
    }

    /// The index of `name`, without any word about it.
    pub fn index_of(&self, name: &str) -> Option<usize> {
        self.places.get(name).and_then(|place| place.index)
    }

    pub fn len(&self) -> usize {
        self.items.len()
    }

    pub fn get(&self, index: usize) -> &T {
        &self.items[index]
    }

    pub fn into_items(self) -> Vec<T> {
        self.items
    }

    /// Warns of what was declared and never found.
    pub fn lint_unused(&self, report: &mut Report) {
        for (name, place) in self.places.iter().filter(|(_, place)| !place.used.get()) {
            report.push(
                Diagnostic::new(Rule::Unused, place.span, format!("the {} `{name}` is never used", self.kind))
                    .help("remove it, or name it where it was meant")
                    .path(place.path.as_str()),
            );
        }
    }
}
