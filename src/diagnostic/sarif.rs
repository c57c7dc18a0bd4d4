//! Findings as SARIF 2.1.0, as code scanners take them: only what the format requires, and places.

use serde_json::{Value, json};

use super::json::Place;
use super::{Diagnostic, Label, Report, Rule, Severity, Sources};

/// One SARIF log with one run. Columns count Unicode code points, which the run states.
pub fn sarif(report: &Report, sources: &Sources) -> String {
    let findings = report.sorted();
    let rules: Vec<Value> = Rule::ALL
        .iter()
        .filter(|rule| findings.iter().any(|finding| finding.rule == **rule))
        .map(|rule| json!({"id": rule.code(), "shortDescription": {"text": rule.summary()}}))
        .collect();
    let results: Vec<Value> = findings.iter().map(|finding| result(finding, sources)).collect();
    let log = json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {"name": "protogate", "version": env!("CARGO_PKG_VERSION"), "rules": rules}},
            "columnKind": "unicodeCodePoints",
            "results": results,
        }],
    });
    log.to_string()
}

fn result(finding: &Diagnostic, sources: &Sources) -> Value {
    let text = match &finding.help {
        Some(help) => format!("{}. {help}", finding.message),
        None => finding.message.clone(),
    };
    let mut result = json!({
        "ruleId": finding.rule.code(),
        "level": match finding.rule.severity() { Severity::Error => "error", Severity::Warning => "warning" },
        "message": {"text": text},
        "locations": [location(&finding.label, sources)],
    });
    if !finding.related.is_empty() {
        result["relatedLocations"] = finding.related.iter().map(|label| location(label, sources)).collect();
    }
    result
}

fn location(label: &Label, sources: &Sources) -> Value {
    let place = Place::new(label, sources);
    let mut location = json!({
        "physicalLocation": {
            "artifactLocation": {"uri": uri(&place.file)},
            "region": {
                "startLine": place.line,
                "startColumn": place.column,
                "endLine": place.end_line,
                "endColumn": place.end_column,
            },
        },
    });
    if !label.text.is_empty() {
        location["message"] = json!({"text": label.text});
    }
    location
}

/// A path as a relative URI: what a URI cannot hold is percent-encoded.
fn uri(path: &str) -> String {
    let mut uri = String::with_capacity(path.len());
    for byte in path.bytes() {
        match byte {
            b'\\' => uri.push('/'),
            byte if byte.is_ascii_alphanumeric() || b"/-._~".contains(&byte) => uri.push(char::from(byte)),
            byte => uri.push_str(&format!("%{byte:02X}")),
        }
    }
    uri
}
