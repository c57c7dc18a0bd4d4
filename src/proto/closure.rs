//! A hash of what clients must agree on: message types, and all types reachable from them.
//!
//! Promise: it does not depend on the order of the types or of anything in their files, nor on comments and options; it changes when
//! a name, a number, a kind, a label, a oneof or a JSON name does.

use std::collections::BTreeMap;

use prost_reflect::{Cardinality, EnumDescriptor, FieldDescriptor, Kind, MessageDescriptor};
use sha2::{Digest, Sha256};

use super::MessageType;
use crate::files::Fingerprint;

/// One hash of `types` and everything reachable from them.
pub fn closure_hash(types: &[MessageType]) -> Fingerprint {
    // By name, so that the order in which types are met does not matter. One pool has one meaning for a name.
    let mut described: BTreeMap<String, String> = BTreeMap::new();
    let mut waiting: Vec<MessageDescriptor> = types.iter().map(|kind| kind.descriptor().clone()).collect();
    while let Some(message) = waiting.pop() {
        if described.contains_key(message.full_name()) {
            continue;
        }
        described.insert(message.full_name().to_owned(), describe_message(&message));
        for field in message.fields() {
            match field.kind() {
                Kind::Message(inner) => waiting.push(inner),
                Kind::Enum(values) => _ = described.entry(values.full_name().to_owned()).or_insert_with(|| describe_enum(&values)),
                _ => {}
            }
        }
    }
    let mut hash = Sha256::new();
    for (name, description) in described {
        for text in [name, description] {
            hash.update((text.len() as u64).to_le_bytes());
            hash.update(text);
        }
    }
    Fingerprint(hash.finalize().into())
}

fn describe_message(message: &MessageDescriptor) -> String {
    let mut fields: Vec<FieldDescriptor> = message.fields().collect();
    fields.sort_by_key(FieldDescriptor::number);
    fields.iter().map(describe_field).collect()
}

fn describe_field(field: &FieldDescriptor) -> String {
    let label = match field.cardinality() {
        Cardinality::Required => "required",
        Cardinality::Repeated => "repeated",
        Cardinality::Optional if field.supports_presence() => "optional",
        Cardinality::Optional => "implicit",
    };
    let oneof = field.containing_oneof().map_or(String::new(), |oneof| oneof.name().to_owned());
    format!("{} {label} {} {} {} {oneof}\n", field.number(), kind_name(field), field.name(), field.json_name())
}

fn describe_enum(values: &EnumDescriptor) -> String {
    let mut lines: Vec<(i32, String)> = values.values().map(|value| (value.number(), value.name().to_owned())).collect();
    lines.sort();
    lines.into_iter().map(|(number, name)| format!("{number} {name}\n")).collect()
}

fn kind_name(field: &FieldDescriptor) -> String {
    match field.kind() {
        Kind::Double => "double".into(),
        Kind::Float => "float".into(),
        Kind::Int32 => "int32".into(),
        Kind::Int64 => "int64".into(),
        Kind::Uint32 => "uint32".into(),
        Kind::Uint64 => "uint64".into(),
        Kind::Sint32 => "sint32".into(),
        Kind::Sint64 => "sint64".into(),
        Kind::Fixed32 => "fixed32".into(),
        Kind::Fixed64 => "fixed64".into(),
        Kind::Sfixed32 => "sfixed32".into(),
        Kind::Sfixed64 => "sfixed64".into(),
        Kind::Bool => "bool".into(),
        Kind::String => "string".into(),
        Kind::Bytes => "bytes".into(),
        Kind::Message(message) if field.is_group() => format!("group {}", message.full_name()),
        Kind::Message(message) => message.full_name().to_owned(),
        Kind::Enum(values) => values.full_name().to_owned(),
    }
}
