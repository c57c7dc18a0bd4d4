//! `POST /api/v1/kick`: ends sessions on all nodes, and leaves the tokens good that they were made with.
//!
//! Their clients are told not to come back by themselves (4501); a person may log in again, or show the same token. To believe a token no
//! longer there is `revoke`.

use http::{Request, StatusCode};
use hyper::body::Incoming;
use serde::Deserialize;
use serde_json::json;

use super::audit::Audit;
use super::body::{self, names_somebody};
use super::sessions::{failed, sessions};
use super::{Admin, Reply, error, reply};
use crate::session::PATIENCE;
use crate::session::revocation::Revocation;

/// Whose sessions, or which one: exactly one of them.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Kick {
    user: Option<String>,
    session: Option<String>,
}

/// `POST /api/v1/kick` with `{"user": …}` or `{"session": …}`.
pub async fn kick(admin: &Admin, request: Request<Incoming>, audit: &Audit) -> Reply {
    let asked: Kick = match body::read(request).await {
        Ok(asked) => asked,
        Err(refusal) => return *refusal,
    };
    let (kind, name) = match (asked.user, asked.session) {
        (Some(user), None) => ("user", user),
        (None, Some(session)) => ("session", session),
        _ => return error(StatusCode::BAD_REQUEST, "say exactly one of `user` and `session`"),
    };
    if let Err(refusal) = names_somebody(kind, &name) {
        return *refusal;
    }
    audit.what(format!("{kind} {name}"));
    let (which, sessions) = (name.clone(), sessions(admin));
    let kicked = sessions.ask(PATIENCE, |sessions| async move {
        if kind == "user" {
            return sessions.kick(&which, None).await;
        }
        // Of whom it is nobody needs to know, nor whether there is one: there will be none.
        sessions.revoke(&Revocation::Session(which.clone())).await.map(|()| vec![which])
    });
    match kicked.await {
        Ok(ended) => reply(StatusCode::OK, &json!({ "kicked": { kind: name }, "sessions": ended })),
        Err(failure) => failed(&failure),
    }
}
