//! What a number stands for: the types of its messages, with a request to begin with; and where clients connect. For people who try a
//! route, by the playground or by a program of their own.

use http::StatusCode;
use serde_json::{Value, json};

use super::{Admin, Reply, error, reply};
use crate::proto::{MessageType, Sample};
use crate::table::Route;

/// `GET /api/v1/messages/{number}`: of a route its request and its response, of a push its message.
pub fn show(admin: &Admin, number: &str) -> Reply {
    let table = admin.reloader.reader().load();
    let Ok(number) = number.parse() else {
        return error(StatusCode::BAD_REQUEST, "a protocol number is a whole number");
    };
    if let Some(route) = table.route(number) {
        return reply(StatusCode::OK, &of_route(route));
    }
    match table.push(number) {
        Some(push) => {
            let message = described(&push.message, &Sample::of(&push.message, []));
            reply(StatusCode::OK, &json!({ "number": number, "name": *push.name, "message": message }))
        }
        None => error(StatusCode::NOT_FOUND, "no route and no push has this number"),
    }
}

/// `GET /api/v1/edge`: where clients of this node connect. A page that has this from us knows by which name it reached us, and the port
/// and path do the rest.
pub fn edge(admin: &Admin) -> Reply {
    let settings = &admin.reloader.reader().load().settings;
    let mut edge = json!({
        "address": admin.edge.to_string(),
        "port": admin.edge.port(),
        "path": settings.path,
        "tls": settings.tls.is_some(),
        "origins": settings.origins,
    });
    if let Some(url) = &settings.public_url {
        edge["public_url"] = url.as_str().into();
    }
    reply(StatusCode::OK, &edge)
}

fn of_route(route: &Route) -> Value {
    let method = &route.method;
    let sample = Sample::of(&method.input, route.stamps.iter().map(|(stamp, _)| stamp));
    let mut request = described(&method.input, &sample);
    request["template"] = sample.template;
    let mut shown = json!({
        "number": route.number.0,
        "name": *route.name,
        "rpc": method.path.path().trim_start_matches('/'),
        "kind": method.kind.name(),
        "request": request,
        "response": described(&method.output, &Sample::of(&method.output, [])),
    });
    if let Some(comment) = method.comment() {
        shown["comment"] = comment.into();
    }
    shown
}

fn described(kind: &MessageType, sample: &Sample) -> Value {
    let mut shown = json!({ "type": kind.name(), "fields": sample.fields });
    if let Some(comment) = kind.comment() {
        shown["comment"] = comment.into();
    }
    shown
}
