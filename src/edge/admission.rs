//! Who a client is, while that is being found out: a token is verified and a session made in the back room, and until then nothing more is
//! read from the client.
//!
//! Whatever the way in (a token in the handshake, Authenticate, RefreshToken, Resume), it goes through here. Promise: one at a time, each
//! with one end, within [`PATIENCE`].

use std::collections::HashMap;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use crate::clock::Clock;
use crate::failure::{Failure, Reason, Result};
use crate::pipeline::Identity;
use crate::pipeline::cause::Cause;
use crate::push::{Position, Resumption};
use crate::session::secret::ResumeToken;
use crate::session::{Admitted, Held, PATIENCE};
use crate::table::Table;
use crate::wire::number;

/// One admission under way.
pub struct Admission {
    pub way: Way,
    /// The id of the request that it answers.
    pub id: u32,
    waiting: BoxFuture<'static, Result<(Admitted, Resumption)>>,
}

/// What a client comes back to.
pub struct Back {
    /// Nothing: it showed none that could be read.
    pub token: Option<ResumeToken>,
    pub last_seq: u32,
    /// How far it heard its topics.
    pub topics: HashMap<String, Position>,
}

/// How a client asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Way {
    /// By a token in the handshake; there is no request to answer.
    Handshake,
    Authenticate,
    Refresh,
    Resume,
}

// === impl Way ===

impl Way {
    /// The number of the request that is answered, if there is one.
    pub fn request(self) -> Option<u32> {
        match self {
            Way::Handshake => None,
            Way::Authenticate => Some(number::AUTHENTICATE),
            Way::Refresh => Some(number::REFRESH_TOKEN),
            Way::Resume => Some(number::RESUME),
        }
    }
}

// === impl Admission ===

impl Admission {
    /// By a token. On a connection that is in a session of the same user, that session is refreshed in place; one of another user gets a
    /// session of its own, unless the client asked for nothing but a refresh.
    pub fn by_token(way: Way, id: u32, token: String, held: Option<Held>, table: &Arc<Table>) -> Admission {
        let (table, sessions) = (Arc::clone(table), table.sessions.clone());
        let waiting = async move {
            sessions
                .ask(PATIENCE, |sessions| async move {
                    let identity = verify(&table, &token).await?;
                    let another = held.as_ref().is_some_and(|held| held.session.user != identity.user);
                    if another && way == Way::Refresh {
                        return Err(another_users(&table));
                    }
                    let admitted = table.verifier.counted(sessions.admit(held, identity).await)?;
                    Ok((admitted, Resumption::default()))
                })
                .await
        };
        Admission { way, id, waiting: waiting.boxed() }
    }

    /// By a resume token, with a fresh token if the client has one. If the session is not to be had any more, the fresh token makes a new
    /// one, of which the client is told that nothing was recovered.
    pub fn by_resumption(id: u32, back: Back, fresh: String, table: &Arc<Table>) -> Admission {
        let (table, sessions) = (Arc::clone(table), table.sessions.clone());
        let waiting = async move {
            sessions
                .ask(PATIENCE, |sessions| async move {
                    let fresh = match fresh.is_empty() {
                        true => None,
                        false => Some(verify(&table, &fresh).await?),
                    };
                    let resumed = match &back.token {
                        Some(token) => sessions.resume(token, fresh.clone(), back.last_seq).await,
                        None => Err(Failure::gateway(Reason::ResumeFailed, "this is no resume token of Ready; authenticate instead")),
                    };
                    let is_resumed = resumed.is_ok();
                    let granted = match (resumed, fresh) {
                        (Err(failure), Some(identity)) if failure.is(Reason::ResumeFailed) => sessions.bind_anew(identity).await,
                        (resumed, _) => resumed,
                    };
                    if granted.as_ref().is_ok_and(|grant| !table.verifier.still_lists(grant.identity())) {
                        return Err(table.verifier.refuse(Cause::UnknownApiKey, "the API key of the session is listed no longer"));
                    }
                    let grant = table.verifier.counted(granted)?;
                    let topics = match is_resumed {
                        true => table.hub.resume(grant.session(), back.topics).await?,
                        // A new session hears nothing.
                        false => Resumption { prepared: Vec::new(), lost: back.topics.into_keys().collect() },
                    };
                    Ok((Admitted::Granted(grant), topics))
                })
                .await
        };
        Admission { way: Way::Resume, id, waiting: waiting.boxed() }
    }

    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(Admitted, Resumption)>> {
        self.waiting.poll_unpin(cx)
    }
}

async fn verify(table: &Table, token: &str) -> Result<Identity> {
    table.verifier.verify_patiently(token, || Clock::system().now()).await
}

fn another_users(table: &Table) -> Failure {
    table.verifier.refusals().count(Cause::WrongUser);
    Failure::gateway(Reason::InvalidToken, "the token is another user's; open a connection of its own for it")
}
