//! **The data path**: one call in, exactly one answer out.
//!
//! [`admit`] does all that needs no waiting, in this order: find the route, ask whether the caller may, turn the payload into checked
//! protobuf bytes, write the gRPC request, spend from the limits. [`Call::run`] waits for the backend and judges its answer.
//! Promises: one table snapshot a call; exactly one [`Answer`] a call, even when something panics; a refusal costs no backend anything.
//!
//! A streaming method's call is opened by [`open`] instead, and says what it has to say one [`Said`] after the other.
//!
//! - `request`: what the backend is sent
//! - `guard`: who else is asked whether it may
//! - `effect`: what a success changes here
//! - `reply`: what the client is sent
//! - `opening`, `stream`: messages both ways
//! - `inlet`, `mailbox`: the client's end of them, and what it shares with the stream
//! - `ended`: everybody who observes calls is told of their end

mod effect;
mod ended;
pub mod guard;
mod inlet;
mod mailbox;
mod opening;
mod reply;
mod request;
mod stream;

use std::any::Any;
use std::future::Future;
use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use tokio::time::Instant;

pub use self::effect::{Change, Effect};
pub use self::inlet::{Heard, Inlet};
pub use self::opening::{Terms, open};
pub use self::reply::Reply;
pub use self::stream::{Ending, Said, Stream};

use self::ended::{Record, Traced};
use self::request::Checked;

use crate::backend;
use crate::failure::{Failure, Reason, Result};
use crate::id::{CallId, Protocol, WorkerId};
use crate::pipeline::call::Caller;
use crate::pipeline::identity::Identity;
use crate::session::{Held, Leaving};
use crate::table::plan::{EffectKind, EffectPlan};
use crate::table::{Access, Route, Table};
use crate::wire::{Codec, Envelope, Status};

/// A call that was admitted and waits to be run.
pub struct Call {
    codec: Codec,
    request: backend::Request,
    worker: WorkerId,
    /// What the route's guards are asked, if it has any.
    question: Option<Box<guard::v1::CheckRequest>>,
    /// What a success needs that changes something here; most routes change nothing.
    after: Option<Box<After>>,
    record: Record,
}

/// The table that the call was admitted by, and the session that the caller was in.
struct After {
    table: Arc<Table>,
    held: Option<Held>,
    /// The caller is about to leave it, and should hear the answer to that.
    leaving: Option<Leaving>,
    identity: Option<Arc<Identity>>,
    peer: IpAddr,
    /// The request as it was sent, where the effect needs it.
    request: Option<Bytes>,
}

/// The one end of a call.
pub struct Answer {
    pub protocol: Protocol,
    pub id: CallId,
    /// The reply, or what went wrong in the words of the wire.
    pub result: std::result::Result<Reply, Status>,
    /// Nothing is sent: the route answers failures only, and this is none.
    pub silent: bool,
    /// What the success changes here, to be committed before the reply is said.
    pub effect: Option<Effect>,
}

/// Decides whether a call may happen, and prepares it. Does no I/O and awaits nothing.
pub fn admit(table: &Arc<Table>, caller: &mut Caller, codec: Codec, envelope: &Envelope<'_>, now: Instant) -> Result<Call> {
    let admitted = caught(|| prepare(table, caller, codec, envelope, now));
    admitted.inspect_err(|failure| ended::refused(table, caller, envelope, failure, now))
}

fn prepare(table: &Arc<Table>, caller: &mut Caller, codec: Codec, envelope: &Envelope<'_>, now: Instant) -> Result<Call> {
    let route = find(table, envelope)?;
    if envelope.more {
        return Err(Failure::gateway(Reason::InvalidMessage, "this route takes one message; send it with `more` unset"));
    }
    permit(table, route, caller)?;
    let metadata = request::metadata(route, caller, envelope)?;
    let mut checked = request::checked(route, caller, codec, envelope, now)?;

    let patience = match envelope.deadline_ms {
        0 => route.timeout,
        asked => route.timeout.min(Duration::from_millis(asked.into())),
    };
    let record = Record::begin(table, route, caller, envelope, &mut checked, now);
    let Checked { choice, body, .. } = checked;
    let question = guard::question(route, caller, envelope, &body);
    let path = route.method.path.clone();
    let headers = Arc::clone(&route.headers);
    let deadline = now + patience;
    let (hurried, retry) = (patience < route.timeout, request::retry(route, envelope));
    let reply_bytes_max = route.reply_bytes_max;
    let trace = record.traced.as_deref().and_then(Traced::told);
    let request = backend::Request { path, headers, metadata, trace, choice, body, deadline, hurried, retry, reply_bytes_max };
    let after = route.effect.as_ref().map(|effect| {
        let request = effect.request_walk.as_ref().map(|_| request.body.slice(request::FRAME..));
        Box::new(After::new(table, effect, caller, request))
    });
    Ok(Call { codec, request, worker: caller.worker, question, after, record })
}

fn find<'t>(table: &'t Table, envelope: &Envelope<'_>) -> Result<&'t Arc<Route>> {
    table.route(envelope.protocol).ok_or_else(|| {
        let number = envelope.protocol;
        Failure::gateway(
            Reason::UnknownProtocol,
            format!("protocol {number} is not routed; check the number, or ask the operator to add a route"),
        )
    })
}

fn permit(table: &Table, route: &Route, caller: &mut Caller) -> Result<()> {
    if route.access == Access::Authenticated && caller.identity().is_none() {
        return Err(Failure::gateway(Reason::Unauthenticated, "this route needs a token; send Authenticate (protocol 2) first"));
    }
    if route.permissions.is_empty() {
        return Ok(());
    }
    let grants = caller.grants(table.generation, &table.permissions);
    match route.permissions.iter().find(|(bit, _)| !grants.permits(*bit)) {
        None => Ok(()),
        Some((_, name)) => {
            let message = format!("`{}` needs the permission `{name}`; none of your roles grants it", route.name);
            Err(Failure::gateway(Reason::PermissionDenied, message))
        }
    }
}

/// Does part of a call so that a panic in it is an INTERNAL answer to this call, and nothing to anybody else.
fn caught<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| Err(broken(&*panic)))
}

/// The same for what waits.
async fn contained<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    AssertUnwindSafe(work).catch_unwind().await.unwrap_or_else(|panic| Err(broken(&*panic)))
}

fn broken(panic: &(dyn Any + Send)) -> Failure {
    let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    Failure::gateway(Reason::Internal, "the gateway failed while it handled this call").because(text.unwrap_or("panic"))
}

// === impl Call ===

impl Call {
    pub fn id(&self) -> CallId {
        self.record.id
    }

    /// The same, with all of its time from `begun` on: for whoever admits calls at moments of a clock of its own, and runs them now.
    #[must_use]
    pub fn begun(mut self, begun: Instant) -> Call {
        self.request.deadline = begun + self.request.deadline.saturating_duration_since(self.record.began);
        self
    }

    /// Waits for the backend. Never fails and never panics: whatever happens is an answer. Dropping it cancels the call.
    pub async fn run(self) -> Answer {
        let Call { codec, mut request, worker, question, after, mut record } = self;
        let (route, id) = (Arc::clone(&record.route), record.id);
        let mut effect = None;
        let deadline = request.deadline;
        let result = contained(async {
            if let Some(question) = question {
                // In a box, so that a call without guards is no larger for those that have some.
                Box::pin(guard::pass(&route, worker, question, deadline, &mut request.metadata, record.traced.as_deref_mut())).await?;
            }
            let answer = record.backend.call_noting(worker, request, &mut record.journey).await;
            let answer = answer.map_err(|failure| reply::presentable(&route, failure))?;
            // Asked at the beginning as well: who watches only now has seen no request.
            if record.sent.is_some() {
                record.answered = Some(answer.message.clone());
            }
            if let Some(after) = after {
                effect = effect::prepare(*after, &route, &answer.message, deadline).await?;
            }
            reply::encode(&route, codec, answer.message)
        })
        .await;
        let told = caught(|| {
            record.tell(result.as_ref().map(Reply::len));
            Ok(result.map_err(|failure| reply::status(&route, codec, &failure)))
        });
        let result = told.unwrap_or_else(|failure| Err(Status::from(&failure)));
        Answer { protocol: route.number, id, silent: !route.answers_success && result.is_ok(), effect, result }
    }
}

// === impl Answer ===

impl Answer {
    /// A request of the gateway's own that is answered by what it changes.
    pub fn by_effect(protocol: Protocol, id: CallId, effect: Effect) -> Answer {
        let effect = Some(Effect { asked: Some(id), ..effect });
        Answer { protocol, id, result: Ok(Reply::Proto(Bytes::new())), silent: true, effect }
    }

    /// A request of the gateway's own that did not succeed.
    pub fn refusal(protocol: Protocol, id: CallId, failure: &Failure) -> Answer {
        Answer { protocol, id, result: Err(Status::from(failure)), silent: false, effect: None }
    }
}

// === impl After ===

impl After {
    fn new(table: &Arc<Table>, effect: &EffectPlan, caller: &Caller, request: Option<Bytes>) -> After {
        let held = caller.held();
        let leaving = held.clone().filter(|_| matches!(effect.session, Some(EffectKind::Unbind))).map(|held| table.sessions.leaving(held));
        After { table: Arc::clone(table), held, leaving, identity: caller.identity().cloned(), peer: caller.peer, request }
    }
}

#[cfg(test)]
mod tests;
