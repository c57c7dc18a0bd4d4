//! Canonical JSON of a reflected message, written here for the two things that the reflection library's own writer cannot do:
//! it fails on an `Any` of an unknown type, and it writes maps in a different order each time.
//!
//! An `Any` whose type is not in the pool, or whose bytes are not of its type, is written as `{"@type": "<its URL>", "value":
//! "<base64 of its bytes>"}`: a client loses one value that nobody here can read, and not the whole reply around it.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use prost_reflect::{DynamicMessage, Kind, MapKey, MessageDescriptor, ReflectMessage, Value};
use serde::ser::{Error, Serialize, SerializeMap, Serializer};

/// How deep values of type `Any` lie in each other before the inner one is written as bytes. Each is decoded anew, so that the decoder's
/// own bound on depth does not add up over them.
const ANY_DEPTH_MAX: u32 = 4;

/// How a message type looks in JSON.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// An object with one key a field.
    Fields,
    Any,
    /// Something of its own, such as the text of a timestamp.
    Special,
}

/// A message to be written as JSON.
pub(super) struct Json<'a> {
    message: &'a DynamicMessage,
    /// How many values of type `Any` it lies in.
    inside: u32,
}

/// A value of one field.
struct Field<'a> {
    value: &'a Value,
    kind: &'a Kind,
    inside: u32,
}

// === impl Form ===

impl Form {
    pub(super) fn of(descriptor: &MessageDescriptor) -> Form {
        let Some(name) = descriptor.full_name().strip_prefix("google.protobuf.") else { return Form::Fields };
        match name {
            "Any" => Form::Any,
            "Timestamp" | "Duration" | "Struct" | "Value" | "ListValue" | "FieldMask" | "Empty" => Form::Special,
            "DoubleValue" | "FloatValue" | "Int32Value" | "Int64Value" | "UInt32Value" | "UInt64Value" => Form::Special,
            "BoolValue" | "StringValue" | "BytesValue" => Form::Special,
            _ => Form::Fields,
        }
    }
}

// === impl Json ===

impl<'a> Json<'a> {
    pub(super) fn new(message: &'a DynamicMessage) -> Json<'a> {
        Json { message, inside: 0 }
    }

    fn entries<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        for (field, value) in self.message.fields() {
            map.serialize_entry(field.json_name(), &Field { value, kind: &field.kind(), inside: self.inside })?;
        }
        for (field, value) in self.message.extensions() {
            map.serialize_entry(field.json_name(), &Field { value, kind: &field.kind(), inside: self.inside })?;
        }
        Ok(())
    }

    fn any<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let any: prost_types::Any = self.message.transcode_to().map_err(Error::custom)?;
        let mut map = serializer.serialize_map(None)?;
        // An `Any` that was never filled is an empty object, in both directions.
        if any.type_url.is_empty() && any.value.is_empty() {
            return map.end();
        }
        map.serialize_entry("@type", &any.type_url)?;
        let known = if self.inside < ANY_DEPTH_MAX { unpack(&self.message.descriptor(), &any) } else { None };
        match known {
            Some(message) => {
                let inner = Json { message: &message, inside: self.inside + 1 };
                if Form::of(&message.descriptor()) == Form::Fields {
                    inner.entries(&mut map)?
                } else {
                    map.serialize_entry("value", &inner)?
                }
            }
            None => map.serialize_entry("value", &BASE64_STANDARD.encode(&any.value))?,
        }
        map.end()
    }
}

impl Serialize for Json<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match Form::of(&self.message.descriptor()) {
            Form::Any => self.any(serializer),
            // None of these can hold an `Any`, so the library's writer can do it; its default is the canonical form.
            Form::Special => self.message.serialize(serializer),
            Form::Fields => {
                let mut map = serializer.serialize_map(None)?;
                self.entries(&mut map)?;
                map.end()
            }
        }
    }
}

// === impl Field ===

impl Serialize for Field<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.value {
            Value::Bool(value) => serializer.serialize_bool(*value),
            Value::I32(value) => serializer.serialize_i32(*value),
            Value::U32(value) => serializer.serialize_u32(*value),
            // JavaScript's numbers end at 2^53.
            Value::I64(value) => serializer.collect_str(value),
            Value::U64(value) => serializer.collect_str(value),
            Value::F32(value) if value.is_finite() => serializer.serialize_f32(*value),
            Value::F32(value) => serializer.serialize_str(not_finite(f64::from(*value))),
            Value::F64(value) if value.is_finite() => serializer.serialize_f64(*value),
            Value::F64(value) => serializer.serialize_str(not_finite(*value)),
            Value::String(value) => serializer.serialize_str(value),
            Value::Bytes(value) => serializer.serialize_str(&BASE64_STANDARD.encode(value)),
            Value::EnumNumber(number) => match self.kind {
                Kind::Enum(kind) if kind.full_name() == "google.protobuf.NullValue" => serializer.serialize_unit(),
                Kind::Enum(kind) => match kind.get_value(*number) {
                    Some(value) => serializer.serialize_str(value.name()),
                    None => serializer.serialize_i32(*number),
                },
                _ => Err(S::Error::custom("an enum number in a field of another kind")),
            },
            Value::Message(message) => Json { message, inside: self.inside }.serialize(serializer),
            Value::List(values) => serializer.collect_seq(values.iter().map(|value| Field { value, ..*self })),
            Value::Map(values) => {
                let entry = self.kind.as_message().ok_or_else(|| S::Error::custom("a map in a field of another kind"))?;
                let kind = entry.map_entry_value_field().kind();
                let mut sorted: Vec<(&MapKey, &Value)> = values.iter().collect();
                sorted.sort_by_key(|(key, _)| *key);
                serializer
                    .collect_map(sorted.into_iter().map(|(key, value)| (key_text(key), Field { value, kind: &kind, inside: self.inside })))
            }
        }
    }
}

/// The message in an `Any`, when its type is in the pool of `near` and its bytes are of that type.
pub(super) fn unpack(near: &MessageDescriptor, any: &prost_types::Any) -> Option<DynamicMessage> {
    let name = any.type_url.rsplit('/').next()?;
    let kind = near.parent_pool().get_message_by_name(name)?;
    DynamicMessage::decode(kind, any.value.as_slice()).ok()
}

fn key_text(key: &MapKey) -> String {
    match key {
        MapKey::Bool(key) => key.to_string(),
        MapKey::I32(key) => key.to_string(),
        MapKey::I64(key) => key.to_string(),
        MapKey::U32(key) => key.to_string(),
        MapKey::U64(key) => key.to_string(),
        MapKey::String(key) => key.clone(),
    }
}

fn not_finite(value: f64) -> &'static str {
    if value.is_nan() {
        "NaN"
    } else if value > 0.0 {
        "Infinity"
    } else {
        "-Infinity"
    }
}
