//! `GET /api/v1/statistics`: what there is on this node, and what was counted since the process began.

use http::StatusCode;
use serde_json::{Map, Value, json};

use super::{Admin, Reply, reply};
use crate::clock::Clock;
use crate::table::Table;
use crate::telemetry::counters::{RouteCounters, UNKNOWN};
use crate::telemetry::histogram::Spread;

/// Every label is there from the start, and none is a client's.
pub fn show(admin: &Admin) -> Reply {
    let live = admin.reloader.reader().load();
    let (edge, pushes, outboxes) = (&admin.observers.edge, live.sessions.pushes(), &admin.outboxes.pushes);
    let dropped: u64 = outboxes.dropped.all().map(|(_, count)| count).sum();
    let statistics = json!({
        "node": live.sessions.node(),
        "version": env!("CARGO_PKG_VERSION"),
        "started_ms": admin.started_ms,
        "uptime_seconds": Clock::system().now_ms().saturating_sub(admin.started_ms) / 1000,
        "ready": admin.ready.is_set(),
        "generation": live.generation.0,
        "hash": live.fingerprint.to_string(),
        "connections": (admin.connections)(),
        "connections_max": live.settings.connections_max,
        "anonymous": (admin.anonymous)(),
        "sessions": live.sessions.len(),
        "outbox_bytes": admin.outboxes.used(),
        "accepted": edge.accepts.get(),
        "refused": by_label(edge.refusals.all()),
        "closes": by_label(edge.closes.all()),
        "tokens_refused": by_label(live.verifier.refusals().all()),
        "calls": calls(admin, &live),
        "pushes": {
            "published": pushes.published.get(),
            "delivered": outboxes.delivered.get(),
            "dropped": dropped + pushes.unpublished.get(),
        },
    });
    reply(StatusCode::OK, &statistics)
}

/// Of all routes that there are, and of numbers that are not routed.
fn calls(admin: &Admin, live: &Table) -> Value {
    let (mut total, mut failed, mut took) = (0, 0, Spread::default());
    for (_, counters) in counted(admin, live) {
        let counts = counters.sum();
        total += counts.calls();
        failed += counts.failures();
        took.add(&counts.took);
    }
    json!({ "total": total, "failed": failed, "latency": latency(&took) })
}

/// Everything that calls are counted under: what is not routed, and every route.
pub fn counted<'a>(admin: &'a Admin, live: &'a Table) -> impl Iterator<Item = (&'a str, &'a RouteCounters)> {
    let routes = live.routes().filter(|route| &*route.name != UNKNOWN).map(|route| (&*route.name, &*route.counters));
    [(UNKNOWN, &*admin.observers.unrouted)].into_iter().chain(routes)
}

/// A histogram: its bounds in seconds, and how many lie below each and not below the one before; the last count is beyond all bounds.
pub fn latency(spread: &Spread) -> Value {
    json!({ "bounds": Spread::bounds(), "counts": spread.counts })
}

fn by_label(counts: impl Iterator<Item = (&'static str, u64)>) -> Map<String, Value> {
    counts.map(|(label, count)| (label.to_owned(), count.into())).collect()
}
