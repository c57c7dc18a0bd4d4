//! A message to begin with, and a description of its fields: for a person who fills in a request.
//!
//! Promises: what is proposed is a message of its type, which `from_json` takes, and its values are those of absent fields, or left open
//! (`null`) where being absent means something. Both are bounded, however many fields types have and however they contain each other.

use std::collections::HashSet;

use prost_reflect::{EnumDescriptor, FieldDescriptor, Kind, MessageDescriptor};
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::print_json::is_well_known;
use super::{MessageType, Pool, Stamp};

/// How deep messages in messages are described, and how many fields in all.
pub(super) const DEPTH_MAX: usize = 5;
const FIELDS_MAX: usize = 500;

/// Values of one enum that are told.
const VALUES_MAX: usize = 200;

/// What a person needs to fill in a message.
#[derive(Serialize)]
pub struct Sample {
    /// In canonical proto3 JSON.
    pub template: Value,
    pub fields: Vec<Field>,
}

/// One field.
#[derive(Serialize)]
pub struct Field {
    /// As it is written in JSON.
    pub name: String,
    /// As the .proto file says it, such as `uint64`, `map<string, string>` or the full name of a message.
    pub r#type: String,
    /// What of the values below it is: `string`, `bytes`, `bool`, `integer`, `number`, `enum`, `message` or `map`.
    pub kind: &'static str,
    #[serde(skip_serializing_if = "is_false")]
    pub repeated: bool,
    /// Being absent differs from being empty.
    #[serde(skip_serializing_if = "is_false")]
    pub optional: bool,
    /// Of those with the same name here one may be said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oneof: Option<String>,
    /// The gateway writes it, whatever a client says.
    #[serde(skip_serializing_if = "is_false")]
    pub stamped: bool,
    /// It is marked `debug_redact`: not to be shown.
    #[serde(skip_serializing_if = "is_false")]
    pub secret: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<Named>,
    /// Those of a message, unless it is too deep, or one that it is in.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<Field>,
}

/// One value of an enum.
#[derive(Serialize)]
pub struct Named {
    pub name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
}

/// One walk over a type.
struct Walker<'a> {
    pool: &'a Pool,
    /// The messages in which it is.
    inside: Vec<MessageDescriptor>,
    /// Fields that may still be described.
    left: usize,
}

// === impl Sample ===

impl Sample {
    /// What is stamped is described, and not proposed.
    pub fn of<'s>(kind: &MessageType, stamps: impl IntoIterator<Item = &'s Stamp>) -> Sample {
        let stamped: HashSet<u32> = stamps.into_iter().map(Stamp::number).collect();
        let mut walker = Walker { pool: kind.pool(), inside: Vec::new(), left: FIELDS_MAX };
        if let Some(template) = well_known(kind.name()) {
            return Sample { template, fields: Vec::new() };
        }
        let (template, fields) = walker.message(kind.descriptor(), &stamped);
        Sample { template: template.into(), fields }
    }
}

// === impl Walker ===

impl Walker<'_> {
    fn message(&mut self, message: &MessageDescriptor, stamped: &HashSet<u32>) -> (Map<String, Value>, Vec<Field>) {
        self.inside.push(message.clone());
        let (mut template, mut fields) = (Map::new(), Vec::new());
        let mut begun = HashSet::new();
        for field in in_order(message) {
            let Some(left) = self.left.checked_sub(1) else { break };
            self.left = left;
            let (mut described, value) = self.field(&field);
            described.stamped = stamped.contains(&field.number());
            // Of a oneof the first is proposed.
            let second = described.oneof.as_ref().is_some_and(|oneof| !begun.insert(oneof.clone()));
            if !second && !described.stamped {
                template.insert(described.name.clone(), value);
            }
            fields.push(described);
        }
        self.inside.pop();
        (template, fields)
    }

    fn field(&mut self, field: &FieldDescriptor) -> (Field, Value) {
        let oneof = field.containing_oneof().filter(|oneof| !oneof.is_synthetic());
        let mut described = Field {
            name: field.json_name().to_owned(),
            r#type: type_of(field),
            kind: if field.is_map() { "map" } else { kind_of(&field.kind()) },
            repeated: field.is_list(),
            optional: field.supports_presence() && oneof.is_none() && !field.is_required() && field.kind().as_message().is_none(),
            oneof: oneof.map(|oneof| oneof.name().to_owned()),
            stamped: false,
            secret: self.pool.is_redacted(field.full_name()),
            comment: self.comment(field.full_name()),
            values: Vec::new(),
            fields: Vec::new(),
        };
        let value = match field.kind() {
            Kind::Message(entry) if field.is_map() => {
                if let Kind::Message(message) = entry.map_entry_value_field().kind() {
                    self.nested(&message, &mut described);
                }
                json!({})
            }
            Kind::Message(message) => match (self.nested(&message, &mut described), field.is_list()) {
                (Some(value), true) => json!([value]),
                (None, true) => json!([]),
                (value, false) => value.unwrap_or_default(),
            },
            Kind::Enum(values) => {
                described.values = self.values(&values);
                one(field, || values.values().next().map_or(Value::Null, |first| first.name().into()))
            }
            kind => one(field, || scalar(&kind)),
        };
        (described, value)
    }

    /// A message in a field; nothing where it is not described any further.
    fn nested(&mut self, message: &MessageDescriptor, into: &mut Field) -> Option<Value> {
        if is_well_known(message.full_name()) {
            return well_known(message.full_name()).filter(|value| !value.is_null());
        }
        if self.inside.len() >= DEPTH_MAX || self.left == 0 || self.inside.contains(message) {
            return None;
        }
        let (template, fields) = self.message(message, &HashSet::new());
        into.fields = fields;
        Some(template.into())
    }

    fn values(&self, values: &EnumDescriptor) -> Vec<Named> {
        let named =
            |value: prost_reflect::EnumValueDescriptor| Named { name: value.name().to_owned(), comment: self.comment(value.full_name()) };
        values.values().take(VALUES_MAX).map(named).collect()
    }

    fn comment(&self, name: &str) -> Option<String> {
        self.pool.comment(name).map(str::to_owned)
    }
}

/// As they stand in the file, where those that belong together stand together.
pub(super) fn in_order(message: &MessageDescriptor) -> Vec<FieldDescriptor> {
    let declared = &message.descriptor_proto().field;
    declared.iter().filter_map(|field| message.get_field(u32::try_from(field.number()).ok()?)).collect()
}

/// The value of a field that is no message: none in a list, open where saying it differs from not saying it.
fn one(field: &FieldDescriptor, value: impl FnOnce() -> Value) -> Value {
    let in_oneof = field.containing_oneof().is_some_and(|oneof| !oneof.is_synthetic());
    match (field.is_list(), field.supports_presence() && !field.is_required() && !in_oneof) {
        (true, _) => json!([]),
        (false, true) => Value::Null,
        (false, false) => value(),
    }
}

fn scalar(kind: &Kind) -> Value {
    match kind {
        Kind::Bool => false.into(),
        Kind::String | Kind::Bytes => "".into(),
        Kind::Double | Kind::Float => json!(0),
        Kind::Int64 | Kind::Uint64 | Kind::Sint64 | Kind::Fixed64 | Kind::Sfixed64 => "0".into(),
        Kind::Int32 | Kind::Uint32 | Kind::Sint32 | Kind::Fixed32 | Kind::Sfixed32 => 0.into(),
        Kind::Message(_) | Kind::Enum(_) => Value::Null,
    }
}

/// What those types say whose JSON is not an object of their fields. Open is what has no value that says nothing.
fn well_known(name: &str) -> Option<Value> {
    let value = match name.strip_prefix("google.protobuf.").filter(|_| is_well_known(name))? {
        "Timestamp" => "1970-01-01T00:00:00Z".into(),
        "Duration" => "0s".into(),
        "FieldMask" => "".into(),
        "Struct" | "Empty" => json!({}),
        "ListValue" => json!([]),
        _ => Value::Null,
    };
    Some(value)
}

pub(super) fn type_of(field: &FieldDescriptor) -> String {
    match field.kind() {
        Kind::Message(entry) if field.is_map() => {
            format!("map<{}, {}>", type_of(&entry.map_entry_key_field()), type_of(&entry.map_entry_value_field()))
        }
        Kind::Message(message) => message.full_name().to_owned(),
        Kind::Enum(values) => values.full_name().to_owned(),
        Kind::Double => "double".to_owned(),
        Kind::Float => "float".to_owned(),
        Kind::Int32 => "int32".to_owned(),
        Kind::Int64 => "int64".to_owned(),
        Kind::Uint32 => "uint32".to_owned(),
        Kind::Uint64 => "uint64".to_owned(),
        Kind::Sint32 => "sint32".to_owned(),
        Kind::Sint64 => "sint64".to_owned(),
        Kind::Fixed32 => "fixed32".to_owned(),
        Kind::Fixed64 => "fixed64".to_owned(),
        Kind::Sfixed32 => "sfixed32".to_owned(),
        Kind::Sfixed64 => "sfixed64".to_owned(),
        Kind::Bool => "bool".to_owned(),
        Kind::String => "string".to_owned(),
        Kind::Bytes => "bytes".to_owned(),
    }
}

fn kind_of(kind: &Kind) -> &'static str {
    match kind {
        Kind::String => "string",
        Kind::Bytes => "bytes",
        Kind::Bool => "bool",
        Kind::Double | Kind::Float => "number",
        Kind::Enum(_) => "enum",
        Kind::Message(_) => "message",
        _ => "integer",
    }
}

fn is_false(flag: &bool) -> bool {
    !flag
}
