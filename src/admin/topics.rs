//! `GET /api/v1/topics`: what is heard on this node.

use http::StatusCode;
use serde_json::{Value, json};

use super::terms::Query;
use super::{Admin, Reply, reply};

/// `GET /api/v1/topics?search=&after=&limit=`
pub fn list(admin: &Admin, query: Option<&str>) -> Reply {
    let asked = Query::read(query, &["search", "after", "limit"]).and_then(|query| Ok((query.limit()?, query)));
    let (limit, query) = match asked {
        Ok(asked) => asked,
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
