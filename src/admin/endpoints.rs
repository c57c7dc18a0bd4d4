//! Every path of the operator's door, its method, and what answers it. The one list: the door, its document and its tests go by it.

use std::sync::Arc;

use http::{Method, Request, StatusCode};
use hyper::body::Incoming;
use smallvec::SmallVec;

use super::{Admin, Reply, api, backends, descriptors, drain, error, health, is_json, is_operator, notify, sessions, templates};

/// One of them.
pub struct Endpoint {
    pub method: Method,
    /// With `{name}` where a part of the path is said by whoever asks.
    pub path: &'static str,
    pub access: Access,
    pub asked: Asked,
    /// What it does, in a few words.
    pub summary: &'static str,
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
    Statistics,
    Backends,
    Descriptors,
    Sessions,
    Revoke,
    Push,
    Notify,
    Template,
}

/// The parts of a path that were said, in their order, as they stand in the URL.
pub type Parts<'r> = SmallVec<[&'r str; 2]>;

const fn get(path: &'static str, asked: Asked, summary: &'static str) -> Endpoint {
    Endpoint { method: Method::GET, path, access: Access::Operator, asked, summary }
}

const fn post(path: &'static str, asked: Asked, summary: &'static str) -> Endpoint {
    Endpoint { method: Method::POST, path, access: Access::Operator, asked, summary }
}

const fn open(path: &'static str, asked: Asked, summary: &'static str) -> Endpoint {
    Endpoint { method: Method::GET, path, access: Access::Anybody, asked, summary }
}

pub const ENDPOINTS: &[Endpoint] = &[
    open("/healthz", Asked::Alive, "whether the process answers"),
    open("/readyz", Asked::Ready, "whether connections are accepted"),
    post("/api/v1/reload", Asked::Reload, "reads the files again, and makes them live if they are sound"),
    post("/api/v1/drain", Asked::Drain, "has every client move, then ends the gateway, as SIGTERM does"),
    get("/api/v1/drain", Asked::Draining, "whether the gateway drains, and how many connections are left"),
    get("/api/v1/statistics", Asked::Statistics, "what there is on this node, and what was counted"),
    get("/api/v1/backends", Asked::Backends, "every backend with its endpoints"),
    get("/api/v1/descriptors", Asked::Descriptors, "whether backends still tell what their locks hold"),
    get("/api/v1/sessions", Asked::Sessions, "the sessions of a user, on all nodes"),
    post("/api/v1/revoke", Asked::Revoke, "ends a session, all sessions of a user, or believes a token no longer"),
    post("/api/v1/push", Asked::Push, "sends a message to a user or a session"),
    post("/api/v1/notify", Asked::Notify, "sends a notification"),
    post("/api/v1/templates", Asked::Template, "defines a template of notifications"),
];

/// Answers whatever is asked, and refuses what is not an endpoint.
pub async fn answer(admin: &Arc<Admin>, request: Request<Incoming>) -> Reply {
    let path = request.uri().path().to_owned();
    let known: SmallVec<[(&Endpoint, Parts<'_>); 2]> =
        ENDPOINTS.iter().filter_map(|endpoint| Some((endpoint, endpoint.parts(&path)?))).collect();
    let is_open = known.iter().any(|(endpoint, _)| endpoint.access == Access::Anybody);
    if !is_open && !is_operator(&admin.token, &request) {
        let what = "send `Authorization: Bearer TOKEN` with the token of `admin.token` in gateway.yaml, or of the data folder's admin.token in development";
        return error(StatusCode::UNAUTHORIZED, what);
    }
    if known.is_empty() {
        let known: Vec<&str> = ENDPOINTS.iter().map(|endpoint| endpoint.path).collect();
        return error(StatusCode::NOT_FOUND, &format!("there is {}", known.join(", ")));
    }
    let Some((endpoint, parts)) = known.iter().find(|(endpoint, _)| endpoint.takes(request.method())) else {
        let methods: Vec<&str> = known.iter().map(|(endpoint, _)| endpoint.method.as_str()).collect();
        return error(StatusCode::METHOD_NOT_ALLOWED, &format!("only {} is answered here", methods.join(" and ")));
    };
    if endpoint.method == Method::POST && !is_json(&request) {
        return error(StatusCode::UNSUPPORTED_MEDIA_TYPE, "writes need `Content-Type: application/json`");
    }
    endpoint.asked.answer(admin, request, parts).await
}

// === impl Endpoint ===

impl Endpoint {
    /// What the path says where this one's has `{name}`; nothing if it is another path.
    fn parts<'r>(&self, path: &'r str) -> Option<Parts<'r>> {
        let (mut pattern, mut path) = (self.path.split('/'), path.split('/'));
        let mut parts = Parts::new();
        loop {
            match (pattern.next(), path.next()) {
                (None, None) => return Some(parts),
                (Some(name), Some(said)) if name.starts_with('{') && !said.is_empty() => parts.push(said),
                (Some(name), Some(said)) if name == said => {}
                _ => return None,
            }
        }
    }

    fn takes(&self, method: &Method) -> bool {
        *method == self.method || *method == Method::HEAD && self.method == Method::GET
    }
}

// === impl Asked ===

impl Asked {
    async fn answer(self, admin: &Arc<Admin>, request: Request<Incoming>, _parts: &[&str]) -> Reply {
        match self {
            Asked::Alive => health::alive(),
            Asked::Ready => health::ready(admin.ready.is_set()),
            Asked::Reload => api::reload(admin, &request).await,
            Asked::Drain => drain::begin(admin),
            Asked::Draining => drain::tell(admin),
            Asked::Statistics => api::statistics(admin),
            Asked::Backends => backends::list(admin),
            Asked::Descriptors => descriptors::list(admin),
            Asked::Sessions => sessions::list(admin, request.uri().query()).await,
            Asked::Revoke => sessions::revoke(admin, request).await,
            Asked::Push => sessions::push(admin, request).await,
            Asked::Notify => notify::send(admin, request).await,
            Asked::Template => templates::define(admin, request).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(pattern: &'static str, path: &'static str) -> Option<Vec<&'static str>> {
        get(pattern, Asked::Alive, "").parts(path).map(|parts| parts.to_vec())
    }

    #[test]
    fn a_path_is_known_from_end_to_end_or_not_at_all() {
        assert_eq!(parts("/api/v1/a", "/api/v1/a"), Some(vec![]));
        assert_eq!(parts("/api/v1/a/{id}", "/api/v1/a/7"), Some(vec!["7"]));
        assert_eq!(parts("/a/{id}/close", "/a/x%2fy/close"), Some(vec!["x%2fy"]));
        for path in ["/api/v1/a", "/api/v1/a/", "/api/v1/a/7/", "/api/v1/a/7/8", "api/v1/a/7", ""] {
            assert_eq!(parts("/api/v1/a/{id}", path), None, "{path}");
        }
    }
}
