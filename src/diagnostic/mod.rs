//! What is wrong with a configuration, where, and what to do about it.
//!
//! A pass says *what is wrong* and hands over a [`Diagnostic`]; severity, code, file, line and layout are added here.
//! Promise: there is no diagnostic without a place.
//!
//! - `rule`: the table of codes
//! - `span`: places and the texts they point into
//! - `secrets`: what nobody is shown, whatever else is wrong, by the name of its key; `shapes`: by itself
//! - `render`: people read carets; programs read `json`, `sarif` or `github`, the last two with paths from the `top` of a repository

mod github;
mod json;
pub mod render;
pub mod rule;
mod sarif;
mod secrets;
mod shapes;
pub mod span;
mod top;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

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
    /// Where what is written was probably meant to be, such as the same under the right key: it was written, and could not be used.
    pub meant: Option<String>,
}

/// All findings of one run.
#[derive(Clone, Default, Debug)]
pub struct Report {
    diagnostics: Vec<Diagnostic>,
    /// The paths of errors, and what they were meant to be.
    wrong: BTreeSet<String>,
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
            meant: None,
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

    #[must_use]
    pub fn meant(mut self, path: Option<String>) -> Diagnostic {
        self.meant = path;
        self
    }
}

impl Diagnostic {
    fn without_secrets(mut self) -> Diagnostic {
        let texts = [&mut self.message, &mut self.label.text, &mut self.path].into_iter().chain(&mut self.help);
        for text in texts.chain(self.related.iter_mut().map(|label| &mut label.text)) {
            if let Cow::Owned(hidden) = secrets::without(text) {
                *text = hidden;
            }
        }
        for text in [&mut self.message, &mut self.path] {
            if let Cow::Owned(hidden) = secrets::without_named(text) {
                *text = hidden;
            }
        }
        self
    }
}

// === impl Report ===

impl Report {
    /// Whatever looks like a secret is hidden in what is said, as it is in the files.
    pub fn push(&mut self, diagnostic: Diagnostic) {
        let diagnostic = diagnostic.without_secrets();
        if diagnostic.rule.severity() == Severity::Error {
            self.wrong.extend(diagnostic.meant.iter().chain([&diagnostic.path]).filter(|path| !path.is_empty()).cloned());
        }
        self.diagnostics.push(diagnostic);
    }

    /// What is at `path` cannot be judged, because of something else that was reported.
    pub fn doubt(&mut self, path: String) {
        self.wrong.insert(path);
    }

    pub fn extend(&mut self, other: Report) {
        self.wrong.extend(other.wrong);
        self.diagnostics.extend(other.diagnostics);
    }

    /// Gives findings without a path the one that `path_of` knows.
    pub fn complete_paths(&mut self, path_of: impl Fn(&Diagnostic) -> Option<String>) {
        for mut finding in std::mem::take(&mut self.diagnostics) {
            if finding.path.is_empty() {
                finding.path = path_of(&finding).unwrap_or_default();
            }
            self.push(finding);
        }
    }

    /// Takes out the warnings that `is_allowed`; errors stay.
    pub fn silence(&mut self, mut is_allowed: impl FnMut(&Diagnostic) -> bool) {
        self.diagnostics.retain(|finding| finding.rule.severity() == Severity::Error || !is_allowed(finding));
    }

    /// Adds to errors other places that belong to them.
    pub fn relate<'a>(&mut self, places: impl Fn(&Diagnostic) -> &'a [Span], text: &str) {
        for finding in self.diagnostics.iter_mut().filter(|finding| finding.rule.severity() == Severity::Error) {
            let more = places(finding).iter().map(|span| Label { span: *span, text: text.to_owned() }).collect::<Vec<_>>();
            finding.related.extend(more);
        }
    }

    /// Where a rule is broken.
    pub fn places_of(&self, rule: Rule) -> Vec<Span> {
        self.diagnostics.iter().filter(|finding| finding.rule == rule).map(|finding| finding.label.span).collect()
    }

    /// Whether something at `path`, or around it, was found wrong: what seems to be missing there was written and could not be used.
    pub fn speaks_of(&self, path: &str) -> bool {
        let around = path.match_indices(['.', '[']).map(|(end, _)| &path[..end]);
        around.chain([path]).any(|path| self.wrong.contains(path))
    }

    /// The same, and whether something inside of it was found wrong: what is there is not all that was written.
    pub fn speaks_of_part(&self, path: &str) -> bool {
        let inside = |found: &&String| found.strip_prefix(path).is_some_and(|rest| rest.starts_with(['.', '[']));
        let from = |start: String| self.wrong.range(start..).next();
        self.speaks_of(path) || [format!("{path}."), format!("{path}[")].into_iter().filter_map(from).any(|found| inside(&found))
    }

    /// What was found wrong inside of a section, by the paths that it has in there.
    pub fn wrong_within(&self, section: &str) -> impl Iterator<Item = &str> {
        self.wrong.range(format!("{section}.")..).map_while(move |path| path.strip_prefix(section)?.strip_prefix('.'))
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

/// The name that was probably meant, if one is near: a name of other letters is farther than the same in another case, or with a dash.
pub fn nearest<'a>(written: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let plain = |name: &str| name.to_lowercase().replace('-', "_");
    let plainly = plain(written);
    let near = |name: &'a str| {
        let far = (written.len().max(name.len()) / 3).max(1);
        // Names of other lengths are far without being compared, which is slow.
        if written.len().abs_diff(name.len()) > far {
            return None;
        }
        let distance = strsim::damerau_levenshtein(written, name).min(strsim::damerau_levenshtein(&plainly, &plain(name)) + 1);
        (distance <= far).then_some((distance, name))
    };
    known.into_iter().filter_map(near).min().map(|(_, name)| name)
}

/// `did you mean …`, or what there is to choose from when that fits a line.
pub fn suggestion<'a>(written: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let mut known: Vec<&str> = known.into_iter().collect();
    if let Some(name) = nearest(written, known.iter().copied()) {
        return Some(format!("did you mean `{name}`?"));
    }
    known.sort_unstable();
    known.dedup();
    let list = known.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    (!known.is_empty() && list.len() <= 120).then(|| format!("there is {list}"))
}
