//! One hash over everything that messages of the given types can contain.
//!
//! Two gateways with the same hash read and write the same messages. The hash therefore covers the wire and the JSON form (names,
//! numbers, kinds, cardinality, oneofs, enum values) and nothing else: not the order of declarations, files, comments or options.

use std::collections::BTreeMap;

use prost_reflect::{Cardinality, EnumDescriptor, FieldDescriptor, Kind, MessageDescriptor};
use sha2::{Digest, Sha256};

use super::MessageType;

/// Adds the types and all that they reach to `hash`. The order of `types`, and naming one twice, make no difference.
pub fn closure_hash(types: &[MessageType], hash: &mut Sha256) {
    let mut messages: BTreeMap<String, MessageDescriptor> = BTreeMap::new();
    let mut enums: BTreeMap<String, EnumDescriptor> = BTreeMap::new();
    let mut waiting: Vec<MessageDescriptor> = types.iter().map(|kind| kind.descriptor().clone()).collect();
    while let Some(message) = waiting.pop() {
        if messages.contains_key(message.full_name()) {
            continue;
        }
        for field in message.fields() {
            match field.kind() {
                Kind::Message(below) => waiting.push(below),
                Kind::Enum(below) => drop(enums.insert(below.full_name().to_owned(), below)),
                _ => {}
            }
        }
        messages.insert(message.full_name().to_owned(), message);
    }
    number(hash, messages.len());
    for (name, message) in &messages {
        text(hash, name);
        number(hash, message.fields().len());
        let mut fields: Vec<FieldDescriptor> = message.fields().collect();
        fields.sort_by_key(FieldDescriptor::number);
        fields.iter().for_each(|field| hash_field(hash, field));
    }
    number(hash, enums.len());
    for (name, kind) in &enums {
        text(hash, name);
        let mut values: Vec<(i32, String)> = kind.values().map(|value| (value.number(), value.name().to_owned())).collect();
        values.sort();
        number(hash, values.len());
        for (value, name) in values {
            hash.update(value.to_le_bytes());
            text(hash, &name);
        }
    }
}

fn hash_field(hash: &mut Sha256, field: &FieldDescriptor) {
    hash.update(field.number().to_le_bytes());
    text(hash, field.name());
    text(hash, field.json_name());
    text(
        hash,
        match field.cardinality() {
            Cardinality::Optional => "optional",
            Cardinality::Required => "required",
            Cardinality::Repeated => "repeated",
        },
    );
    // Packed, group and presence change how the same value is written.
    hash.update([u8::from(field.is_packed()), u8::from(field.is_group()), u8::from(field.supports_presence())]);
    let kind = field.kind();
    text(hash, kind_name(&kind));
    text(
        hash,
        match &kind {
            Kind::Message(below) => below.full_name(),
            Kind::Enum(below) => below.full_name(),
            _ => "",
        },
    );
    let oneof = field.containing_oneof().filter(|oneof| !oneof.is_synthetic());
    text(hash, oneof.as_ref().map_or("", |oneof| oneof.name()));
}

fn kind_name(kind: &Kind) -> &'static str {
    match kind {
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
        Kind::Message(_) => "message",
        Kind::Enum(_) => "enum",
    }
}

/// Length first, so that no two lists of texts look alike.
fn text(hash: &mut Sha256, text: &str) {
    number(hash, text.len());
    hash.update(text);
}

fn number(hash: &mut Sha256, number: usize) {
    hash.update((number as u64).to_le_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::pool::tests::pool_of;

    fn hash(text: &str, names: &[&str]) -> [u8; 32] {
        let pool = pool_of(&format!("syntax = \"proto3\"; package p; {text}"));
        let types: Vec<MessageType> = names.iter().map(|name| pool.message(name).expect("it is declared")).collect();
        let mut hash = Sha256::new();
        closure_hash(&types, &mut hash);
        hash.finalize().into()
    }

    const BASE: &str = "message A { B b = 1; E e = 2; A again = 3; } message B { string s = 1; } enum E { Z = 0; O = 1; } message C {}";

    #[test]
    fn order_and_repetition_and_strangers_make_no_difference() {
        let base = hash(BASE, &["p.A", "p.C"]);
        assert_eq!(base, hash(BASE, &["p.C", "p.A", "p.C", "p.B"]));
        let moved =
            "message C {} enum E { Z = 0; O = 1; } message B { string s = 1; } message New {} message A { A again = 3; E e = 2; B b = 1; }";
        assert_eq!(base, hash(moved, &["p.A", "p.C"]));
    }

    #[test]
    fn every_change_below_makes_one() {
        let base = hash(BASE, &["p.A"]);
        for (from, to) in
            [("string s", "bytes s"), ("string s", "optional string s"), ("s = 1", "s = 2"), ("s = 1", "t = 1"), ("O = 1", "O = 2")]
        {
            assert_ne!(base, hash(&BASE.replace(from, to), &["p.A"]), "{from} -> {to}");
        }
        assert_ne!(base, hash(&BASE.replace("string s = 1;", "oneof o { string s = 1; }"), &["p.A"]));
        assert_ne!(base, hash(BASE, &["p.A", "p.C"]));
    }
}
