//! What a route does with its request: which fields it looks at, writes, and hides.
//!
//! Every path in the files becomes field numbers here; nothing is looked up by name later.

use super::limits::Limits;
use crate::config::layers::Effective;
use crate::config::value::{FieldPathText, SessionPath};
use crate::config::document::UnknownFields;
use crate::diagnostic::{Diagnostic, Report, Rule, Span, Spanned};
use crate::proto::{FieldPath, MessageType, Redact, Stamp, UnknownPolicy as Unknown, Walk, WalkOptions};
use crate::table::plan::{LimitPlan, SessionValue};

/// The compiled parts.
pub struct Request {
    pub walk: Walk,
    pub limits: Vec<LimitPlan>,
    pub stamps: Vec<(Stamp, SessionValue)>,
    pub redact: Redact,
}

/// Compiles what `policy` and the limits `used` say about messages of type `input`.
pub fn compile(input: &MessageType, policy: &Effective, used: &[usize], limits: &Limits, report: &mut Report) -> Request {
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
            let Some(resolved) = resolve(input, path, *place, report) else { continue };
            if let Err(problem) = resolved.scalar() {
                report.push(Diagnostic::new(Rule::FieldType, *place, format!("`request.{path}` cannot be part of a key: {problem}")).help("name a field that holds one scalar"));
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
        stamps: policy.set.iter().filter_map(|(target, source)| stamp(input, target, source, report)).collect(),
        redact: Redact::compile(input, &redacted(input, &policy.redact, report)),
    }
}

fn resolve(input: &MessageType, path: &str, place: Span, report: &mut Report) -> Option<FieldPath> {
    match FieldPath::resolve(input, path) {
        Ok(path) => Some(path),
        Err(problem) => {
            let last = path.rsplit('.').next().unwrap_or(path);
            report.push(Diagnostic::new(Rule::FieldPath, place, problem.what).did_you_mean(last, problem.known.iter().map(String::as_str)));
            None
        }
    }
}

fn stamp(input: &MessageType, target: &Spanned<FieldPathText>, source: &Spanned<SessionPath>, report: &mut Report) -> Option<(Stamp, SessionValue)> {
    let path = resolve(input, target.path(), target.span, report)?;
    let source = match source.value {
        SessionPath::User => SessionValue::User,
        SessionPath::TokenId => SessionValue::TokenId,
        SessionPath::PeerIp => SessionValue::PeerIp,
    };
    match Stamp::compile(input, &path) {
        Ok(stamp) => Some((stamp, source)),
        Err(problem) => {
            let help = "only a single string, bytes, integer, bool or enum field at the top of the message, outside a oneof, can be written";
            report.push(Diagnostic::new(Rule::Stamp, target.span, format!("`request.{}` cannot be written: {problem}", target.path())).help(help));
            None
        }
    }
}

fn redacted(input: &MessageType, paths: &[Spanned<FieldPathText>], report: &mut Report) -> Vec<FieldPath> {
    paths.iter().filter_map(|path| resolve(input, path.path(), path.span, report)).collect()
}
