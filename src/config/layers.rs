//! The layers of a policy to one: what a route says over what its group says over what routes.yaml says.
//!
//! A value of a higher layer wins; maps merge; a list over a list says whether it appends or replaces. Everything keeps its place.

use super::document::{Access, LogPayload, Policy, ReplyMode, UnknownFields};
use super::grammar::{Edit, Entries};
use super::value::{ByteSize, Duration, FieldPathText, MetadataKey, Name, PermissionName, SessionPath};
use crate::diagnostic::{Diagnostic, Report, Rule, Span, Spanned};

/// A policy with its layers resolved. What no layer says is None or empty; the built-in values are `table/compile`'s.
#[derive(Default)]
pub struct Effective {
    pub backend: Option<Spanned<Name>>,
    pub access: Option<Spanned<Access>>,
    pub permissions: Vec<Spanned<PermissionName>>,
    pub rate_limits: Vec<Spanned<Name>>,
    pub timeout: Option<Spanned<Duration>>,
    pub request_bytes_max: Option<Spanned<ByteSize>>,
    pub reply_bytes_max: Option<Spanned<ByteSize>>,
    pub reply: Option<Spanned<ReplyMode>>,
    pub unknown_fields: Option<Spanned<UnknownFields>>,
    pub metadata: Vec<Spanned<MetadataKey>>,
    pub forward_token: Option<Spanned<bool>>,
    pub expose_errors: Option<Spanned<bool>>,
    pub redact: Vec<Spanned<FieldPathText>>,
    pub set: Vec<(Spanned<FieldPathText>, Spanned<SessionPath>)>,
    pub log_payload: Option<Spanned<LogPayload>>,
    pub log_slow: Option<Spanned<Duration>>,
}

/// Resolves `layers`, the lowest first.
pub fn resolve(layers: &[&Policy], report: &mut Report) -> Effective {
    let mut log = layers.iter().filter_map(|layer| layer.log.as_ref()).map(|log| &log.value);
    Effective {
        backend: highest(layers, |layer| &layer.backend),
        access: highest(layers, |layer| &layer.access),
        permissions: list(layers, |layer| &layer.permissions, report),
        rate_limits: list(layers, |layer| &layer.rate_limits, report),
        timeout: highest(layers, |layer| &layer.timeout),
        request_bytes_max: highest(layers, |layer| &layer.request_bytes_max),
        reply_bytes_max: highest(layers, |layer| &layer.reply_bytes_max),
        reply: highest(layers, |layer| &layer.reply),
        unknown_fields: highest(layers, |layer| &layer.unknown_fields),
        metadata: list(layers, |layer| &layer.metadata, report),
        forward_token: highest(layers, |layer| &layer.forward_token),
        expose_errors: highest(layers, |layer| &layer.expose_errors),
        redact: list(layers, |layer| &layer.redact, report),
        set: map(layers),
        log_payload: log.clone().filter_map(|log| log.payload.clone()).next_back(),
        log_slow: log.by_ref().filter_map(|log| log.slow.clone()).next_back(),
    }
}

fn highest<T: Clone>(layers: &[&Policy], of: impl Fn(&Policy) -> &Option<Spanned<T>>) -> Option<Spanned<T>> {
    layers.iter().rev().find_map(|layer| of(layer).clone())
}

fn list<T: Clone>(layers: &[&Policy], of: impl Fn(&Policy) -> &Option<Spanned<Edit<T>>>, report: &mut Report) -> Vec<Spanned<T>> {
    let mut items: Vec<Spanned<T>> = Vec::new();
    let mut below: Option<Span> = None;
    for written in layers.iter().filter_map(|layer| of(layer).as_ref()) {
        match &written.value {
            Edit::Append(more) => items.extend(more.iter().cloned()),
            Edit::Replace(instead) => items = instead.clone(),
            Edit::Set(said) => {
                if let Some(below) = below {
                    report.push(
                        Diagnostic::new(Rule::ListEdit, written.span, "this list stands over another, and does not say what becomes of that")
                            .label("over the list below")
                            .related(below, "the list of a lower layer")
                            .help("write `{ append: [...] }` to add to it, or `{ replace: [...] }` to put this in its place"),
                    );
                }
                items = said.clone();
            }
        }
        below = Some(written.span);
    }
    items
}

/// Higher layers win key by key.
fn map(layers: &[&Policy]) -> Vec<(Spanned<FieldPathText>, Spanned<SessionPath>)> {
    let mut merged: Vec<(Spanned<FieldPathText>, Spanned<SessionPath>)> = Vec::new();
    for (key, value) in layers.iter().flat_map(|layer| layer.set.entries()) {
        match merged.iter_mut().find(|(known, _)| known == key) {
            Some(known) => *known = (key.clone(), value.clone()),
            None => merged.push((key.clone(), value.clone())),
        }
    }
    merged
}
