//! `GET /api/v1/pushes`: the messages that may be sent without being asked for.

use http::StatusCode;
use serde_json::json;

use super::query::Query;
use super::{Admin, Reply, reply};

/// Every push, by number.
pub fn list(admin: &Admin, query: &Query) -> Reply {
    let page = match query.page::<u32>() {
        Ok(page) => page,
        Err(refusal) => return *refusal,
    };
    let live = admin.reloader.reader().load();
    let behind = live.pushes().filter(|push| page.after.is_none_or(|after| push.number.0 > after));
    let (pushes, next) = page.of(behind, |push| push.number.0);
    let shown = pushes.iter().map(
        |push| json!({ "number": push.number.0, "name": *push.name, "message": push.message.name(), "delivery": push.delivery.name() }),
    );
    let mut body = json!({ "pushes": shown.collect::<Vec<_>>() });
    if let Some(next) = next {
        body["next"] = next.into();
    }
    reply(StatusCode::OK, &body)
}
