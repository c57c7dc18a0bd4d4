//! Values that rules are about, and values that are written in rules.

use std::fmt;

use prost_reflect::{DynamicMessage, Value as Reflected};

use crate::proto::Value;

/// One value of a message, as rules see it: integers and enums are one kind of number, and so are times, in nanoseconds.
#[derive(Clone, Copy, PartialEq, PartialOrd, Debug)]
pub(super) enum Datum<'m> {
    Bool(bool),
    Int(i128),
    Float(f64),
    Text(&'m str),
    Bytes(&'m [u8]),
}

/// A value that is written in a rule.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Constant {
    Bool(bool),
    Int(i128),
    Float(f64),
    Text(Box<str>),
    Bytes(Box<[u8]>),
    Duration(i128),
    Timestamp(i128),
}

/// What two values share that are the same to a set.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Same<'m> {
    Number(i128),
    Bits(u64),
    Bytes(&'m [u8]),
}

const NANOSECONDS: i128 = 1_000_000_000;

// === impl Datum ===

impl<'m> Datum<'m> {
    /// The value that a field has when nothing is set.
    pub fn is_zero(self) -> bool {
        match self {
            Datum::Bool(value) => !value,
            Datum::Int(value) => value == 0,
            Datum::Float(value) => value.to_bits() == 0,
            Datum::Text(text) => text.is_empty(),
            Datum::Bytes(bytes) => bytes.is_empty(),
        }
    }

    /// The bytes of a text or of bytes.
    pub fn bytes(self) -> &'m [u8] {
        match self {
            Datum::Text(text) => text.as_bytes(),
            Datum::Bytes(bytes) => bytes,
            Datum::Bool(_) | Datum::Int(_) | Datum::Float(_) => &[],
        }
    }

    /// Nothing when a value is not even the same as itself.
    pub fn same(self) -> Option<Same<'m>> {
        match self {
            Datum::Bool(value) => Some(Same::Number(value.into())),
            Datum::Int(value) => Some(Same::Number(value)),
            Datum::Float(value) if value.is_nan() => None,
            // The two zeros are one.
            Datum::Float(value) => Some(Same::Bits((value + 0.0).to_bits())),
            Datum::Text(_) | Datum::Bytes(_) => Some(Same::Bytes(self.bytes())),
        }
    }

    /// A point or a length of time.
    pub fn time(seconds: i64, nanos: i32) -> Datum<'m> {
        Datum::Int(i128::from(seconds) * NANOSECONDS + i128::from(nanos))
    }
}

impl<'m> From<Value<'m>> for Datum<'m> {
    fn from(value: Value<'m>) -> Datum<'m> {
        match value {
            Value::Absent => Datum::Bytes(&[]),
            Value::Bool(value) => Datum::Bool(value),
            Value::Int(value) => Datum::Int(value.into()),
            Value::Uint(value) => Datum::Int(value.into()),
            Value::Float(value) => Datum::Float(value),
            Value::Str(text) => Datum::Text(text),
            Value::Bytes(bytes) => Datum::Bytes(bytes),
        }
    }
}

// === impl Constant ===

impl Constant {
    /// A value of an option.
    pub fn of(value: &Reflected) -> Constant {
        match value {
            Reflected::Bool(value) => Constant::Bool(*value),
            Reflected::I32(value) | Reflected::EnumNumber(value) => Constant::Int((*value).into()),
            Reflected::I64(value) => Constant::Int((*value).into()),
            Reflected::U32(value) => Constant::Int((*value).into()),
            Reflected::U64(value) => Constant::Int((*value).into()),
            Reflected::F32(value) => Constant::Float((*value).into()),
            Reflected::F64(value) => Constant::Float(*value),
            Reflected::String(text) => Constant::Text(text.as_str().into()),
            Reflected::Bytes(bytes) => Constant::Bytes(bytes.as_ref().into()),
            Reflected::Message(time) => Constant::of_time(time),
            Reflected::List(_) | Reflected::Map(_) => unreachable!("rules are asked for the elements of their lists, and have no maps"),
        }
    }

    fn of_time(time: &DynamicMessage) -> Constant {
        let number = |name| time.get_field_by_name(name).map_or(0, |value| value.as_i64().or(value.as_i32().map(i64::from)).unwrap_or(0));
        let nanoseconds = i128::from(number("seconds")) * NANOSECONDS + i128::from(number("nanos"));
        match prost_reflect::ReflectMessage::descriptor(time).name() {
            "Timestamp" => Constant::Timestamp(nanoseconds),
            _ => Constant::Duration(nanoseconds),
        }
    }

    pub fn datum(&self) -> Datum<'_> {
        match self {
            Constant::Bool(value) => Datum::Bool(*value),
            Constant::Int(value) | Constant::Duration(value) | Constant::Timestamp(value) => Datum::Int(*value),
            Constant::Float(value) => Datum::Float(*value),
            Constant::Text(text) => Datum::Text(text),
            Constant::Bytes(bytes) => Datum::Bytes(bytes),
        }
    }
}

impl fmt::Display for Constant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = |value: i128| (value.div_euclid(NANOSECONDS) as i64, value.rem_euclid(NANOSECONDS) as i32);
        match self {
            Constant::Bool(value) => write!(f, "{value}"),
            Constant::Int(value) => write!(f, "{value}"),
            Constant::Float(value) => write!(f, "{value}"),
            Constant::Text(text) => write!(f, "`{text}`"),
            Constant::Bytes(bytes) => bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}")),
            Constant::Duration(value) => {
                let (sign, (seconds, nanos)) = (if *value < 0 { "-" } else { "" }, parts(value.abs()));
                write!(f, "{sign}{seconds}")?;
                if nanos != 0 {
                    write!(f, ".{}", format!("{nanos:09}").trim_end_matches('0'))?;
                }
                f.write_str("s")
            }
            Constant::Timestamp(value) => {
                let (seconds, nanos) = parts(*value);
                write!(f, "{}", prost_types::Timestamp { seconds, nanos })
            }
        }
    }
}
