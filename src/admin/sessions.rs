//! What an operator does about sessions: sees those of a user, ends them, sends them a message. On whichever node they are.
//!
//! Promises: what is asked for is read strictly, because a misspelt revocation that revokes nothing is worse than none; nothing that is
//! secret is shown; every answer comes within [`PATIENCE`].

use bytes::Bytes;
use http::{Request, StatusCode};
use hyper::body::Incoming;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::audit::Audit;
use super::body::{self, names_somebody};
use super::query::Query;
use super::{Admin, Reply, error, reply};
use crate::failure::{Code, Failure};
use crate::proto;
use crate::session::revocation::Revocation;
use crate::session::roster::Record;
use crate::session::{PATIENCE, Sessions};

/// What is to be believed no longer: exactly one of them.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Revoke {
    session: Option<String>,
    user: Option<String>,
    token: Option<String>,
}

/// A message for the sessions of a user, or for one of them.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Push<'a> {
    user: String,
    session: Option<String>,
    protocol: u32,
    #[serde(borrow)]
    payload: &'a RawValue,
}

/// `POST /api/v1/revoke` with `{"session": …}`, `{"user": …}` or `{"token": …}`.
pub async fn revoke(admin: &Admin, request: Request<Incoming>, audit: &Audit) -> Reply {
    let asked: Revoke = match body::read(request).await {
        Ok(asked) => asked,
        Err(refusal) => return *refusal,
    };
    let (kind, name) = match (asked.session, asked.user, asked.token) {
        (Some(session), None, None) => ("session", session),
        (None, Some(user), None) => ("user", user),
        (None, None, Some(token)) => ("token", token),
        _ => return error(StatusCode::BAD_REQUEST, "say exactly one of `session`, `user` and `token`"),
    };
    if let Err(refusal) = names_somebody(kind, &name) {
        return *refusal;
    }
    audit.what(format!("{kind} {name}"));
    let (which, sessions) = (name.clone(), sessions(admin));
    let revoked = sessions.ask(PATIENCE, |sessions| async move {
        let revocation = match kind {
            "session" => Revocation::Session(which),
            "user" => sessions.all_tokens_of(&which),
            _ => Revocation::Token(which),
        };
        sessions.revoke(&revocation).await
    });
    match revoked.await {
        Ok(()) => reply(StatusCode::OK, &json!({ "revoked": { kind: name } })),
        Err(failure) => failed(&failure),
    }
}

/// `GET /api/v1/sessions?user=…`: those of one user, oldest first.
pub async fn list(admin: &Admin, query: &Query) -> Reply {
    let Some(user) = query.text("user").map(str::to_owned) else {
        return error(StatusCode::BAD_REQUEST, "say whose: `?user=…`, with `%` and two digits for what a URL cannot hold");
    };
    if let Err(refusal) = names_somebody("user", &user) {
        return *refusal;
    }
    let found = sessions(admin).ask(PATIENCE, |sessions| async move { sessions.list(&user).await }).await;
    match found {
        Ok(records) => reply(StatusCode::OK, &json!({ "sessions": records.iter().map(shown).collect::<Vec<_>>() })),
        Err(failure) => failed(&failure),
    }
}

/// `GET /api/v1/sessions/{id}`, and `?user=…` for one that may be on another node: rosters are kept by user.
pub async fn one(admin: &Admin, id: &str, query: &Query) -> Reply {
    let (sessions, id) = (sessions(admin), id.to_owned());
    let user = query.text("user").map(str::to_owned).or_else(|| sessions.get(&id).map(|session| session.user.to_string()));
    let Some(user) = user else { return no_session() };
    if let Err(refusal) = names_somebody("user", &user) {
        return *refusal;
    }
    let whose = user.clone();
    match sessions.ask(PATIENCE, |sessions| async move { sessions.list(&whose).await }).await {
        Ok(records) => match records.iter().find(|record| record.id == id) {
            Some(record) => {
                let mut shown = shown(record);
                shown["user"] = user.into();
                let topics = admin.reloader.reader().load().hub.heard_by(&id);
                shown["heard"] = topics.iter().map(|name| &**name).collect();
                reply(StatusCode::OK, &shown)
            }
            None => no_session(),
        },
        Err(failure) => failed(&failure),
    }
}

fn no_session() -> Reply {
    error(StatusCode::NOT_FOUND, "there is no such session on this node; say whose with `?user=…` to find it on all nodes")
}

/// `POST /api/v1/push` with `{"user": …, "protocol": 2101, "payload": {…}}`, and `"session": …` for one of them alone.
pub async fn push(admin: &Admin, request: Request<Incoming>, audit: &Audit) -> Reply {
    let body = match body::whole(request).await {
        Ok(body) => body,
        Err(refusal) => return *refusal,
    };
    let asked: Push<'_> = match body::parse(&body) {
        Ok(asked) => asked,
        Err(refusal) => return *refusal,
    };
    let session = asked.session.as_deref();
    let named = names_somebody("user", &asked.user).and_then(|()| session.map_or(Ok(()), |session| names_somebody("session", session)));
    if let Err(refusal) = named {
        return *refusal;
    }
    audit.what(format!("push {} to user {}", asked.protocol, asked.user));
    let table = admin.reloader.reader().load();
    let Some(declared) = table.push(asked.protocol) else {
        let what = format!("no push {} is declared: write it under `pushes:` in a file of routes", asked.protocol);
        return error(StatusCode::NOT_FOUND, &what);
    };
    let mut payload = Vec::new();
    if let Err(problem) = proto::from_json(&declared.message, asked.payload.get(), &mut payload) {
        let what = format!("the payload is no valid `{}`: {problem}", declared.message.name());
        return error(StatusCode::UNPROCESSABLE_ENTITY, &what);
    }
    let (user, session, declared) = (asked.user, asked.session, declared.clone());
    let reached = table
        .sessions
        .ask(PATIENCE, |sessions| async move { declared.send(&sessions, &user, session.as_deref(), Bytes::from(payload)).await });
    match reached.await {
        Ok(reached) => reply(StatusCode::OK, &json!({ "reached": reached.len() })),
        Err(failure) => failed(&failure),
    }
}

pub(super) fn sessions(admin: &Admin) -> Sessions {
    admin.reloader.reader().load().sessions.clone()
}

/// A session as an operator sees it. What resumes it is not among that.
fn shown(record: &Record) -> Value {
    let mut shown = json!({
        "session": record.id,
        "node": record.node,
        "state": if record.detached_until_ms.is_some() { "detached" } else { "attached" },
        "expires_ms": record.expires_ms,
        "roles": record.roles,
    });
    if let Some(until) = record.detached_until_ms {
        shown["detached_until_ms"] = until.into();
    }
    if let Some(token) = &record.token_id {
        shown["token"] = token.as_str().into();
    }
    if record.issued_ms > 0 {
        shown["issued_ms"] = record.issued_ms.into();
    }
    shown
}

pub(super) fn failed(failure: &Failure) -> Reply {
    let status = match failure.code() {
        Code::Unavailable | Code::ResourceExhausted => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    };
    error(status, failure.message())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_resumes_a_session_is_not_shown() {
        let record = Record {
            api_key: None,
            id: "s".into(),
            generation: 1,
            node: "n".into(),
            detached_until_ms: Some(5),
            expires_ms: 7,
            resume: "the hash".into(),
            roles: vec!["player".into()],
            token_id: None,
            issued_ms: 0,
        };
        let expected =
            json!({ "session": "s", "node": "n", "state": "detached", "detached_until_ms": 5, "expires_ms": 7, "roles": ["player"] });
        assert_eq!(shown(&record), expected);
    }
}
