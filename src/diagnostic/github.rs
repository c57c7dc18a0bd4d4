//! Findings as annotations of a GitHub workflow run: one line each, `::error file=…,line=…::message`.
//!
//! Paths start from the top of the repository, else the annotation stands beside no line. Promise: nothing in a finding begins a command of
//! its own, or another property.

use std::fmt::Write as _;

use super::json::Place;
use super::render::visible;
use super::top::Top;
use super::{Report, Severity, Sources};

/// So many errors, and as many warnings, of one step are shown beside the lines; GitHub leaves the others in the log.
const SHOWN_MAX: usize = 10;

/// One line a finding. Related places follow in the message, because an annotation has one place only.
pub fn github(report: &Report, sources: &Sources, top: &Top) -> String {
    let mut lines = String::new();
    for finding in report.sorted() {
        let command = match finding.rule.severity() {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        let mut message = finding.message.clone();
        if !finding.label.text.is_empty() {
            message.push_str(&format!(": {}", finding.label.text));
        }
        for related in &finding.related {
            let there = Place::new(related, sources, top);
            message.push_str(&format!("\n{}:{}:{}: {}", there.file, there.line, there.column, related.text));
        }
        if let Some(help) = &finding.help {
            message.push_str(&format!("\nhelp: {help}"));
        }
        let place = Place::new(&finding.label, sources, top);
        let (file, title) = (property(&place.file), property(&format!("{}: {}", finding.rule.code(), finding.rule.summary())));
        writeln!(lines, "::{command} file={file},{},title={title}::{}", range(&place), data(&visible(&message)))
            .expect("writing to a String cannot fail");
    }
    if report.errors() > SHOWN_MAX || report.warnings() > SHOWN_MAX {
        let all = format!(
            "{} errors and {} warnings were found, and {SHOWN_MAX} of each are shown here; the log of the step has all",
            report.errors(),
            report.warnings()
        );
        writeln!(lines, "::notice title=protogate check::{}", data(&all)).expect("writing to a String cannot fail");
    }
    lines
}

/// Columns are taken only where the range is within one line; one that ends before the first character of a line ends on the line before.
fn range(place: &Place) -> String {
    let Place { line, column, end_line, end_column, .. } = *place;
    match if end_column == 1 && end_line > line { end_line - 1 } else { end_line } {
        end if end > line => format!("line={line},endLine={end}"),
        // A place without a length has a column to begin at, and none to end at.
        _ if end_line == line && end_column > column => format!("line={line},endLine={line},col={column},endColumn={end_column}"),
        _ => format!("line={line},endLine={line},col={column}"),
    }
}

/// Escapes the message of a command.
fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// Escapes a property of a command.
fn property(text: &str) -> String {
    data(&visible(text)).replace(':', "%3A").replace(',', "%2C")
}
