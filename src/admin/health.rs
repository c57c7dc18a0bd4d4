//! What a supervisor asks: is it alive, does it take connections.

use http::StatusCode;
use serde_json::json;

use super::Reply;

/// The process answers, which is all that being alive means.
pub fn alive() -> Reply {
    super::reply(StatusCode::OK, &json!({ "status": "alive" }))
}

/// 200 while connections are accepted, 503 before and while draining.
pub fn ready(ready: bool) -> Reply {
    match ready {
        true => super::reply(StatusCode::OK, &json!({ "status": "ready" })),
        false => super::reply(StatusCode::SERVICE_UNAVAILABLE, &json!({ "status": "not ready" })),
    }
}
