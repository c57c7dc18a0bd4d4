//! The connections of this node: page by page, one in detail, closed.
//!
//! They are asked when somebody wants to know; who does not answer in time is left out and counted.

use std::time::Duration;

use http::{Request, StatusCode};
use hyper::body::Incoming;
use serde_json::{Value, json};

use super::audit::Audit;
use super::query::Query;
use super::{Admin, Reply, body, error, reply};
use crate::id::{CallId, ConnectionId, Protocol};
use crate::session::connected::{Connected, Search};

/// `GET /api/v1/connections?search=&after=&limit=`
pub async fn list(admin: &Admin, query: &Query) -> Reply {
    let (after, limit) = match query.value("after").and_then(|after| Ok((ConnectionId(after.unwrap_or(0)), query.limit()?))) {
        Ok(asked) => asked,
        Err(refusal) => return *refusal,
    };
    let search = Search::of(query.text("search").unwrap_or_default());
    let page = admin.connected.list(search, after, limit).await;
    let connections: Vec<Value> = page.connections.iter().map(|connected| shown(admin, connected)).collect();
    let mut body = json!({ "connections": connections, "unanswered": page.unanswered });
    if let Some(next) = page.next {
        // A cursor is a text, as all of them are.
        body["next"] = next.to_string().into();
    }
    reply(StatusCode::OK, &body)
}

/// `GET /api/v1/connections/{id}`
pub async fn one(admin: &Admin, id: &str) -> Reply {
    let connected = match id.parse() {
        Ok(id) => admin.connected.one(ConnectionId(id)).await,
        Err(_) => None,
    };
    match connected {
        Some(connected) => reply(StatusCode::OK, &detailed(admin, &connected)),
        None => none(),
    }
}

/// `POST /api/v1/connections/{id}/close`
pub async fn close(admin: &Admin, request: Request<Incoming>, id: &str, audit: &Audit) -> Reply {
    audit.what(format!("connection {id}"));
    if let Err(refusal) = body::nothing(request).await {
        return *refusal;
    }
    match id.parse() {
        Ok(id) if admin.connected.close(ConnectionId(id)) => reply(StatusCode::OK, &json!({ "closed": id })),
        _ => none(),
    }
}

fn none() -> Reply {
    error(StatusCode::NOT_FOUND, "there is no connection of this number on this node, or it is about to end")
}

fn shown(admin: &Admin, connected: &Connected) -> Value {
    let session = connected.session.as_ref().map(|(id, _)| &**id);
    let live = admin.reloader.reader().load();
    json!({
        "id": connected.id.0,
        "peer": connected.peer,
        "user": connected.identity.as_ref().map(|identity| &*identity.user),
        "session": session,
        "codec": connected.codec.name(),
        "connected_ms": live.sessions.now_ms().saturating_sub(millis(connected.age)),
        "in_flight": connected.calls.len(),
        "streams": connected.streams.len(),
        "outbox_bytes": connected.outbox_bytes,
        "topics": session.map_or(0, |session| live.hub.heard_count(session)),
    })
}

/// The same and more.
fn detailed(admin: &Admin, connected: &Connected) -> Value {
    let mut detailed = shown(admin, connected);
    let session = connected.session.as_ref();
    let topics = session.map_or_else(Vec::new, |(id, _)| admin.reloader.reader().load().hub.heard_by(id));
    detailed["heard"] = topics.iter().map(|name| &**name).collect();
    detailed["generation"] = session.map(|(_, generation)| *generation).into();
    detailed["worker"] = connected.worker.0.into();
    detailed["idle_ms"] = millis(connected.idle).into();
    detailed["calls"] = requests(&connected.calls);
    detailed["open_streams"] = requests(&connected.streams);
    if let Some(identity) = &connected.identity {
        detailed["roles"] = identity.roles.iter().map(|role| &**role).collect();
        detailed["expires_ms"] = crate::clock::to_millis(identity.expires).into();
    }
    detailed
}

fn requests(open: &[(Protocol, CallId)]) -> Value {
    open.iter().map(|(protocol, id)| json!({ "protocol": protocol.0, "id": id.0 })).collect()
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
