//! What an operator does: read the files again.
//!
//! The answer to a reload carries the diagnostics in the shape of `check --format json`, and the live table's hash as its `ETag`.

use std::sync::Arc;

use http::{HeaderValue, Request, StatusCode, header};
use hyper::body::Incoming;
use serde_json::{Value, json};
use tokio::task::spawn_blocking;

use super::{Admin, Reply, error, reply};
use crate::diagnostic::render;
use crate::files::Fingerprint;
use crate::reload::{Outcome, Swapped};

/// `POST /api/v1/reload`, with `If-Match: "HASH"` only if that is the live table.
pub async fn reload(admin: &Arc<Admin>, request: &Request<Incoming>) -> Reply {
    let expected = match request.headers().get(header::IF_MATCH).map(expected_table) {
        None => None,
        Some(Ok(expected)) => Some(expected),
        Some(Err(())) => return error(StatusCode::BAD_REQUEST, "`If-Match` must be the hash of a table in double quotes"),
    };
    let reloader = Arc::clone(&admin.reloader);
    let outcome = spawn_blocking(move || reloader.reload(expected)).await.expect("a reload does not panic and is not aborted");
    match outcome {
        Outcome::Swapped(live) => loaded("swapped", &live),
        Outcome::Unchanged(live) => loaded("unchanged", &live),
        Outcome::Refused { report, sources, summary } => {
            let check = json_of(render::json(&report, &sources, summary));
            reply(StatusCode::UNPROCESSABLE_ENTITY, &json!({ "outcome": "refused", "check": check }))
        }
        Outcome::Failed => error(StatusCode::INTERNAL_SERVER_ERROR, "compiling failed, the old table stays; the log says more"),
        Outcome::Stale { live } => {
            let body = json!({ "outcome": "stale", "hash": live.to_string(), "error": "another table is live than `If-Match` names" });
            tagged(reply(StatusCode::PRECONDITION_FAILED, &body), live)
        }
    }
}

fn loaded(outcome: &str, live: &Swapped) -> Reply {
    let check = json_of(render::json(&live.report, &live.sources, live.summary));
    let body = json!({
        "outcome": outcome,
        "generation": live.generation.0,
        "hash": live.fingerprint.to_string(),
        "took_ms": live.took.as_millis() as u64,
        "check": check,
    });
    tagged(reply(StatusCode::OK, &body), live.fingerprint)
}

/// A document in a document.
fn json_of(text: String) -> Value {
    serde_json::from_str(&text).expect("what was written as JSON reads as JSON")
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
