//! The files that declare what clients can reach, each with nothing else in it: for whoever makes code of them.
//!
//! Promises: what is not reached is not there, neither a message nor a service, nor an option of anybody's; what is declared in another
//! message stands in it still, although that may be a shell without fields; equal descriptors make equal files, in the order of their names.

use std::collections::{BTreeMap, BTreeSet};

use prost_reflect::prost_types::{DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorProto};
use prost_reflect::prost_types::{EnumOptions, EnumValueOptions, FieldOptions, MessageOptions};
use prost_reflect::{DescriptorPool, FileDescriptor, Kind, MessageDescriptor};

use super::source::is_bundled;
use super::{MessageType, Pool};

/// Everything reachable from some types.
pub struct Reached {
    /// By name, and without those that every protobuf runtime brings.
    pub files: Vec<FileDescriptorProto>,
    /// Full names of messages and enums, and the file that declares each.
    declared: BTreeMap<String, String>,
    pool: Option<Pool>,
}

/// What is met on the way.
#[derive(Default)]
struct Walk {
    declared: BTreeMap<String, String>,
    files: BTreeMap<String, FileDescriptor>,
}

// === impl Reached ===

impl Reached {
    /// From types of one pool.
    pub fn from(types: &[MessageType]) -> Reached {
        let mut walk = Walk::default();
        let mut waiting: Vec<MessageDescriptor> = types.iter().map(|kind| kind.descriptor().clone()).collect();
        while let Some(message) = waiting.pop() {
            if !walk.declare(message.full_name(), &message.parent_file()) {
                continue;
            }
            for field in message.fields() {
                match field.kind() {
                    Kind::Message(inner) => waiting.push(inner),
                    Kind::Enum(values) => _ = walk.declare(values.full_name(), &values.parent_file()),
                    _ => {}
                }
            }
        }
        let bundled = DescriptorPool::global();
        let own = walk.files.values().filter(|file| !is_bundled(&bundled, file.name()));
        let files = own.map(|file| pruned(file.file_descriptor_proto(), &walk.declared)).collect();
        Reached { files, declared: walk.declared, pool: types.first().map(|kind| kind.pool().clone()) }
    }

    /// Whether something is reached, and no mere shell.
    pub fn has(&self, name: &str) -> bool {
        self.declared.contains_key(name)
    }

    /// The file that declares a message or an enum that is reached.
    pub fn file_of(&self, name: &str) -> Option<&str> {
        self.declared.get(name).map(String::as_str)
    }

    /// What its .proto file says of something, by its full name.
    pub fn comment(&self, name: &str) -> Option<&str> {
        self.pool.as_ref()?.comment(name)
    }
}

// === impl Walk ===

impl Walk {
    /// False if it was there.
    fn declare(&mut self, name: &str, file: &FileDescriptor) -> bool {
        self.files.entry(file.name().to_owned()).or_insert_with(|| file.clone());
        self.declared.insert(name.to_owned(), file.name().to_owned()).is_none()
    }
}

fn pruned(file: &FileDescriptorProto, reached: &BTreeMap<String, String>) -> FileDescriptorProto {
    let package = file.package();
    let kept = FileDescriptorProto {
        name: file.name.clone(),
        package: file.package.clone(),
        syntax: file.syntax.clone(),
        message_type: file.message_type.iter().filter_map(|message| kept_message(message, package, reached)).collect(),
        enum_type: file.enum_type.iter().filter_map(|kind| kept_enum(kind, package, reached)).collect(),
        ..FileDescriptorProto::default()
    };
    let mut needed = BTreeSet::new();
    kept.message_type.iter().for_each(|message| note_types(message, reached, &mut needed));
    needed.remove(file.name());
    FileDescriptorProto { dependency: needed.into_iter().map(str::to_owned).collect(), ..kept }
}

fn kept_message(message: &DescriptorProto, scope: &str, reached: &BTreeMap<String, String>) -> Option<DescriptorProto> {
    let name = join(scope, message.name());
    let nested: Vec<_> = message.nested_type.iter().filter_map(|inner| kept_message(inner, &name, reached)).collect();
    let enums: Vec<_> = message.enum_type.iter().filter_map(|kind| kept_enum(kind, &name, reached)).collect();
    let is_reached = reached.contains_key(&name);
    if !is_reached && nested.is_empty() && enums.is_empty() {
        return None;
    }
    let shell = DescriptorProto { name: message.name.clone(), nested_type: nested, enum_type: enums, ..DescriptorProto::default() };
    if !is_reached {
        return Some(shell);
    }
    let options = message.options.as_ref().map(|options| MessageOptions {
        message_set_wire_format: options.message_set_wire_format,
        map_entry: options.map_entry,
        deprecated: options.deprecated,
        ..MessageOptions::default()
    });
    let oneofs = message.oneof_decl.iter().cloned().map(|mut oneof| {
        oneof.options = None;
        oneof
    });
    Some(DescriptorProto {
        field: message.field.iter().map(kept_field).collect(),
        oneof_decl: oneofs.collect(),
        options: options.filter(|options| *options != MessageOptions::default()),
        ..shell
    })
}

fn kept_field(field: &FieldDescriptorProto) -> FieldDescriptorProto {
    let options = field.options.as_ref().map(|options| FieldOptions {
        packed: options.packed,
        jstype: options.jstype,
        deprecated: options.deprecated,
        ..FieldOptions::default()
    });
    FieldDescriptorProto { options: options.filter(|options| *options != FieldOptions::default()), ..field.clone() }
}

fn kept_enum(kind: &EnumDescriptorProto, scope: &str, reached: &BTreeMap<String, String>) -> Option<EnumDescriptorProto> {
    if !reached.contains_key(&join(scope, kind.name())) {
        return None;
    }
    let values = kind.value.iter().cloned().map(|mut value| {
        let deprecated = value.options.and_then(|options| options.deprecated);
        value.options = deprecated.map(|deprecated| EnumValueOptions { deprecated: Some(deprecated), ..EnumValueOptions::default() });
        value
    });
    let options = kind.options.as_ref().map(|options| EnumOptions {
        allow_alias: options.allow_alias,
        deprecated: options.deprecated,
        ..EnumOptions::default()
    });
    Some(EnumDescriptorProto {
        name: kind.name.clone(),
        value: values.collect(),
        options: options.filter(|options| *options != EnumOptions::default()),
        ..EnumDescriptorProto::default()
    })
}

fn note_types<'r>(message: &DescriptorProto, reached: &'r BTreeMap<String, String>, needed: &mut BTreeSet<&'r str>) {
    let types = message.field.iter().filter_map(|field| reached.get(field.type_name().trim_start_matches('.')));
    needed.extend(types.map(String::as_str));
    message.nested_type.iter().for_each(|inner| note_types(inner, reached, needed));
}

fn join(scope: &str, name: &str) -> String {
    if scope.is_empty() { name.to_owned() } else { format!("{scope}.{name}") }
}
