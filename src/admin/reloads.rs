//! The files of the configuration: read again, looked at, compared with what is live, and what became of the last attempts.
//!
//! Findings are in the shape of `check --format json`, and the live table's hash is the `ETag` of a reload. Promise: looking and comparing
//! change nothing.

use std::sync::Arc;

use http::{HeaderValue, Request, StatusCode, header};
use hyper::body::Incoming;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::task::spawn_blocking;

use super::audit::Audit;
use super::body;
use super::{Admin, Reply, error, reply};
use crate::files::Fingerprint;
use crate::reload::history::{Attempt, Cause, check};
use crate::reload::{Breaking, Looked, Outcome};
use crate::table::explain::ChangedRoute;

/// Routes of each kind that an answer shows of what differs; it counts them all.
const DIFFERENT_MAX: usize = 500;

/// What is said with a reload. Nothing said is all as it is configured.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct Asked {
    /// Take over what breaks clients.
    allow_breaking: bool,
}

/// `POST /api/v1/reload`, with `If-Match: "HASH"` only if that is the live table.
pub async fn reload(admin: &Arc<Admin>, request: Request<Incoming>, audit: &Audit) -> Reply {
    let expected = match request.headers().get(header::IF_MATCH).map(expected_table) {
        None => None,
        Some(Ok(expected)) => Some(expected),
        Some(Err(())) => return error(StatusCode::BAD_REQUEST, "`If-Match` must be the hash of a table in double quotes"),
    };
    let asked: Asked = match body::read_if_any(request).await {
        Ok(asked) => asked,
        Err(refusal) => return *refusal,
    };
    let (breaking, what) = match asked.allow_breaking {
        true => (Breaking::Allowed, "the configuration, and clients may break"),
        false => (Breaking::AsConfigured, "the configuration"),
    };
    audit.what(what);
    let reloader = Arc::clone(&admin.reloader);
    let reloaded = spawn_blocking(move || reloader.reload(Cause::Operator, expected, breaking)).await;
    let outcome = reloaded.expect("a reload does not panic and is not aborted");
    let name = outcome.name();
    match &outcome {
        Outcome::Swapped(live) | Outcome::Unchanged(live) => {
            let body = json!({
                "outcome": name,
                "generation": live.generation.0,
                "hash": live.fingerprint.to_string(),
                "took_ms": millis(live.took),
                "check": outcome.check(),
            });
            tagged(reply(StatusCode::OK, &body), live.fingerprint)
        }
        Outcome::Refused { .. } => reply(StatusCode::UNPROCESSABLE_ENTITY, &json!({ "outcome": name, "check": outcome.check() })),
        Outcome::Failed => failed(),
        Outcome::Stale { live } => {
            let body = json!({ "outcome": name, "hash": live.to_string(), "error": "another table is live than `If-Match` names" });
            tagged(reply(StatusCode::PRECONDITION_FAILED, &body), *live)
        }
    }
}

/// `GET /api/v1/reloads`: the last attempts, newest first.
pub fn list(admin: &Admin) -> Reply {
    let attempts: Vec<Value> = admin.reloader.history().iter().map(shown).collect();
    reply(StatusCode::OK, &json!({ "reloads": attempts }))
}

/// `POST /api/v1/check`: what is wrong with the files as they are now.
pub async fn look(admin: &Admin, request: Request<Incoming>) -> Reply {
    if let Err(refusal) = body::nothing(request).await {
        return *refusal;
    }
    match looked(admin).await {
        Some(Looked { checked, .. }) => {
            reply(StatusCode::OK, &json!({ "check": check(&checked.report, &checked.sources, checked.summary) }))
        }
        None => failed(),
    }
}

/// `GET /api/v1/diff`: what a reload would change, and whether clients would break.
pub async fn diff(admin: &Admin) -> Reply {
    let Some(Looked { checked, comparison, allowed, live }) = looked(admin).await else { return failed() };
    let Some((plan, comparison)) = checked.plan.as_ref().zip(comparison) else {
        let body = json!({
            "error": "the files have errors, so that nothing can be said about what they would change",
            "check": check(&checked.report, &checked.sources, checked.summary),
        });
        return reply(StatusCode::UNPROCESSABLE_ENTITY, &body);
    };
    let place = |span| plan.explained.file_and_line(span);
    let told = comparison.told(&place, &|route| admin.reloader.calls_lately(&live, route));
    let mut body = serde_json::to_value(told).expect("text and numbers always become JSON");
    // No reload would do anything where not a byte is another.
    body["same"] = (live.fingerprint == checked.fingerprint).into();
    body["allowed"] = allowed.into();
    let difference = live.explained.difference(&plan.explained);
    let named = |routes: &[(u32, String)]| -> Vec<Value> {
        routes.iter().take(DIFFERENT_MAX).map(|(number, name)| json!({ "number": number, "name": name })).collect()
    };
    let changed: Vec<Value> = difference.changed.iter().take(DIFFERENT_MAX).map(changed).collect();
    body["routes"] = json!({ "added": named(&difference.added), "removed": named(&difference.removed), "changed": changed });
    body["counts"] = json!({ "added": difference.added.len(), "removed": difference.removed.len(), "changed": difference.changed.len() });
    reply(StatusCode::OK, &body)
}

fn changed(route: &ChangedRoute) -> Value {
    let changes = route.changes.iter().map(|change| json!({ "key": change.key, "from": change.from, "to": change.to }));
    json!({ "number": route.number, "name": route.name, "changes": changes.collect::<Vec<_>>() })
}

async fn looked(admin: &Admin) -> Option<Looked> {
    let reloader = Arc::clone(&admin.reloader);
    spawn_blocking(move || reloader.look()).await.expect("looking at the files does not panic and is not aborted")
}

fn shown(attempt: &Attempt) -> Value {
    let mut shown = json!({
        "at_ms": attempt.at_ms,
        "cause": attempt.cause.name(),
        "outcome": attempt.outcome,
        "generation": attempt.generation.0,
        "hash": attempt.fingerprint.to_string(),
        "took_ms": millis(attempt.took),
    });
    if let Some(check) = &attempt.check {
        shown["check"] = check.clone();
    }
    shown
}

fn millis(took: std::time::Duration) -> u64 {
    u64::try_from(took.as_millis()).unwrap_or(u64::MAX)
}

fn failed() -> Reply {
    error(StatusCode::INTERNAL_SERVER_ERROR, "compiling failed, the old table stays; the log says more")
}

fn tagged(mut reply: Reply, live: Fingerprint) -> Reply {
    let tag = HeaderValue::from_str(&format!("\"{live}\"")).expect("hexadecimal digits in quotes");
    reply.headers_mut().insert(header::ETAG, tag);
    reply
}

fn expected_table(value: &HeaderValue) -> Result<Fingerprint, ()> {
    let text = value.to_str().map_err(|_| ())?;
    text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).ok_or(())?.parse()
}
