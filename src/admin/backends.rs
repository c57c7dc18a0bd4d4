//! `GET /api/v1/backends`: how the backends of the live table do.

use http::StatusCode;
use serde_json::{Value, json};

use super::query::Query;
use super::{Admin, Reply, reply};

/// Every backend, by name, with its endpoints, as this node sees them, and what was counted since each of them was there.
pub fn list(admin: &Admin, query: &Query) -> Reply {
    let page = match query.page::<String>() {
        Ok(page) => page,
        Err(refusal) => return *refusal,
    };
    let live = admin.reloader.reader().load();
    let mut behind: Vec<_> =
        live.backends.iter().filter(|backend| page.after.as_deref().is_none_or(|after| **backend.name() > *after)).collect();
    behind.sort_by(|one, other| one.name().cmp(other.name()));
    let (backends, next) = page.of(behind.into_iter(), |backend| backend.name().to_string());
    let backends: Vec<Value> = backends
        .into_iter()
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
    let mut body = json!({ "backends": backends });
    if let Some(next) = next {
        body["next"] = next.into();
    }
    reply(StatusCode::OK, &body)
}
