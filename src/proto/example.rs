//! A message as somebody could have sent it, for a reference: every field says something, as far as its type tells what.
//!
//! Promises: it is a message of its type, which `from_json` takes; the same type makes the same; it is bounded like a sample.

use std::collections::HashSet;

use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor};
use serde_json::{Value, json};

use super::print_json::is_well_known;
use super::sample::{DEPTH_MAX, in_order};
use super::{MessageType, Stamp};

/// Fields of one example.
const FIELDS_MAX: usize = 60;

/// What such a message says, its fields in the order of the file, which is how people read them.
pub enum Example {
    Value(Value),
    List(Vec<Example>),
    Map(Vec<(String, Example)>),
}

/// What texts hold by what they are called: the end of the name, and something that it could be.
const TEXTS: [(&str, &str); 8] = [
    ("email", "alice@example.com"),
    ("username", "alice"),
    ("password", "correct horse"),
    ("token", "eyJ…"),
    ("_id", "42"),
    ("url", "https://example.com"),
    ("text", "hello"),
    ("locale", "en"),
];

/// One walk over a type.
struct Writer {
    /// The messages in which it is.
    inside: Vec<MessageDescriptor>,
    /// Fields that may still be said.
    left: usize,
}

/// In canonical proto3 JSON. What is stamped is left out.
pub fn example<'s>(kind: &MessageType, stamps: impl IntoIterator<Item = &'s Stamp>) -> Example {
    let stamped: HashSet<u32> = stamps.into_iter().map(Stamp::number).collect();
    let mut writer = Writer { inside: Vec::new(), left: FIELDS_MAX };
    match is_well_known(kind.name()) {
        true => Example::Value(well_known(kind.name()).unwrap_or_default()),
        false => writer.message(kind.descriptor(), &stamped),
    }
}

// === impl Writer ===

impl Writer {
    fn message(&mut self, message: &MessageDescriptor, stamped: &HashSet<u32>) -> Example {
        self.inside.push(message.clone());
        let (mut said, mut begun) = (Vec::new(), HashSet::new());
        for field in in_order(message).into_iter().filter(|field| !stamped.contains(&field.number())) {
            let oneof = field.containing_oneof().filter(|oneof| !oneof.is_synthetic());
            // Of a oneof the first is said.
            if oneof.is_some_and(|oneof| !begun.insert(oneof.name().to_owned())) {
                continue;
            }
            let Some(left) = self.left.checked_sub(1) else { break };
            self.left = left;
            if let Some(value) = self.field(&field) {
                said.push((field.json_name().to_owned(), value));
            }
        }
        self.inside.pop();
        Example::Map(said)
    }

    /// Nothing where there is nothing to say, or it would have no end.
    fn field(&mut self, field: &FieldDescriptor) -> Option<Example> {
        match field.kind() {
            Kind::Message(entry) if field.is_map() => {
                let value = self.one(entry.map_entry_value_field().name(), &entry.map_entry_value_field().kind())?;
                let key = match entry.map_entry_key_field().kind() {
                    Kind::String => "key",
                    Kind::Bool => "true",
                    _ => "1",
                };
                Some(Example::Map(vec![(key.to_owned(), value)]))
            }
            kind if field.is_list() => Some(Example::List(vec![self.one(field.name(), &kind)?])),
            kind => self.one(field.name(), &kind),
        }
    }

    fn one(&mut self, name: &str, kind: &Kind) -> Option<Example> {
        let value = match kind {
            Kind::Message(message) if is_well_known(message.full_name()) => {
                return well_known(message.full_name()).map(Example::Value);
            }
            Kind::Message(message) if self.inside.len() >= DEPTH_MAX || self.inside.contains(message) => return None,
            Kind::Message(message) => return Some(self.message(message, &HashSet::new())),
            Kind::Enum(values) => values.values().find(|value| value.number() != 0).or_else(|| values.values().next())?.name().into(),
            Kind::String => text(name).into(),
            // Two bytes in base64.
            Kind::Bytes => "AQI=".into(),
            Kind::Bool => true.into(),
            Kind::Double | Kind::Float => json!(1.5),
            Kind::Int64 | Kind::Uint64 | Kind::Sint64 | Kind::Fixed64 | Kind::Sfixed64 => "1".into(),
            Kind::Int32 | Kind::Uint32 | Kind::Sint32 | Kind::Fixed32 | Kind::Sfixed32 => 1.into(),
        };
        Some(Example::Value(value))
    }
}

fn text(name: &str) -> &str {
    TEXTS.iter().find(|(end, _)| name.ends_with(end)).map_or(name, |(_, text)| text)
}

/// What those types say whose JSON is not an object of their fields; nothing in the place of one that could be anything.
fn well_known(name: &str) -> Option<Value> {
    let value = match name.strip_prefix("google.protobuf.").filter(|_| is_well_known(name))? {
        "Timestamp" => "2026-01-31T10:00:00Z".into(),
        "Duration" => "1.5s".into(),
        "FieldMask" => "".into(),
        "Struct" => json!({ "key": "value" }),
        "Empty" => json!({}),
        "ListValue" => json!(["value"]),
        "Value" => "value".into(),
        "StringValue" => "text".into(),
        "BytesValue" => "AQI=".into(),
        "BoolValue" => true.into(),
        "Int64Value" | "UInt64Value" => "1".into(),
        "Int32Value" | "UInt32Value" => 1.into(),
        "DoubleValue" | "FloatValue" => json!(1.5),
        _ => return None,
    };
    Some(value)
}
