//! Between a message's wire form and its canonical JSON (<https://protobuf.dev/programming-guides/json>).
//!
//! Writing: 64-bit integers as texts, enum values by name, camelCase keys, default values left out, map keys in order. Reading: the same
//! and also the .proto file's names; what `strict` lists is refused. Errors of reading are for the client that sent the payload: they
//! say where and what, and may repeat a piece of it.

use prost::Message as _;
use prost_reflect::{DeserializeOptions, DynamicMessage};
use serde::Serialize as _;

use super::MessageType;
use super::json::{self, Json};
use super::strict;

/// Appends the JSON of `message` to `out`; on an error `out` is as it was.
pub fn to_json(kind: &MessageType, message: &[u8], out: &mut Vec<u8>) -> Result<(), String> {
    let message = DynamicMessage::decode(kind.descriptor().clone(), message).map_err(|error| error.to_string())?;
    write(&message, out)
}

/// Appends the wire form of `json` to `out`; on an error `out` is as it was.
pub fn from_json(kind: &MessageType, json: &str, out: &mut Vec<u8>) -> Result<(), String> {
    strict::check(kind.descriptor(), json)?;
    let mut reader = serde_json::Deserializer::from_str(json);
    let options = DeserializeOptions::new().deny_unknown_fields(true);
    let message = DynamicMessage::deserialize_with_options(kind.descriptor().clone(), &mut reader, &options)
        .and_then(|message| reader.end().map(|()| message))
        .map_err(|error| format!("payload: {error}"))?;
    message.encode(out).map_err(|error| error.to_string())
}

/// The JSON of an `Any` whose type is known where `near` is: `{"@type": "…", …}`. `None` when it is not, or when the bytes are not of it.
pub fn any_to_json(near: &MessageType, any: &prost_types::Any) -> Option<String> {
    json::unpack(near.descriptor(), any)?;
    let kind = near.descriptor().parent_pool().get_message_by_name("google.protobuf.Any")?;
    let mut wrapped = DynamicMessage::new(kind);
    wrapped.transcode_from(any).ok()?;
    let mut out = Vec::new();
    write(&wrapped, &mut out).ok()?;
    String::from_utf8(out).ok()
}

fn write(message: &DynamicMessage, out: &mut Vec<u8>) -> Result<(), String> {
    let before = out.len();
    Json::new(message).serialize(&mut serde_json::Serializer::new(&mut *out)).map_err(|error| {
        out.truncate(before);
        error.to_string()
    })
}

#[cfg(test)]
#[path = "transcode_tests.rs"]
mod tests;
