//! `GET /api/v1/topics`: what is heard on this node.

use http::StatusCode;
use serde_json::{Value, json};

use super::query::Query;
use super::{Admin, Reply, reply};

/// `GET /api/v1/topics?search=&after=&limit=`
pub fn list(admin: &Admin, query: &Query) -> Reply {
    let limit = match query.limit() {
        Ok(limit) => limit,
        Err(refusal) => return *refusal,
    };
    let hub = admin.reloader.reader().load().hub.clone();
    let (topics, next) = hub.topics(query.text("search").unwrap_or_default(), query.text("after").unwrap_or_default(), limit);
    let topics: Vec<Value> = topics
        .iter()
        .map(|topic| {
            let mut shown = json!({ "name": *topic.name, "hearers": topic.hearers });
            if let Some(at) = &topic.at {
                (shown["epoch"], shown["offset"]) = ((*at.epoch).into(), at.offset.into());
            }
            shown
        })
        .collect();
    let mut body = json!({ "topics": topics });
    if let Some(next) = next {
        body["next"] = (*next).into();
    }
    reply(StatusCode::OK, &body)
}
