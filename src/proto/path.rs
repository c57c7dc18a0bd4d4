//! Field paths such as `room.id`, checked against a message type.
//!
//! A path may lead through repeated and map fields, because hiding a field in logs means hiding it in every element; a step through a map
//! means its values. Where one value is needed, a key for example, [`FieldPath::scalar`] says whether the path has one.

use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor};

use super::MessageType;

/// A path of one or more fields below a message type.
#[derive(Clone)]
pub struct FieldPath {
    text: String,
    numbers: Vec<u32>,
    fields: Vec<FieldDescriptor>,
}

/// What kind of value a field holds; for a repeated field, each element; for a map, the entry.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum FieldKind {
    Bool,
    Int,
    Uint,
    Float,
    Enum,
    String,
    Bytes,
    Message,
}

/// A path that names no field.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PathProblem {
    pub what: String,
    /// Paths that would have been right up to the step that is wrong.
    pub known: Vec<String>,
}

// === impl FieldPath ===

impl FieldPath {
    /// Finds every step of `path`, written with the names of the .proto file and dots.
    pub fn resolve(root: &MessageType, path: &str) -> Result<FieldPath, PathProblem> {
        let mut at = Some(root.descriptor().clone());
        let mut fields: Vec<FieldDescriptor> = Vec::new();
        let mut prefix = String::new();
        for step in path.split('.') {
            let Some(message) = at else {
                let what = format!("`{}` is {}, which has no fields", prefix.trim_end_matches('.'), last_kind(&fields));
                return Err(PathProblem { what, known: vec![prefix.trim_end_matches('.').to_owned()] });
            };
            let Some(field) = message.get_field_by_name(step) else {
                let known = message.fields().map(|field| format!("{prefix}{}", field.name())).collect();
                return Err(PathProblem { what: format!("`{}` has no field `{step}`", message.full_name()), known });
            };
            at = below(&field);
            fields.push(field);
            prefix.push_str(step);
            prefix.push('.');
        }
        Ok(FieldPath { text: path.to_owned(), numbers: fields.iter().map(FieldDescriptor::number).collect(), fields })
    }

    /// The path as written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// One field number a step.
    pub fn numbers(&self) -> &[u32] {
        &self.numbers
    }

    /// What the last field holds.
    pub fn kind(&self) -> FieldKind {
        FieldKind::of(&self.last().kind())
    }

    /// True when there can be more than one value: some step is repeated or a map.
    pub fn is_repeated_anywhere(&self) -> bool {
        self.fields.iter().any(|field| field.is_list() || field.is_map())
    }

    /// True when another field of the same message can replace the last one. `optional` alone is not such a choice.
    pub fn is_oneof_member(&self) -> bool {
        self.last().containing_oneof().is_some_and(|oneof| !oneof.is_synthetic())
    }

    /// Whether the path leads to exactly one value that two requests can be compared by; if not, why not.
    pub fn scalar(&self) -> Result<(), String> {
        for (field, step) in self.fields.iter().zip(self.text.split('.')) {
            if field.is_map() {
                return Err(format!("`{step}` is a map: it has no single value"));
            }
            if field.is_list() {
                return Err(format!("`{step}` is repeated: it has no single value"));
            }
            if field.is_group() {
                return Err(format!("`{step}` is a group, an encoding that is not supported here"));
            }
        }
        match self.kind() {
            FieldKind::Message => Err(format!("`{}` is a message; name one of its fields", self.text)),
            // Two floats that print alike need not be equal, and NaN is not even equal to itself.
            FieldKind::Float => Err(format!("`{}` is a floating-point number, which cannot be compared reliably", self.text)),
            _ => Ok(()),
        }
    }

    /// One field a step; the message behind a map field's values is entered without a step of its own.
    pub(in crate::proto) fn fields(&self) -> &[FieldDescriptor] {
        &self.fields
    }

    fn last(&self) -> &FieldDescriptor {
        self.fields.last().expect("splitting a text yields at least one step, and each step pushed a field")
    }
}

// === impl FieldKind ===

impl FieldKind {
    pub(in crate::proto) fn of(kind: &Kind) -> FieldKind {
        match kind {
            Kind::Bool => FieldKind::Bool,
            Kind::Int32 | Kind::Int64 | Kind::Sint32 | Kind::Sint64 | Kind::Sfixed32 | Kind::Sfixed64 => FieldKind::Int,
            Kind::Uint32 | Kind::Uint64 | Kind::Fixed32 | Kind::Fixed64 => FieldKind::Uint,
            Kind::Float | Kind::Double => FieldKind::Float,
            Kind::Enum(_) => FieldKind::Enum,
            Kind::String => FieldKind::String,
            Kind::Bytes => FieldKind::Bytes,
            Kind::Message(_) => FieldKind::Message,
        }
    }

    /// The kind with its article, for a sentence.
    pub fn text(self) -> &'static str {
        match self {
            FieldKind::Bool => "a bool",
            FieldKind::Int | FieldKind::Uint => "an integer",
            FieldKind::Float => "a floating-point number",
            FieldKind::Enum => "an enum",
            FieldKind::String => "a string",
            FieldKind::Bytes => "bytes",
            FieldKind::Message => "a message",
        }
    }
}

/// The message type in which the next step is looked up.
fn below(field: &FieldDescriptor) -> Option<MessageDescriptor> {
    let kind = field.kind();
    let message = kind.as_message()?;
    if field.is_map() { message.map_entry_value_field().kind().as_message().cloned() } else { Some(message.clone()) }
}

fn last_kind(fields: &[FieldDescriptor]) -> &'static str {
    match fields.last() {
        Some(field) if field.is_map() => "a map of plain values",
        Some(field) => FieldKind::of(&field.kind()).text(),
        None => "nothing",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::pool::tests::pool_of;

    const TEXT: &str = r#"
        syntax = "proto3"; package p;
        message Room { string id = 1; int64 number = 2; double weight = 3; oneof at { string here = 4; bytes there = 5; } optional bool open = 6; }
        message Ask { Room room = 7; repeated Room rooms = 8; map<string, Room> named = 9; map<string, string> plain = 10; }
    "#;

    fn resolve(path: &str) -> Result<FieldPath, PathProblem> {
        FieldPath::resolve(&pool_of(TEXT).message("p.Ask").expect("p.Ask is declared"), path)
    }

    fn scalar(path: &str) -> Result<(), String> {
        resolve(path).expect("the path resolves").scalar()
    }

    #[test]
    fn a_path_is_its_field_numbers() {
        let path = resolve("room.id").expect("the path resolves");
        assert_eq!((path.numbers(), path.text(), path.kind()), (&[7, 1][..], "room.id", FieldKind::String));
        assert!(!path.is_repeated_anywhere() && !path.is_oneof_member());
        assert!(resolve("room.here").is_ok_and(|path| path.is_oneof_member()));
        assert!(resolve("room.open").is_ok_and(|path| !path.is_oneof_member()));
        assert!(resolve("named.id").is_ok_and(|path| path.numbers() == [9, 1] && path.is_repeated_anywhere()));
    }

    #[test]
    fn a_wrong_step_names_what_there_is() {
        let problem = resolve("room.di").err().expect("there is no such field");
        assert_eq!(problem.what, "`p.Room` has no field `di`");
        assert!(problem.known.contains(&"room.id".to_owned()));
        assert_eq!(resolve("room.id.x").err().map(|p| p.what), Some("`room.id` is a string, which has no fields".to_owned()));
        assert_eq!(resolve("plain.x").err().map(|p| p.what), Some("`plain` is a map of plain values, which has no fields".to_owned()));
        assert!(resolve("").is_err() && resolve("room.").is_err() && resolve(".room").is_err());
    }

    #[test]
    fn only_single_comparable_values_are_scalar() {
        for path in ["room.id", "room.number", "room.there", "room.open"] {
            assert_eq!(scalar(path), Ok(()), "{path}");
        }
        for (path, word) in
            [("room", "message"), ("rooms.id", "repeated"), ("named.id", "map"), ("room.weight", "floating"), ("plain", "map")]
        {
            assert!(scalar(path).is_err_and(|text| text.contains(word)), "{path}");
        }
    }
}
