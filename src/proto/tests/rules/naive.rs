//! Random messages are judged as a naive reader of the decoded message judges them, which shares no line with the judge.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use proptest::prelude::*;
use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MapKey, Value as Reflected};

use super::{broken, load};
use crate::proto::tests::decode;
use crate::proto::tests::message::{bytes_of, damaged_bytes_of};
use crate::proto::{MessageType, Pool, VIOLATIONS_MAX, Values, Walk, WalkOptions};

const NEW: &str = r#"
syntax = "proto3";
package test;
import "buf/validate/validate.proto";
enum Color { RED = 0; GREEN = 1; BLUE = -3; }
message New {
  option (buf.validate.message).oneof = { fields: ["text", "leaves"] };
  option (buf.validate.message).oneof = { fields: ["maybe", "real"], required: true };
  int32 number = 1 [(buf.validate.field).int32.gt = 0];
  optional sint64 maybe = 2 [(buf.validate.field).sint64 = { gt: 5, lt: -5 }];
  string text = 3 [(buf.validate.field).string.min_len = 2];
  bytes blob = 4 [(buf.validate.field) = { bytes: { max_len: 2 }, ignore: IGNORE_IF_ZERO_VALUE }];
  float real = 5 [(buf.validate.field).float.lt = 1];
  Color color = 6 [(buf.validate.field) = { required: true, enum: { defined_only: true } }];
  uint64 plain = 7;
  repeated int32 numbers = 10 [(buf.validate.field).repeated = { unique: true, max_items: 3, items: { int32: { gt: 0 } } }];
  repeated fixed64 apart = 11 [packed = false, (buf.validate.field).repeated = { items: { fixed64: { gt: 1 } } }];
  repeated string texts = 12 [(buf.validate.field) = { required: true, repeated: { items: { string: { min_len: 3 }, ignore: IGNORE_IF_ZERO_VALUE } } }];
  repeated Leaf leaves = 13 [(buf.validate.field).repeated.min_items = 1];
  repeated double doubles = 14 [(buf.validate.field).repeated.unique = true];
  map<string, Leaf> leaf_by_name = 20 [(buf.validate.field).map = { min_pairs: 1, keys: { string: { min_len: 2 } } }];
  map<int32, sint32> by_number = 21 [(buf.validate.field).map = { max_pairs: 1, keys: { int32: { gt: 0 } }, values: { sint32: { lt: 9 } } }];
  Leaf leaf = 30 [(buf.validate.field).required = true];
  New again = 31;
  Leaf ignored = 32 [(buf.validate.field).ignore = IGNORE_ALWAYS];
  oneof choice {
    option (buf.validate.oneof).required = true;
    int32 chosen_number = 40 [(buf.validate.field).int32.gt = 3];
    Leaf chosen_leaf = 41;
    string chosen_text = 42;
  }
}
message Leaf {
  string name = 1 [(buf.validate.field).string.min_len = 2];
  repeated uint32 sizes = 2 [(buf.validate.field).repeated.max_items = 2];
  oneof either { New new = 3; bool on = 4 [(buf.validate.field).bool.const = true]; }
}
"#;

const OLD: &str = r#"
syntax = "proto2";
package test;
import "buf/validate/validate.proto";
enum Size { SMALL = 1; LARGE = 2; }
message Old {
  optional int32 id = 1 [(buf.validate.field) = { required: true, int32: { gt: 0 } }];
  optional string name = 2 [default = "nobody", (buf.validate.field) = { string: { max_len: 3 }, ignore: IGNORE_IF_ZERO_VALUE }];
  repeated Size sizes = 3 [(buf.validate.field).repeated = { unique: true, items: { enum: { defined_only: true }, ignore: IGNORE_IF_ZERO_VALUE } }];
  optional group Box = 6 [(buf.validate.field).required = true] {
    optional int32 width = 1 [(buf.validate.field).int32.gt = 10];
    repeated group Slot = 3 [(buf.validate.field).repeated.max_items = 1] { optional string label = 1 [(buf.validate.field).required = true]; }
  }
  oneof choice {
    group Crate = 8 { optional int32 weight = 1 [(buf.validate.field).int32.lt = 2]; optional Old inside = 2; }
    string note = 9 [(buf.validate.field).string.min_len = 3];
  }
  map<bool, Old> others = 10;
}
"#;

static POOL: LazyLock<Pool> = LazyLock::new(|| {
    let (pool, report) = load(&[("new.proto", NEW), ("old.proto", OLD)]);
    assert!(report.is_empty(), "{report:?}");
    pool
});

/// The option of `buf.validate` in someone's options.
fn option(options: &DynamicMessage) -> Option<DynamicMessage> {
    options.extensions().find(|(extension, _)| extension.number() == 1159).and_then(|(_, value)| value.as_message().cloned())
}

/// A field of a rule that is set.
fn part(rules: &DynamicMessage, name: &str) -> Option<Reflected> {
    rules.has_field_by_name(name).then(|| rules.get_field_by_name(name).map(|value| value.into_owned()))?
}

fn inner(rules: &DynamicMessage, name: &str) -> Option<DynamicMessage> {
    part(rules, name)?.as_message().cloned()
}

fn ignore(rules: &DynamicMessage) -> i32 {
    part(rules, "ignore").and_then(|value| value.as_enum_number()).unwrap_or(0)
}

fn naive(message: &DynamicMessage, path: &str, found: &mut BTreeSet<String>) {
    let descriptor = prost_reflect::ReflectMessage::descriptor(message);
    let set = |name: &str| descriptor.get_field_by_name(name).is_some_and(|field| has(message, &field));
    let own = option(&descriptor.options());
    let mut chosen = BTreeSet::new();
    let lists: Vec<DynamicMessage> = own
        .iter()
        .filter_map(|own| part(own, "oneof"))
        .flat_map(|list| list.as_list().unwrap().to_vec())
        .map(|rule| rule.as_message().unwrap().clone())
        .collect();
    for rule in lists {
        let fields: Vec<String> =
            part(&rule, "fields").unwrap().as_list().unwrap().iter().map(|name| name.as_str().unwrap().to_owned()).collect();
        let count = fields.iter().filter(|name| set(name)).count();
        if count > 1 || (count == 0 && part(&rule, "required").is_some()) {
            found.insert(format!("{} message.oneof", path.trim_end_matches('.')));
        }
        chosen.extend(fields);
    }
    for oneof in descriptor.oneofs() {
        if option(&oneof.options()).is_some() && !oneof.fields().any(|field| message.has_field(&field)) {
            found.insert(format!("{path}{} required", oneof.name()));
        }
    }
    for field in descriptor.fields() {
        let rules = option(&field.options());
        let ignored = rules.as_ref().map_or(0, ignore);
        if ignored == 3 {
            continue;
        }
        let at = format!("{path}{}", field.name());
        if !has(message, &field) {
            if rules.as_ref().is_some_and(|rules| part(rules, "required").is_some()) {
                found.insert(format!("{at} required"));
                continue;
            }
            if field.supports_presence() || ignored == 1 || (rules.is_some() && chosen.contains(field.name())) {
                continue;
            }
        }
        whole(&field, message.get_field(&field).as_ref(), rules.as_ref(), &at, found);
    }
}

fn has(message: &DynamicMessage, field: &FieldDescriptor) -> bool {
    message.has_field(field)
        || matches!(message.get_field(field).as_ref(), Reflected::F32(value) if !field.supports_presence() && value.to_bits() != 0)
}

fn whole(field: &FieldDescriptor, value: &Reflected, rules: Option<&DynamicMessage>, at: &str, found: &mut BTreeSet<String>) {
    let size = |rules: &DynamicMessage, name: &str| part(rules, name).and_then(|value| value.as_u64());
    match value {
        Reflected::List(list) => {
            let rules =
                rules.and_then(|rules| inner(rules, "repeated")).unwrap_or_else(|| DynamicMessage::new(field.parent_message().clone()));
            let count = list.len() as u64;
            if size(&rules, "min_items").is_some_and(|least| count < least) {
                found.insert(format!("{at} repeated.min_items"));
            }
            if size(&rules, "max_items").is_some_and(|most| count > most) {
                found.insert(format!("{at} repeated.max_items"));
            }
            let twice = (0..list.len()).any(|one| (0..one).any(|other| list[one] == list[other]));
            if part(&rules, "unique").is_some() && twice {
                found.insert(format!("{at} repeated.unique"));
            }
            let items = inner(&rules, "items");
            for (index, item) in list.iter().enumerate() {
                element(&field.kind(), item, items.as_ref(), &format!("{at}[{index}]"), found);
            }
        }
        Reflected::Map(map) => {
            let Kind::Message(entry) = field.kind() else { unreachable!() };
            let rules = rules.and_then(|rules| inner(rules, "map")).unwrap_or_else(|| DynamicMessage::new(entry.clone()));
            let count = map.len() as u64;
            if size(&rules, "min_pairs").is_some_and(|least| count < least) {
                found.insert(format!("{at} map.min_pairs"));
            }
            if size(&rules, "max_pairs").is_some_and(|most| count > most) {
                found.insert(format!("{at} map.max_pairs"));
            }
            for (key, value) in map {
                let key = match key.clone() {
                    MapKey::Bool(key) => Reflected::Bool(key),
                    MapKey::I32(key) => Reflected::I32(key),
                    MapKey::String(key) => Reflected::String(key),
                    _ => unreachable!("the types of this test have no other keys"),
                };
                element(&entry.map_entry_key_field().kind(), &key, inner(&rules, "keys").as_ref(), &format!("{at}[*]"), found);
                element(&entry.map_entry_value_field().kind(), value, inner(&rules, "values").as_ref(), &format!("{at}[*]"), found);
            }
        }
        value => scalar(&field.kind(), value, rules, at, found),
    }
}

fn element(kind: &Kind, value: &Reflected, rules: Option<&DynamicMessage>, at: &str, found: &mut BTreeSet<String>) {
    if rules.is_none_or(|rules| ignore(rules) != 1 || *value != Reflected::default_value(kind)) {
        scalar(kind, value, rules, at, found);
    }
}

/// The few rules of single values that the types of this test have; every rule has its cases elsewhere.
fn scalar(kind: &Kind, value: &Reflected, rules: Option<&DynamicMessage>, at: &str, found: &mut BTreeSet<String>) {
    if let Reflected::Message(message) = value {
        return naive(message, &format!("{at}."), found);
    }
    let Some((name, of_type)) =
        rules.and_then(|rules| rules.fields().find_map(|(field, value)| Some((field.name().to_owned(), value.as_message()?.clone()))))
    else {
        return;
    };
    let number = |value: &Reflected| match value {
        Reflected::I32(value) | Reflected::EnumNumber(value) => f64::from(*value),
        Reflected::I64(value) => *value as f64,
        Reflected::U32(value) => f64::from(*value),
        Reflected::U64(value) => *value as f64,
        Reflected::F32(value) => f64::from(*value),
        _ => f64::NAN,
    };
    let mut broken = |rule: &str| _ = found.insert(format!("{at} {name}.{rule}"));
    let here = number(value);
    match (part(&of_type, "gt").map(|bound| number(&bound)), part(&of_type, "lt").map(|bound| number(&bound))) {
        (Some(lower), Some(upper)) if !(here > lower || here < upper) => broken("gt_lt_exclusive"),
        (Some(lower), None) if here.is_nan() || here <= lower => broken("gt"),
        (None, Some(upper)) if here.is_nan() || here >= upper => broken("lt"),
        _ => {}
    }
    let len = match value {
        Reflected::String(text) => text.chars().count(),
        Reflected::Bytes(bytes) => bytes.len(),
        _ => 0,
    };
    if part(&of_type, "min_len").is_some_and(|least| (len as u64) < least.as_u64().unwrap()) {
        broken("min_len");
    }
    if part(&of_type, "max_len").is_some_and(|most| len as u64 > most.as_u64().unwrap()) {
        broken("max_len");
    }
    if part(&of_type, "const").is_some_and(|constant| constant != *value) {
        broken("const");
    }
    if let (Kind::Enum(values), Some(_), Some(number)) = (kind, part(&of_type, "defined_only"), value.as_enum_number())
        && values.get_value(number).is_none()
    {
        broken("defined_only");
    }
}

fn judge(kind: &MessageType, bytes: &[u8]) -> Result<(), TestCaseError> {
    let is_sound = Walk::compile(kind, &[], WalkOptions::default()).run(bytes, &mut Values::new()).is_ok();
    let Some(message) = decode(kind, bytes).filter(|_| is_sound) else { return Ok(()) };
    let mut expected = BTreeSet::new();
    naive(&message, "", &mut expected);
    let found: BTreeSet<String> = broken(kind, bytes).into_iter().collect();
    if expected.len() < VIOLATIONS_MAX {
        prop_assert_eq!(found, expected, "{:02x?}", bytes);
    } else {
        prop_assert!(found.len() == VIOLATIONS_MAX && found.is_subset(&expected));
    }
    Ok(())
}

const TYPES: [&str; 3] = ["test.New", "test.Leaf", "test.Old"];

fn message_type(name: &str) -> MessageType {
    POOL.message(name).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whole_messages_are_judged_alike((name, bytes) in prop::sample::select(&TYPES[..]).prop_flat_map(|name| (Just(name), bytes_of(&message_type(name))))) {
        judge(&message_type(name), &bytes)?;
    }

    #[test]
    fn damaged_messages_are_judged_alike((name, bytes) in prop::sample::select(&TYPES[..]).prop_flat_map(|name| (Just(name), damaged_bytes_of(&message_type(name))))) {
        judge(&message_type(name), &bytes)?;
    }

    #[test]
    fn two_messages_in_a_row_are_judged_as_their_merger(
        (name, one, other) in prop::sample::select(&TYPES[..]).prop_flat_map(|name| (Just(name), bytes_of(&message_type(name)), bytes_of(&message_type(name))))
    ) {
        judge(&message_type(name), &[one, other].concat())?;
    }
}
