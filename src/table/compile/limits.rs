//! `rate_limits:` of every group to limit specs.

use std::num::NonZeroU32;

use super::names::Names;
use crate::config::Document;
use crate::config::document::{LimitMode, RateLimit};
use crate::config::grammar::{Entries, Items};
use crate::config::value::LimitKey;
use crate::diagnostic::{Diagnostic, Report, Rule, Span, Spanned};
use crate::pipeline::rate_limit::{KEYS_MAX, KeyPart, LimitSpec, Mode};

/// A limit, and what its key takes from the request.
pub struct Limit {
    pub spec: LimitSpec,
    /// `request.` paths in the order of the key, without the prefix, and where they are written.
    pub fields: Vec<(String, Span)>,
    /// Parts that only an authenticated caller has, such as `user`.
    pub needs_user: Option<&'static str>,
}

/// The limits by name.
pub type Limits = Names<Limit>;

/// Declares every limit of every group.
pub fn compile(document: &Document, report: &mut Report) -> Limits {
    let mut limits = Names::new("rate limit", Rule::UnknownLimit);
    for group in &document.groups {
        for (name, written) in group.routes.rate_limits.entries() {
            let limit = limit(name.as_str(), written, report);
            limits.declare(name.as_str(), name.span, limit, report);
        }
    }
    limits
}

fn limit(name: &str, written: &Spanned<RateLimit>, report: &mut Report) -> Option<Limit> {
    let (key, rate) = (&written.key, &written.rate);
    if key.items().next().is_none() {
        report.push(super::missing(written.span, format!("the rate limit `{name}` has no key"), "write `key: [caller]`, or `key: [global]` for one bucket in all"));
    }
    if rate.is_none() {
        report.push(super::missing(written.span, format!("the rate limit `{name}` has no rate"), "write `rate: 20/s`"));
    }
    let (key, rate) = (key.as_ref()?, rate.as_ref()?);
    let mut fields = Vec::new();
    let mut needs_user = None;
    let mut parts = Vec::new();
    for part in key.iter() {
        parts.push(match &part.value {
            LimitKey::Global => KeyPart::Global,
            LimitKey::Route => KeyPart::Route,
            LimitKey::Caller => KeyPart::Caller,
            LimitKey::PeerIp => KeyPart::PeerIp,
            LimitKey::Connection => KeyPart::Connection,
            LimitKey::User => {
                needs_user = Some("user");
                KeyPart::User
            }
            LimitKey::Session => {
                needs_user = Some("session");
                KeyPart::Session
            }
            LimitKey::Request(path) => {
                fields.push((path.clone(), part.span));
                KeyPart::Field(path.as_str().into())
            }
        });
    }
    // Where nothing is said the bucket holds one second's worth, at least one.
    let burst = written.burst.as_ref().map_or_else(|| rate.per_second().max(1), |burst| burst.value);
    let Some(burst) = NonZeroU32::new(burst) else {
        let place = written.burst.as_ref().map_or(written.span, |burst| burst.span);
        report.push(Diagnostic::new(Rule::LimitKey, place, format!("the rate limit `{name}` holds nothing, so no call can ever pass")).help("write `burst: 1` or more"));
        return None;
    };
    let mode = match written.mode.as_ref().map(|mode| mode.value) {
        Some(LimitMode::DryRun) => Mode::DryRun,
        Some(LimitMode::Enforce) | None => Mode::Enforce,
    };
    let spec = LimitSpec { name: name.into(), key: parts, count: rate.count(), per: rate.per(), burst, mode, keys_max: KEYS_MAX };
    Some(Limit { spec, fields, needs_user })
}

/// The specs alone, in the order of their indices.
pub fn into_specs(limits: Limits) -> Vec<LimitSpec> {
    limits.into_items().into_iter().map(|limit| limit.spec).collect()
}
