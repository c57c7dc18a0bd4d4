//! Findings as annotations of a GitHub workflow run: one line each, `::error file=…,line=…::message`.

use std::fmt::Write as _;

use super::json::Place;
use super::{Report, Severity, Sources};

/// One line a finding. Related places follow in the message, because an annotation has one place only.
pub fn github(report: &Report, sources: &Sources) -> String {
    let mut lines = String::new();
    for finding in report.sorted() {
        let command = match finding.rule.severity() {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        let place = Place::new(&finding.label, sources);
        let mut message = finding.message.clone();
        for related in &finding.related {
            let there = Place::new(related, sources);
            message.push_str(&format!("\n{}:{}:{}: {}", there.file, there.line, there.column, related.text));
        }
        if let Some(help) = &finding.help {
            message.push_str(&format!("\nhelp: {help}"));
        }
        let Place { file, line, column, end_line, end_column } = place;
        // GitHub refuses an end column on a range of several lines.
        let end = if end_line == line { format!(",endColumn={end_column}") } else { format!(",endLine={end_line}") };
        let (file, title, message) = (property(&file), finding.rule.code(), data(&message));
        writeln!(lines, "::{command} file={file},line={line},col={column}{end},title={title}::{message}")
            .expect("writing to a String cannot fail");
    }
    lines
}

/// Escapes the message of a command.
fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// Escapes a property of a command.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}
