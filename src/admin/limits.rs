//! `GET /api/v1/limits`: the rate limits, and who is refused by them just now.

use http::StatusCode;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::query::Query;
use super::{Admin, Reply, reply};
use crate::clock::Clock;
use crate::pipeline::rate_limit::{Limiter, Mode};

/// Every limit, by name.
pub fn list(admin: &Admin, query: &Query) -> Reply {
    let page = match query.page::<String>() {
        Ok(page) => page,
        Err(refusal) => return *refusal,
    };
    let live = admin.reloader.reader().load();
    let mut limiters: Vec<_> =
        live.limiters.iter().filter(|limiter| page.after.as_deref().is_none_or(|after| *limiter.spec().name > *after)).collect();
    limiters.sort_by(|one, other| one.spec().name.cmp(&other.spec().name));
    let (limiters, next) = page.of(limiters.into_iter(), |limiter| limiter.spec().name.to_string());
    let mut body = json!({ "limits": limiters.into_iter().map(|limiter| shown(limiter)).collect::<Vec<_>>() });
    if let Some(next) = next {
        body["next"] = next.into();
    }
    reply(StatusCode::OK, &body)
}

fn shown(limiter: &Limiter) -> Value {
    let (now, now_ms, spec) = (Instant::now(), Clock::system().now_ms(), limiter.spec());
    let ago = |then: Instant| now_ms.saturating_sub(millis(now.saturating_duration_since(then)));
    let ahead = |then: Instant| now_ms.saturating_add(millis(then.saturating_duration_since(now)));
    let limited = limiter.limited(now).into_iter().map(|limited| {
        let until_ms = if limited.until > now { ahead(limited.until) } else { ago(limited.until) };
        json!({ "key": limited.text, "since_ms": ago(limited.since), "until_ms": until_ms, "refused": limited.refused })
    });
    let per = match spec.per.as_secs() {
        1 => "s",
        60 => "min",
        _ => "h",
    };
    json!({
        "name": *spec.name,
        "key": spec.key.iter().map(|part| part.name()).collect::<Vec<_>>(),
        "rate": format!("{}/{per}", spec.count),
        "burst": spec.burst,
        "mode": match spec.mode {
            Mode::Enforce => "enforce",
            Mode::DryRun => "dry_run",
        },
        "refused": limiter.refused(),
        "keys": limiter.keys(),
        "limited": limited.collect::<Vec<_>>(),
    })
}

fn millis(time: std::time::Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
