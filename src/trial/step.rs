//! Taking a step of a test: a call goes the way of every call, and what comes of it is written down for whoever judges.
//!
//! What a success changes is committed in the order in which a connection commits it (`edge/conversation`): session, topics, then what is
//! published.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use serde_json::Value;
use tokio::time::Instant;

use super::matching::canonical;
use super::meaning::TOKEN;
use super::stage::{Answer, Heard};
use super::suite::{Call, Payload, Says, Target};
use super::world::World;
use crate::config::document::trial::Outcome;
use crate::dispatch::{self, Change, Effect, Reply, Terms};
use crate::failure::{Code, Failure, Reason, Source};
use crate::pipeline::Identity;
use crate::proto::{Kind, from_json};
use crate::session::Admitted;
use crate::table::{Route, Table};
use crate::telemetry::errors::Told;
use crate::wire::{self, Codec, Envelope};

/// How long a token of a reply is good.
const TOKEN_TTL: Duration = Duration::from_secs(3600);

/// What a client waits for a service that never answers.
const LATE: Duration = Duration::from_millis(50);

/// What came of a step.
#[derive(Default)]
pub struct Got {
    /// Nothing: a push.
    pub route: Option<Arc<Route>>,
    pub failure: Option<Said>,
    pub backend: String,
    /// What the route's method was sent, once for each attempt.
    pub asked: Vec<Heard>,
    pub reply: Option<Value>,
    pub bound: Option<(Arc<Identity>, Duration)>,
    pub unbound: bool,
    pub subscribed: BTreeSet<String>,
    pub unsubscribed: BTreeSet<String>,
    /// Topic, number, message.
    pub published: Vec<(String, u32, Bytes)>,
}

/// A failure as the client reads it, and what it was for.
pub struct Said {
    pub outcome: Outcome,
    pub status: wire::Status,
    pub limit: Option<String>,
    /// What clients are not told, and who writes the route has to know.
    pub cause: Option<String>,
}

/// Makes a call.
pub async fn call(world: &mut World, call: &Call) -> Got {
    let table = Arc::clone(&world.table);
    let route = Arc::clone(table.route(call.number).expect("it was looked up in the plan that the table was made of"));
    let path = route.method.path.path().to_owned();
    let mut got = Got { backend: route.backend_for(&world.caller).name().to_string(), route: Some(Arc::clone(&route)), ..Got::default() };
    let answers: Vec<Answer> = call.answers.iter().map(|says| answer(world, &route, says)).collect();
    let is_late = answers.iter().chain(call.guards.iter().map(|(_, answer)| answer)).any(|answer| matches!(answer, Answer::Never));
    world.services.play(call.guards.iter().map(|(path, answer)| (path.clone(), vec![answer.clone()])).chain([(path.clone(), answers)]));

    let payload = match &call.payload {
        Payload::None => wire::Payload::None,
        Payload::Json(text) => wire::Payload::Json(text),
        Payload::Bytes(bytes) => wire::Payload::Proto(bytes),
    };
    let patience = if is_late { Some(LATE) } else { call.deadline };
    let envelope = Envelope {
        protocol: call.number,
        id: 1,
        payload,
        deadline_ms: patience.map_or(0, |patience| u32::try_from(patience.as_millis()).unwrap_or(u32::MAX)),
        metadata: call.metadata.iter().map(|(key, value)| (Cow::Borrowed(key.as_str()), Cow::Borrowed(value.as_str()))).collect(),
        idempotency_key: Cow::Borrowed(&call.idempotency_key),
        ..Envelope::default()
    };
    let now = world.now();
    if route.method.kind != Kind::Unary {
        // Whether it may be opened is all that a test of a stream says.
        let terms = Terms { credit: table.settings.stream_credit, max_age: route.stream.max_age };
        let opened = dispatch::open(&table, &mut world.caller, Codec::Json, &envelope, &terms, now);
        got.failure = opened.err().map(|failure| Said::of(&failure));
        return got;
    }
    match dispatch::admit(&table, &mut world.caller, Codec::Json, &envelope, now) {
        Err(failure) => got.failure = Some(Said::of(&failure)),
        Ok(admitted) => {
            let answer = admitted.begun(Instant::now()).run().await;
            got.asked = world.services.take_heard().into_iter().filter(|heard| heard.path == path).collect();
            match answer.result {
                Ok(Reply::Json(text)) => got.reply = serde_json::from_str(&text).ok(),
                Ok(Reply::Proto(bytes)) => got.reply = canonical(&route.method.output, &bytes),
                Err(status) => got.failure = Some(Said { cause: cause(&table, &status), ..Said::by_status(status) }),
            }
            if let Some(effect) = answer.effect {
                commit(world, effect, &mut got);
            }
        }
    }
    got
}

/// Pushes a message, as a service does.
pub async fn push(world: &mut World, number: u32, to: &Target, message: Bytes) -> Got {
    let hub = world.table.hub.clone();
    let pushed = match to {
        Target::Topic(topic) => hub.publish(topic, number, message).await.map(drop),
        Target::User(user) => hub.push(user, None, number, message).await.map(drop),
    };
    Got { failure: pushed.err().map(|failure| Said::of(&failure)), ..Got::default() }
}

/// What a service answers, tokens made.
fn answer(world: &World, route: &Route, says: &Says) -> Answer {
    match says {
        Says::Ready(answer) => answer.clone(),
        Says::WithToken { json, user, roles } => {
            let token = world.signer.issue_development(user, roles, TOKEN_TTL);
            let mut message = Vec::new();
            from_json(&route.method.output, &json.replace(TOKEN, &token), &mut message)
                .expect("it was read with another text in its place");
            Answer::Reply(message.into())
        }
    }
}

fn commit(world: &mut World, effect: Effect, got: &mut Got) {
    let hub = world.table.hub.clone();
    match effect.session {
        Some(Change::Enter(Admitted::Granted(grant))) => {
            got.bound = Some(bound(grant.identity()));
            world.enter(grant);
        }
        Some(Change::Enter(Admitted::Refreshed(identity))) => {
            got.bound = Some(bound(&identity));
            world.caller.refresh(identity);
        }
        Some(Change::Leave(_)) => {
            got.unbound = true;
            drop(world.caller.leave());
        }
        None => {}
    }
    let session = world.caller.held().map(|held| held.session);
    for topic in effect.unsubscribe {
        if session.as_ref().is_some_and(|session| hub.leave(session, &topic)) {
            got.unsubscribed.insert(topic);
        }
    }
    for prepared in effect.subscribe {
        let topic = prepared.topic().to_owned();
        if prepared.commit(|_| Ok::<(), ()>(())) == Ok(true) {
            got.subscribed.insert(topic);
        }
    }
    for (topic, number, message) in effect.publish {
        got.published.push((topic.clone(), number, message.clone()));
        hub.publish_later(topic, number, message);
    }
}

fn bound(identity: &Arc<Identity>) -> (Arc<Identity>, Duration) {
    (Arc::clone(identity), identity.expires.duration_since(SystemTime::now()).unwrap_or_default())
}

// === impl Said ===

impl Said {
    fn of(failure: &Failure) -> Said {
        Said { limit: failure.limit().map(str::to_owned), cause: failure.cause().map(str::to_owned), ..Said::by_status(failure.into()) }
    }

    fn by_status(status: wire::Status) -> Said {
        Said { outcome: outcome(&status), status, limit: None, cause: None }
    }

    /// What it says, for people.
    pub fn text(&self) -> String {
        let code = Code::from_number(self.status.code).name();
        let cause = self.cause.as_ref().map(|cause| format!(" ({cause})")).unwrap_or_default();
        format!("{code} {}: {}{cause}", self.status.reason, self.status.message)
    }

    /// The fields that break rules, where it says so.
    pub fn violations(&self) -> BTreeSet<String> {
        use prost::Message as _;
        use tonic_types::pb::BadRequest;
        let details = self.status.details.iter().filter(|detail| detail.any.type_url.ends_with("google.rpc.BadRequest"));
        let read = details.filter_map(|detail| BadRequest::decode(&*detail.any.value).ok());
        read.flat_map(|bad| bad.field_violations).map(|violation| violation.field).collect()
    }
}

/// Why a call failed, as the book of errors has it. It holds examples: of the first failure of a kind for certain.
fn cause(table: &Table, status: &wire::Status) -> Option<String> {
    let is_it = |told: &Told| told.source == status.source && told.code.number() == status.code && *told.reason == *status.reason;
    let told = table.observers.errors.told().into_iter().find(is_it).filter(|told| told.count == 1)?;
    told.examples.into_iter().next()?.cause
}

/// The word for a failure. What a service says is a failure of its own, whatever its code.
fn outcome(status: &wire::Status) -> Outcome {
    let is = |reason: Reason| status.source == Source::Gateway && status.reason == reason.parts().1;
    let words = [
        (Reason::PermissionDenied, Outcome::Denied),
        (Reason::GuardDenied, Outcome::Denied),
        (Reason::Unauthenticated, Outcome::Unauthenticated),
        (Reason::RateLimited, Outcome::Limited),
        (Reason::InvalidMessage, Outcome::Invalid),
        (Reason::ValidationFailed, Outcome::Invalid),
        (Reason::TooLarge, Outcome::TooLarge),
    ];
    words.into_iter().find(|(reason, _)| is(*reason)).map_or(Outcome::Failed, |(_, outcome)| outcome)
}
