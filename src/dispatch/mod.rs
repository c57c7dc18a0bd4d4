//! **The data path**: one call in, exactly one answer out.
//!
//! [`admit`] does all that needs no waiting, in this order: find the route, ask whether the caller may, turn the payload into checked
//! protobuf bytes, write the gRPC request, spend from the limits. [`Call::run`] waits for the backend and judges its answer.
//! Promises: one table snapshot a call; exactly one [`Answer`] a call, even when something panics; a refusal costs no backend anything.
//!
//! - `request`: what the backend is sent
//! - `reply`: what the client is sent

mod reply;
mod request;

use std::any::Any;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::time::Instant;

pub use self::reply::Reply;

use crate::backend;
use crate::failure::{Failure, Reason, Result};
use crate::id::{CallId, ConnectionId, Generation, Protocol, WorkerId};
use crate::pipeline::access_log::Entry;
use crate::pipeline::call::Caller;
use crate::pipeline::identity::Identity;
use crate::pipeline::rate_limit::{self, Facts};
use crate::proto::Values;
use crate::table::plan::LogPayload;
use crate::table::{Access, Route, Table};
use crate::wire::{Codec, Envelope, Status};

/// A call that was admitted and waits to be run.
pub struct Call {
    route: Arc<Route>,
    id: CallId,
    codec: Codec,
    request: backend::Request,
    worker: WorkerId,
    log: Logged,
}

/// The one end of a call.
pub struct Answer {
    pub protocol: Protocol,
    pub id: CallId,
    /// The reply, or what went wrong in the words of the wire.
    pub result: std::result::Result<Reply, Status>,
    /// Nothing is sent: the route answers failures only, and this is none.
    pub silent: bool,
}

/// What the access log will say about a call, known from its beginning.
struct Logged {
    generation: Generation,
    connection: ConnectionId,
    identity: Option<Arc<Identity>>,
    began: Instant,
    payload_bytes: usize,
    would_refuse: Vec<Arc<str>>,
}

/// Decides whether a call may happen, and prepares it. Does no I/O and awaits nothing.
pub fn admit(table: &Arc<Table>, caller: &mut Caller, codec: Codec, envelope: &Envelope<'_>, now: Instant) -> Result<Call> {
    prepare(table, caller, codec, envelope, now).inspect_err(|failure| log_refusal(table, caller, envelope, failure, now))
}

fn prepare(table: &Arc<Table>, caller: &mut Caller, codec: Codec, envelope: &Envelope<'_>, now: Instant) -> Result<Call> {
    let route = find(table, envelope)?;
    permit(table, route, caller)?;
    let message = request::message(route, codec, envelope)?;
    let mut values = Values::default();
    route.walk.run(&message, &mut values).map_err(|problem| request::invalid(route, problem))?;
    let metadata = request::metadata(route, caller, envelope)?;
    let body = request::body(route, caller, &message)?;
    // Spent last, so that a call refused for another reason costs the caller nothing.
    let fields = request::key_values(&values);
    let facts = Facts { route: route.number, caller: &*caller, fields: &fields };
    let passed = rate_limit::admit(&route.limits, &facts, now)?;

    let patience = match envelope.deadline_ms {
        0 => route.timeout,
        asked => route.timeout.min(Duration::from_millis(asked.into())),
    };
    let log = Logged {
        generation: table.generation,
        connection: caller.connection,
        identity: caller.identity().cloned(),
        began: now,
        payload_bytes: message.len(),
        would_refuse: passed.would_refuse,
    };
    let path = route.method.path.clone();
    let headers = Arc::clone(&route.headers);
    let request = backend::Request { path, headers, metadata, body, deadline: now + patience, reply_bytes_max: route.reply_bytes_max };
    Ok(Call { id: CallId(envelope.id), codec, request, worker: caller.worker, log, route: Arc::clone(route) })
}

fn find<'t>(table: &'t Table, envelope: &Envelope<'_>) -> Result<&'t Arc<Route>> {
    let route = table.route(envelope.protocol).ok_or_else(|| {
        let number = envelope.protocol;
        Failure::gateway(
            Reason::UnknownProtocol,
            format!("protocol {number} is not routed; check the number, or ask the operator to add a route"),
        )
    })?;
    if envelope.more {
        return Err(Failure::gateway(Reason::InvalidMessage, "this route takes one message; send it with `more` unset"));
    }
    Ok(route)
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

/// Runs part of a call so that a panic in it is an INTERNAL answer to this call, and nothing to anybody else.
async fn contained<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    match AssertUnwindSafe(work).catch_unwind().await {
        Ok(result) => result,
        Err(panic) => Err(Failure::gateway(Reason::Internal, "the gateway failed while it handled this call").because(panic_text(&*panic))),
    }
}

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("panic")
}

fn log_refusal(table: &Table, caller: &Caller, envelope: &Envelope<'_>, failure: &Failure, began: Instant) {
    let route = table.route(envelope.protocol);
    let entry = Entry {
        generation: table.generation,
        connection: caller.connection,
        protocol: envelope.protocol,
        id: envelope.id,
        route: route.map(|route| &*route.name),
        user: caller.identity().map(|identity| &*identity.user),
        outcome: Err(failure),
        duration: began.elapsed(),
        slow: None,
        backend: None,
        endpoint: None,
        bytes_in: envelope.payload.len(),
        bytes_out: 0,
        would_refuse: &[],
        payload: None,
    };
    if entry.is_wanted() {
        entry.write();
    }
}

// === impl Call ===

impl Call {
    pub fn id(&self) -> CallId {
        self.id
    }

    /// Waits for the backend. Never fails and never panics: whatever happens is an answer. Dropping it cancels the call.
    pub async fn run(self) -> Answer {
        let Call { route, id, codec, request, worker, log } = self;
        let sent = (route.log.payload != LogPayload::None).then(|| request.body.slice(request::FRAME..));
        let mut endpoint = None;
        let result = contained(async {
            let answer = route.backend.call(worker, request).await.map_err(|failure| reply::presentable(&route, failure))?;
            endpoint = Some(answer.endpoint);
            reply::encode(&route, codec, answer.message)
        })
        .await;
        log.write(&route, id, &result, endpoint.as_deref(), sent.as_deref());
        let result = result.map_err(|failure| reply::status(&route, codec, &failure));
        Answer { protocol: route.number, id, silent: !route.answers_success && result.is_ok(), result }
    }
}

// === impl Logged ===

impl Logged {
    fn write(&self, route: &Route, id: CallId, result: &Result<Reply>, endpoint: Option<&str>, sent: Option<&[u8]>) {
        let mut entry = Entry {
            generation: self.generation,
            connection: self.connection,
            protocol: route.number.0,
            id: id.0,
            route: Some(&route.name),
            user: self.identity.as_ref().map(|identity| &*identity.user),
            outcome: result.as_ref().map(|_| ()),
            duration: self.began.elapsed(),
            slow: Some(route.log.slow),
            backend: Some(route.backend.name()),
            endpoint,
            bytes_in: self.payload_bytes,
            bytes_out: result.as_ref().map_or(0, Reply::len),
            would_refuse: &self.would_refuse,
            payload: None,
        };
        if !entry.is_wanted() {
            return;
        }
        let shown = match route.log.payload {
            LogPayload::None => false,
            LogPayload::Failures => result.is_err(),
            LogPayload::All => true,
        };
        let payload = sent.filter(|_| shown).and_then(|sent| request::redacted(route, sent));
        entry.payload = payload.as_deref();
        entry.write();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::Code;

    #[tokio::test]
    async fn a_panic_in_a_call_is_an_internal_answer() {
        let failing = async { if true { panic!("boom") } else { Ok(()) } };
        let failure = contained(failing).await.unwrap_err();
        assert_eq!((failure.code(), failure.reason()), (Code::Internal, "INTERNAL"));
        assert_eq!(failure.cause(), Some("boom"), "the log learns why");
        assert!(!failure.message().contains("boom"), "the client does not");
    }
}
