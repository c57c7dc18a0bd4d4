//! Findings as SARIF 2.1.0, as code scanners take them.
//!
//! Beyond what the format requires there is what scanners use: what a rule means, tags, a fingerprint that outlives moved lines, and what to
//! write instead where that is known. Paths start from the top of the repository. A run without findings is a run, so that a scanner closes
//! what it had open.

use std::collections::HashMap;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::json::Place;
use super::top::Top;
use super::{Diagnostic, Label, Report, Rule, Severity, Sources};

/// What relative paths start from, by the name that scanners know.
const TOP: &str = "%SRCROOT%";

/// One SARIF log with one run. Columns count Unicode code points, which the run states.
pub fn sarif(report: &Report, sources: &Sources, top: &Top) -> String {
    let findings = report.sorted();
    let broken: Vec<Rule> = Rule::ALL.iter().copied().filter(|rule| findings.iter().any(|finding| finding.rule == *rule)).collect();
    let mut seen = HashMap::new();
    let results: Vec<Value> = findings
        .iter()
        .map(|finding| {
            let mut result = result(finding, sources, top);
            let index = broken.iter().position(|rule| *rule == finding.rule);
            result["ruleIndex"] = json!(index.expect("every rule of a finding is broken"));
            result["partialFingerprints"] = json!({"protogate/v1": fingerprint(finding, sources, top, &mut seen)});
            result
        })
        .collect();
    let log = json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {
                "name": "protogate",
                "version": env!("CARGO_PKG_VERSION"),
                "rules": broken.into_iter().map(rule).collect::<Vec<_>>(),
            }},
            "columnKind": "unicodeCodePoints",
            "originalUriBaseIds": {TOP: {"description": {"text": "The top of the repository."}}},
            "results": results,
        }],
    });
    log.to_string()
}

fn level(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    }
}

fn rule(rule: Rule) -> Value {
    let (code, summary) = (rule.code(), rule.summary());
    json!({
        "id": code,
        "shortDescription": {"text": summary},
        "fullDescription": {"text": summary},
        "help": {
            "text": format!("{summary} `protogate explain {code}` says more."),
            "markdown": format!("{summary}\n\n`protogate explain {code}` says more."),
        },
        "defaultConfiguration": {"level": level(rule.severity())},
        "properties": {
            "tags": ["configuration", rule.pass().name()],
            "precision": "very-high",
            "problem.severity": level(rule.severity()),
        },
    })
}

fn result(finding: &Diagnostic, sources: &Sources, top: &Top) -> Value {
    let label = Some(finding.label.text.as_str()).filter(|text| !text.is_empty());
    let parts = [Some(finding.message.as_str()), label, finding.help.as_deref()];
    let text = parts.into_iter().flatten().collect::<Vec<_>>().join(". ");
    let mut result = json!({
        "ruleId": finding.rule.code(),
        "level": level(finding.rule.severity()),
        "message": {"text": text},
        "locations": [location(&finding.label, &finding.path, sources, top)],
    });
    if !finding.related.is_empty() {
        result["relatedLocations"] = finding.related.iter().map(|label| location(label, "", sources, top)).collect();
    }
    if let Some(fix) = fix(finding, sources, top) {
        result["fixes"] = json!([fix]);
    }
    result
}

fn location(label: &Label, path: &str, sources: &Sources, top: &Top) -> Value {
    let place = Place::new(label, sources, top);
    let mut location = json!({"physicalLocation": {"artifactLocation": artifact(&place.file), "region": region(&place)}});
    if !label.text.is_empty() {
        location["message"] = json!({"text": label.text});
    }
    if !path.is_empty() {
        location["logicalLocations"] = json!([{"fullyQualifiedName": path, "kind": "member"}]);
    }
    location
}

fn artifact(file: &str) -> Value {
    match file.starts_with('/') {
        true => json!({"uri": format!("file://{}", uri(file))}),
        false => json!({"uri": uri(file), "uriBaseId": TOP}),
    }
}

fn region(place: &Place) -> Value {
    json!({
        "startLine": place.line,
        "startColumn": place.column,
        "endLine": place.end_line,
        "endColumn": place.end_column,
    })
}

/// What is the same after other lines have moved: the rule, the file, where in the document, what is said; and which of several alike it is.
fn fingerprint(finding: &Diagnostic, sources: &Sources, top: &Top, seen: &mut HashMap<String, usize>) -> String {
    let place = Place::new(&finding.label, sources, top);
    let mut hash = Sha256::new();
    for part in [finding.rule.code(), &place.file, &finding.path, &finding.message] {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    let hash: String = hash.finalize()[..16].iter().map(|byte| format!("{byte:02x}")).collect();
    let nth = seen.entry(hash.clone()).and_modify(|nth| *nth += 1).or_insert(1);
    format!("{hash}:{nth}")
}

/// The name that was probably meant, in the quotes of the one that was written.
fn fix(finding: &Diagnostic, sources: &Sources, top: &Top) -> Option<Value> {
    let help = finding.help.as_deref()?;
    let meant = help.strip_prefix("did you mean `")?.strip_suffix("`?")?;
    let written = sources.file(finding.label.span.file).text.get(finding.label.span.start..finding.label.span.end)?;
    let quote = ["\"", "'"]
        .into_iter()
        .find(|quote| written.len() > 1 && written.starts_with(quote) && written.ends_with(quote))
        .unwrap_or_default();
    if written.is_empty() || written.trim_matches(['"', '\'']).contains(|c: char| c.is_whitespace() || "\"'".contains(c)) {
        return None;
    }
    let place = Place::new(&finding.label, sources, top);
    let replacement = json!({"deletedRegion": region(&place), "insertedContent": {"text": format!("{quote}{meant}{quote}")}});
    Some(json!({
        "description": {"text": help},
        "artifactChanges": [{"artifactLocation": artifact(&place.file), "replacements": [replacement]}],
    }))
}

/// A path as a relative URI: what a URI cannot hold is percent-encoded.
fn uri(path: &str) -> String {
    let mut uri = String::with_capacity(path.len());
    for byte in path.bytes() {
        match byte {
            byte if byte.is_ascii_alphanumeric() || b"/-._~".contains(&byte) => uri.push(char::from(byte)),
            byte => uri.push_str(&format!("%{byte:02X}")),
        }
    }
    uri
}
