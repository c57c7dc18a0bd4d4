//! `GET /api/v1/backends`: how the backends of the live table do.

use http::StatusCode;
use serde_json::{Value, json};

use super::{Admin, Reply, reply};

/// Every backend with its endpoints, as this node sees them, and what was counted since each of them was there.
pub fn list(admin: &Admin) -> Reply {
    let live = admin.reloader.reader().load();
    let backends: Vec<Value> = live
        .backends
        .iter()
        .map(|backend| {
            let status = backend.status();
            let endpoints: Vec<Value> = status
                .endpoints
                .iter()
                .map(|endpoint| {
                    json!({
                        "address": *endpoint.address,
                        "weight": endpoint.weight,
                        "zone": endpoint.zone,
                        "version": endpoint.version,
                        "state": endpoint.state.name(),
                        "in_flight": endpoint.in_flight,
                        "calls": endpoint.calls,
                        "failures": endpoint.failures,
                        "ejections": endpoint.ejections,
                    })
                })
                .collect();
            json!({
                "name": *status.name,
                "in_flight": status.in_flight,
                "pending": status.pending,
                "retries": status.retries,
                "sheds": status.sheds,
                "unkeyed": backend.unkeyed(),
                "endpoints": endpoints,
            })
        })
        .collect();
    reply(StatusCode::OK, &json!({ "backends": backends }))
}
