//! `GET /api/v1/statistics`: what there is on this node, and what was counted since the process began.

use http::StatusCode;
use serde_json::{Map, Value, json};

use super::{Admin, Reply, reply};

/// Every label is there from the start, and none is a client's.
pub fn show(admin: &Admin) -> Reply {
    let live = admin.reloader.reader().load();
    let refused: Map<String, Value> = live.verifier.refusals().all().map(|(cause, count)| (cause.to_owned(), count.into())).collect();
    let statistics = json!({
        "connections": (admin.connections)(),
        "sessions": live.sessions.len(),
        "outbox_bytes": admin.outboxes.used(),
        "tokens_refused": refused,
    });
    reply(StatusCode::OK, &statistics)
}
