//! What a route does with its request: which fields it looks at, writes, and hides.
//!
//! Every path in the files becomes field numbers here; nothing is looked up by name later.

use super::entries;
use super::limits::Limits;
use super::routes::edited;
use crate::config::document::{Policy, SessionPath, UnknownFields};
use crate::config::value::FieldPathText;
use crate::diagnostic::{Diagnostic, Report, Rule, Span, Spanned};
use crate::proto::{FieldKind, FieldPath, MessageType, Redact, Stamp, UnknownFields as Unknown, Walk, WalkOptions};
use crate::table::plan::{LimitPlan, SessionValue};

/// The compiled parts.
pub struct Request {
    pub walk: Walk,
    pub limits: Vec<LimitPlan>,
    pub stamps: Vec<(Stamp, SessionValue)>,
    pub redact: Redact,
}

/// Compiles what `policy` and the limits `used` say about messages of type `input`.
pub fn compile(input: &MessageType, policy: &Policy, at: &str, used: &[usize], limits: &Limits, report: &mut Report) -> Request {
    let mut extract: Vec<FieldPath> = Vec::new();
    let mut texts: Vec<&str> = Vec::new();
    let mut plans = Vec::new();
    for &index in used {
        let mut fields = Vec::new();
        for (path, place) in &limits.get(index).fields {
            if let Some(known) = texts.iter().position(|text| text == path) {
                fields.push(known);
                continue;
            }
            let Some(resolved) = resolve(input, path, *place, &format!("{at}.rate_limits"), report) else { continue };
            if !resolved.is_scalar() || resolved.kind() == FieldKind::Float {
                let problem = if resolved.is_repeated_anywhere() {
                    "it may stand there several times".to_owned()
                } else {
                    format!("it is {}", resolved.kind())
                };
                report.push(
                    Diagnostic::new(Rule::FieldType, *place, format!("`request.{path}` cannot be part of a key: {problem}"))
                        .help("name a field that holds one scalar")
                        .path(format!("{at}.rate_limits")),
                );
                continue;
            }
            extract.push(resolved);
            texts.push(path);
            fields.push(extract.len() - 1);
        }
        plans.push(LimitPlan { limit: index, fields });
    }
    let unknown_fields = match policy.unknown_fields.as_ref().map(|unknown| unknown.value) {
        Some(UnknownFields::Reject) => Unknown::Reject,
        Some(UnknownFields::Pass) | None => Unknown::Pass,
    };
    Request {
        walk: Walk::compile(input, &extract, WalkOptions { unknown_fields }),
        limits: plans,
        stamps: entries(&policy.set).filter_map(|(target, source)| stamp(input, target, source, at, report)).collect(),
        redact: Redact::compile(input, &redacted(input, edited(&policy.redact), at, report)),
    }
}

fn resolve(input: &MessageType, path: &str, place: Span, at: &str, report: &mut Report) -> Option<FieldPath> {
    match FieldPath::resolve(input, path) {
        Ok(path) => Some(path),
        Err(problem) => {
            let finding = Diagnostic::new(Rule::FieldPath, place, problem.what);
            report.push(finding.did_you_mean(path, problem.known.iter().map(String::as_str)).path(at));
            None
        }
    }
}

fn stamp(
    input: &MessageType,
    target: &Spanned<FieldPathText>,
    source: &Spanned<SessionPath>,
    at: &str,
    report: &mut Report,
) -> Option<(Stamp, SessionValue)> {
    let path = resolve(input, target.below_request(), target.span, &format!("{at}.set"), report)?;
    let source = match source.value {
        SessionPath::User => SessionValue::User,
        SessionPath::TokenId => SessionValue::TokenId,
        SessionPath::PeerIp => SessionValue::PeerIp,
    };
    match Stamp::compile(&path) {
        Ok(stamp) => Some((stamp, source)),
        Err(problem) => {
            let help =
                "only a single string, bytes, integer, bool or enum field at the top of the message, outside a oneof, can be written";
            report.push(
                Diagnostic::new(Rule::Stamp, target.span, format!("`request.{}` cannot be written: {problem}", target.below_request()))
                    .help(help)
                    .path(format!("{at}.set")),
            );
            None
        }
    }
}

fn redacted(input: &MessageType, paths: &[Spanned<FieldPathText>], at: &str, report: &mut Report) -> Vec<FieldPath> {
    paths.iter().filter_map(|path| resolve(input, path.below_request(), path.span, &format!("{at}.redact"), report)).collect()
}
