//! What the backend is sent: the message, checked and stamped, and metadata that says who asks.

use std::borrow::Cow;
use std::fmt::Display;
use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use http::{HeaderName, HeaderValue, header};
use prost::Message as _;
use prost_types::Any;
use smallvec::SmallVec;
use tokio::time::Instant;
use tonic_types::BadRequest;
use tonic_types::pb::{self, bad_request::FieldViolation};

use crate::backend::{self, RetryPolicy};
use crate::failure::{Failure, Reason, Result};
use crate::pipeline::call::Caller;
use crate::pipeline::metadata as client_metadata;
use crate::pipeline::rate_limit::{self, Facts, KeyValue};
use crate::pipeline::told::{PEER, ROLES, SESSION, USER, told};
use crate::proto::{self, Unconvertible, Value, Values, Violation, Violations, WalkProblem};
use crate::table::Route;
use crate::table::plan::{Repeatable, SessionValue};
use crate::telemetry::trace::{TRACEPARENT, Trace};
use crate::wire::{Codec, Envelope, Payload};

/// Bytes of gRPC's frame before a message.
pub(super) const FRAME: usize = backend::frame(0).len();

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// The longest key by which a service tells a repeated call from a new one.
const IDEMPOTENCY_KEY_BYTES_MAX: usize = 128;

/// Entries that are added to a client's.
const OWN_ENTRIES: usize = 7;

/// A message that may be sent on.
pub(super) struct Checked {
    /// Which endpoint a call that it begins is for.
    pub choice: backend::Choice,
    /// Behind its frame.
    pub body: Bytes,
    pub payload_bytes: usize,
    /// The limits in dry run that would have refused it.
    pub would_refuse: Vec<Arc<str>>,
}

/// A message as the service is sent it: checked, stamped, and paid for last, so that one that is refused for another reason costs the caller
/// nothing.
pub(super) fn checked(route: &Route, caller: &Caller, codec: Codec, envelope: &Envelope<'_>, now: Instant) -> Result<Checked> {
    let message = message(route, codec, envelope)?;
    let mut values = Values::default();
    check(route, &message, &mut values)?;
    let body = body(route, caller, &message)?;
    let fields = key_values(&values);
    let passed = rate_limit::admit(&route.limits, &Facts { route: route.number, caller, fields: &fields }, now)?;
    Ok(Checked { choice: route.choice(caller, &fields), body, payload_bytes: message.len(), would_refuse: passed.would_refuse })
}

/// The request as protobuf bytes, whatever the client speaks.
fn message<'e>(route: &Route, codec: Codec, envelope: &Envelope<'e>) -> Result<Cow<'e, [u8]>> {
    let message = match (codec, envelope.payload) {
        (_, Payload::None) => Cow::Borrowed(&[] as &[u8]),
        (_, Payload::Proto(bytes)) => Cow::Borrowed(bytes),
        (_, Payload::Json(text)) => {
            let mut bytes = Vec::new();
            proto::from_json(&route.method.input, text, &mut bytes).map_err(|problem| invalid(route, problem))?;
            Cow::Owned(bytes)
        }
    };
    let bytes_max = route.request_bytes_max;
    match message.len() {
        length if length > bytes_max => {
            let message = format!("the payload has {length} bytes, and `{}` takes at most {bytes_max}", route.name);
            Err(Failure::gateway(Reason::TooLarge, message))
        }
        _ => Ok(message),
    }
}

/// The payload is not what the route takes.
pub(super) fn invalid(route: &Route, problem: impl Display) -> Failure {
    Failure::gateway(Reason::InvalidMessage, format!("the payload is no valid `{}`: {problem}", route.method.input.name()))
}

/// Checks a message of the route, every byte and every rule, and reads what limits are counted by.
fn check<'m>(route: &Route, message: &'m [u8], values: &mut Values<'m>) -> Result<()> {
    route.walk.run(message, values).map_err(|problem| match problem {
        WalkProblem::Malformed(flaw) => invalid(route, flaw),
        WalkProblem::Rules(violations) => violated(route, &violations),
    })
}

/// The payload is what the route takes, and breaks rules. Details say all of them.
fn violated(route: &Route, violations: &Violations) -> Failure {
    let field_violations = violations.iter().cloned().map(|Violation { field, rule, says }| FieldViolation {
        field,
        description: says,
        reason: rule,
        localized_message: None,
    });
    let detail = pb::BadRequest { field_violations: field_violations.collect() };
    let detail = Any { type_url: BadRequest::TYPE_URL.to_owned(), value: detail.encode_to_vec() };
    let message = format!("the payload breaks rules of `{}`: {violations}", route.method.input.name());
    Failure::gateway(Reason::ValidationFailed, message).detailed(vec![detail])
}

/// What limits are counted by.
fn key_values<'m>(values: &Values<'m>) -> SmallVec<[KeyValue<'m>; 4]> {
    let key_value = |value| match value {
        Value::Absent => KeyValue::Absent,
        Value::Bool(value) => KeyValue::Bool(value),
        Value::Int(value) => KeyValue::Int(value),
        Value::Uint(value) => KeyValue::Uint(value),
        // No key is made of one: they are refused when the table is compiled.
        Value::Float(value) => KeyValue::Uint(value.to_bits()),
        Value::Str(text) => KeyValue::Str(text),
        Value::Bytes(bytes) => KeyValue::Bytes(bytes),
    };
    values.iter().map(key_value).collect()
}

/// What the backend is told about the caller, beside the headers of the route. A client's keys are none of the gateway's: `admit` sees to it,
/// and what the gateway says about the caller is written last.
pub(super) fn metadata(route: &Route, caller: &mut Caller, envelope: &Envelope<'_>) -> Result<Vec<(HeaderName, HeaderValue)>> {
    client_metadata::admit(&route.metadata, &envelope.metadata)?;
    let mut metadata = Vec::with_capacity(OWN_ENTRIES + envelope.metadata.len());
    for (key, value) in &envelope.metadata {
        let key = HeaderName::from_bytes(key.as_bytes()).expect("a key on the route's list is a header's name");
        metadata.push((key, HeaderValue::from_str(value).expect("printable ASCII, as `admit` has seen")));
    }
    if !envelope.traceparent.is_empty() {
        metadata.push((TRACEPARENT, traceparent(&envelope.traceparent)?));
    }
    if !envelope.idempotency_key.is_empty() {
        metadata.push((IDEMPOTENCY_KEY, idempotency_key(&envelope.idempotency_key)?));
    }
    if let Some(identity) = caller.identity().filter(|_| route.forward_token) {
        let Some(token) = &identity.token else { return Err(token_not_kept(route)) };
        let mut bearer = told(&format!("Bearer {}", token.reveal()));
        bearer.set_sensitive(true);
        metadata.push((header::AUTHORIZATION, bearer));
    }
    let known = caller.identity().is_some();
    let told = caller.told();
    if known {
        metadata.push((USER, told.user.clone()));
        metadata.push((ROLES, told.roles.clone()));
        metadata.push((SESSION, told.session.clone()));
    }
    metadata.push((PEER, told.peer.clone()));
    Ok(metadata)
}

/// How the call may be repeated although the service may have acted upon it; nothing: not at all.
pub(super) fn retry(route: &Route, envelope: &Envelope<'_>) -> Option<Arc<RetryPolicy>> {
    match &route.retry {
        Repeatable::Never => None,
        Repeatable::Always(policy) => Some(Arc::clone(policy)),
        Repeatable::ByKey(policy) => (!envelope.idempotency_key.is_empty()).then(|| Arc::clone(policy)),
    }
}

/// The caller authenticated when no route forwarded tokens; a reload has changed that since.
fn token_not_kept(route: &Route) -> Failure {
    let message =
        format!("`{}` hands your token on, which it did not when you sent it; send it again in RefreshToken (protocol 8)", route.name);
    Failure::gateway(Reason::Unauthenticated, message)
}

/// What the client calls this very call by. The service is told as it is, or the call is refused.
fn idempotency_key(text: &str) -> Result<HeaderValue> {
    let printable = text.len() <= IDEMPOTENCY_KEY_BYTES_MAX && text.bytes().all(|byte| (b' '..=b'~').contains(&byte));
    if !printable {
        let message = format!("`idempotency_key` has at most {IDEMPOTENCY_KEY_BYTES_MAX} characters, all of them printable ASCII; mend it");
        return Err(Failure::gateway(Reason::InvalidMessage, message));
    }
    let mut value = HeaderValue::from_str(text).expect("printable ASCII");
    // Different on every call, as `traceparent` is.
    value.set_sensitive(true);
    Ok(value)
}

/// The client's own, as it is. One that is none would break the backend's traces, and is refused.
fn traceparent(text: &str) -> Result<HeaderValue> {
    if Trace::read(text).is_none() {
        let what = "`traceparent` is not of the form `00-<32 digits>-<16 digits>-<2 digits>`; leave it out or mend it";
        return Err(Failure::gateway(Reason::InvalidMessage, what));
    }
    let mut value = HeaderValue::from_str(text).expect("hexadecimal digits and dashes");
    // Different on every call: it must not push what repeats out of the compression table.
    value.set_sensitive(true);
    Ok(value)
}

/// The gRPC frame: prefix and message in one allocation, stamped where the route says so.
fn body(route: &Route, caller: &Caller, message: &[u8]) -> Result<Bytes> {
    // A stamp adds a tag, a length and a value; a longer value than this costs one more allocation.
    let mut body = BytesMut::with_capacity(FRAME + message.len() + 48 * route.stamps.len());
    body.put_bytes(0, FRAME);
    if route.stamps.is_empty() {
        body.extend_from_slice(message);
    } else {
        write_stamped(route, caller, message, &mut body)?;
    }
    let frame = backend::frame(body.len() - FRAME);
    body[..FRAME].copy_from_slice(&frame);
    Ok(body.freeze())
}

fn write_stamped(route: &Route, caller: &Caller, message: &[u8], body: &mut BytesMut) -> Result<()> {
    let peer = caller.peer.to_string();
    let mut stamps: SmallVec<[_; 4]> = SmallVec::new();
    for (stamp, source) in &route.stamps {
        let value = match source {
            SessionValue::User => caller.identity().map(|identity| &*identity.user),
            SessionValue::Id => caller.session().map(|id| &**id),
            SessionValue::TokenId => caller.identity().and_then(|identity| identity.token_id.as_deref()),
            SessionValue::PeerIp => Some(peer.as_str()),
        };
        let value = value.ok_or_else(|| {
            Failure::gateway(
                Reason::IdentityType,
                format!("`{}` is told `{}`, which you have not; authenticate with a token that has it", route.name, source.name()),
            )
        })?;
        stamps.push((stamp, value));
    }
    proto::copy_stamped(message, &stamps, body).map_err(|Unconvertible| {
        Failure::gateway(
            Reason::IdentityType,
            "your identity does not fit the fields that the gateway writes into this request; use another token",
        )
    })
}
