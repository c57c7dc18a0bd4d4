//! What is wrong with a configuration, where, and what to do about it.
//!
//! A pass says *what is wrong* and hands over a [`Diagnostic`]; severity, code, file, line and layout are added here.
//! Promise: there is no diagnostic without a place.
//!
//! - `rule`: the table of codes
//! - `span`: places and the texts they point into
//! - `render`: people read carets; programs read `json`, `sarif` or `github`, the last two with paths from the `top` of a repository

mod github;
mod json;
pub mod render;
pub mod rule;
mod sarif;
pub mod span;
mod top;

use std::collections::BTreeMap;

pub use rule::{Pass, Rule, Severity};
pub use span::{FileId, Position, Sources, Span, Spanned};
pub use top::Top;

/// A place and what is to be said about it.
#[derive(Clone, Debug)]
pub struct Label {
    pub span: Span,
    pub text: String,
}

/// One finding.
#[derive(Clone, Debug)]
pub struct Diagnostic {
    pub rule: Rule,
    /// The whole sentence, lower case, no period, names in backquotes.
    pub message: String,
    /// The place; its text may be empty, then only the caret speaks.
    pub label: Label,
    /// Other places that belong to the finding, such as the first of two declarations.
    pub related: Vec<Label>,
    /// What to do.
    pub help: Option<String>,
    /// Where in the document, such as `routes.1001.timeout`; empty when the finding has no path.
    pub path: String,
}

/// All findings of one run.
#[derive(Clone, Default, Debug)]
pub struct Report {
    diagnostics: Vec<Diagnostic>,
}

// === impl Diagnostic ===

impl Diagnostic {
    pub fn new(rule: Rule, span: Span, message: impl Into<String>) -> Diagnostic {
        Diagnostic {
            rule,
            message: message.into(),
            label: Label { span, text: String::new() },
            related: Vec::new(),
            help: None,
            path: String::new(),
        }
    }

    /// What stands beside the caret.
    #[must_use]
    pub fn label(mut self, text: impl Into<String>) -> Diagnostic {
        self.label.text = text.into();
        self
    }

    /// A second place.
    #[must_use]
    pub fn related(mut self, span: Span, text: impl Into<String>) -> Diagnostic {
        self.related.push(Label { span, text: text.into() });
        self
    }

    #[must_use]
    pub fn help(mut self, text: impl Into<String>) -> Diagnostic {
        self.help = Some(text.into());
        self
    }

    /// Adds `did you mean …` when one of `known` is near `written`, else the list of what there is when it is short.
    #[must_use]
    pub fn did_you_mean<'a>(self, written: &str, known: impl IntoIterator<Item = &'a str>) -> Diagnostic {
        match suggestion(written, known) {
            Some(text) => self.help(text),
            None => self,
        }
    }

    #[must_use]
    pub fn path(mut self, path: impl Into<String>) -> Diagnostic {
        self.path = path.into();
        self
    }
}

// === impl Report ===

impl Report {
    pub fn push(&mut self, diagnostic: Diagnostic) {
        self.diagnostics.push(diagnostic);
    }

    pub fn extend(&mut self, other: Report) {
        self.diagnostics.extend(other.diagnostics);
    }

    /// Gives findings without a path the one that `path_of` knows.
    pub fn complete_paths(&mut self, path_of: impl Fn(&Diagnostic) -> Option<String>) {
        for finding in self.diagnostics.iter_mut().filter(|finding| finding.path.is_empty()) {
            finding.path = path_of(finding).unwrap_or_default();
        }
    }

    /// Where a rule is broken.
    pub fn places_of(&self, rule: Rule) -> Vec<Span> {
        self.diagnostics.iter().filter(|finding| finding.rule == rule).map(|finding| finding.label.span).collect()
    }

    /// Whether something at `path`, or around it, was found wrong: what seems to be missing there was written and could not be used.
    pub fn speaks_of(&self, path: &str) -> bool {
        let around = |found: &str| path.strip_prefix(found).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']));
        self.diagnostics
            .iter()
            .any(|finding| finding.rule.severity() == Severity::Error && !finding.path.is_empty() && around(&finding.path))
    }

    pub fn errors(&self) -> usize {
        self.count(Severity::Error)
    }

    pub fn warnings(&self) -> usize {
        self.count(Severity::Warning)
    }

    pub fn has_errors(&self) -> bool {
        self.errors() > 0
    }

    /// How many errors there are of each code.
    pub fn errors_by_code(&self) -> BTreeMap<&'static str, u64> {
        let mut counts = BTreeMap::new();
        for finding in self.sorted().iter().filter(|finding| finding.rule.severity() == Severity::Error) {
            *counts.entry(finding.rule.code()).or_default() += 1;
        }
        counts
    }

    pub fn is_empty(&self) -> bool {
        self.diagnostics.is_empty()
    }

    /// The findings by place: file in reading order, then position, then code. Equal findings at one place are one.
    pub fn sorted(&self) -> Vec<&Diagnostic> {
        let mut sorted: Vec<&Diagnostic> = self.diagnostics.iter().collect();
        sorted.sort_by(|a, b| (a.label.span, a.rule, &a.message).cmp(&(b.label.span, b.rule, &b.message)));
        sorted.dedup_by(|a, b| a.label.span == b.label.span && a.rule == b.rule && a.message == b.message);
        sorted
    }

    fn count(&self, severity: Severity) -> usize {
        self.sorted().iter().filter(|d| d.rule.severity() == severity).count()
    }
}

/// `did you mean …`, or what there is to choose from when that fits a line.
fn suggestion<'a>(written: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let mut known: Vec<&str> = known.into_iter().collect();
    let near = known
        .iter()
        .map(|name| (*name, (written.len().max(name.len()) / 3).max(1)))
        // Names of other lengths are far without being compared, which is slow.
        .filter(|(name, far)| written.len().abs_diff(name.len()) <= *far)
        .map(|(name, far)| (strsim::damerau_levenshtein(written, name), name, far))
        .filter(|(distance, _, far)| distance <= far)
        .map(|(distance, name, _)| (distance, name))
        .min();
    if let Some((_, name)) = near {
        return Some(format!("did you mean `{name}`?"));
    }
    known.sort_unstable();
    known.dedup();
    let list = known.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    (!known.is_empty() && list.len() <= 120).then(|| format!("there is {list}"))
}
