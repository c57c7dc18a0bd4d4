//! Every path of the operator's door, its method, and what is said and answered there. The one list: the door (`answering`), its document
//! (`openapi`), the table in `docs/admin.md` and the tests go by it.
//!
//! To add an endpoint: a line in [`ENDPOINTS`], a word in [`Asked`] and its arm in `answering`, a row in `docs/admin.md`. What is answered
//! is said in the notation of `shape`, which the tests hold real answers against.

use http::Method;
use smallvec::SmallVec;

use super::Reply;
use super::query::{Query, unescaped};
use super::shape::Shape;

/// One of them.
#[derive(Clone, Copy)]
pub struct Endpoint {
    pub verb: Verb,
    /// With `{name}` where a part of the path is said by whoever asks.
    pub path: &'static str,
    pub access: Access,
    pub asked: Asked,
    /// What its document calls it. Generated clients are made of it, so that it stays as it is.
    pub id: &'static str,
    /// What it does, in a few words.
    pub summary: &'static str,
    /// What the query may say, as the shape of an object.
    pub query: &'static str,
    /// What is sent, of a `POST`.
    pub takes: &'static str,
    /// What is answered if all is well, of one of these kinds; where it comes in lines, what a line is.
    pub answers: &'static str,
    pub kinds: &'static [&'static str],
    /// Answers of other statuses than 200 that say more than what is wrong.
    pub also: &'static [(u16, &'static str)],
    /// Whether it leaves a line for whoever asks later who did what.
    pub audited: bool,
}

/// Its method.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// And HEAD.
    Get,
    Post,
}

/// Who may ask.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Access {
    Anybody,
    Operator,
}

/// What may be asked for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    Alive,
    Ready,
    Reload,
    Drain,
    Draining,
    Reloads,
    Check,
    Diff,
    Statistics,
    Metrics,
    Routes,
    Route,
    Pushes,
    Limits,
    Backends,
    Descriptors,
    Message,
    Edge,
    Errors,
    Connections,
    Connection,
    Close,
    Sessions,
    Session,
    Kick,
    Topics,
    Tap,
    Revoke,
    Push,
    Notify,
    Template,
    Page,
    Asset,
    AssetInside,
    Log,
    SetLog,
    Document,
}

/// The parts of a path that were said, in their order, without their `%` escapes.
pub type Parts = SmallVec<[String; 2]>;

/// What the query of a list that is asked for page by page may say.
const PAGED: &str = "{after?: text, limit?: whole}";
const SEARCHED: &str = "{search?: text, after?: text, limit?: whole}";

/// What the page's files are.
const ASSETS: &[&str] = &["text/css", "text/javascript", "image/svg+xml"];

pub const ENDPOINTS: &[Endpoint] = &[
    open("/healthz", Asked::Alive, "Alive", "whether the process answers", r#"{status: "alive"}"#),
    open("/readyz", Asked::Ready, "Ready", "whether connections are accepted", r#"{status: "ready"}"#)
        .also(&[(503, r#"{status: "not ready"}"#)]),
    get("/api/v1/statistics", Asked::Statistics, "Statistics", "what there is on this node, and what was counted", "Statistics"),
    get("/metrics", Asked::Metrics, "Metrics", "everything that is measured, for Prometheus", "text")
        .of(&["application/openmetrics-text", "text/plain"]),
    get("/api/v1/routes", Asked::Routes, "Routes", "the routes, by number", "{routes: [Route], next?: text}").query(SEARCHED),
    get("/api/v1/routes/{number}", Asked::Route, "Route", "a route, with all that holds for it and where that is written", "RouteInFull"),
    get("/api/v1/pushes", Asked::Pushes, "Pushes", "the messages that are sent without being asked for", "{pushes: [Push], next?: text}")
        .query(PAGED),
    get(
        "/api/v1/limits",
        Asked::Limits,
        "Limits",
        "the rate limits, and who is refused by them just now",
        "{limits: [Limit], next?: text}",
    )
    .query(PAGED),
    get("/api/v1/backends", Asked::Backends, "Backends", "every backend with its endpoints", "{backends: [Backend], next?: text}")
        .query(PAGED),
    get(
        "/api/v1/descriptors",
        Asked::Descriptors,
        "Descriptors",
        "whether backends still tell what their locks hold",
        "{locks: [Lock], next?: text}",
    )
    .query(PAGED),
    get(
        "/api/v1/messages/{number}",
        Asked::Message,
        "Message",
        "the types of a route's messages with a request to begin with, or a push's",
        "RouteMessages|PushMessage",
    ),
    get("/api/v1/edge", Asked::Edge, "Edge", "where clients of this node connect", "Edge"),
    get(
        "/api/v1/errors",
        Asked::Errors,
        "Errors",
        "how often which failure was seen, and the last examples",
        "{since_ms: time, errors: [Failure]}",
    ),
    get(
        "/api/v1/connections",
        Asked::Connections,
        "Connections",
        "the connections of this node, page by page",
        "{connections: [Connection], unanswered: whole, next?: text}",
    )
    .query(SEARCHED),
    get("/api/v1/connections/{id}", Asked::Connection, "Connection", "one connection in detail", "ConnectionInFull"),
    post(
        "/api/v1/connections/{id}/close",
        Asked::Close,
        "Close",
        "closes a connection, whose client may come back",
        "{}",
        "{closed: whole}",
    ),
    get("/api/v1/sessions/{id}", Asked::Session, "Session", "one session in detail", "SessionInFull").query("{user?: text}"),
    post(
        "/api/v1/kick",
        Asked::Kick,
        "Kick",
        "ends the sessions of a user, or one, on all nodes; tokens stay good",
        "{user?: text, session?: text}",
        "{kicked: {user?: text, session?: text}, sessions: [text]}",
    ),
    get("/api/v1/topics", Asked::Topics, "Topics", "the topics of this node, page by page", "{topics: [Topic], next?: text}")
        .query(SEARCHED),
    get("/api/v1/tap", Asked::Tap, "Tap", "calls as they end, a line each", "Tapped|Lost")
        .query("{route?: text, user?: text, seconds?: whole}")
        .of(&["application/x-ndjson"])
        .audited(),
    get("/api/v1/sessions", Asked::Sessions, "Sessions", "the sessions of a user, on all nodes", "{sessions: [Session]}")
        .query("{user: text}"),
    post(
        "/api/v1/revoke",
        Asked::Revoke,
        "Revoke",
        "ends a session, all sessions of a user, or believes a token no longer",
        "{session?: text, user?: text, token?: text}",
        "{revoked: {session?: text, user?: text, token?: text}}",
    ),
    post(
        "/api/v1/push",
        Asked::Push,
        "Push",
        "sends a message to a user or a session",
        "{user: text, session?: text, protocol: whole, payload: any}",
        "{reached: whole}",
    ),
    post("/api/v1/notify", Asked::Notify, "Notify", "sends a notification", "Notification", "Batch"),
    post(
        "/api/v1/templates",
        Asked::Template,
        "Template",
        "defines a template of notifications",
        "Template",
        "{template: text, version: whole}",
    ),
    post(
        "/api/v1/reload",
        Asked::Reload,
        "Reload",
        "reads the files again, and makes them live if they are sound and break no client",
        "{allow_breaking?: bool}",
        r#"{outcome: "swapped"|"unchanged", generation: whole, hash: text, took_ms: whole, check: Check}"#,
    )
    .also(&[(412, r#"{outcome: "stale", hash: text, error: text}"#), (422, r#"{outcome: "refused", check: Check}"#)]),
    post("/api/v1/drain", Asked::Drain, "Drain", "has every client move, and then ends the gateway, as SIGTERM does", "{}", "Draining"),
    get("/api/v1/drain", Asked::Draining, "Draining", "whether the gateway drains, and how many are still connected", "Draining"),
    get("/api/v1/reloads", Asked::Reloads, "Reloads", "what became of the last attempts to read the files", "{reloads: [Attempt]}"),
    post(
        "/api/v1/check",
        Asked::Check,
        "Check",
        "what is wrong with the files as they are now; nothing is changed",
        "{}",
        "{check: Check}",
    )
    .unaudited(),
    get("/api/v1/diff", Asked::Diff, "Diff", "what a reload would change, and whether clients would break", "Difference")
        .also(&[(422, "{error: text, check: Check}")]),
    get("/api/v1/log", Asked::Log, "Log", "how much the log says", "Verbosity"),
    post("/api/v1/log", Asked::SetLog, "SetLog", "changes how much the log says, for now", "{level: Level|null}", "Verbosity"),
    get("/api/v1/openapi.json", Asked::Document, "Document", "all of this, as OpenAPI", "any"),
    open("/", Asked::Page, "Page", "the operator's page", "text").of(&["text/html"]),
    open("/dashboard/{file}", Asked::Asset, "Asset", "a file of the operator's page", "text").of(ASSETS),
    open("/dashboard/{folder}/{file}", Asked::AssetInside, "AssetInside", "a file of the operator's page", "text").of(ASSETS),
];

const fn get(path: &'static str, asked: Asked, id: &'static str, summary: &'static str, answers: &'static str) -> Endpoint {
    let (verb, access) = (Verb::Get, Access::Operator);
    Endpoint {
        verb,
        path,
        access,
        asked,
        id,
        summary,
        query: "{}",
        takes: "",
        answers,
        kinds: &["application/json"],
        also: &[],
        audited: false,
    }
}

const fn post(
    path: &'static str,
    asked: Asked,
    id: &'static str,
    summary: &'static str,
    takes: &'static str,
    answers: &'static str,
) -> Endpoint {
    Endpoint { verb: Verb::Post, takes, audited: true, ..get(path, asked, id, summary, answers) }
}

const fn open(path: &'static str, asked: Asked, id: &'static str, summary: &'static str, answers: &'static str) -> Endpoint {
    Endpoint { access: Access::Anybody, ..get(path, asked, id, summary, answers) }
}

// === impl Endpoint ===

impl Endpoint {
    /// What it may also answer.
    const fn also(self, also: &'static [(u16, &'static str)]) -> Endpoint {
        Endpoint { also, ..self }
    }

    /// It answers something else than JSON.
    const fn of(self, kinds: &'static [&'static str]) -> Endpoint {
        Endpoint { kinds, ..self }
    }

    const fn query(self, query: &'static str) -> Endpoint {
        Endpoint { query, ..self }
    }

    /// It leaves a line though it changes nothing: whoever asks sees what others say.
    const fn audited(self) -> Endpoint {
        Endpoint { audited: true, ..self }
    }

    /// It changes nothing, though it is a `POST`.
    const fn unaudited(self) -> Endpoint {
        Endpoint { audited: false, ..self }
    }

    /// What the query says. A probe may add what it likes to its URL; everybody else may be misspelling.
    pub fn read_query(&self, query: Option<&str>) -> Result<Query, Box<Reply>> {
        if self.access == Access::Anybody {
            return Ok(Query::default());
        }
        let shape = Shape::read(self.query).expect("the tests read every shape");
        let known: Vec<String> = shape.keys().iter().map(|key| key.name.to_owned()).collect();
        Query::read(query, &known)
    }

    /// What the path says where this one's has `{name}`; nothing if it is another path, or no text.
    pub fn parts(&self, path: &str) -> Option<Parts> {
        let (mut pattern, mut path) = (self.path.split('/'), path.split('/'));
        let mut parts = Parts::new();
        loop {
            match (pattern.next(), path.next()) {
                (None, None) => return Some(parts),
                (Some(name), Some(said)) if name.starts_with('{') && !said.is_empty() => parts.push(unescaped(&said.replace('+', "%2b"))?),
                (Some(name), Some(said)) if name == said => {}
                _ => return None,
            }
        }
    }

    pub fn is_asked_by(&self, method: &Method) -> bool {
        match self.verb {
            Verb::Get => *method == Method::GET || *method == Method::HEAD,
            Verb::Post => *method == Method::POST,
        }
    }
}

// === impl Verb ===

impl Verb {
    pub fn name(self) -> &'static str {
        match self {
            Verb::Get => "GET",
            Verb::Post => "POST",
        }
    }

    /// All methods that are answered by it, as HTTP lists them.
    pub fn methods(self) -> &'static str {
        match self {
            Verb::Get => "GET, HEAD",
            Verb::Post => "POST",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(pattern: &'static str, path: &str) -> Option<Vec<String>> {
        get(pattern, Asked::Alive, "", "", "{}").parts(path).map(|parts| parts.to_vec())
    }

    #[test]
    fn a_path_is_known_from_end_to_end_or_not_at_all() {
        assert_eq!(parts("/api/v1/a", "/api/v1/a"), Some(vec![]));
        assert_eq!(parts("/api/v1/a/{id}", "/api/v1/a/7"), Some(vec!["7".to_owned()]));
        assert_eq!(parts("/a/{id}/close", "/a/x%2fy+z/close"), Some(vec!["x/y+z".to_owned()]));
        for path in ["/api/v1/a", "/api/v1/a/", "/api/v1/a/7/", "/api/v1/a/7/8", "api/v1/a/7", "/api/v1/a/%ff", ""] {
            assert_eq!(parts("/api/v1/a/{id}", path), None, "{path}");
        }
    }
}
