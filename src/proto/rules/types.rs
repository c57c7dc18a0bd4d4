//! What a field's type means to rules: how its values are read, and which rules are about such values.

use prost_reflect::{Kind, MessageDescriptor};

use super::constant::Datum;
use crate::proto::program::Decode;
use crate::proto::read::Wire;

/// How a value is read from the wire.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Reads {
    /// And how one number lies on the wire when it is not packed.
    Number(Decode, Wire),
    Text,
    Bytes,
    /// A message, of which rules may ask for a value.
    Message(Holds),
}

/// The one value that a message stands for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Holds {
    Nothing,
    /// A wrapper's number.
    Number(Decode),
    /// A wrapper's text, or the type of an `Any`.
    Text,
    Bytes,
    /// Seconds and nanoseconds.
    Time,
}

// === impl Reads ===

impl Reads {
    pub fn of(kind: &Kind) -> Reads {
        match kind {
            Kind::String => Reads::Text,
            Kind::Bytes => Reads::Bytes,
            Kind::Message(message) => Reads::Message(Holds::of(message)),
            number => Reads::Number(Decode::of(number), wire(number)),
        }
    }

    /// What a field without presence has when it is not set.
    pub fn zero(self) -> Datum<'static> {
        match self {
            Reads::Number(decode, _) | Reads::Message(Holds::Number(decode)) => decode.value(0).into(),
            Reads::Text | Reads::Message(Holds::Text) => Datum::Text(""),
            Reads::Bytes | Reads::Message(Holds::Bytes | Holds::Nothing) => Datum::Bytes(b""),
            Reads::Message(Holds::Time) => Datum::time(0, 0),
        }
    }
}

// === impl Holds ===

impl Holds {
    fn of(message: &MessageDescriptor) -> Holds {
        match message.full_name() {
            "google.protobuf.Duration" | "google.protobuf.Timestamp" => Holds::Time,
            "google.protobuf.Any" | "google.protobuf.StringValue" => Holds::Text,
            "google.protobuf.BytesValue" => Holds::Bytes,
            name if rules_of_message(name).is_some() => {
                message.get_field(1).map_or(Holds::Nothing, |field| Holds::Number(Decode::of(&field.kind())))
            }
            _ => Holds::Nothing,
        }
    }
}

fn wire(number: &Kind) -> Wire {
    match number {
        Kind::Fixed32 | Kind::Sfixed32 | Kind::Float => Wire::Fixed32,
        Kind::Fixed64 | Kind::Sfixed64 | Kind::Double => Wire::Fixed64,
        _ => Wire::Varint,
    }
}

/// The name of the rules that are about such values; nothing for messages that stand for no value.
pub(super) fn rules_of(kind: &Kind) -> Option<&'static str> {
    Some(match kind {
        Kind::Double => "double",
        Kind::Float => "float",
        Kind::Int32 => "int32",
        Kind::Int64 => "int64",
        Kind::Uint32 => "uint32",
        Kind::Uint64 => "uint64",
        Kind::Sint32 => "sint32",
        Kind::Sint64 => "sint64",
        Kind::Fixed32 => "fixed32",
        Kind::Fixed64 => "fixed64",
        Kind::Sfixed32 => "sfixed32",
        Kind::Sfixed64 => "sfixed64",
        Kind::Bool => "bool",
        Kind::String => "string",
        Kind::Bytes => "bytes",
        Kind::Enum(_) => "enum",
        Kind::Message(message) => return rules_of_message(message.full_name()),
    })
}

fn rules_of_message(name: &str) -> Option<&'static str> {
    Some(match name.strip_prefix("google.protobuf.")? {
        "DoubleValue" => "double",
        "FloatValue" => "float",
        "Int32Value" => "int32",
        "Int64Value" => "int64",
        "UInt32Value" => "uint32",
        "UInt64Value" => "uint64",
        "BoolValue" => "bool",
        "StringValue" => "string",
        "BytesValue" => "bytes",
        "Any" => "any",
        "Duration" => "duration",
        "Timestamp" => "timestamp",
        _ => return None,
    })
}
