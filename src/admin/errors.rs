//! What fails, how often, and where it was seen last.

use http::StatusCode;
use serde_json::{Map, Value, json};

use super::{Admin, Reply, reply};
use crate::telemetry::errors::{Example, Told};

/// `GET /api/v1/errors`: failures by source, code and reason since the process began, the most frequent first. As long as the book is,
/// which has a bound.
pub fn list(admin: &Admin) -> Reply {
    let errors = &admin.observers.errors;
    let told: Vec<Value> = errors.told().iter().map(kind).collect();
    reply(StatusCode::OK, &json!({ "since_ms": errors.since_ms(), "errors": told }))
}

fn kind(told: &Told) -> Value {
    json!({
        "source": told.source.name(),
        "code": told.code.name(),
        "reason": told.reason,
        "count": told.count,
        "last_ms": told.last_ms,
        "examples": told.examples.iter().map(example).collect::<Vec<_>>(),
    })
}

/// What is not known is left out.
fn example(example: &Example) -> Value {
    let mut shown = Map::new();
    let mut say = |key: &str, value: Value| shown.insert(key.to_owned(), value);
    say("at_ms", example.at_ms.into());
    say("connection", example.connection.0.into());
    say("message", example.message.as_str().into());
    let texts = [("route", example.route.as_deref()), ("user", example.user.as_deref())];
    for (key, text) in texts.into_iter().chain([("cause", example.cause.as_deref()), ("endpoint", example.endpoint.as_deref())]) {
        if let Some(text) = text {
            say(key, text.into());
        }
    }
    shown.into()
}
