//! Every path of the operator's door, its method, what is said and answered there, and who answers it. The one list: the door, its document
//! (`openapi`), the table in `docs/admin.md` and the tests go by it.
//!
//! To add an endpoint: a line in [`ENDPOINTS`], a word in [`Asked`] and its arm in `answer` below, a row in `docs/admin.md`. What is answered
//! is said in the notation of `shape`, which the tests hold real answers against.

use std::sync::Arc;

use http::{Method, Request, StatusCode, header};
use hyper::body::Incoming;
use smallvec::SmallVec;
use tracing::warn;

use super::audit::Audit;
use super::life::Life;
use super::query::{Query, unescaped};
use super::shape::Shape;
use super::{
    Admin, CONNECTION_LIFE, Reply, backends, connections, dashboard, descriptors, drain, error, errors, health, is_json, is_operator, kick,
    limits, log, messages, metrics, notify, openapi, pushes, reloads, routes, sessions, statistics, tap, templates, topics,
};
use crate::accept::Peer;

/// One of them.
#[derive(Clone, Copy)]
pub struct Endpoint {
    pub verb: Verb,
    /// With `{name}` where a part of the path is said by whoever asks.
    pub path: &'static str,
    pub access: Access,
    pub asked: Asked,
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
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
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
    open("/healthz", Asked::Alive, "whether the process answers", r#"{status: "alive"}"#),
    open("/readyz", Asked::Ready, "whether connections are accepted", r#"{status: "ready"}"#).also(&[(503, r#"{status: "not ready"}"#)]),
    get("/api/v1/statistics", Asked::Statistics, "what there is on this node, and what was counted", "Statistics"),
    get("/metrics", Asked::Metrics, "everything that is measured, for Prometheus", "text")
        .of(&["application/openmetrics-text", "text/plain"]),
    get("/api/v1/routes", Asked::Routes, "the routes, by number", "{routes: [Route], next?: text}").query(SEARCHED),
    get("/api/v1/routes/{number}", Asked::Route, "a route, with all that holds for it and where that is written", "RouteInFull"),
    get("/api/v1/pushes", Asked::Pushes, "the messages that are sent without being asked for", "{pushes: [Push], next?: text}")
        .query(PAGED),
    get("/api/v1/limits", Asked::Limits, "the rate limits, and who is refused by them just now", "{limits: [Limit], next?: text}")
        .query(PAGED),
    get("/api/v1/backends", Asked::Backends, "every backend with its endpoints", "{backends: [Backend]}"),
    get("/api/v1/descriptors", Asked::Descriptors, "whether backends still tell what their locks hold", "{locks: [Lock]}"),
    get(
        "/api/v1/messages/{number}",
        Asked::Message,
        "the types of a route's messages with a request to begin with, or a push's",
        "RouteMessages|PushMessage",
    ),
    get("/api/v1/edge", Asked::Edge, "where clients of this node connect", "Edge"),
    get("/api/v1/errors", Asked::Errors, "how often which failure was seen, and the last examples", "{since_ms: time, errors: [Failure]}"),
    get(
        "/api/v1/connections",
        Asked::Connections,
        "the connections of this node, page by page",
        "{connections: [Connection], unanswered: whole, next?: text}",
    )
    .query(SEARCHED),
    get("/api/v1/connections/{id}", Asked::Connection, "one connection in detail", "ConnectionInFull"),
    post("/api/v1/connections/{id}/close", Asked::Close, "closes a connection, whose client may come back", "{}", "{closed: whole}"),
    get("/api/v1/sessions/{id}", Asked::Session, "one session in detail", "SessionInFull").query("{user?: text}"),
    post(
        "/api/v1/kick",
        Asked::Kick,
        "ends the sessions of a user, or one, on all nodes; tokens stay good",
        "{user?: text, session?: text}",
        "{kicked: {user?: text, session?: text}, sessions: [text]}",
    ),
    get("/api/v1/topics", Asked::Topics, "the topics of this node, page by page", "{topics: [Topic], next?: text}").query(SEARCHED),
    get("/api/v1/tap", Asked::Tap, "calls as they end, a line each", "Tapped|Lost")
        .query("{route?: text, user?: text, seconds?: whole}")
        .of(&["application/x-ndjson"])
        .audited(),
    get("/api/v1/sessions", Asked::Sessions, "the sessions of a user, on all nodes", "{sessions: [Session]}").query("{user: text}"),
    post(
        "/api/v1/revoke",
        Asked::Revoke,
        "ends a session, all sessions of a user, or believes a token no longer",
        "{session?: text, user?: text, token?: text}",
        "{revoked: {session?: text, user?: text, token?: text}}",
    ),
    post(
        "/api/v1/push",
        Asked::Push,
        "sends a message to a user or a session",
        "{user: text, session?: text, protocol: whole, payload: any}",
        "{reached: whole}",
    ),
    post("/api/v1/notify", Asked::Notify, "sends a notification", "Notification", "Batch"),
    post("/api/v1/templates", Asked::Template, "defines a template of notifications", "Template", "{template: text, version: whole}"),
    post(
        "/api/v1/reload",
        Asked::Reload,
        "reads the files again, and makes them live if they are sound and break no client",
        "{allow_breaking?: bool}",
        r#"{outcome: "swapped"|"unchanged", generation: whole, hash: text, took_ms: whole, check: Check}"#,
    )
    .also(&[(412, r#"{outcome: "stale", hash: text, error: text}"#), (422, r#"{outcome: "refused", check: Check}"#)]),
    post("/api/v1/drain", Asked::Drain, "has every client move, and then ends the gateway, as SIGTERM does", "{}", "Draining"),
    get("/api/v1/drain", Asked::Draining, "whether the gateway drains, and how many are still connected", "Draining"),
    get("/api/v1/reloads", Asked::Reloads, "what became of the last attempts to read the files", "{reloads: [Attempt]}"),
    post("/api/v1/check", Asked::Check, "what is wrong with the files as they are now; nothing is changed", "{}", "{check: Check}")
        .unaudited(),
    get("/api/v1/diff", Asked::Diff, "what a reload would change, and whether clients would break", "Difference")
        .also(&[(422, "{error: text, check: Check}")]),
    get("/api/v1/log", Asked::Log, "how much the log says", "Verbosity"),
    post("/api/v1/log", Asked::SetLog, "changes how much the log says, for now", "{level: Level|null}", "Verbosity"),
    get("/api/v1/openapi.json", Asked::Document, "all of this, as OpenAPI", "any"),
    open("/", Asked::Page, "the operator's page", "text").of(&["text/html"]),
    open("/dashboard/{file}", Asked::Asset, "a file of the operator's page", "text").of(ASSETS),
    open("/dashboard/{folder}/{file}", Asked::AssetInside, "a file of the operator's page", "text").of(ASSETS),
];

const fn get(path: &'static str, asked: Asked, summary: &'static str, answers: &'static str) -> Endpoint {
    let (verb, access) = (Verb::Get, Access::Operator);
    Endpoint {
        verb,
        path,
        access,
        asked,
        summary,
        query: "{}",
        takes: "",
        answers,
        kinds: &["application/json"],
        also: &[],
        audited: false,
    }
}

const fn post(path: &'static str, asked: Asked, summary: &'static str, takes: &'static str, answers: &'static str) -> Endpoint {
    Endpoint { verb: Verb::Post, takes, audited: true, ..get(path, asked, summary, answers) }
}

const fn open(path: &'static str, asked: Asked, summary: &'static str, answers: &'static str) -> Endpoint {
    Endpoint { access: Access::Anybody, ..get(path, asked, summary, answers) }
}

/// Answers whatever is asked, and refuses what is not an endpoint.
pub async fn answer(admin: &Arc<Admin>, request: Request<Incoming>) -> Reply {
    let path = request.uri().path().to_owned();
    let known: SmallVec<[(&Endpoint, Parts); 2]> =
        ENDPOINTS.iter().filter_map(|endpoint| Some((endpoint, endpoint.parts(&path)?))).collect();
    let is_open = known.iter().any(|(endpoint, _)| endpoint.access == Access::Anybody);
    if !is_open && !is_operator(&admin.token, &request) {
        let what = "send `Authorization: Bearer TOKEN` with the token of `admin.token` in gateway.yaml, or of the data folder's admin.token in development";
        if let Some(count) = request.headers().get(header::AUTHORIZATION).and_then(|_| admin.strangers.happened()) {
            let Peer(peer) = *peer_of(&request);
            warn!(%peer, count, "somebody asks with a token that is not the operator's");
        }
        return error(StatusCode::UNAUTHORIZED, what);
    }
    if is_operator(&admin.token, &request)
        && let Some(life) = request.extensions().get::<Life>()
    {
        life.last(CONNECTION_LIFE);
    }
    if known.is_empty() {
        let known: Vec<&str> = ENDPOINTS.iter().map(|endpoint| endpoint.path).collect();
        return error(StatusCode::NOT_FOUND, &format!("there is {}", known.join(", ")));
    }
    let Some((endpoint, parts)) = known.iter().find(|(endpoint, _)| endpoint.is_asked_by(request.method())) else {
        let methods: Vec<&str> = known.iter().map(|(endpoint, _)| endpoint.verb.name()).collect();
        return error(StatusCode::METHOD_NOT_ALLOWED, &format!("only {} is answered here", methods.join(" and ")));
    };
    if endpoint.verb == Verb::Post && !is_json(&request) {
        return error(StatusCode::UNSUPPORTED_MEDIA_TYPE, "writes need `Content-Type: application/json`");
    }
    let query = match endpoint.read_query(request.uri().query()) {
        Ok(query) => query,
        Err(refusal) => return *refusal,
    };
    let Peer(peer) = *peer_of(&request);
    let audit = Audit::begin(endpoint.audited.then_some(endpoint.path), peer);
    let reply = endpoint.asked.answer(admin, request, parts, &query, &audit).await;
    audit.end(reply.status());
    reply
}

fn peer_of(request: &Request<Incoming>) -> &Peer {
    request.extensions().get().expect("whoever accepts a connection says where it comes from")
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
    fn read_query(&self, query: Option<&str>) -> Result<Query, Box<Reply>> {
        if self.access == Access::Anybody {
            return Ok(Query::default());
        }
        let shape = Shape::read(self.query).expect("the tests read every shape");
        let known: Vec<String> = shape.keys().iter().map(|key| key.name.to_owned()).collect();
        Query::read(query, &known)
    }

    /// What the path says where this one's has `{name}`; nothing if it is another path, or no text.
    fn parts(&self, path: &str) -> Option<Parts> {
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

    fn is_asked_by(&self, method: &Method) -> bool {
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
}

// === impl Asked ===

impl Asked {
    async fn answer(self, admin: &Arc<Admin>, request: Request<Incoming>, parts: &[String], query: &Query, audit: &Audit) -> Reply {
        match self {
            Asked::Alive => health::alive(),
            Asked::Ready => health::ready(admin.ready.is_set()),
            Asked::Reload => reloads::reload(admin, request, audit).await,
            Asked::Reloads => reloads::list(admin),
            Asked::Check => reloads::look(admin).await,
            Asked::Diff => reloads::diff(admin).await,
            Asked::Statistics => statistics::show(admin),
            Asked::Routes => routes::list(admin, query),
            Asked::Route => routes::one(admin, &parts[0]),
            Asked::Pushes => pushes::list(admin, query),
            Asked::Limits => limits::list(admin, query),
            Asked::Metrics => metrics::scrape(admin, &request).await,
            Asked::Drain => drain::begin(admin),
            Asked::Draining => drain::tell(admin),
            Asked::Backends => backends::list(admin),
            Asked::Message => messages::show(admin, &parts[0]),
            Asked::Edge => messages::edge(admin),
            Asked::Errors => errors::list(admin),
            Asked::Descriptors => descriptors::list(admin),
            Asked::Connections => connections::list(admin, query).await,
            Asked::Connection => connections::one(admin, &parts[0]).await,
            Asked::Close => connections::close(admin, &parts[0], audit),
            Asked::Session => sessions::one(admin, &parts[0], query).await,
            Asked::Kick => kick::kick(admin, request, audit).await,
            Asked::Topics => topics::list(admin, query),
            Asked::Tap => tap::open(admin, &request, query, audit),
            Asked::Sessions => sessions::list(admin, query).await,
            Asked::Revoke => sessions::revoke(admin, request, audit).await,
            Asked::Push => sessions::push(admin, request, audit).await,
            Asked::Notify => notify::send(admin, request, audit).await,
            Asked::Template => templates::define(admin, request, audit).await,
            Asked::Log => log::show(admin),
            Asked::SetLog => log::change(admin, request, audit).await,
            Asked::Document => openapi::show(),
            Asked::Page => dashboard::page(),
            Asked::Asset | Asked::AssetInside => dashboard::asset(parts),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(pattern: &'static str, path: &str) -> Option<Vec<String>> {
        get(pattern, Asked::Alive, "", "{}").parts(path).map(|parts| parts.to_vec())
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
