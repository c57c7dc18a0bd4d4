//! `rate_limits:` of every group to limit specs.

use std::num::NonZeroU32;

use super::names::Names;
use super::{broken, entries, missing};
use crate::config::Document;
use crate::config::document::{LimitMode, RateLimit};
use crate::config::value::{LimitKey, Name};
use crate::diagnostic::{Diagnostic, Report, Rule, Span, Spanned};
use crate::pipeline::rate_limit::{KEYS_MAX, KeyPart, LimitSpec, Mode};

/// A limit, and what its key takes from the request.
pub struct Limit {
    pub spec: LimitSpec,
    /// `request.` paths in the order of the key, without the prefix, and where they are written.
    pub fields: Vec<(String, Span)>,
    /// A part that only an authenticated caller has, such as `user`, and where it is written.
    pub needs_user: Option<(&'static str, Span)>,
}

/// The limits by name.
pub type Limits = Names<Limit>;

/// Declares every limit of every group.
pub fn compile(document: &Document, report: &mut Report) -> Limits {
    let mut limits = Names::new("rate limit", "rate_limits", Rule::UnknownLimit, document.complete && !report.speaks_of("rate_limits"));
    for group in &document.groups {
        for (name, written) in entries(&group.routes.rate_limits) {
            let path = format!("rate_limits.{}", name.as_str());
            let limit = limit(name, written).map_err(|finding| {
                // A key whose only part could not be read was reported.
                let finding = finding.filter(|finding| !report.speaks_of_part(&finding.path));
                finding.into_iter().for_each(|finding| report.push(finding));
            });
            let limit = limit.ok();
            limits.declare(name.as_str(), name.span, &path, limit, report);
        }
        broken(&group.routes.rate_limits).iter().for_each(|name| limits.declare_broken(name.as_str()));
    }
    limits
}

/// None of a finding means that what is missing has been reported when the file was read.
fn limit(name: &Name, written: &Spanned<RateLimit>) -> Result<Limit, Option<Diagnostic>> {
    let (Some(key), Some(rate)) = (&written.key, &written.rate) else { return Err(None) };
    if key.is_empty() {
        let help = "write `key: [caller]`, or `key: [global]` for one bucket in all";
        let path = format!("rate_limits.{}.key", name.as_str());
        return Err(Some(missing(key.span, format!("the rate limit `{}` has no key", name.as_str()), help).path(path)));
    }
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
                needs_user = Some(("user", part.span));
                KeyPart::User
            }
            LimitKey::Session => {
                needs_user = Some(("session", part.span));
                KeyPart::Session
            }
            LimitKey::Field(path) => {
                fields.push((path.below_request().to_owned(), part.span));
                KeyPart::Field(path.below_request().into())
            }
        });
    }
    let count = NonZeroU32::new(rate.count).expect("a rate of nothing is refused when it is read");
    let burst = match &written.burst {
        Some(burst) => NonZeroU32::new(burst.value).ok_or_else(|| {
            let what = format!("the rate limit `{}` holds nothing, so no call can ever pass", name.as_str());
            let path = format!("rate_limits.{}.burst", name.as_str());
            Diagnostic::new(Rule::LimitKey, burst.span, what).help("write `burst: 1` or more").path(path)
        })?,
        // Where nothing is said the bucket holds one second's worth, at least one.
        None => NonZeroU32::new(count.get() / u32::try_from(rate.per.as_secs().max(1)).unwrap_or(u32::MAX)).unwrap_or(NonZeroU32::MIN),
    };
    let mode = match written.mode.as_ref().map(|mode| mode.value) {
        Some(LimitMode::DryRun) => Mode::DryRun,
        Some(LimitMode::Enforce) | None => Mode::Enforce,
    };
    let spec = LimitSpec { name: name.shared(), key: parts, count, per: rate.per, burst, mode, keys_max: KEYS_MAX };
    Ok(Limit { spec, fields, needs_user })
}

/// The specs alone, in the order of their indices.
pub fn into_specs(limits: Limits) -> Vec<LimitSpec> {
    limits.into_items().into_iter().map(|limit| limit.spec).collect()
}
