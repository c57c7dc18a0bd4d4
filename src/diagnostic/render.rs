//! Findings for people and for programs.
use serde_json::{Value, json};

use super::{Report, Severity, Sources};

/// As rustc draws them.
pub fn human(report: &Report, sources: &Sources, _color: bool) -> String {
    let mut out = String::new();
    for d in report.sorted() {
        let file = sources.file(d.label.span.file);
        let at = file.position(d.label.span.start);
        let severity = if d.rule.severity() == Severity::Error { "error" } else { "warning" };
        out += &format!("{severity}[{}]: {}\n  --> {}:{}:{}\n", d.rule.code(), d.message, file.path.display(), at.line, at.column);
        if let Some(help) = &d.help {
            out += &format!("  = help: {help}\n");
        }
        out.push('\n');
    }
    out
}

/// The shape of `check --format json`.
pub fn json(report: &Report, sources: &Sources, routes: usize) -> Value {
    let diagnostics: Vec<Value> = report
        .sorted()
        .into_iter()
        .map(|d| {
            let file = sources.file(d.label.span.file);
            let (start, end) = (file.position(d.label.span.start), file.position(d.label.span.end));
            json!({"code": d.rule.code(), "severity": if d.rule.severity() == Severity::Error { "error" } else { "warning" }, "file": file.path.display().to_string(), "line": start.line, "column": start.column, "end_line": end.line, "end_column": end.column, "path": d.path, "message": d.message, "help": d.help, "related": []})
        })
        .collect();
    json!({"version": 1, "diagnostics": diagnostics, "summary": {"errors": report.errors(), "warnings": report.warnings(), "routes": routes, "files": sources.len()}})
}
pub fn sarif(_report: &Report, _sources: &Sources) -> Value { Value::Null }
pub fn github(_report: &Report, _sources: &Sources) -> String { String::new() }
