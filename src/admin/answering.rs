//! From a request at the operator's door to whoever answers it: the token, the path, the method, the query, and the line that a change
//! leaves.
//!
//! Promises: who has not shown the token learns nothing but that; a wrong path or method is answered, and told what would be.

use std::sync::Arc;

use http::{HeaderName, HeaderValue, Request, StatusCode, header};
use hyper::body::Incoming;
use smallvec::SmallVec;
use tracing::warn;

use super::audit::Audit;
use super::endpoints::{Access, Asked, ENDPOINTS, Endpoint, Parts, Verb};
use super::life::Life;
use super::query::Query;
use super::{
    Admin, CONNECTION_LIFE, Reply, backends, connections, dashboard, descriptors, drain, error, errors, health, is_json, is_operator, kick,
    limits, log, messages, metrics, notify, openapi, pushes, reloads, routes, sessions, statistics, tap, templates, topics,
};
use crate::accept::{Peer, Seat};

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
        return with(error(StatusCode::UNAUTHORIZED, what), header::WWW_AUTHENTICATE, "Bearer");
    }
    if is_operator(&admin.token, &request) {
        request.extensions().get::<Life>().inspect(|life| life.last(CONNECTION_LIFE));
        request.extensions().get::<Arc<Seat>>().inspect(|seat| seat.keep());
    }
    if known.is_empty() {
        let known: Vec<&str> = ENDPOINTS.iter().map(|endpoint| endpoint.path).collect();
        return error(StatusCode::NOT_FOUND, &format!("there is {}", known.join(", ")));
    }
    let Some((endpoint, parts)) = known.iter().find(|(endpoint, _)| endpoint.is_asked_by(request.method())) else {
        let methods: Vec<&str> = known.iter().map(|(endpoint, _)| endpoint.verb.name()).collect();
        let refusal = error(StatusCode::METHOD_NOT_ALLOWED, &format!("only {} is answered here", methods.join(" and ")));
        let allowed: Vec<&str> = known.iter().map(|(endpoint, _)| endpoint.verb.methods()).collect();
        return with(refusal, header::ALLOW, &allowed.join(", "));
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

/// The same answer, with a header of ours.
fn with(mut reply: Reply, name: HeaderName, value: &str) -> Reply {
    reply.headers_mut().insert(name, HeaderValue::from_str(value).expect("the names of methods and schemes are visible ASCII"));
    reply
}

fn peer_of(request: &Request<Incoming>) -> &Peer {
    request.extensions().get().expect("whoever accepts a connection says where it comes from")
}

// === impl Asked ===

impl Asked {
    async fn answer(self, admin: &Arc<Admin>, request: Request<Incoming>, parts: &[String], query: &Query, audit: &Audit) -> Reply {
        match self {
            Asked::Alive => health::alive(),
            Asked::Ready => health::ready(admin.ready.is_set()),
            Asked::Reload => reloads::reload(admin, request, audit).await,
            Asked::Reloads => reloads::list(admin),
            Asked::Check => reloads::look(admin, request).await,
            Asked::Diff => reloads::diff(admin).await,
            Asked::Statistics => statistics::show(admin),
            Asked::Routes => routes::list(admin, query),
            Asked::Route => routes::one(admin, &parts[0]),
            Asked::Pushes => pushes::list(admin, query),
            Asked::Limits => limits::list(admin, query),
            Asked::Metrics => metrics::scrape(admin, &request).await,
            Asked::Drain => drain::begin(admin, request).await,
            Asked::Draining => drain::tell(admin),
            Asked::Backends => backends::list(admin, query),
            Asked::Message => messages::show(admin, &parts[0]),
            Asked::Edge => messages::edge(admin),
            Asked::Errors => errors::list(admin),
            Asked::Descriptors => descriptors::list(admin, query),
            Asked::Connections => connections::list(admin, query).await,
            Asked::Connection => connections::one(admin, &parts[0]).await,
            Asked::Close => connections::close(admin, request, &parts[0], audit).await,
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
