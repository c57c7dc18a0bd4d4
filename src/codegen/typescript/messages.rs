//! One `_pb.ts` for each file of messages and enums, as protobuf-es generates it: types, and schemas over the embedded descriptor.
//!
//! Promises: a name from elsewhere never meets one of the file's own, because it is reached through a name with a `$`; the same descriptors
//! make the same text.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use prost::Message as _;
use prost_types::{DescriptorProto, EnumDescriptorProto, FileDescriptorProto};

use super::super::Problem;
use super::doc::doc;
use super::fields::oneof_members;
use super::names::{camel, identifier, property, quoted, shared_prefix, unused};
use super::places::{Place, Places};
use crate::proto::Reached;

/// What an enum or a message is called in its module.
#[derive(Clone)]
pub struct Names {
    pub shape: String,
    pub schema: String,
}

/// Names of all that a file declares, by full name.
pub struct Declared {
    pub file: String,
    pub names: BTreeMap<String, Names>,
}

/// Writes one file.
pub struct Writer<'a> {
    pub reached: &'a Reached,
    pub places: &'a Places,
    /// The file itself.
    place: &'a Place,
    out: String,
    /// Modules that it imports, and what they are called here.
    pub imports: BTreeMap<String, String>,
}

// === impl Declared ===

impl Declared {
    /// Shapes have their names first, as in protobuf-es, so that an addition of ours never takes the name of a message.
    pub fn of(file: &FileDescriptorProto) -> Declared {
        let mut all = Vec::new();
        file.message_type.iter().for_each(|message| names_in(message, file.package(), "", &mut all));
        file.enum_type.iter().for_each(|kind| all.push((join(file.package(), kind.name(), '.'), kind.name().to_owned())));
        let mut taken = BTreeSet::new();
        let shapes: Vec<String> = all.iter().map(|(_, local)| unused(identifier(local), &mut taken)).collect();
        let stem = file.name().strip_suffix(".proto").unwrap_or(file.name());
        let stem: String = stem.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
        let file = unused(format!("file_{stem}"), &mut taken);
        let named = all.into_iter().zip(shapes).map(|((full, local), shape)| {
            let schema = unused(format!("{local}Schema"), &mut taken);
            (full, Names { shape, schema })
        });
        Declared { file, names: named.collect() }
    }
}

// === impl Writer ===

impl<'a> Writer<'a> {
    /// The text of one module.
    pub fn write(file: &FileDescriptorProto, reached: &'a Reached, places: &'a Places) -> Result<String, Problem> {
        let place = places.of(file.name()).expect("every file that is reached has a place");
        let mut writer = Writer { reached, places, place, out: String::new(), imports: BTreeMap::new() };
        writer.file(file)?;
        let mut text = format!("// {}\n// From {}.\n/* eslint-disable */\n\n", super::MARK, super::plain(file.name()));
        text += "import type * as $t from \"@bufbuild/protobuf\";\nimport * as $ from \"@bufbuild/protobuf/codegenv2\";\n";
        for (from, name) in &writer.imports {
            writeln!(text, "import * as {name} from {};", quoted(from)).expect("a text takes what is written to it");
        }
        Ok(text + &writer.out)
    }

    fn file(&mut self, file: &FileDescriptorProto) -> Result<(), Problem> {
        let imports = file.dependency.iter().map(|name| self.file_of(name)).collect::<Vec<_>>().join(", ");
        let imports = if imports.is_empty() { imports } else { format!(", [{imports}]") };
        let bytes = STANDARD_NO_PAD.encode(embedded(file).encode_to_vec());
        let name = &self.place.declared.file;
        self.out += &format!("\nexport const {name}: $.GenFile = /*@__PURE__*/ $.fileDesc(\"{bytes}\"{imports});\n");
        for (index, message) in file.message_type.iter().enumerate() {
            self.message(message, file.package(), &index.to_string())?;
        }
        for (index, kind) in file.enum_type.iter().enumerate() {
            self.values(kind, file.package(), &index.to_string());
        }
        Ok(())
    }

    fn message(&mut self, message: &DescriptorProto, scope: &str, path: &str) -> Result<(), Problem> {
        let full = join(scope, message.name(), '.');
        if self.reached.has(&full) {
            let Names { shape, schema } = self.place.declared.names[&full].clone();
            let deprecated = message.options.as_ref().is_some_and(|options| options.deprecated());
            let members = self.members(message, &full)?;
            self.out += "\n";
            self.out += &doc("", self.reached.comment(&full), &format!("`{full}`"), deprecated);
            self.out += &format!("export type {shape} = $t.Message<{}> & {{\n{members}}};\n\n", quoted(&full));
            self.out += &doc("", None, &format!("Describes `{full}`; `create({schema})` makes one."), deprecated);
            let file = &self.place.declared.file;
            self.out += &format!("export const {schema}: $.GenMessage<{shape}> = /*@__PURE__*/ $.messageDesc({file}, {path});\n");
        }
        for (index, inner) in own_types(message).enumerate() {
            self.message(inner, &full, &format!("{path}, {index}"))?;
        }
        for (index, kind) in message.enum_type.iter().enumerate() {
            self.values(kind, &full, &format!("{path}, {index}"));
        }
        Ok(())
    }

    /// The properties of a message: its fields in the order of the file, and each oneof where its first field stands.
    fn members(&mut self, message: &DescriptorProto, full: &str) -> Result<String, Problem> {
        let (mut out, mut taken, mut begun) = (String::new(), BTreeMap::new(), BTreeSet::new());
        for field in &message.field {
            let oneof = field.oneof_index.filter(|_| !field.proto3_optional());
            let member = match oneof.and_then(|index| message.oneof_decl.get(usize::try_from(index).ok()?)) {
                Some(oneof) if begun.insert(oneof.name()) => {
                    let fields = oneof_members(message, field.oneof_index);
                    let name = property(&camel(oneof.name()));
                    out += &self.oneof(&name, full, &fields);
                    name
                }
                Some(_) => continue,
                None => {
                    let name = property(&camel(field.name()));
                    out += &self.field(&name, full, message, field);
                    name
                }
            };
            if let Some(other) = taken.insert(member.clone(), field.name()) {
                let what = format!("`{full}` has fields `{other}` and `{}`, which are both `{member}` in TypeScript", field.name());
                return Err(Problem::new(what));
            }
        }
        Ok(out)
    }

    fn values(&mut self, kind: &EnumDescriptorProto, scope: &str, path: &str) {
        let full = join(scope, kind.name(), '.');
        let Names { shape, schema } = self.place.declared.names[&full].clone();
        let deprecated = kind.options.as_ref().is_some_and(|options| options.deprecated());
        let prefix = shared_prefix(kind.name(), kind.value.iter().map(|value| value.name()));
        self.out += "\n";
        self.out += &doc("", self.reached.comment(&full), &format!("`{full}`"), deprecated);
        self.out += &format!("export enum {shape} {{\n");
        for value in &kind.value {
            let deprecated = value.options.as_ref().is_some_and(|options| options.deprecated());
            let said = self.reached.comment(&join(&full, value.name(), '.'));
            self.out += &doc("  ", said, "", deprecated);
            // A number is no name of a value, and these are numbers.
            let name = property(&value.name()[prefix..]);
            let name = if name == "NaN" || name == "Infinity" { format!("{name}$") } else { name };
            self.out += &format!("  {name} = {},\n", value.number());
        }
        self.out += &format!("}}\n\n/** Describes `{full}`. */\n");
        let file = &self.place.declared.file;
        self.out += &format!("export const {schema}: $.GenEnum<{shape}> = /*@__PURE__*/ $.enumDesc({file}, {path});\n");
    }

    /// What the descriptor of a file is called here.
    fn file_of(&mut self, name: &str) -> String {
        let place = self.places.of(name).expect("whatever is imported has a place");
        format!("{}.{}", self.module(&place.module), place.declared.file)
    }

    /// What a module is called here.
    pub fn module(&mut self, module: &str) -> String {
        let from = self.place.to(module);
        let next = format!("${}", self.imports.len() + 1);
        self.imports.entry(from).or_insert(next).clone()
    }

    /// What the type `pkg.Message` is called here.
    pub fn shape(&mut self, full: &str) -> String {
        let file = self.reached.file_of(full).expect("what a field is of is reached");
        let place = self.places.of(file).expect("every file that is reached has a place");
        let shape = place.declared.names.get(full).map_or_else(|| local_name(full), |names| names.shape.clone());
        if std::ptr::eq(place, self.place) { shape } else { format!("{}.{shape}", self.module(&place.module)) }
    }
}

/// The descriptor as it is embedded: the runtime knows the imports, and names in JSON that follow from those of the fields.
fn embedded(file: &FileDescriptorProto) -> FileDescriptorProto {
    fn strip(message: &mut DescriptorProto) {
        for field in &mut message.field {
            if field.json_name() == camel(field.name()) {
                field.json_name = None;
            }
        }
        message.nested_type.iter_mut().for_each(strip);
    }
    let mut file = FileDescriptorProto { dependency: Vec::new(), ..file.clone() };
    file.message_type.iter_mut().for_each(strip);
    file
}

/// The messages in a message. What maps are made of is nobody's, and the runtime does not count it.
fn own_types(message: &DescriptorProto) -> impl Iterator<Item = &DescriptorProto> {
    message.nested_type.iter().filter(|inner| !inner.options.as_ref().is_some_and(|options| options.map_entry()))
}

fn names_in(message: &DescriptorProto, scope: &str, outer: &str, all: &mut Vec<(String, String)>) {
    let (full, local) = (join(scope, message.name(), '.'), join(outer, message.name(), '_'));
    own_types(message).for_each(|inner| names_in(inner, &full, &local, all));
    message.enum_type.iter().for_each(|kind| all.push((join(&full, kind.name(), '.'), join(&local, kind.name(), '_'))));
    all.push((full, local));
}

/// What the runtime calls a type that it brings.
pub fn local_name(full: &str) -> String {
    full.trim_start_matches("google.protobuf.").replace('.', "_")
}

pub fn join(scope: &str, name: &str, by: char) -> String {
    if scope.is_empty() { name.to_owned() } else { format!("{scope}{by}{name}") }
}
