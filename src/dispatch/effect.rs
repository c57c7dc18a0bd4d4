//! What a successful call changes here: whose the connection is from now on.
//!
//! Prepared while the call still can fail: sessions are made, or ended, in the store, within the call's deadline. Committed by whoever says
//! the reply, in one step before it: a client that sees the reply to its login is logged in.

use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use super::After;
use crate::clock::{Clock, to_millis};
use crate::failure::{Failure, Reason, Result};
use crate::pipeline::Identity;
use crate::pipeline::identity::{ROLES_MAX, is_user};
use crate::proto::{Value, Values};
use crate::session::{Admitted, Held};
use crate::table::Route;
use crate::table::plan::{Bind, EffectKind};

/// What is to be committed.
pub enum Effect {
    /// The connection enters a session, or has a later identity in its own.
    Enter(Admitted),
    /// The connection has left this session.
    Leave(Held),
}

/// Prepares what the route says about a success with this reply. Nothing: the route says nothing, or not about this reply.
pub(super) async fn prepare(after: After, route: &Route, reply: &[u8], deadline: Instant) -> Result<Option<Effect>> {
    let After { table, held, leaving } = after;
    let Some(plan) = &route.effect else { return Ok(None) };
    let mut values = Values::default();
    plan.walk.run(reply, &mut values).map_err(|problem| failed(format!("the reply is not of its type: {problem}")))?;
    if !plan.when.iter().all(|(index, expectation)| expectation.holds(values.get(*index))) {
        return Ok(None);
    }
    let patience = deadline.saturating_duration_since(Instant::now());
    match &plan.kind {
        EffectKind::Unbind => {
            let Some(leaving) = leaving else { return Ok(None) };
            let left = table.sessions.ask(patience, |sessions| async move { sessions.leave(leaving).await });
            Ok(Some(Effect::Leave(left.await.map_err(explained)?)))
        }
        EffectKind::Bind(bind) => {
            let claim = Claim::read(bind, &values, reply)?;
            let sessions = table.sessions.clone();
            let admitted = sessions.ask(patience, |sessions| async move {
                let identity = match claim {
                    Claim::Token(token) => table.verifier.verify_patiently(&token, || Clock::system().now()).await?,
                    Claim::Identity(identity) => *identity,
                };
                table.verifier.counted(sessions.admit(held, identity).await)
            });
            Ok(Some(Effect::Enter(admitted.await.map_err(explained)?)))
        }
    }
}

/// Who a reply says that the client is.
enum Claim {
    Token(String),
    Identity(Box<Identity>),
}

// === impl Claim ===

impl Claim {
    fn read(bind: &Bind, values: &Values<'_>, reply: &[u8]) -> Result<Claim> {
        let text = |index: usize, what: &str| match values.get(index) {
            Value::Str(text) if !text.is_empty() => Ok(text.to_owned()),
            Value::Int(number) => Ok(number.to_string()),
            Value::Uint(number) => Ok(number.to_string()),
            _ => Err(failed(format!("the reply holds no {what}"))),
        };
        match bind {
            Bind::Token { token } => Ok(Claim::Token(text(*token, "token")?)),
            Bind::Fields { user, roles, ttl } => {
                let user = text(*user, "user")?;
                if !is_user(&user) {
                    return Err(failed("the reply's user is longer than 256 bytes or has control characters"));
                }
                let roles = match roles {
                    None => Vec::new(),
                    Some(roles) => roles.read(reply, ROLES_MAX).ok_or_else(|| failed("the reply lists more than 64 roles"))?,
                };
                Ok(Claim::Identity(Box::new(identity(&user, &roles, *ttl))))
            }
        }
    }
}

/// The identity that a service vouches for without a token.
fn identity(user: &str, roles: &[&str], ttl: Duration) -> Identity {
    let now = SystemTime::now();
    Identity {
        user: user.into(),
        roles: roles.iter().map(|role| (*role).into()).collect(),
        token_id: None,
        issued_ms: to_millis(now),
        expires: now + ttl,
        token: None,
        api_key: None,
    }
}

/// What is told to a client whose call succeeded there and not here. That it has as many sessions as it may is its own affair.
fn explained(failure: Failure) -> Failure {
    if failure.is(Reason::SessionLimit) {
        return failure;
    }
    failed(failure.cause().unwrap_or_else(|| failure.message()))
}

fn failed(cause: impl std::fmt::Display) -> Failure {
    let message = "the call succeeded, but what should follow from it here did not; try again";
    Failure::gateway(Reason::EffectFailed, message).retry_after(Duration::from_secs(1)).because(cause)
}
