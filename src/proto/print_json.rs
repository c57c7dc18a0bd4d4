//! Prints a message as canonical proto3 JSON.
//!
//! prost-reflect prints too, but one `Any` of a type that the pool does not have fails its whole message, and a wrapper that holds
//! `NaN` becomes null. Only its printing of times, field masks and `Struct` is used; the rest is compared with it in the tests.

use base64::display::Base64Display;
use base64::prelude::BASE64_STANDARD;
use prost_reflect::{DynamicMessage, Kind, MapKey, ReflectMessage as _, Value};
use serde::ser::{Serialize, SerializeMap, SerializeSeq as _, Serializer};

use super::{Pool, Values, Walk};

/// Most messages inside `Any` inside `Any`: each starts with a depth of its own, so this bounds the stack. What is deeper is printed
/// as its bytes.
const ANY_DEPTH_MAX: u32 = 4;

/// A message to be printed.
pub(super) struct Printed<'a> {
    pool: &'a Pool,
    message: &'a DynamicMessage,
    any_depth: u32,
}

/// A value to be printed, and its kind, which names the values of an enum.
struct PrintedValue<'a> {
    within: &'a Printed<'a>,
    value: &'a Value,
    kind: &'a Kind,
}

/// A key of a map: always text.
struct PrintedKey<'a>(&'a MapKey);

// === impl Printed ===

impl<'a> Printed<'a> {
    pub fn new(pool: &'a Pool, message: &'a DynamicMessage) -> Printed<'a> {
        Printed { pool, message, any_depth: ANY_DEPTH_MAX }
    }

    fn fields<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        for (field, value) in self.message.fields() {
            map.serialize_entry(field.json_name(), &PrintedValue { within: self, value, kind: &field.kind() })?;
        }
        for (field, value) in self.message.extensions() {
            map.serialize_entry(field.json_name(), &PrintedValue { within: self, value, kind: &field.kind() })?;
        }
        Ok(())
    }

    fn any<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (url, bytes) = (self.field(1), self.field(2));
        let (url, bytes) = (url.as_str().unwrap_or_default(), bytes.as_bytes().map(|bytes| bytes.as_ref()).unwrap_or_default());
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("@type", url)?;
        match self.unpack(url, bytes) {
            Some(message) => {
                let inner = Printed { pool: self.pool, message: &message, any_depth: self.any_depth - 1 };
                if is_well_known(message.descriptor().full_name()) {
                    map.serialize_entry("value", &inner)?;
                } else {
                    inner.fields(&mut map)?;
                }
            }
            None => map.serialize_entry("value", &format_args!("{}", Base64Display::new(bytes, &BASE64_STANDARD)))?,
        }
        map.end()
    }

    /// The message that an `Any` holds; none when its type is not in the pool, it is not of its type, or it is too deep.
    fn unpack(&self, url: &str, bytes: &[u8]) -> Option<DynamicMessage> {
        let kind = self.pool.message(url.rsplit_once('/')?.1).filter(|_| self.any_depth > 0)?;
        Walk::for_printing(&kind).run(bytes, &mut Values::new()).ok()?;
        DynamicMessage::decode(kind.descriptor().clone(), bytes).ok()
    }

    fn field(&self, number: u32) -> Value {
        self.message.get_field_by_number(number).map(|value| value.into_owned()).unwrap_or(Value::Bool(false))
    }
}

impl Serialize for Printed<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let descriptor = self.message.descriptor();
        let name = descriptor.full_name();
        if name == "google.protobuf.Any" {
            self.any(serializer)
        } else if is_wrapper(name) {
            let kind = descriptor.get_field(1).map_or(Kind::Bool, |field| field.kind());
            PrintedValue { within: self, value: &self.field(1), kind: &kind }.serialize(serializer)
        } else if is_well_known(name) {
            self.message.serialize(serializer)
        } else {
            let mut map = serializer.serialize_map(None)?;
            self.fields(&mut map)?;
            map.end()
        }
    }
}

// === impl PrintedValue ===

impl Serialize for PrintedValue<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.value {
            Value::Bool(value) => serializer.serialize_bool(*value),
            Value::I32(value) => serializer.serialize_i32(*value),
            Value::U32(value) => serializer.serialize_u32(*value),
            Value::I64(value) => serializer.collect_str(value),
            Value::U64(value) => serializer.collect_str(value),
            Value::F32(value) if value.is_finite() => serializer.serialize_f32(*value),
            Value::F64(value) if value.is_finite() => serializer.serialize_f64(*value),
            Value::F32(value) => serializer.serialize_str(not_finite((*value).into())),
            Value::F64(value) => serializer.serialize_str(not_finite(*value)),
            Value::String(value) => serializer.serialize_str(value),
            Value::Bytes(value) => serializer.collect_str(&Base64Display::new(value, &BASE64_STANDARD)),
            Value::EnumNumber(number) => match self.kind.as_enum() {
                Some(values) if values.full_name() == "google.protobuf.NullValue" => serializer.serialize_unit(),
                values => match values.and_then(|values| values.get_value(*number)) {
                    Some(value) => serializer.serialize_str(value.name()),
                    None => serializer.serialize_i32(*number),
                },
            },
            Value::Message(message) => Printed { message, ..*self.within }.serialize(serializer),
            Value::List(values) => {
                let mut list = serializer.serialize_seq(Some(values.len()))?;
                values.iter().try_for_each(|value| list.serialize_element(&PrintedValue { value, ..*self }))?;
                list.end()
            }
            Value::Map(entries) => {
                let kind = self.kind.as_message().map_or(Kind::Bool, |entry| entry.map_entry_value_field().kind());
                let mut map = serializer.serialize_map(Some(entries.len()))?;
                for (key, value) in sorted(entries) {
                    map.serialize_entry(&PrintedKey(key), &PrintedValue { within: self.within, value, kind: &kind })?;
                }
                map.end()
            }
        }
    }
}

impl Serialize for PrintedKey<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            MapKey::Bool(key) => serializer.collect_str(key),
            MapKey::I32(key) => serializer.collect_str(key),
            MapKey::I64(key) => serializer.collect_str(key),
            MapKey::U32(key) => serializer.collect_str(key),
            MapKey::U64(key) => serializer.collect_str(key),
            MapKey::String(key) => serializer.serialize_str(key),
        }
    }
}

/// The types whose JSON is not an object of their fields.
pub(super) fn is_well_known(name: &str) -> bool {
    let special = ["Any", "Timestamp", "Duration", "FieldMask", "Struct", "Value", "ListValue", "Empty"];
    is_wrapper(name) || name.strip_prefix("google.protobuf.").is_some_and(|name| special.contains(&name))
}

fn is_wrapper(name: &str) -> bool {
    let wrapped = ["Double", "Float", "Int64", "UInt64", "Int32", "UInt32", "Bool", "String", "Bytes"];
    let name = name.strip_prefix("google.protobuf.").and_then(|name| name.strip_suffix("Value"));
    name.is_some_and(|name| wrapped.contains(&name))
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

/// The entries of a map in the order of their keys, so that equal messages print alike.
fn sorted(entries: &std::collections::HashMap<MapKey, Value>) -> Vec<(&MapKey, &Value)> {
    let mut entries: Vec<_> = entries.iter().collect();
    entries.sort_by(|(a, _), (b, _)| key_order(a).cmp(&key_order(b)));
    entries
}

fn key_order(key: &MapKey) -> (i128, &str) {
    match key {
        MapKey::Bool(key) => (i128::from(*key), ""),
        MapKey::I32(key) => (i128::from(*key), ""),
        MapKey::I64(key) => (i128::from(*key), ""),
        MapKey::U32(key) => (i128::from(*key), ""),
        MapKey::U64(key) => (i128::from(*key), ""),
        MapKey::String(key) => (0, key),
    }
}
