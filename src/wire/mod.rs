//! The contract with clients: one WebSocket message is one [`Envelope`], in both directions.
//!
//! Promises: pure (no clock, no socket, no table); `decode(encode(x)) = x`; no input panics; what is read is bounded before it is kept;
//! an ordinary binary call decodes without allocation. `proto/protogate/wire/v1/wire.proto` is the contract itself, with examples.
//!
//! - `envelope`: the envelope as both codecs see it
//! - `binary`, over `primitive`: protobuf
//! - `json`: canonical proto3 JSON, with the payload left as text
//! - `status`: how a failure looks to a client
//! - `close`: the table of close codes

pub mod close;
pub mod envelope;
pub mod status;

mod binary;
mod json;
mod primitive;

pub use close::Close;
pub use envelope::{Envelope, Malformed, Payload};
pub use status::{Detail, Status};

/// The messages of `wire.proto`, for what the gateway itself says and hears.
pub mod v1 {
    include!(concat!(env!("OUT_DIR"), "/protogate.wire.v1.rs"));
}

/// The gateway's own protocol numbers.
pub mod number {
    /// Continues the stream of the envelope's id.
    pub const STREAM: u32 = 0;
    pub const HELLO: u32 = 1;
    pub const AUTHENTICATE: u32 = 2;
    pub const READY: u32 = 3;
    pub const RESUME: u32 = 4;
    pub const RESUMED: u32 = 5;
    pub const PING: u32 = 6;
    pub const PONG: u32 = 7;
    pub const REFRESH_TOKEN: u32 = 8;
    pub const TOKEN_EXPIRING: u32 = 9;
    pub const RECONNECT: u32 = 10;
    pub const GOODBYE: u32 = 11;
    pub const SUBSCRIBE: u32 = 12;
    pub const UNSUBSCRIBE: u32 = 13;
    pub const CANCEL: u32 = 15;
    /// The first number that belongs to the application; below it are the gateway's own.
    pub const APPLICATION_MIN: u32 = 1000;
}

/// The most entries of metadata, and the most details of a status, that are read from one envelope.
///
/// An empty entry is two bytes on the wire and about a hundred in memory; without a bound one message could cost fifty times its size.
const ENTRIES_MAX: usize = 64;

/// In which form a connection speaks.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Codec {
    /// Binary messages, protobuf.
    Proto,
    /// Text messages, canonical proto3 JSON.
    Json,
}

// === impl Codec ===

impl Codec {
    /// The WebSocket subprotocol that chooses this codec.
    pub fn subprotocol(self) -> &'static str {
        match self {
            Codec::Proto => "protogate.v1.proto",
            Codec::Json => "protogate.v1.json",
        }
    }

    /// What it is called where the subprotocol would be too long.
    pub fn name(self) -> &'static str {
        match self {
            Codec::Proto => "proto",
            Codec::Json => "json",
        }
    }

    pub fn from_subprotocol(name: &str) -> Option<Codec> {
        [Codec::Proto, Codec::Json].into_iter().find(|codec| codec.subprotocol() == name)
    }

    /// Reads one message. The envelope borrows from it.
    pub fn decode<'a>(self, message: &'a [u8]) -> Result<Envelope<'a>, Malformed> {
        match self {
            Codec::Proto => binary::decode(message),
            Codec::Json => json::decode(message),
        }
    }

    /// Appends one message to `out`.
    ///
    /// The payload is expected in this codec's own form. A payload in the other form is written as what it is to this codec: protobuf
    /// bytes as base64 in JSON, JSON text as plain bytes in protobuf.
    pub fn encode(self, envelope: &Envelope<'_>, out: &mut Vec<u8>) {
        match self {
            Codec::Proto => binary::encode(envelope, out),
            Codec::Json => json::encode(envelope, out),
        }
    }

    /// Says how many were lost before the push that `out` ends with, and that does not say so yet.
    pub fn append_dropped(self, dropped: u32, out: &mut Vec<u8>) {
        match self {
            Codec::Proto => binary::append_dropped(dropped, out),
            Codec::Json => json::append_dropped(dropped, out),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subprotocol_names_its_codec() {
        for codec in [Codec::Proto, Codec::Json] {
            assert_eq!(Codec::from_subprotocol(codec.subprotocol()), Some(codec));
        }
        assert_eq!(Codec::from_subprotocol("protogate.v1.PROTO"), None);
    }

    #[test]
    fn the_examples_in_the_contract_say_the_same_in_both_forms() {
        let contract = include_str!("../../proto/protogate/wire/v1/wire.proto");
        let after = |mark: &str| contract.lines().filter_map(|line| line.strip_prefix(mark)).map(str::trim).collect::<Vec<_>>();
        let (binary, json) = (after("//   binary:"), after("//   json:"));
        assert_eq!(binary.len(), json.len());
        assert!(binary.len() >= 5);

        for (binary, json) in binary.into_iter().zip(json) {
            let bytes: Vec<u8> = binary.split(' ').map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect();
            let mut one = Codec::Proto.decode(&bytes).unwrap();
            let mut other = Codec::Json.decode(json.as_bytes()).unwrap();
            assert_eq!(encoded(Codec::Proto, &one), bytes);
            assert_eq!(encoded(Codec::Json, &other), json.as_bytes());
            assert_eq!(one.payload == Payload::None, other.payload == Payload::None, "{json}");
            (one.payload, other.payload) = (Payload::None, Payload::None);
            assert_eq!(one, other);
        }
    }

    #[test]
    fn what_was_lost_can_be_said_afterwards() {
        for codec in [Codec::Proto, Codec::Json] {
            let payload = if codec == Codec::Proto { Payload::Proto(b"\x0a\x01x") } else { Payload::Json(r#"{"a":"}"}"#) };
            for payload in [Payload::None, payload] {
                let push =
                    Envelope { protocol: 2101, payload, topic: "room/1".into(), offset: 7, epoch: "e".into(), ..Envelope::default() };
                let mut out = encoded(codec, &push);
                codec.append_dropped(300, &mut out);
                assert_eq!(out, encoded(codec, &Envelope { dropped: 300, ..push }));
            }
        }
    }

    fn encoded(codec: Codec, envelope: &Envelope<'_>) -> Vec<u8> {
        let mut out = Vec::new();
        codec.encode(envelope, &mut out);
        out
    }
}
