//! The envelope as both codecs see it, and what is said about a message that is none.
//!
//! Promises: a decoded envelope owns nothing that it could borrow from the message; its `Debug` shows no payload, no metadata value and
//! no key, because tokens travel in all three.

use std::borrow::Cow;
use std::fmt;

use super::status::Status;

/// One message. The fields are those of `wire.proto`, where their meaning is written.
#[derive(Clone, Default, PartialEq)]
pub struct Envelope<'a> {
    pub protocol: u32,
    pub id: u32,
    pub payload: Payload<'a>,
    pub status: Option<Status>,
    pub seq: u32,
    pub ack: u32,
    pub deadline_ms: u32,
    pub more: bool,
    pub topic: Cow<'a, str>,
    pub offset: u64,
    pub traceparent: Cow<'a, str>,
    /// At most 64 entries, no key twice, in the order in which they were first written.
    pub metadata: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    pub idempotency_key: Cow<'a, str>,
    pub epoch: Cow<'a, str>,
    pub dropped: u32,
    pub credit: u32,
}

/// The message inside, in the form in which its connection speaks.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub enum Payload<'a> {
    /// Absent or empty, which protobuf does not tell apart.
    #[default]
    None,
    /// Protobuf bytes, at least one.
    Proto(&'a [u8]),
    /// The text of one JSON value. Decoding has seen that it is JSON; what it means is for `proto` to judge.
    Json(&'a str),
}

/// A message that is no envelope.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Malformed {
    /// The id, if it could still be read, so that the refusal finds its caller.
    pub id: Option<u32>,
    /// What is wrong and what would be right. Public.
    pub what: String,
}

// === impl Payload ===

impl Payload<'_> {
    /// The length in bytes, as it stands in the message.
    pub fn len(&self) -> usize {
        match self {
            Payload::None => 0,
            Payload::Proto(bytes) => bytes.len(),
            Payload::Json(text) => text.len(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl fmt::Debug for Payload<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Payload::None => f.write_str("None"),
            Payload::Proto(bytes) => write!(f, "Proto({} bytes)", bytes.len()),
            Payload::Json(text) => write!(f, "Json({} bytes)", text.len()),
        }
    }
}

// === impl Envelope ===

impl fmt::Debug for Envelope<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Envelope")
            .field("protocol", &self.protocol)
            .field("id", &self.id)
            .field("payload", &self.payload)
            .field("status", &self.status)
            .finish_non_exhaustive()
    }
}
