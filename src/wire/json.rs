//! The envelope in canonical proto3 JSON.
//!
//! Keys are accepted in camelCase and as the contract names them; written is camelCase, and default values are left out. The payload is
//! kept as text: what it means is for `proto` to judge. Promises: unknown keys, duplicate keys and twins (`deadlineMs` beside
//! `deadline_ms`) are refused with a text that lists the keys there are; no text about a message is longer than a kilobyte.
//!
//! - `value`: how single values are read
//! - `write`: how objects are written

mod value;
mod write;

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::value::RawValue;

use self::value::{Details, Map, Metadata, SourceName, Text, number};
use self::write::Object;
use super::envelope::{Envelope, Malformed, Payload};
use super::status::{Detail, Status};
use crate::failure::Source;

/// The longest text about a message. Texts quote what they refuse, and a client's key may be as long as a message; the end is kept
/// because the list of known keys stands there.
const WHAT_BYTES_MAX: usize = 1000;

pub fn decode(message: &[u8]) -> Result<Envelope<'_>, Malformed> {
    match serde_json::from_slice::<Map<Keys<'_>>>(message) {
        Ok(Map(keys)) => Ok(keys.into()),
        Err(error) => Err(malformed(message, &error)),
    }
}

pub fn encode(envelope: &Envelope<'_>, out: &mut Vec<u8>) {
    let mut object = Object::open(out);
    object.number("protocol", envelope.protocol);
    object.number("id", envelope.id);
    match envelope.payload {
        Payload::None => {}
        Payload::Proto(bytes) => object.text("payload", &STANDARD.encode(bytes)),
        Payload::Json(text) => object.raw("payload").extend_from_slice(text.as_bytes()),
    }
    if let Some(status) = &envelope.status {
        put_status(status, object.raw("status"));
    }
    object.number("seq", envelope.seq);
    object.number("ack", envelope.ack);
    object.number("deadlineMs", envelope.deadline_ms);
    object.flag("more", envelope.more);
    object.text("topic", &envelope.topic);
    object.long("offset", envelope.offset);
    object.text("traceparent", &envelope.traceparent);
    if !envelope.metadata.is_empty() {
        let mut entries = Object::open(object.raw("metadata"));
        for (key, value) in &envelope.metadata {
            entries.entry(key, value);
        }
        entries.close();
    }
    object.text("idempotencyKey", &envelope.idempotency_key);
    object.text("epoch", &envelope.epoch);
    object.number("dropped", envelope.dropped);
    object.number("credit", envelope.credit);
    object.close();
}

/// Adds one key to an object that ends here, and has others.
pub fn append_dropped(dropped: u32, out: &mut Vec<u8>) {
    debug_assert!(out.ends_with(b"}"), "an envelope was written");
    out.pop();
    out.extend_from_slice(format!(",\"dropped\":{dropped}}}").as_bytes());
}

/// The keys of an envelope. To serde an alias is the same key, so that a twin is a duplicate.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Keys<'a> {
    #[serde(default, deserialize_with = "number")]
    protocol: u32,
    #[serde(default, deserialize_with = "number")]
    id: u32,
    #[serde(borrow)]
    payload: Option<&'a RawValue>,
    status: Option<Map<StatusKeys>>,
    #[serde(default, deserialize_with = "number")]
    seq: u32,
    #[serde(default, deserialize_with = "number")]
    ack: u32,
    #[serde(alias = "deadline_ms", default, deserialize_with = "number")]
    deadline_ms: u32,
    more: Option<bool>,
    #[serde(borrow)]
    topic: Option<Text<'a>>,
    #[serde(default, deserialize_with = "number")]
    offset: u64,
    #[serde(borrow)]
    traceparent: Option<Text<'a>>,
    #[serde(borrow)]
    metadata: Option<Metadata<'a>>,
    #[serde(alias = "idempotency_key", borrow)]
    idempotency_key: Option<Text<'a>>,
    #[serde(borrow)]
    epoch: Option<Text<'a>>,
    #[serde(default, deserialize_with = "number")]
    dropped: u32,
    #[serde(default, deserialize_with = "number")]
    credit: u32,
}

/// The keys of a status.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct StatusKeys {
    #[serde(default, deserialize_with = "number")]
    code: u32,
    reason: Option<String>,
    message: Option<String>,
    #[serde(alias = "retry_after_ms", default, deserialize_with = "number")]
    retry_after_ms: u32,
    source: Option<SourceName>,
    details: Option<Details>,
}

/// All that is asked of a message that was refused.
#[derive(Deserialize)]
struct IdKey {
    id: Option<Id>,
}

#[derive(Deserialize)]
#[serde(transparent)]
struct Id(#[serde(deserialize_with = "number")] u32);

// === impl Keys ===

impl<'a> From<Keys<'a>> for Envelope<'a> {
    fn from(keys: Keys<'a>) -> Envelope<'a> {
        let text = |text: Option<Text<'a>>| text.map_or(Cow::Borrowed(""), |text| text.0);
        Envelope {
            protocol: keys.protocol,
            id: keys.id,
            payload: keys.payload.map_or(Payload::None, |raw| Payload::Json(raw.get())),
            status: keys.status.map(|Map(status)| status.into()),
            seq: keys.seq,
            ack: keys.ack,
            deadline_ms: keys.deadline_ms,
            more: keys.more.unwrap_or_default(),
            topic: text(keys.topic),
            offset: keys.offset,
            traceparent: text(keys.traceparent),
            metadata: keys.metadata.map_or_else(Vec::new, |metadata| metadata.0),
            idempotency_key: text(keys.idempotency_key),
            epoch: text(keys.epoch),
            dropped: keys.dropped,
            credit: keys.credit,
        }
    }
}

impl From<StatusKeys> for Status {
    fn from(keys: StatusKeys) -> Status {
        Status {
            code: keys.code,
            reason: keys.reason.unwrap_or_default(),
            message: keys.message.unwrap_or_default(),
            retry_after_ms: keys.retry_after_ms,
            source: keys.source.map_or(Source::Gateway, |name| name.0),
            details: keys.details.map_or_else(Vec::new, |details| details.0),
        }
    }
}

fn put_status(status: &Status, out: &mut Vec<u8>) {
    let mut object = Object::open(out);
    object.number("code", status.code);
    object.text("reason", &status.reason);
    object.text("message", &status.message);
    object.number("retryAfterMs", status.retry_after_ms);
    if status.source == Source::Backend {
        object.text("source", "BACKEND");
    }
    if !status.details.is_empty() {
        let out = object.raw("details");
        for (index, detail) in status.details.iter().enumerate() {
            out.push(if index == 0 { b'[' } else { b',' });
            put_detail(detail, out);
        }
        out.push(b']');
    }
    object.close();
}

fn put_detail(detail: &Detail, out: &mut Vec<u8>) {
    if let Some(text) = &detail.json {
        out.extend_from_slice(text.as_bytes());
        return;
    }
    let mut object = Object::open(out);
    object.entry("@type", &detail.any.type_url);
    object.entry("value", &STANDARD.encode(&detail.any.value));
    object.close();
}

fn malformed(message: &[u8], error: &serde_json::Error) -> Malformed {
    let id = serde_json::from_slice::<Map<IdKey>>(message).ok().and_then(|Map(keys)| keys.id).map(|Id(id)| id);
    let advice = if error.is_data() { "" } else { r#"; send one object, such as `{"protocol":9001,"id":1,"payload":{}}`"# };
    Malformed { id, what: shortened(format!("the message is not a protogate.wire.v1.Envelope in JSON: {error}{advice}")) }
}

/// Leaves out the middle of a text that is too long.
fn shortened(text: String) -> String {
    if text.len() <= WHAT_BYTES_MAX {
        return text;
    }
    let head = text.floor_char_boundary(WHAT_BYTES_MAX / 3);
    let tail = text.ceil_char_boundary(text.len() - WHAT_BYTES_MAX / 2);
    format!("{} … {}", &text[..head], &text[tail..])
}

#[cfg(test)]
mod tests;
