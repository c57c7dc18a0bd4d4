//! What is routed, and why each route behaves as it does.

use http::StatusCode;
use serde_json::{Value, json};

use super::query::Query;
use super::statistics::latency;
use super::{Admin, Reply, error, reply};
use crate::proto::Sample;
use crate::table::explain::Line;
use crate::table::meaning::Meaning;
use crate::table::{Route, Table};

/// `GET /api/v1/routes?search=…`: the routes in which the text is found, by number.
pub fn list(admin: &Admin, query: &Query) -> Reply {
    let page = match query.page::<u32>() {
        Ok(page) => page,
        Err(refusal) => return *refusal,
    };
    let live = admin.reloader.reader().load();
    let search = query.text("search").unwrap_or_default().to_lowercase();
    let found = live.routes().filter(|route| page.after.is_none_or(|after| route.number.0 > after) && speaks_of(route, &search));
    let (routes, next) = page.of(found, |route| route.number.0);
    let mut body = json!({ "routes": routes.into_iter().map(|route| shown(route)).collect::<Vec<_>>() });
    if let Some(next) = next {
        body["next"] = next.into();
    }
    reply(StatusCode::OK, &body)
}

/// `GET /api/v1/routes/{number}`: one of them, with all that holds for it and where that is written.
pub fn one(admin: &Admin, number: &str) -> Reply {
    let live = admin.reloader.reader().load();
    let found = number.parse().ok().and_then(|number| live.route(number));
    match found {
        Some(route) => reply(StatusCode::OK, &in_full(&live, route)),
        None => error(StatusCode::NOT_FOUND, "there is no route of this number"),
    }
}

fn in_full(table: &Table, route: &Route) -> Value {
    let mut shown = shown(route);
    let policy = table.explained.route(route.number.0).unwrap_or_default();
    shown["policy"] = policy.iter().map(line).collect();
    shown["meaning"] = json!(Meaning::of_table(table, route));
    let sample = Sample::of(&route.method.input, route.stamps.iter().map(|(stamp, _)| stamp));
    shown["template"] = sample.template;
    shown["fields"] = json!(sample.fields);
    shown
}

fn shown(route: &Route) -> Value {
    let path = route.method.path.as_str();
    let counted = route.counters.sum();
    json!({
        "number": route.number.0,
        "name": *route.name,
        "rpc": path.strip_prefix('/').unwrap_or(path),
        "kind": route.method.kind.name(),
        "request": route.method.input.name(),
        "response": route.method.output.name(),
        "access": route.access.name(),
        "permissions": route.permissions.iter().map(|(_, name)| &**name).collect::<Vec<_>>(),
        "limits": route.limits.iter().map(|used| &*used.limiter.spec().name).collect::<Vec<_>>(),
        "calls": counted.calls(),
        "failures": counted.failures(),
        "latency": latency(&counted.took),
        "backends": route.target.backends().iter().map(|backend| &**backend.name()).collect::<Vec<_>>(),
    })
}

fn line(line: &Line) -> Value {
    let mut shown = json!({ "key": line.key, "value": line.value, "layer": line.layer.name() });
    if let Some((file, number)) = &line.place {
        shown["file"] = file.as_str().into();
        shown["line"] = (*number).into();
    }
    shown
}

/// Whether the text is in its number, its names, or the names of what it refers to.
fn speaks_of(route: &Route, search: &str) -> bool {
    let has = |text: &str| text.to_lowercase().contains(search);
    search.is_empty()
        || route.number.0.to_string().contains(search)
        || [&*route.name, route.method.path.as_str(), route.method.input.name(), route.method.output.name(), route.access.name()]
            .into_iter()
            .any(has)
        || route.permissions.iter().any(|(_, name)| has(name))
        || route.limits.iter().any(|used| has(&used.limiter.spec().name))
        || route.target.backends().iter().any(|backend| has(backend.name()))
}
