//! The walker judges and reads as `DynamicMessage` does, and nothing makes it work harder than its bounds say.

use proptest::prelude::*;
use prost::encoding::{WireType, encode_key};
use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, ReflectMessage as _, Value as Reflected};

use super::message::{bytes_of, damaged_bytes_of, delimited};
use super::{decode, message_type, path};
use crate::proto::{FieldPath, MessageType, UnknownFields, Value, Values, Walk, WalkOptions};

const TYPES: [&str; 3] = ["test.v1.Kinds", "test.v1.Special", "test.v2.Legacy"];

/// Every path to a scalar, at most `depth` messages down.
fn scalar_paths(kind: &MessageType, depth: usize) -> Vec<String> {
    fn below(message: &prost_reflect::MessageDescriptor, prefix: &str, depth: usize, into: &mut Vec<String>) {
        for field in message.fields().filter(|field| !field.is_list() && !field.is_map()) {
            let path = format!("{prefix}{}", field.name());
            match field.kind() {
                Kind::Message(inner) if depth > 0 => below(&inner, &format!("{path}."), depth - 1, into),
                Kind::Message(_) => {}
                _ => into.push(path),
            }
        }
    }
    let mut paths = Vec::new();
    below(kind.descriptor(), "", depth, &mut paths);
    paths
}

/// What a reader of the decoded message sees at `numbers`, `None` when it can tell that nothing is there.
fn expected(message: &DynamicMessage, numbers: &[u32]) -> Option<Reflected> {
    let (number, below) = numbers.split_first()?;
    let field: FieldDescriptor = message.descriptor().get_field(*number)?;
    if !message.has_field(&field) {
        return None;
    }
    match message.get_field(&field).as_ref() {
        Reflected::Message(inner) => expected(inner, below),
        value => Some(value.clone()),
    }
}

fn agree(value: Value<'_>, expected: Option<Reflected>, path: &FieldPath) -> bool {
    match expected {
        // Without presence, a default value on the wire and no value at all look alike.
        None if path.leaf().supports_presence() => value == Value::Absent,
        None => value.or(path.default_value()) == path.default_value(),
        Some(Reflected::Bool(other)) => value == Value::Bool(other),
        Some(Reflected::I32(other) | Reflected::EnumNumber(other)) => value == Value::Int(other.into()),
        Some(Reflected::I64(other)) => value == Value::Int(other),
        Some(Reflected::U32(other)) => value == Value::Uint(other.into()),
        Some(Reflected::U64(other)) => value == Value::Uint(other),
        Some(Reflected::F32(other)) => same_float(value, other.into()),
        Some(Reflected::F64(other)) => same_float(value, other),
        Some(Reflected::String(other)) => value == Value::Str(&other),
        Some(Reflected::Bytes(other)) => value == Value::Bytes(&other),
        Some(Reflected::Message(_) | Reflected::List(_) | Reflected::Map(_)) => false,
    }
}

fn same_float(value: Value<'_>, other: f64) -> bool {
    matches!(value, Value::Float(value) if value.to_bits() == other.to_bits() || (value.is_nan() && other.is_nan()))
}

/// Whether the library accepted what we refuse on purpose: more than the bounds, or a map that is not one on the wire.
fn refused_on_purpose(problem: &str) -> bool {
    let maps = [40, 41, 42, 43, 10, 1];
    problem.contains("deep")
        || problem.contains("more such fields")
        || maps.iter().any(|map| {
            let (other, ended) =
                (format!("field {map} is not of the type that the schema says"), format!("a group {map} ends that did not begin"));
            problem == other || problem == ended
        })
}

fn judge(name: &str, bytes: &[u8]) -> Result<(), TestCaseError> {
    let kind = message_type(name);
    let paths: Vec<FieldPath> = scalar_paths(&kind, 2).iter().map(|text| path(&kind, text)).collect();
    let walk = Walk::compile(&kind, &paths, WalkOptions::default());
    let mut values = Values::new();
    match (walk.run(bytes, &mut values), decode(&kind, bytes)) {
        (Ok(()), None) => prop_assert!(false, "the walker accepted what the library refuses: {bytes:02x?}"),
        (Ok(()), Some(message)) => {
            for (path, value) in paths.iter().zip(values.iter()) {
                let expected = expected(&message, path.numbers());
                prop_assert!(agree(value, expected.clone(), path), "{path}: {value:?} is not {expected:?} in {bytes:02x?}");
            }
        }
        (Err(problem), Some(_)) => {
            prop_assert!(refused_on_purpose(&problem.to_string()), "the walker refused what the library accepts: {problem}: {bytes:02x?}")
        }
        (Err(_), None) => {}
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whole_messages_are_judged_and_read_alike((name, bytes) in prop::sample::select(&TYPES[..]).prop_flat_map(|name| (Just(name), bytes_of(&message_type(name))))) {
        judge(name, &bytes)?;
    }

    #[test]
    fn damaged_messages_are_judged_and_read_alike((name, bytes) in prop::sample::select(&TYPES[..]).prop_flat_map(|name| (Just(name), damaged_bytes_of(&message_type(name))))) {
        judge(name, &bytes)?;
    }

    #[test]
    fn any_bytes_are_judged_alike(name in prop::sample::select(&TYPES[..]), bytes in prop::collection::vec(any::<u8>(), 0..40)) {
        judge(name, &bytes)?;
    }

    #[test]
    fn packed_numbers_are_counted_as_the_library_reads_them(packed in prop::collection::vec(prop_oneof![Just(0x80u8), Just(0xff), Just(1), Just(2), any::<u8>()], 0..64)) {
        let mut bytes = Vec::new();
        delimited(20, &packed, &mut bytes);
        judge("test.v1.Kinds", &bytes)?;
    }
}

#[test]
fn every_prefix_of_a_message_is_judged_alike() {
    let mut bytes = Vec::new();
    for (number, body) in
        [(14, &b"text"[..]), (20, &[1, 0x80, 1, 0xff, 0xff, 3]), (30, &[8, 1, 18, 1, b'x']), (40, &[10, 1, b'k', 18, 1, b'v'])]
    {
        delimited(number, body, &mut bytes);
    }
    for end in 0..=bytes.len() {
        judge("test.v1.Kinds", &bytes[..end]).unwrap();
    }
}

fn run<'m>(name: &str, extract: &str, bytes: &'m [u8]) -> Result<Value<'m>, String> {
    let kind = message_type(name);
    let walk = Walk::compile(&kind, &[path(&kind, extract)], WalkOptions::default());
    let mut values = Values::new();
    walk.run(bytes, &mut values).map_err(|problem| problem.to_string())?;
    Ok(values.get(0))
}

#[test]
fn the_last_occurrence_wins() {
    assert_eq!(run("test.v1.Kinds", "f_string", b"\x72\x01a\x72\x01b"), Ok(Value::Str("b")));
}

#[test]
fn occurrences_of_a_message_merge() {
    // inner { name: "a" } inner { id: 1 }
    assert_eq!(run("test.v1.Kinds", "inner.name", b"\xf2\x01\x03\x12\x01a\xf2\x01\x02\x08\x01"), Ok(Value::Str("a")));
}

#[test]
fn a_later_member_of_a_oneof_clears_what_lies_inside_the_earlier() {
    // chosen_inner { name: "a" } chosen_int32: 1
    assert_eq!(run("test.v1.Kinds", "chosen_inner.name", b"\xa2\x03\x03\x12\x01a\x90\x03\x01"), Ok(Value::Absent));
}

#[test]
fn a_field_that_two_users_want_is_read_for_both() {
    let kind = message_type("test.v1.Kinds");
    let walk = Walk::compile(&kind, &[path(&kind, "f_int32"), path(&kind, "f_int32")], WalkOptions::default());
    let mut values = Values::new();
    walk.run(b"\x18\x07", &mut values).unwrap();
    assert!(values.iter().all(|value| value == Value::Int(7)));
}

#[test]
fn a_list_is_not_read() {
    assert_eq!(run("test.v1.Kinds", "strings", b"\xd2\x01\x01a"), Ok(Value::Absent));
}

#[test]
fn proto2_defaults_are_known() {
    let kind = message_type("test.v2.Legacy");
    assert_eq!(path(&kind, "name").default_value(), Value::Str("nobody"));
    assert_eq!(path(&kind, "size").default_value(), Value::Int(2));
}

#[test]
fn one_unknown_field_is_too_many_when_the_route_says_so() {
    let kind = message_type("test.v1.Leaf");
    let walk = Walk::compile(&kind, &[], WalkOptions { unknown_fields: UnknownFields::Reject, ..WalkOptions::default() });
    assert!(walk.run(b"\x08\x01", &mut Values::new()).is_ok());
    assert!(walk.run(b"\x50\x01", &mut Values::new()).is_err());
}

#[test]
fn a_map_that_is_not_one_on_the_wire_is_refused() {
    // The library reads the varint as the length of an entry; others would see an unknown field.
    let bytes = b"\xc0\x02\x00";
    assert!(decode(&message_type("test.v1.Kinds"), bytes).is_some());
    assert!(run("test.v1.Kinds", "f_int32", bytes).is_err());
}

/// `levels` messages, each in the one before.
fn nested(levels: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    for _ in 1..levels {
        let inner = std::mem::take(&mut bytes);
        delimited(32, &inner, &mut bytes);
    }
    bytes
}

#[test]
fn depth_is_bounded() {
    assert!(run("test.v1.Kinds", "f_int32", &nested(31)).is_ok());
    assert!(run("test.v1.Kinds", "f_int32", &nested(32)).is_ok());
    assert!(run("test.v1.Kinds", "f_int32", &nested(33)).unwrap_err().contains("32 deep"));
    assert!(run("test.v1.Kinds", "f_int32", &nested(10_000)).unwrap_err().contains("32 deep"));
}

#[test]
fn bombs_are_refused() {
    let repeat = |field: &[u8], times: usize| field.repeat(times);
    let packed = |len: usize| {
        let mut bytes = Vec::new();
        delimited(20, &vec![0; len], &mut bytes);
        bytes
    };
    let open_groups = |count: usize| {
        let mut bytes = Vec::new();
        (0..count).for_each(|_| encode_key(1000, WireType::StartGroup, &mut bytes));
        bytes
    };
    let closed_groups = |count: usize| {
        let mut bytes = open_groups(count);
        (0..count).for_each(|_| encode_key(1000, WireType::EndGroup, &mut bytes));
        bytes
    };
    let cases: [(&str, Vec<u8>, &str); 10] = [
        ("packed varints", packed(10_001), "elements"),
        (
            "packed fixed",
            {
                let mut b = Vec::new();
                delimited(22, &[0; 40_004], &mut b);
                b
            },
            "elements",
        ),
        ("tiny messages", repeat(b"\xfa\x01\x00", 10_001), "elements"),
        ("tiny strings", repeat(b"\xd2\x01\x00", 10_001), "elements"),
        ("tiny map entries", repeat(b"\xc2\x02\x00", 10_001), "elements"),
        ("plain numbers", repeat(b"\xa8\x01\x01", 10_001), "elements"),
        ("unknown fields", repeat(b"\xc0\x3e\x00", 65), "not in the schema"),
        ("unknown groups in a row", repeat(&closed_groups(1), 65), "not in the schema"),
        ("unknown groups in each other", closed_groups(33), "deep"),
        ("unknown groups that never end", open_groups(100_000), "deep"),
    ];
    for (name, bytes, why) in cases {
        let problem = run("test.v1.Kinds", "f_int32", &bytes).expect_err(name);
        assert!(problem.contains(why), "{name}: {problem}");
    }
    assert!(run("test.v1.Kinds", "f_int32", &packed(10_000)).is_ok());
    assert!(run("test.v1.Kinds", "f_int32", &repeat(b"\xc0\x3e\x00", 64)).is_ok());
}
