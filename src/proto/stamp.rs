//! Writes values into a message that its sender must not choose: the user of the session, for example.
//!
//! A stamp removes, then appends: every occurrence of the field at the top level is left out while the message is copied, and one is
//! appended, written even when it holds the default. Appending alone could be forged by an unfinished unknown field that swallows the
//! stamp. For the same reason a message must have passed the walker first, which reads it to its exact end with the same rules for where
//! a field ends. Bytes that did not pass are refused or copied in some way, but never make this panic.

use std::fmt;
use std::str::FromStr;

use bytes::{BufMut, BytesMut};
use prost::encoding::{self, WireType};
use prost_reflect::Kind;

use super::raw;
use super::walk::WalkProblem;
use super::{FieldPath, MessageType};

/// A field that is written by the gateway.
pub struct Stamp {
    name: String,
    number: u32,
    target: Target,
}

/// How text becomes the value of the field.
enum Target {
    Text,
    Bytes,
    Bool,
    Int32,
    Int64,
    Sint32,
    Sint64,
    Uint32,
    Uint64,
    Fixed32,
    Fixed64,
    Sfixed32,
    Sfixed64,
    /// The declared values.
    Enum(Vec<(String, i32)>),
}

/// Why a message was not stamped. It must then not be sent at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unconvertible {
    /// The text is not a value of the field. The text itself is not repeated, because it may be private.
    Value { field: String, wanted: &'static str },
    /// The message was not walked, or it was changed since.
    Message(WalkProblem),
}

// === impl Stamp ===

impl Stamp {
    /// Compiles a stamp, or says why the field cannot be stamped.
    pub fn compile(root: &MessageType, path: &FieldPath) -> Result<Stamp, String> {
        let [field] = path.fields() else {
            return Err("only a field at the top of the message can be set".to_owned());
        };
        let name = field.name();
        if field.parent_message() != root.descriptor() {
            return Err(format!("`{name}` is not a field of `{}`", root.name()));
        }
        if field.is_map() {
            return Err(format!("`{name}` is a map, which cannot be set"));
        }
        if field.is_list() {
            return Err(format!("`{name}` is repeated, so it cannot be set to one value"));
        }
        if let Some(oneof) = field.containing_oneof().filter(|oneof| !oneof.is_synthetic()) {
            return Err(format!("`{name}` belongs to the oneof `{}`: setting it would clear the other members", oneof.name()));
        }
        let target = match field.kind() {
            Kind::String => Target::Text,
            Kind::Bytes => Target::Bytes,
            Kind::Bool => Target::Bool,
            Kind::Int32 => Target::Int32,
            Kind::Int64 => Target::Int64,
            Kind::Sint32 => Target::Sint32,
            Kind::Sint64 => Target::Sint64,
            Kind::Uint32 => Target::Uint32,
            Kind::Uint64 => Target::Uint64,
            Kind::Fixed32 => Target::Fixed32,
            Kind::Fixed64 => Target::Fixed64,
            Kind::Sfixed32 => Target::Sfixed32,
            Kind::Sfixed64 => Target::Sfixed64,
            Kind::Enum(kind) => Target::Enum(kind.values().map(|value| (value.name().to_owned(), value.number())).collect()),
            Kind::Float | Kind::Double => return Err(format!("`{name}` is a floating-point number, which cannot be set")),
            Kind::Message(_) => return Err(format!("`{name}` is a message, which cannot be set")),
        };
        Ok(Stamp { name: name.to_owned(), number: field.number(), target })
    }

    /// The number of the field.
    pub fn number(&self) -> u32 {
        self.number
    }

    fn append(&self, text: &str, out: &mut BytesMut) -> Result<(), Unconvertible> {
        let number = self.number;
        match &self.target {
            Target::Text | Target::Bytes => {
                encoding::encode_key(number, WireType::LengthDelimited, out);
                encoding::encode_varint(text.len() as u64, out);
                out.put_slice(text.as_bytes());
            }
            Target::Bool => encoding::bool::encode(number, &self.parse(text, "true or false")?, out),
            Target::Int32 => encoding::int32::encode(number, &self.parse(text, "an integer of 32 bits")?, out),
            Target::Int64 => encoding::int64::encode(number, &self.parse(text, "an integer of 64 bits")?, out),
            Target::Sint32 => encoding::sint32::encode(number, &self.parse(text, "an integer of 32 bits")?, out),
            Target::Sint64 => encoding::sint64::encode(number, &self.parse(text, "an integer of 64 bits")?, out),
            Target::Uint32 => encoding::uint32::encode(number, &self.parse(text, "an unsigned integer of 32 bits")?, out),
            Target::Uint64 => encoding::uint64::encode(number, &self.parse(text, "an unsigned integer of 64 bits")?, out),
            Target::Fixed32 => encoding::fixed32::encode(number, &self.parse(text, "an unsigned integer of 32 bits")?, out),
            Target::Fixed64 => encoding::fixed64::encode(number, &self.parse(text, "an unsigned integer of 64 bits")?, out),
            Target::Sfixed32 => encoding::sfixed32::encode(number, &self.parse(text, "an integer of 32 bits")?, out),
            Target::Sfixed64 => encoding::sfixed64::encode(number, &self.parse(text, "an integer of 64 bits")?, out),
            Target::Enum(values) => encoding::int32::encode(number, &self.declared(values, text)?, out),
        }
        Ok(())
    }

    fn parse<T: FromStr>(&self, text: &str, wanted: &'static str) -> Result<T, Unconvertible> {
        text.parse().map_err(|_| Unconvertible::Value { field: self.name.clone(), wanted })
    }

    fn declared(&self, values: &[(String, i32)], text: &str) -> Result<i32, Unconvertible> {
        let number = text.parse::<i32>().ok();
        let found = values.iter().find(|(name, value)| name == text || Some(*value) == number);
        found
            .map(|(_, value)| *value)
            .ok_or_else(|| Unconvertible::Value { field: self.name.clone(), wanted: "a declared value of its enum" })
    }
}

/// Copies a message that the walker accepted to the end of `out`, with each stamped field set to its text. If it fails, `out` is as before.
pub fn copy_stamped(message: &[u8], stamps: &[(&Stamp, &str)], out: &mut BytesMut) -> Result<(), Unconvertible> {
    let before = out.len();
    let result = copy_and_append(message, stamps, out);
    if result.is_err() {
        out.truncate(before);
    }
    result
}

fn copy_and_append(message: &[u8], stamps: &[(&Stamp, &str)], out: &mut BytesMut) -> Result<(), Unconvertible> {
    out.reserve(message.len());
    // What stands between two stamped fields is copied at once.
    let mut kept = message;
    let mut rest = message;
    while !rest.is_empty() {
        let (number, wire, value) = raw::key(rest)?;
        let after = raw::skip(number, wire, value, 0)?;
        if stamps.iter().any(|(stamp, _)| stamp.number == number) {
            out.put_slice(&kept[..kept.len() - rest.len()]);
            kept = after;
        }
        rest = after;
    }
    out.put_slice(kept);
    stamps.iter().try_for_each(|(stamp, text)| stamp.append(text, out))
}

// === impl Unconvertible ===

impl From<WalkProblem> for Unconvertible {
    fn from(problem: WalkProblem) -> Unconvertible {
        Unconvertible::Message(problem)
    }
}

impl fmt::Display for Unconvertible {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unconvertible::Value { field, wanted } => write!(f, "the value for `{field}` is not {wanted}"),
            Unconvertible::Message(problem) => problem.fmt(f),
        }
    }
}

impl std::error::Error for Unconvertible {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use prost::Message;
    use prost_reflect::{DynamicMessage, Value};

    use super::*;
    use crate::proto::fixture::{self, Dice};
    use crate::proto::{UnknownPolicy, Values, Walk, WalkOptions};

    fn stamp(path: &str) -> Result<Stamp, String> {
        let kind = fixture::kind("t.All");
        Stamp::compile(&kind, &FieldPath::resolve(&kind, path).expect("the path exists"))
    }

    fn copy(message: &[u8], stamps: &[(&Stamp, &str)]) -> Result<Vec<u8>, Unconvertible> {
        let mut out = BytesMut::from(&b"head"[..]);
        let result = copy_stamped(message, stamps, &mut out);
        assert!(out.starts_with(b"head") && (result.is_ok() || out.len() == 4), "a failure leaves nothing behind");
        result.map(|()| out[4..].to_vec())
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

        #[test]
        fn a_stamped_message_is_the_message_with_the_field_set(seed: u64, text in "[a-zä]{0,9}", number: u32) {
            let stamps = [stamp("text").expect("can be set"), stamp("u32").expect("can be set"), stamp("maybe_colour").expect("can be set")];
            let kind = fixture::kind("t.All");
            let walk = Walk::compile(&kind, &[], WalkOptions { unknown_fields: UnknownPolicy::Pass });
            let mut dice = Dice(seed);
            for _ in 0..20 {
                let message = fixture::random_bytes(kind.descriptor(), &mut dice);
                let digits = number.to_string();
                let copied = copy(&message, &[(&stamps[0], &text), (&stamps[1], &digits), (&stamps[2], "RED")]);
                if walk.run(&message, &mut Values::default()).is_err() {
                    continue;
                }
                let copied = copied.expect("an accepted message can be stamped");
                let mut expected = DynamicMessage::decode(kind.descriptor().clone(), &message[..]).expect("the walker accepted it");
                expected.set_field_by_name("text", Value::String(text.clone()));
                expected.set_field_by_name("u32", Value::U32(number));
                expected.set_field_by_name("maybe_colour", Value::EnumNumber(1));
                let stamped = DynamicMessage::decode(kind.descriptor().clone(), &copied[..]).expect("a stamped message decodes");
                // Encoded, because NaN differs from itself and maps have no order, but their entries have the same bytes.
                let sorted = |message: &DynamicMessage| { let mut bytes = message.encode_to_vec(); bytes.sort_unstable(); bytes };
                prop_assert!(sorted(&stamped) == sorted(&expected));
            }
        }

        #[test]
        fn stamping_never_panics(bytes: Vec<u8>) {
            let stamp = stamp("text").expect("can be set");
            drop(copy(&bytes, &[(&stamp, "x")]));
        }
    }

    #[test]
    fn an_unfinished_field_cannot_swallow_the_stamp() {
        // An unknown field that claims the three bytes which a naive gateway would append.
        let forged = b"\x72\x04evil\xfa\x3f\x03";
        let walk = Walk::compile(&fixture::kind("t.All"), &[], WalkOptions { unknown_fields: UnknownPolicy::Pass });
        assert_eq!(walk.run(forged, &mut Values::default()), Err(WalkProblem::Truncated));
        let stamp = stamp("text").expect("can be set");
        assert_eq!(copy(forged, &[(&stamp, "x")]), Err(Unconvertible::Message(WalkProblem::Truncated)));
    }

    #[test]
    fn every_occurrence_goes_and_a_default_is_written() {
        let stamp = stamp("text").expect("can be set");
        assert_eq!(copy(b"\x72\x01a\x08\x01\x72\x01b\x10\x02\x72\x00", &[(&stamp, "")]), Ok(b"\x08\x01\x10\x02\x72\x00".to_vec()));
        assert_eq!(copy(b"", &[(&stamp, "me")]), Ok(b"\x72\x02me".to_vec()));
    }

    #[test]
    fn only_single_plain_fields_can_be_stamped() {
        for path in ["tree", "tree.name", "texts", "labels", "real", "wide", "left", "far_choice"] {
            assert!(stamp(path).is_err(), "{path}");
        }
        for path in ["truth", "i32", "s64", "f32", "sf64", "text", "data", "colour", "maybe", "maybe_int", "far"] {
            assert!(stamp(path).is_ok(), "{path}");
        }
    }

    #[test]
    fn text_becomes_the_value_or_is_refused() {
        let table: [(&str, &str, Option<&[u8]>); 14] = [
            ("truth", "true", Some(b"\x08\x01")),
            ("truth", "yes", None),
            ("i32", "-1", Some(b"\x10\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01")),
            ("i32", "2147483648", None),
            ("s32", "-1", Some(b"\x20\x01")),
            ("u32", "-1", None),
            ("u64", "18446744073709551615", Some(b"\x38\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01")),
            ("f32", "1", Some(b"\x45\x01\0\0\0")),
            ("data", "\u{e4}", Some(b"\x7a\x02\xc3\xa4")),
            ("colour", "BLUE", Some(b"\x80\x01\x07")),
            ("colour", "7", Some(b"\x80\x01\x07")),
            ("colour", "6", None),
            ("colour", "GREEN", None),
            ("i64", "", None),
        ];
        for (path, text, expected) in table {
            let result = copy(b"", &[(&stamp(path).expect("can be set"), text)]);
            assert_eq!(result.as_deref().ok(), expected, "{path} = {text}");
        }
        let problem = copy(b"", &[(&stamp("u32").expect("can be set"), "secret")]).expect_err("not a number");
        assert_eq!(problem.to_string(), "the value for `u32` is not an unsigned integer of 32 bits");
    }
}
