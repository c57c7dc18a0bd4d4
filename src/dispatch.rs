//! **The data path**: one call in, exactly one answer out.
//!
//! [`admit`] does all that needs no waiting, in this order: find the route, ask whether the caller may, turn the payload into checked
//! protobuf bytes, spend from the limits, write the gRPC request. [`Call::run`] waits for the backend and judges its answer.
//! Promises: one table snapshot a call; exactly one [`Answer`] a call, even when something panics; a refusal costs no backend anything.

use std::any::Any;
use std::borrow::Cow;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use futures_util::FutureExt;
use http::{HeaderMap, HeaderValue};
use tokio::time::Instant;

use crate::backend;
use crate::failure::{Code, Failure, Reason, Result, Source};
use crate::id::{CallId, Protocol};
use crate::pipeline::access_log;
use crate::pipeline::call::Caller;
use crate::pipeline::metadata;
use crate::pipeline::rate_limit;
use crate::proto::{self, Values};
use crate::table::plan::{LogPayload, SessionValue};
use crate::table::{Access, Route, Table};
use crate::wire::{Codec, Envelope, Payload, Status};

/// Bytes of gRPC's frame before a message.
const FRAME: usize = backend::frame(0).len();

/// A call that was admitted and waits to be run.
pub struct Call {
    route: Arc<Route>,
    id: CallId,
    codec: Codec,
    request: backend::Request,
    caller: access_log::Who,
    worker: crate::id::WorkerId,
    began: Instant,
    payload_bytes: usize,
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

/// A successful reply's payload, in the client's own encoding.
pub enum Reply {
    Proto(Bytes),
    Json(Vec<u8>),
}

/// Decides whether a call may happen, and prepares it. Does no I/O and awaits nothing.
pub fn admit(table: &Arc<Table>, caller: &mut Caller, codec: Codec, envelope: &Envelope<'_>, now: Instant) -> Result<Call> {
    let route = find(table, envelope)?;
    permit(table, route, caller)?;
    let message = payload_bytes(route, codec, envelope)?;
    let mut values = Values::default();
    route.walk.run(&message, &mut values).map_err(|problem| invalid(route, problem))?;
    let metadata = request_metadata(route, caller, envelope)?;
    let body = request_body(route, caller, &message)?;
    // Spent last, so that a call refused for another reason costs the caller nothing.
    let facts = rate_limit::Facts { route: route.number, caller: &*caller, values: &values };
    rate_limit::admit(&route.limits, &facts, now)?;

    let patience = match envelope.deadline_ms {
        0 => route.timeout,
        asked => route.timeout.min(Duration::from_millis(asked.into())),
    };
    let request = backend::Request {
        path: route.method.path.clone(),
        metadata,
        body,
        deadline: now + patience,
        reply_bytes_max: route.reply_bytes_max,
    };
    Ok(Call {
        id: CallId(envelope.id),
        codec,
        request,
        caller: access_log::Who::of(caller),
        worker: caller.worker,
        began: now,
        payload_bytes: message.len(),
        route: Arc::clone(route),
    })
}

fn find<'t>(table: &'t Table, envelope: &Envelope<'_>) -> Result<&'t Arc<Route>> {
    let route = table.route(envelope.protocol).ok_or_else(|| {
        Failure::gateway(Reason::UnknownProtocol, format!("protocol {} is not routed; check the number, or ask the operator to add a route", envelope.protocol))
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
        Some((_, name)) => Err(Failure::gateway(Reason::PermissionDenied, format!("`{}` needs the permission `{name}`; none of your roles grants it", route.name))),
    }
}

/// The request as protobuf bytes, whatever the client speaks.
fn payload_bytes<'e>(route: &Route, codec: Codec, envelope: &Envelope<'e>) -> Result<Cow<'e, [u8]>> {
    let too_large = |length: usize| {
        let bound = route.request_bytes_max;
        Failure::gateway(Reason::TooLarge, format!("the payload has {length} bytes, and `{}` takes at most {bound}", route.name))
    };
    match (codec, envelope.payload) {
        (_, Payload::None) => Ok(Cow::Borrowed(&[])),
        (_, Payload::Proto(bytes)) if bytes.len() > route.request_bytes_max => Err(too_large(bytes.len())),
        (_, Payload::Proto(bytes)) => Ok(Cow::Borrowed(bytes)),
        (_, Payload::Json(text)) => {
            let mut bytes = Vec::new();
            proto::transcode::from_json(&route.method.input, text, &mut bytes).map_err(|problem| invalid(route, problem))?;
            if bytes.len() > route.request_bytes_max {
                return Err(too_large(bytes.len()));
            }
            Ok(Cow::Owned(bytes))
        }
    }
}

fn invalid(route: &Route, problem: impl std::fmt::Display) -> Failure {
    Failure::gateway(Reason::InvalidMessage, format!("the payload is no valid `{}`: {problem}", route.method.input.name()))
}

/// What the backend is told about the caller. The gateway's own keys are written last, so nothing a client sent can stand in for them.
fn request_metadata(route: &Route, caller: &mut Caller, envelope: &Envelope<'_>) -> Result<HeaderMap> {
    let mut metadata = caller.identity_metadata().clone();
    metadata::add_from_client(&mut metadata, &route.metadata, &envelope.metadata)?;
    if !envelope.traceparent.is_empty() {
        metadata.insert("traceparent", metadata::traceparent(&envelope.traceparent)?);
    }
    if route.forward_token
        && let Some(identity) = caller.identity()
    {
        metadata.insert(http::header::AUTHORIZATION, identity.authorization());
    }
    metadata.insert("protogate-route", route.name_header.clone());
    metadata.insert("protogate-generation", route.generation_header.clone());
    Ok(metadata)
}

/// The gRPC frame: prefix and message in one allocation, stamped where the route says so.
fn request_body(route: &Route, caller: &Caller, message: &[u8]) -> Result<Bytes> {
    let mut body = BytesMut::with_capacity(FRAME + message.len() + 16 * route.stamps.len());
    body.put_bytes(0, FRAME);
    if route.stamps.is_empty() {
        body.extend_from_slice(message);
    } else {
        let peer = caller.peer.to_string();
        let mut stamps = Vec::with_capacity(route.stamps.len());
        for (stamp, source) in &route.stamps {
            let value = match source {
                SessionValue::User => caller.identity().map(|identity| &*identity.user),
                SessionValue::TokenId => caller.identity().and_then(|identity| identity.token_id.as_deref()),
                SessionValue::PeerIp => Some(peer.as_str()),
            };
            let value = value.ok_or_else(|| Failure::gateway(Reason::IdentityType, format!("`{}` writes {source} into the request, and you have none", route.name)))?;
            stamps.push((stamp, value));
        }
        proto::stamp::copy_stamped(message, &stamps, &mut body)
            .map_err(|problem| Failure::gateway(Reason::IdentityType, format!("your identity does not fit the request: {problem}")))?;
    }
    let frame = backend::frame(body.len() - FRAME);
    body[..FRAME].copy_from_slice(&frame);
    Ok(body.freeze())
}

// === impl Call ===

impl Call {
    pub fn id(&self) -> CallId {
        self.id
    }

    /// Waits for the backend. Never fails and never panics: whatever happens is an answer. Dropping it cancels the call.
    pub async fn run(self) -> Answer {
        let protocol = self.route.number;
        let id = self.id;
        let silent_success = !self.route.answers_success;
        let (route, codec) = (Arc::clone(&self.route), self.codec);
        let result = contained(self.call()).await.map_err(|failure| status(&route, codec, &failure));
        Answer { protocol, id, silent: silent_success && result.is_ok(), result }
    }

    async fn call(self) -> Result<Reply> {
        let Call { route, codec, request, caller, worker, began, payload_bytes, .. } = self;
        let sent = (route.log.payload != LogPayload::None).then(|| request.body.slice(FRAME..));
        let answer = route.backend.call(worker, request).await;
        let endpoint = answer.as_ref().ok().map(|reply| Arc::clone(&reply.endpoint));
        let result = match answer {
            Ok(reply) => encode_reply(&route, codec, reply.message),
            Err(failure) => Err(presentable(&route, failure)),
        };
        let wanted = match route.log.payload {
            LogPayload::None => false,
            LogPayload::Failures => result.is_err(),
            LogPayload::All => true,
        };
        access_log::record(&access_log::Entry {
            route: &route.name,
            number: route.number,
            generation: &route.generation_header,
            who: &caller,
            backend: route.backend.name(),
            endpoint: endpoint.as_deref(),
            took: began.elapsed(),
            slow: route.log.slow,
            request_bytes: payload_bytes,
            reply_bytes: result.as_ref().map_or(0, Reply::len),
            failure: result.as_ref().err(),
            payload: sent.filter(|_| wanted).and_then(|sent| redacted(&route, &sent)),
        });
        result
    }
}

fn encode_reply(route: &Route, codec: Codec, message: Bytes) -> Result<Reply> {
    match codec {
        Codec::Proto => Ok(Reply::Proto(message)),
        Codec::Json => {
            let mut json = Vec::with_capacity(2 * message.len());
            proto::transcode::to_json(&route.method.output, &message, &mut json).map_err(|problem| {
                Failure::gateway(Reason::BadReply, format!("the backend's reply is no valid `{}`", route.method.output.name())).because(problem)
            })?;
            Ok(Reply::Json(json))
        }
    }
}

/// The failure in the words of the wire; a JSON client sees details as JSON where the route's descriptors know their type.
fn status(route: &Route, codec: Codec, failure: &Failure) -> Status {
    let mut status = Status::from(failure);
    if codec == Codec::Json {
        for detail in &mut status.details {
            detail.json = proto::transcode::any_to_json(&route.method.input, &detail.any);
        }
    }
    status
}

/// Hides what a backend says in its own defence; its code and details always pass.
fn presentable(route: &Route, failure: Failure) -> Failure {
    let inward = matches!(failure.code(), Code::Unknown | Code::Internal | Code::DataLoss);
    match failure.source() {
        Source::Backend if inward && !route.expose_errors => failure.with_message_hidden("the service failed"),
        _ => failure,
    }
}

/// The request as the log may show it.
fn redacted(route: &Route, message: &[u8]) -> Option<String> {
    let mut message = message.to_vec();
    route.redact.apply(&mut message).ok()?;
    let mut json = Vec::new();
    proto::transcode::to_json(&route.method.input, &message, &mut json).ok()?;
    String::from_utf8(json).ok()
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

// === impl Reply ===

impl Reply {
    /// Bytes of the payload as the client will see it.
    pub fn len(&self) -> usize {
        match self {
            Reply::Proto(bytes) => bytes.len(),
            Reply::Json(json) => json.len(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_in_a_call_is_an_internal_answer() {
        let failure = contained(async { Err::<(), _>(panic!("boom")) }).await.unwrap_err();
        assert_eq!((failure.code(), failure.reason()), (Code::Internal, "INTERNAL"));
        assert_eq!(failure.cause(), Some("boom"), "the log learns why");
        assert!(!failure.message().contains("boom"), "the client does not");
    }
}
