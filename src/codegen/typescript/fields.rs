//! The properties of messages, and of what type they are.

use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::field_options::JsType;
use prost_types::{DescriptorProto, FieldDescriptorProto};

use super::doc::doc;
use super::messages::{Writer, join};
use super::names::{camel, key, quoted};

/// Wrappers of the runtime, which a single field holds without the message around the value.
const WRAPPERS: [(&str, &str); 9] = [
    ("DoubleValue", "number"),
    ("FloatValue", "number"),
    ("Int64Value", "bigint"),
    ("UInt64Value", "bigint"),
    ("Int32Value", "number"),
    ("UInt32Value", "number"),
    ("BoolValue", "boolean"),
    ("StringValue", "string"),
    ("BytesValue", "Uint8Array"),
];

/// Where a field stands, which decides how its message is held.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Held {
    Alone,
    InOneof,
    InMany,
}

// === impl Writer ===

impl Writer<'_> {
    pub(super) fn field(&mut self, name: &str, full: &str, message: &DescriptorProto, field: &FieldDescriptorProto) -> String {
        let is_message = matches!(field.r#type(), Type::Message | Type::Group);
        let name = key(name);
        let typed = match (entry(message, full, field), field.label()) {
            (Some(entry), _) => format!("{name}: {}", self.map(&entry, &join(full, entry.name(), '.'))),
            (None, Label::Repeated) => format!("{name}: {}[]", self.kind(field, full, Held::InMany)),
            (None, _) if is_message || field.proto3_optional() => {
                format!("{name}?: {} | undefined", self.kind(field, full, Held::Alone))
            }
            (None, _) => format!("{name}: {}", self.kind(field, full, Held::Alone)),
        };
        format!("{}  {typed};\n", self.said("  ", full, field))
    }

    pub(super) fn oneof(&mut self, name: &str, full: &str, fields: &[&FieldDescriptorProto]) -> String {
        let mut out = format!("  {}: {{\n", key(name));
        for field in fields {
            let kind = self.kind(field, full, Held::InOneof);
            out += &self.said("    ", full, field);
            out += &format!("    value: {kind};\n    case: {};\n  }} | {{\n", quoted(&camel(field.name())));
        }
        out + "    case: undefined;\n    value?: undefined;\n  };\n"
    }

    fn said(&self, indent: &str, full: &str, field: &FieldDescriptorProto) -> String {
        let deprecated = field.options.as_ref().is_some_and(|options| options.deprecated());
        doc(indent, self.reached.comment(&join(full, field.name(), '.')), "", deprecated)
    }

    fn map(&mut self, entry: &DescriptorProto, full: &str) -> String {
        let by = |number| entry.field.iter().find(|field| field.number() == number).expect("a map has a key and a value, or was reported");
        let key = match by(1).r#type() {
            Type::Int32 | Type::Sint32 | Type::Uint32 | Type::Fixed32 | Type::Sfixed32 => "number",
            _ => "string",
        };
        format!("{{ [key: {key}]: {} }}", self.kind(by(2), full, Held::InMany))
    }

    /// The type of one value.
    fn kind(&mut self, field: &FieldDescriptorProto, parent: &str, held: Held) -> String {
        let as_text = field.options.as_ref().is_some_and(|options| options.jstype() == JsType::JsString);
        let full = field.type_name().trim_start_matches('.').to_owned();
        match field.r#type() {
            Type::String => "string".into(),
            Type::Bool => "boolean".into(),
            Type::Bytes => "Uint8Array".into(),
            Type::Int64 | Type::Uint64 | Type::Sint64 | Type::Fixed64 | Type::Sfixed64 if as_text => "string".into(),
            Type::Int64 | Type::Uint64 | Type::Sint64 | Type::Fixed64 | Type::Sfixed64 => "bigint".into(),
            Type::Double | Type::Float | Type::Int32 | Type::Sint32 | Type::Uint32 | Type::Fixed32 | Type::Sfixed32 => "number".into(),
            Type::Enum => self.shape(&full),
            // It is not a message but an object, except in the message that it is made of.
            Type::Message | Type::Group if full == "google.protobuf.Struct" && parent != "google.protobuf.Value" => "$t.JsonObject".into(),
            Type::Message | Type::Group => match wrapper(&full).filter(|_| held == Held::Alone) {
                Some(inside) => inside.to_owned(),
                None => self.shape(&full),
            },
        }
    }
}

/// The fields of one oneof, in the order of the file.
pub fn oneof_members(message: &DescriptorProto, index: Option<i32>) -> Vec<&FieldDescriptorProto> {
    message.field.iter().filter(|field| field.oneof_index == index).collect()
}

fn wrapper(full: &str) -> Option<&'static str> {
    let name = full.strip_prefix("google.protobuf.")?;
    WRAPPERS.into_iter().find(|(known, _)| *known == name).map(|(_, inside)| inside)
}

/// What a map is made of.
fn entry(message: &DescriptorProto, full: &str, field: &FieldDescriptorProto) -> Option<DescriptorProto> {
    let name = field.type_name().trim_start_matches('.').strip_prefix(full)?.strip_prefix('.')?;
    let inner = message.nested_type.iter().find(|inner| inner.name() == name)?;
    inner.options.as_ref().is_some_and(|options| options.map_entry()).then(|| inner.clone())
}
