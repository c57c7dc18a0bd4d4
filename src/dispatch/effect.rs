//! What a successful call changes here: whose the connection is from now on, which topics its session hears, what others are sent.
//!
//! Prepared while the call still can fail: sessions are made, or ended, and topics written down, in the store, within the call's deadline.
//! Committed by whoever says the reply, in one step before it: a client that sees the reply to its login is logged in, and one that sees the
//! reply to its joining a room misses nothing of it.

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use tokio::time::Instant;

use super::After;
use crate::clock::{Clock, to_millis};
use crate::failure::{Failure, Reason, Result};
use crate::id::CallId;
use crate::pipeline::Identity;
use crate::pipeline::identity::{ROLES_MAX, is_user};
use crate::proto::{Value, Values};
use crate::push::Prepared;
use crate::session::{Admitted, Held, Session};
use crate::table::Route;
use crate::table::plan::{Bind, EffectKind, PublishPlan, SessionValue, Taken, TopicName, TopicPart};
use crate::topic;

/// What is to be committed, in this order; what is published goes out behind the reply.
#[derive(Default)]
pub struct Effect {
    pub session: Option<Change>,
    /// Topics that the session hears no more.
    pub unsubscribe: Vec<String>,
    pub subscribe: Vec<Prepared>,
    /// The client asked for nothing but this, and is answered by it.
    pub asked: Option<CallId>,
    /// Topic, number and message.
    pub publish: Vec<(String, u32, Bytes)>,
}

/// Whose the connection is from now on.
pub enum Change {
    /// It enters a session, or has a later identity in its own.
    Enter(Admitted),
    /// It has left this session.
    Leave(Held),
}

/// What an effect needs to know of a call.
struct Facts<'a, 'm> {
    reply: &'a Bytes,
    values: &'a Values<'m>,
    request: Option<(&'a Bytes, &'a Values<'m>)>,
    identity: Option<&'a Identity>,
    session: Option<&'a Session>,
    peer: IpAddr,
}

/// Prepares what the route says about a success with this reply. Nothing: the route says nothing, or not about this reply.
pub(super) async fn prepare(after: After, route: &Route, reply: &Bytes, deadline: Instant) -> Result<Option<Effect>> {
    let After { table, held, leaving, identity, peer, request } = after;
    let Some(plan) = &route.effect else { return Ok(None) };
    let mut values = Values::default();
    plan.walk.run(reply, &mut values).map_err(|problem| failed(format!("the reply is not of its type: {problem}")))?;
    if !plan.when.iter().all(|(index, expectation)| expectation.holds(values.get(*index))) {
        return Ok(None);
    }
    let mut effect = Effect::default();
    let patience = || deadline.saturating_duration_since(Instant::now());
    let claim = match &plan.session {
        Some(EffectKind::Bind(bind)) => Some(Claim::read(bind, &values, reply)?),
        Some(EffectKind::Unbind) | None => None,
    };
    if let Some(claim) = claim {
        let (table, held) = (Arc::clone(&table), held.clone());
        let sessions = table.sessions.clone();
        let admitted = sessions.ask(patience(), |sessions| async move {
            let identity = match claim {
                Claim::Token(token) => table.verifier.verify_patiently(&token, || Clock::system().now()).await?,
                Claim::Identity(identity) => *identity,
            };
            table.verifier.counted(sessions.admit(held, identity).await)
        });
        effect.session = Some(Change::Enter(admitted.await.map_err(explained)?));
    }
    let (identity, session) = match &effect.session {
        Some(Change::Enter(Admitted::Granted(grant))) => (Some(Arc::clone(grant.identity())), Some(Arc::clone(grant.session()))),
        Some(Change::Enter(Admitted::Refreshed(identity))) => (Some(Arc::clone(identity)), held.map(|held| held.session)),
        Some(Change::Leave(_)) | None => (identity, held.map(|held| held.session)),
    };
    let mut asked = Values::default();
    if let (Some(walk), Some(request)) = (&plan.request_walk, &request) {
        walk.run(request, &mut asked).map_err(|problem| failed(format!("the request is not of its type: {problem}")))?;
    }
    let facts = Facts {
        reply,
        values: &values,
        request: request.as_ref().map(|request| (request, &asked)),
        identity: identity.as_deref(),
        session: session.as_deref(),
        peer,
    };
    let unsubscribe = plan.unsubscribe.iter().map(|name| facts.name(name)).collect::<Result<Vec<_>>>()?;
    let subscribe = plan.subscribe.iter().map(|name| facts.name(name)).collect::<Result<Vec<_>>>()?;
    let publish = plan.publish.iter().map(|publish| facts.message(publish)).collect::<Result<Vec<_>>>()?;
    if let Some(leaving) = leaving {
        // Last, because it cannot be taken back.
        let left = table.sessions.ask(patience(), |sessions| async move { sessions.leave(leaving).await });
        effect.session = Some(Change::Leave(left.await.map_err(explained)?));
    } else if !subscribe.is_empty() {
        let session = session.ok_or_else(|| failed("nobody is logged in who could hear a topic"))?;
        let hub = table.hub.clone();
        let prepared = table.sessions.ask(patience(), |_| async move {
            let mut prepared = Vec::new();
            for name in subscribe {
                prepared.push(hub.prepare(&session, &name, None).await?);
            }
            Ok(prepared)
        });
        effect.subscribe = prepared.await.map_err(explained)?;
    }
    (effect.unsubscribe, effect.publish) = (unsubscribe, publish.into_iter().flatten().collect());
    Ok(Some(effect))
}

// === impl Effect ===

impl Effect {
    /// A client asked to hear a topic.
    pub fn subscribe(prepared: Prepared) -> Effect {
        Effect { subscribe: vec![prepared], ..Effect::default() }
    }
}

// === impl Facts ===

impl Facts<'_, '_> {
    /// The name of a topic.
    fn name(&self, TopicName(parts): &TopicName) -> Result<String> {
        let mut name = String::new();
        for part in parts {
            let is_sound = match part {
                TopicPart::Text(text) => {
                    name.push_str(text);
                    true
                }
                TopicPart::Response(index) => push_value(&mut name, self.values.get(*index)),
                TopicPart::Request(index) => self.request.is_some_and(|(_, values)| push_value(&mut name, values.get(*index))),
                TopicPart::Session(value) => self.told(*value).is_some_and(|value| topic::push_value(&mut name, &value)),
            };
            if !is_sound {
                return Err(failed("a value that belongs into the name of a topic is empty, or longer than 64 bytes"));
            }
        }
        if topic::is_name(&name) { Ok(name) } else { Err(failed("the name of a topic would be longer than 256 bytes")) }
    }

    fn told(&self, value: SessionValue) -> Option<Cow<'_, str>> {
        match value {
            SessionValue::User => self.identity.map(|identity| Cow::Borrowed(&*identity.user)),
            SessionValue::Id => self.session.map(|session| Cow::Borrowed(&*session.id)),
            SessionValue::TokenId => self.identity?.token_id.as_deref().map(Cow::Borrowed),
            SessionValue::PeerIp => Some(Cow::Owned(self.peer.to_string())),
        }
    }

    /// What is published. Nothing: the message is not there.
    fn message(&self, plan: &PublishPlan) -> Result<Option<(String, u32, Bytes)>> {
        let (whole, part) = match &plan.source {
            Taken::Response(part) => (self.reply, part),
            Taken::Request(part) => (self.request.map(|(request, _)| request).expect("it is kept where the plan needs it"), part),
        };
        let message = match part {
            None => Some(whole.clone()),
            Some(part) => part.read(whole),
        };
        message.map(|message| Ok((self.name(&plan.topic)?, plan.number, message))).transpose()
    }
}

fn push_value(name: &mut String, value: Value<'_>) -> bool {
    match value {
        Value::Str(text) => topic::push_value(name, text),
        Value::Int(number) => topic::push_value(name, &number.to_string()),
        Value::Uint(number) => topic::push_value(name, &number.to_string()),
        // A number that is 0 is not written.
        _ => false,
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

/// What is told to a client whose call succeeded there and not here. That it has as many sessions or topics as it may is its own affair.
fn explained(failure: Failure) -> Failure {
    if failure.is(Reason::SessionLimit) || failure.is(Reason::TooManyTopics) {
        return failure;
    }
    failed(failure.cause().unwrap_or_else(|| failure.message()))
}

fn failed(cause: impl std::fmt::Display) -> Failure {
    let message = "the call succeeded, but what should follow from it here did not; try again";
    Failure::gateway(Reason::EffectFailed, message).retry_after(Duration::from_secs(1)).because(cause)
}
