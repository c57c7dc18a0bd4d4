//! `POST /api/v1/drain`: the gateway drains as it does for SIGTERM. `GET` says whether it does, and what is left.

use http::StatusCode;
use serde_json::json;

use super::{Admin, Reply, reply};

/// Asks for it. Once is enough; again is no second word, for that would end calls in flight.
pub fn begin(admin: &Admin) -> Reply {
    if !admin.draining.is_cancelled() {
        admin.ready.set(false);
        admin.draining.cancel();
    }
    tell(admin)
}

pub fn tell(admin: &Admin) -> Reply {
    let state = json!({ "draining": admin.draining.is_cancelled(), "connections": (admin.connections)() });
    reply(StatusCode::OK, &state)
}
