//! Paths to fields, such as `room.id`, resolved against a message type once.

use std::fmt;

use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor, Value as Reflected};

use super::{MessageType, Value};

/// A field below a message, with everything that decides what it may serve for.
#[derive(Clone)]
pub struct FieldPath {
    text: String,
    numbers: Vec<u32>,
    leaf: FieldDescriptor,
    repeated: bool,
    default: Default,
}

/// What a field holds, as far as routes care.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FieldKind {
    Bool,
    Int,
    Uint,
    Float,
    String,
    Bytes,
    Enum,
    Message,
}

/// Why a path names no field.
#[derive(Debug)]
pub struct PathProblem {
    pub what: String,
    /// Whole paths that would have been right so far.
    pub known: Vec<String>,
}

/// The value of the field in a message that does not have it; owned, because proto2 lets an author choose it.
#[derive(Clone)]
enum Default {
    None,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Float(f64),
    Str(String),
    Bytes(Vec<u8>),
}

/// The number of the value in a map's entry: a path through a map goes on in its values.
const ENTRY_VALUE: u32 = 2;

// === impl FieldPath ===

impl FieldPath {
    /// Resolves names as they stand in the .proto file, joined by dots. A path through a repeated field or a map means every element.
    pub fn resolve(root: &MessageType, path: &str) -> Result<FieldPath, PathProblem> {
        let (mut numbers, mut repeated, mut steps) = (Vec::new(), false, 0);
        let mut message = root.descriptor().clone();
        let mut names = path.split('.').peekable();
        loop {
            let name = names.next().expect("the loop ends with the last name");
            let field = find(&message, name).map_err(|mut problem| {
                let before: String = path.split('.').take(steps).map(|name| format!("{name}.")).collect();
                problem.known.iter_mut().for_each(|known| known.insert_str(0, &before));
                problem
            })?;
            steps += 1;
            numbers.push(field.number());
            repeated |= field.is_list() || field.is_map();
            if names.peek().is_none() {
                return Ok(FieldPath { text: path.to_owned(), numbers, default: Default::of(&field), leaf: field, repeated });
            }
            if field.is_map() {
                numbers.push(ENTRY_VALUE);
            }
            message = below(&field)?;
        }
    }

    pub fn kind(&self) -> FieldKind {
        if self.leaf.is_map() { FieldKind::Message } else { FieldKind::of(&self.leaf.kind()) }
    }

    /// The name of the type of the message that the field holds, if it holds messages.
    pub(super) fn message(&self) -> Option<String> {
        match self.leaf.kind() {
            Kind::Message(message) if !self.leaf.is_map() => Some(message.full_name().to_owned()),
            _ => None,
        }
    }

    /// The field's number in each message from the root down.
    pub fn numbers(&self) -> &[u32] {
        &self.numbers
    }

    /// True when the path can lead to more than one value.
    pub fn is_repeated_anywhere(&self) -> bool {
        self.repeated
    }

    /// True when the field has exactly one value at most and it is no message: what a walk can extract.
    pub fn is_scalar(&self) -> bool {
        !self.repeated && self.kind() != FieldKind::Message
    }

    /// True when the field itself is one of a oneof's. A proto3 `optional` is not, though its descriptor says so.
    pub fn is_oneof_member(&self) -> bool {
        self.leaf.containing_oneof().is_some_and(|oneof| !oneof.is_synthetic())
    }

    /// What a reader sees when the field is absent.
    pub fn default_value(&self) -> Value<'_> {
        match &self.default {
            Default::None => Value::Absent,
            Default::Bool(value) => Value::Bool(*value),
            Default::Int(value) => Value::Int(*value),
            Default::Uint(value) => Value::Uint(*value),
            Default::Float(value) => Value::Float(*value),
            Default::Str(value) => Value::Str(value),
            Default::Bytes(value) => Value::Bytes(value),
        }
    }

    /// Its .proto file advises against it.
    pub fn is_deprecated(&self) -> bool {
        self.leaf.field_descriptor_proto().options.as_ref().is_some_and(|options| options.deprecated())
    }

    pub(super) fn leaf(&self) -> &FieldDescriptor {
        &self.leaf
    }
}

impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

// === impl FieldKind ===

impl FieldKind {
    fn of(kind: &Kind) -> FieldKind {
        match kind {
            Kind::Bool => FieldKind::Bool,
            Kind::Int32 | Kind::Int64 | Kind::Sint32 | Kind::Sint64 | Kind::Sfixed32 | Kind::Sfixed64 => FieldKind::Int,
            Kind::Uint32 | Kind::Uint64 | Kind::Fixed32 | Kind::Fixed64 => FieldKind::Uint,
            Kind::Float | Kind::Double => FieldKind::Float,
            Kind::String => FieldKind::String,
            Kind::Bytes => FieldKind::Bytes,
            Kind::Enum(_) => FieldKind::Enum,
            Kind::Message(_) => FieldKind::Message,
        }
    }
}

impl fmt::Display for FieldKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            FieldKind::Bool => "bool",
            FieldKind::Int => "signed integer",
            FieldKind::Uint => "unsigned integer",
            FieldKind::Float => "floating point number",
            FieldKind::String => "string",
            FieldKind::Bytes => "bytes",
            FieldKind::Enum => "enum",
            FieldKind::Message => "message",
        })
    }
}

// === impl Default ===

impl Default {
    fn of(field: &FieldDescriptor) -> Default {
        match field.default_value() {
            Reflected::Bool(value) => Default::Bool(value),
            Reflected::I32(value) => Default::Int(value.into()),
            Reflected::EnumNumber(value) => Default::Int(value.into()),
            Reflected::I64(value) => Default::Int(value),
            Reflected::U32(value) => Default::Uint(value.into()),
            Reflected::U64(value) => Default::Uint(value),
            Reflected::F32(value) => Default::Float(value.into()),
            Reflected::F64(value) => Default::Float(value),
            Reflected::String(value) => Default::Str(value),
            Reflected::Bytes(value) => Default::Bytes(value.to_vec()),
            Reflected::Message(_) | Reflected::List(_) | Reflected::Map(_) => Default::None,
        }
    }
}

fn find(message: &MessageDescriptor, name: &str) -> Result<FieldDescriptor, PathProblem> {
    message.get_field_by_name(name).ok_or_else(|| PathProblem {
        what: format!("message `{}` has no field `{name}`", message.full_name()),
        known: message.fields().map(|field| field.name().to_owned()).collect(),
    })
}

/// The message in which a path goes on after `field`.
fn below(field: &FieldDescriptor) -> Result<MessageDescriptor, PathProblem> {
    let kind = match field.kind() {
        Kind::Message(entry) if field.is_map() => entry.map_entry_value_field().kind(),
        kind => kind,
    };
    match kind {
        Kind::Message(message) => Ok(message),
        scalar => Err(PathProblem {
            what: format!("field `{}` is a {} and has no fields", field.name(), FieldKind::of(&scalar)),
            known: Vec::new(),
        }),
    }
}
