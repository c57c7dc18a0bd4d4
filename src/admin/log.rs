//! `GET` and `POST /api/v1/log`: how much the log says, which an operator may change for now.
//!
//! Promise: what is said here holds until the configuration is another one, or the process is; then what is written there holds again.

use http::{Request, StatusCode};
use hyper::body::Incoming;
use serde::Deserialize;
use serde_json::json;
use tracing::Level;

use super::audit::Audit;
use super::{Admin, Reply, body, error, reply};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    /// Nothing: what is configured. That has to be said, for a body without it is more likely a slip.
    #[serde(deserialize_with = "Option::deserialize")]
    level: Option<String>,
}

/// The least important line that is written, and who says so.
pub fn show(admin: &Admin) -> Reply {
    let live = admin.reloader.reader().load();
    let said = admin.verbosity.said(live.generation);
    let configured = live.settings.log_level;
    let shown = json!({
        "level": name(said.unwrap_or(configured)),
        "configured": name(configured),
        "by": if said.is_some() { "operator" } else { "configuration" },
    });
    reply(StatusCode::OK, &shown)
}

/// `{"level": "debug"}` for now, `{"level": null}` for what is configured.
pub async fn change(admin: &Admin, request: Request<Incoming>, audit: &Audit) -> Reply {
    let wanted: Wanted = match body::read(request).await {
        Ok(wanted) => wanted,
        Err(refusal) => return *refusal,
    };
    let level = match wanted.level.as_deref() {
        None => None,
        Some("error") => Some(Level::ERROR),
        Some("warn") => Some(Level::WARN),
        Some("info") => Some(Level::INFO),
        Some("debug") => Some(Level::DEBUG),
        Some("trace") => Some(Level::TRACE),
        Some(_) => return error(StatusCode::BAD_REQUEST, "`level` is error, warn, info, debug or trace, or null for what is configured"),
    };
    audit.what(level.map_or("the configured level".to_owned(), |level| format!("level {}", name(level))));
    admin.verbosity.say(level, admin.reloader.reader().load().generation);
    show(admin)
}

fn name(level: Level) -> &'static str {
    match level {
        Level::ERROR => "error",
        Level::WARN => "warn",
        Level::INFO => "info",
        Level::DEBUG => "debug",
        Level::TRACE => "trace",
    }
}
