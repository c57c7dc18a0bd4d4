//! What a route does with its request: which fields it looks at, writes, and hides.
//!
//! Every path in the files becomes field numbers here; nothing is looked up by name later.

use super::entries;
use super::limits::Limits;
use super::routes::{Used, edited};
use crate::config::document::{Policy, SessionPath, UnknownFields};
use crate::config::value::{FieldPathText, HashKey, RedactPath};
use crate::diagnostic::{Diagnostic, Report, Rule, Span, Spanned};
use crate::proto::{FieldKind, FieldPath, MessageType, Method, PathProblem, Redact, Stamp, UnknownFields as Unknown, Walk, WalkOptions};
use crate::table::plan::{Access, HashPlan, LimitPlan, SessionValue};

/// The compiled parts.
pub struct Request {
    pub walk: Walk,
    pub limits: Vec<LimitPlan>,
    pub hash: Option<HashPlan>,
    pub stamps: Vec<(Stamp, SessionValue)>,
    pub redact: Redact,
    pub redact_reply: Redact,
}

/// The keys that fields of the request may be part of: those of limits, and the one that leads to an endpoint.
pub struct Keys<'a> {
    pub used: &'a [Used],
    pub limits: &'a Limits,
    pub hash: Option<&'a Spanned<HashKey>>,
}

/// The fields that are read from a request, each once, however many keys it is part of.
struct Extract<'a> {
    input: &'a MessageType,
    paths: Vec<FieldPath>,
    texts: Vec<&'a str>,
}

/// Compiles what `policy` and `keys` say about messages of the method.
pub fn compile(method: &Method, policy: &Policy, at: &str, access: Access, keys: &Keys<'_>, report: &mut Report) -> Request {
    let input = &method.input;
    let mut extract = Extract { input, paths: Vec::new(), texts: Vec::new() };
    let mut plans = Vec::new();
    for &Used { limit, place: use_place } in keys.used {
        let mut fields = Vec::new();
        for (path, place) in &keys.limits.get(limit).fields {
            match extract.key(path, *place) {
                Ok(field) => fields.push(field),
                // The mistake may be the key's or the route's, so both are shown.
                Err(finding) => {
                    report.push(finding.related(use_place, "this route uses the limit").path(format!("{at}.rate_limits")));
                }
            }
        }
        plans.push(LimitPlan { limit, fields });
    }
    let hash = keys.hash.and_then(|hash| match &hash.value {
        HashKey::User => Some(HashPlan::User),
        HashKey::Session => Some(HashPlan::Session),
        HashKey::PeerIp => Some(HashPlan::PeerIp),
        HashKey::Field(path) => match extract.key(path.below_request(), hash.span) {
            Ok(field) => Some(HashPlan::Field(field)),
            Err(finding) => {
                report.push(finding.path(format!("{at}.hash")));
                None
            }
        },
    });
    let unknown_fields = match policy.unknown_fields.as_ref().map(|unknown| unknown.value) {
        Some(UnknownFields::Reject) => Unknown::Reject,
        Some(UnknownFields::Pass) | None => Unknown::Pass,
    };
    let validate = policy.validate.as_ref().is_none_or(|validate| validate.value);
    Request {
        walk: Walk::compile(input, &extract.paths, WalkOptions { unknown_fields, validate }),
        limits: plans,
        hash,
        stamps: entries(&policy.set).filter_map(|(target, source)| stamp(input, target, source, (at, policy, access), report)).collect(),
        redact: Redact::compile(input, &redacted(input, "request", policy, RedactPath::below_request, at, report)),
        redact_reply: Redact::compile(
            &method.output,
            &redacted(&method.output, "response", policy, RedactPath::below_response, at, report),
        ),
    }
}

// === impl Extract ===

impl<'a> Extract<'a> {
    /// Which value of the walk a field is that is part of a key.
    fn key(&mut self, path: &'a str, place: Span) -> Result<usize, Diagnostic> {
        if let Some(known) = self.texts.iter().position(|text| *text == path) {
            return Ok(known);
        }
        let resolved = FieldPath::resolve(self.input, path).map_err(|problem| unknown_path("request", path, place, &problem))?;
        if !resolved.is_scalar() || resolved.kind() == FieldKind::Float {
            let problem = if resolved.is_repeated_anywhere() {
                "it has several values".to_owned()
            } else {
                format!("a {} cannot be compared", resolved.kind())
            };
            let what = format!("`request.{path}` cannot be part of a key: {problem}");
            return Err(Diagnostic::new(Rule::FieldType, place, what).help("name a field that holds one scalar"));
        }
        self.paths.push(resolved);
        self.texts.push(path);
        Ok(self.texts.len() - 1)
    }
}

fn resolve(input: &MessageType, path: &str, place: Span, at: &str, report: &mut Report) -> Option<FieldPath> {
    resolve_in(input, "request", path, place, at, report)
}

/// `side` is what paths into this message begin with.
fn resolve_in(message: &MessageType, side: &str, path: &str, place: Span, at: &str, report: &mut Report) -> Option<FieldPath> {
    match FieldPath::resolve(message, path) {
        Ok(path) => Some(path),
        Err(problem) => {
            report.push(unknown_path(side, path, place, &problem).path(at));
            None
        }
    }
}

/// Suggestions are whole paths, as they are written in the files.
fn unknown_path(side: &str, path: &str, place: Span, problem: &PathProblem) -> Diagnostic {
    let known: Vec<String> = problem.known.iter().map(|known| format!("{side}.{known}")).collect();
    Diagnostic::new(Rule::FieldPath, place, problem.what.as_str()).did_you_mean(&format!("{side}.{path}"), known.iter().map(String::as_str))
}

fn stamp(
    input: &MessageType,
    target: &Spanned<FieldPathText>,
    source: &Spanned<SessionPath>,
    (at, policy, access): (&str, &Policy, Access),
    report: &mut Report,
) -> Option<(Stamp, SessionValue)> {
    let path = resolve(input, target.below_request(), target.span, &format!("{at}.set.{}", target.as_str()), report)?;
    if access == Access::Anonymous && source.value != SessionPath::PeerIp {
        let what = format!("`{}` is not there for an anonymous caller, so every such call would be refused", source.word());
        let finding = Diagnostic::new(Rule::Stamp, source.span, what).path(format!("{at}.set.{}", target.as_str()));
        let finding = policy.access.iter().fold(finding, |finding, access| finding.related(access.span, "open to anonymous callers"));
        report.push(finding.help("remove `access: anonymous`, or set the field on another route"));
    }
    let source = match source.value {
        SessionPath::User => SessionValue::User,
        SessionPath::Id => SessionValue::Id,
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
                    .path(format!("{at}.set.{}", target.as_str())),
            );
            None
        }
    }
}

/// What is hidden on one side of the call, whose paths `below` tells from the other's.
fn redacted(
    message: &MessageType,
    side: &str,
    policy: &Policy,
    below: fn(&RedactPath) -> Option<&str>,
    at: &str,
    report: &mut Report,
) -> Vec<FieldPath> {
    let at = format!("{at}.redact");
    let paths = edited(&policy.redact).iter().filter_map(|path| Some((below(&path.value)?, path.span)));
    paths.filter_map(|(path, place)| resolve_in(message, side, path, place, &at, report)).collect()
}
