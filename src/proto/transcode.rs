//! Canonical proto3 JSON, both ways, for clients that chose text.
//!
//! Promises: what comes from outside is bounded before a message is built of it; the error texts are public and name the place in the
//! JSON; keys are exact (`strict_json`).

use prost::Message as _;
use prost_reflect::{DeserializeOptions, DynamicMessage};
use prost_types::Any;

use super::print_json::Printed;
use super::{MessageType, Pool, Values, Walk, strict_json};

/// Appends the JSON of a message: names in camelCase, 64-bit integers as strings, enum values by name, default values left out,
/// unknown fields left out. An `Any` that cannot be printed as its type is printed as `{"@type": …, "value": "<base64>"}`.
pub fn to_json(kind: &MessageType, message: &[u8], out: &mut Vec<u8>) -> Result<(), String> {
    Walk::for_printing(kind).run(message, &mut Values::new()).map_err(|problem| problem.to_string())?;
    let message = DynamicMessage::decode(kind.descriptor().clone(), message).map_err(|error| error.to_string())?;
    serde_json::to_writer(out, &Printed::new(kind.pool(), &message)).map_err(|error| error.to_string())
}

/// A detail of a failure as JSON, where the descriptors that `near` comes from know its type, or it is one of google.rpc's.
pub fn any_to_json(near: &MessageType, any: &Any) -> Option<String> {
    in_pool(near.pool(), any).or_else(|| detail_to_json(any))
}

/// The same for what the gateway says itself, which is one of google.rpc's.
pub fn detail_to_json(any: &Any) -> Option<String> {
    in_pool(Pool::of_details(), any)
}

fn in_pool(pool: &Pool, any: &Any) -> Option<String> {
    pool.message(any.type_url.rsplit('/').next()?)?;
    let kind = pool.message("google.protobuf.Any")?;
    let mut json = Vec::new();
    to_json(&kind, &any.encode_to_vec(), &mut json).ok()?;
    String::from_utf8(json).ok()
}

/// Appends the bytes of a message that is written in JSON. Both spellings of a name are read, but not both at once.
pub fn from_json(kind: &MessageType, json: &str, out: &mut Vec<u8>) -> Result<(), String> {
    strict_json::check(kind.descriptor(), json)?;
    let mut text = serde_json::Deserializer::from_str(json);
    let mut track = serde_path_to_error::Track::new();
    let tracked = serde_path_to_error::Deserializer::new(&mut text, &mut track);
    let options = DeserializeOptions::new().deny_unknown_fields(true);
    let message = DynamicMessage::deserialize_with_options(kind.descriptor().clone(), tracked, &options);
    let message =
        message.map_err(|error| strict_json::sentence(&strict_json::place(kind.descriptor(), &track.path()), &error.to_string()))?;
    message.encode(out).map_err(|error| error.to_string())
}
