//! Findings as JSON, a format that programs may rely on: version 1 never loses a field.

use serde::Serialize;
use serde_json::Value;

use super::{Diagnostic, Label, Report, Sources, Top};

/// What a run looked at, for the last line and the last field.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Summary {
    pub routes: usize,
    pub files: usize,
}

#[derive(Serialize)]
struct Document<'a> {
    version: u32,
    diagnostics: Vec<Finding<'a>>,
    summary: Counts,
}

#[derive(Serialize)]
struct Finding<'a> {
    code: &'static str,
    severity: &'static str,
    #[serde(flatten)]
    place: Place,
    path: &'a str,
    message: &'a str,
    /// What stands beside the caret.
    label: Option<&'a str>,
    help: Option<&'a str>,
    related: Vec<Related<'a>>,
}

/// Lines and columns from 1; the end is the first character that no longer belongs to it.
#[derive(Serialize)]
pub(super) struct Place {
    pub file: String,
    pub line: usize,
    pub column: usize,
    pub end_line: usize,
    pub end_column: usize,
}

#[derive(Serialize)]
struct Related<'a> {
    #[serde(flatten)]
    place: Place,
    message: &'a str,
}

#[derive(Serialize)]
struct Counts {
    errors: usize,
    warnings: usize,
    routes: usize,
    files: usize,
}

/// One JSON document, in one line.
pub fn json(report: &Report, sources: &Sources, summary: Summary) -> String {
    let document = Document {
        version: 1,
        diagnostics: report.sorted().into_iter().map(|finding| Finding::new(finding, sources)).collect(),
        summary: Counts { errors: report.errors(), warnings: report.warnings(), routes: summary.routes, files: summary.files },
    };
    serde_json::to_string(&document).expect("text and numbers always become JSON")
}

/// The findings alone, for a document of another kind that has some.
pub fn findings(report: &Report, sources: &Sources) -> Value {
    let findings: Vec<Finding<'_>> = report.sorted().into_iter().map(|finding| Finding::new(finding, sources)).collect();
    serde_json::to_value(findings).expect("text and numbers always become JSON")
}

// === impl Finding ===

impl<'a> Finding<'a> {
    fn new(finding: &'a Diagnostic, sources: &Sources) -> Finding<'a> {
        Finding {
            code: finding.rule.code(),
            severity: finding.rule.severity().name(),
            place: Place::new(&finding.label, sources, &Top::here()),
            path: &finding.path,
            message: &finding.message,
            label: Some(finding.label.text.as_str()).filter(|text| !text.is_empty()),
            help: finding.help.as_deref(),
            related: finding
                .related
                .iter()
                .map(|label| Related { place: Place::new(label, sources, &Top::here()), message: &label.text })
                .collect(),
        }
    }
}

// === impl Place ===

impl Place {
    pub(super) fn new(label: &Label, sources: &Sources, top: &Top) -> Place {
        let file = sources.file(label.span.file);
        let (start, end) = (file.position(label.span.start), file.position(label.span.end));
        Place { file: top.path(&file.path), line: start.line, column: start.column, end_line: end.line, end_column: end.column }
    }
}
