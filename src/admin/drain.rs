//! `POST /api/v1/drain`: the gateway drains as it does for SIGTERM. `GET` says whether it does, and what is left.

use http::{Request, StatusCode};
use hyper::body::Incoming;
use serde_json::json;

use super::{Admin, Reply, body, reply};

/// Asks for it. Once is enough; again is no second word, for that would end calls in flight.
pub async fn begin(admin: &Admin, request: Request<Incoming>) -> Reply {
    if let Err(refusal) = body::nothing(request).await {
        return *refusal;
    }
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
