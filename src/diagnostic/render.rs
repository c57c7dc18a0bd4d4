//! Findings as people and programs read them.
//!
//! `human` draws what rustc draws; `json` is our own stable format, `sarif` what code scanners take, `github` annotations of a workflow run.
//! Every format has the findings of [`Report::sorted`] in that order, and lines and columns from 1.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::ops::Range;

use annotate_snippets::{AnnotationKind, Element, Level, Renderer, Snippet};

use super::json::Place;
use super::span::SourceFile;
use super::{Diagnostic, Label, Report, Severity, Sources, Span, Top};
use crate::telemetry::line::is_harmless;

pub use super::github::github;
pub use super::json::{Summary, findings, json};
pub use super::sarif::sarif;

/// Most findings that are drawn. Whoever has more mends the first ones and looks again; most of the others will be gone.
const DRAWN_MAX: usize = 100;

/// Whether a terminal reads the text.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Color {
    Plain,
    Styled,
}

/// The first findings with the lines they are about, and how many there are more; empty when there is none. The line that sums up is the caller's.
pub fn human(report: &Report, sources: &Sources, color: Color) -> String {
    let renderer = match color {
        Color::Plain => Renderer::plain(),
        Color::Styled => Renderer::styled(),
    };
    let (mut text, findings) = (String::new(), report.sorted());
    for finding in findings.iter().take(DRAWN_MAX) {
        writeln!(text, "{}\n", draw(&renderer, finding, sources)).expect("writing to a String cannot fail");
    }
    if let Some(more @ 1..) = findings.len().checked_sub(DRAWN_MAX) {
        writeln!(text, "and {more} more; `--format json` has all of them\n").expect("writing to a String cannot fail");
    }
    text
}

/// One line a finding, for a log: what, where, and the first line of the remedy.
pub fn lines(report: &Report, sources: &Sources) -> Vec<String> {
    report.sorted().into_iter().map(|finding| line(finding, sources)).collect()
}

/// The line of one finding.
pub fn line(finding: &Diagnostic, sources: &Sources) -> String {
    let place = Place::new(&finding.label, sources, &Top::here());
    let help = finding.help.as_deref().and_then(|help| help.lines().next()).map(|help| format!(" ({help})")).unwrap_or_default();
    let (severity, code) = (finding.rule.severity().name(), finding.rule.code());
    format!("{severity}[{code}]: {} --> {}:{}:{}{help}", finding.message, place.file, place.line, place.column)
}

/// What a file says, where a terminal shows it: control characters but the end of a line are shown, not obeyed.
pub(super) fn visible(text: &str) -> Cow<'_, str> {
    if text.chars().all(|c| c == '\n' || is_harmless(c)) {
        return Cow::Borrowed(text);
    }
    text.chars().map(|c| if c == '\n' || is_harmless(c) { c.to_string() } else { c.escape_unicode().to_string() }).collect()
}

fn draw(renderer: &Renderer, finding: &Diagnostic, sources: &Sources) -> String {
    let level = match finding.rule.severity() {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let (message, help) = (visible(&finding.message), finding.help.as_deref().map(visible));
    let mut group = level.primary_title(&*message).id(finding.rule.code()).elements(windows(finding, sources));
    if let Some(help) = &help {
        group = group.element(Level::HELP.message(&**help));
    }
    renderer.render(&[group])
}

/// One window into each file that the finding has a place in, the file of the finding itself first.
fn windows<'a>(finding: &'a Diagnostic, sources: &'a Sources) -> Vec<Element<'a>> {
    let labels = || {
        std::iter::once((AnnotationKind::Primary, &finding.label))
            .chain(finding.related.iter().map(|label| (AnnotationKind::Context, label)))
    };
    let mut files = Vec::new();
    for (_, label) in labels() {
        if !files.contains(&label.span.file) {
            files.push(label.span.file);
        }
    }
    let window = |file| {
        let marks: Vec<(AnnotationKind, &Label)> = labels().filter(|(_, label)| label.span.file == file).collect();
        Element::from(Window::around(sources.file(file), &marks).snippet(&marks))
    };
    files.into_iter().map(window).collect()
}

/// The lines of a file that its marks stand in, so that drawing does not depend on the size of the file.
struct Window<'a> {
    file: &'a SourceFile,
    start: usize,
    end: usize,
}

// === impl Window ===

impl<'a> Window<'a> {
    fn around(file: &'a SourceFile, marks: &[(AnnotationKind, &Label)]) -> Window<'a> {
        let start = marks.iter().map(|(_, label)| label.span.start).min().unwrap_or(0).min(file.text.len());
        let end = marks.iter().map(|(_, label)| first_line(file, label.span).end).max().unwrap_or(0);
        let start = file.text[..start].rfind('\n').map_or(0, |newline| newline + 1);
        let end = file.text[end..].find('\n').map_or(file.text.len(), |newline| end + newline);
        let end = start + file.text[start..end].trim_end_matches('\r').len();
        Window { file, start, end }
    }

    fn snippet(&self, marks: &[(AnnotationKind, &'a Label)]) -> Snippet<'a, annotate_snippets::Annotation<'a>> {
        let annotations = marks.iter().map(|(kind, label)| {
            let place = first_line(self.file, label.span);
            // The end of a line is no part of what is drawn.
            let [start, end] = [place.start, place.end].map(|at| at.min(self.end) - self.start);
            let annotation = kind.span(start..end);
            if label.text.is_empty() { annotation } else { annotation.label(visible(&label.text)) }
        });
        Snippet::source(&self.file.shown()[self.start..self.end])
            .path(visible(&self.file.path.to_string_lossy()).into_owned())
            .line_start(self.file.position(self.start).line)
            .annotations(annotations)
    }
}

/// A span's first line: a caret under a whole section would point at nothing.
fn first_line(file: &SourceFile, span: Span) -> Range<usize> {
    let start = file.text.floor_char_boundary(span.start.min(file.text.len()));
    let end = file.text.floor_char_boundary(span.end.min(file.text.len())).max(start);
    let line_end = file.text[start..end].find('\n').map_or(end, |newline| start + newline);
    start..line_end
}
