//! What a field must hold, as an operator wrote it, and whether it does.

use prost_reflect::Kind;

use super::{FieldPath, Value};

/// A value as it is written in a route file.
#[derive(Clone, Copy, Debug)]
pub enum Scalar<'a> {
    Str(&'a str),
    Int(i64),
    Bool(bool),
}

/// One value that a field may have.
#[derive(Clone)]
pub struct Expectation {
    value: Expected,
    /// Whether a message without the field has the value all the same.
    absent: bool,
}

#[derive(Clone)]
enum Expected {
    Bool(bool),
    Int(i64),
    Uint(u64),
    Str(String),
}

// === impl Expectation ===

impl Expectation {
    /// Says why a field can never hold this.
    pub fn compile(path: &FieldPath, scalar: Scalar<'_>) -> Result<Expectation, String> {
        if !path.is_scalar() {
            return Err(format!("`{path}` does not hold one value"));
        }
        let value = match (path.leaf().kind(), scalar) {
            (Kind::Bool, Scalar::Bool(value)) => Expected::Bool(value),
            (Kind::String, Scalar::Str(text)) => Expected::Str(text.to_owned()),
            (Kind::Enum(values), Scalar::Str(name)) => match values.get_value_by_name(name) {
                Some(value) => Expected::Int(value.number().into()),
                None => return Err(format!("`{}` has no value `{name}`", values.full_name())),
            },
            (Kind::Uint32 | Kind::Uint64 | Kind::Fixed32 | Kind::Fixed64, Scalar::Int(value)) => {
                Expected::Uint(u64::try_from(value).map_err(|_| format!("`{path}` is never negative"))?)
            }
            (
                Kind::Int32 | Kind::Int64 | Kind::Sint32 | Kind::Sint64 | Kind::Sfixed32 | Kind::Sfixed64 | Kind::Enum(_),
                Scalar::Int(value),
            ) => Expected::Int(value),
            _ => return Err(format!("`{path}` is a {}, and this is not one", path.kind())),
        };
        let absent = value.is(path.default_value());
        Ok(Expectation { value, absent })
    }

    /// Whether what was read of the field is what is expected.
    pub fn holds(&self, value: Value<'_>) -> bool {
        if let Value::Absent = value { self.absent } else { self.value.is(value) }
    }
}

// === impl Expected ===

impl Expected {
    fn is(&self, value: Value<'_>) -> bool {
        match (self, value) {
            (Expected::Bool(expected), Value::Bool(value)) => *expected == value,
            (Expected::Int(expected), Value::Int(value)) => *expected == value,
            (Expected::Uint(expected), Value::Uint(value)) => *expected == value,
            (Expected::Str(expected), Value::Str(value)) => expected == value,
            _ => false,
        }
    }
}
