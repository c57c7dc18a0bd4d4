//! The grammar as JSON Schema (draft 2020-12), for editors: completion, descriptions, and red lines while typing.
//!
//! A schema is derived from the same shapes that the reader is derived from, so it knows every key and none that does not exist.
//! Promises, which a test holds against the corpus of wrong configurations: it rejects what the first look of `check` rejects, up to what a
//! schema cannot say, and nothing that `check` takes. The files in `schemas/` are these texts; a test keeps them equal.

mod known;

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::document::trial::TestFile;
use super::document::{GatewayFile, MainFile, RoutesFile};
use super::grammar::{FREE_TEXT, KeyShape, Read, Shape, Unquoted};
use super::parse;
use crate::diagnostic::{Report, Sources};

pub use known::{Known, with};

/// The schema of one kind of file.
pub struct FileSchema {
    /// What it is called on the command line; its file in `schemas/` has this name and ends in `.schema.json`.
    pub name: &'static str,
    pub schema: Value,
}

/// Every schema.
pub fn files() -> Vec<FileSchema> {
    let file = |name, title, shape: &Shape, form| FileSchema { name, schema: whole_file(title, shape, form) };
    vec![
        file("routes", "routes.yaml", &MainFile::shape(), Form::Whole),
        file("group", "a file that routes.yaml includes", &RoutesFile::shape(), Form::Whole),
        file("gateway", "gateway.yaml", &GatewayFile::shape(), Form::Whole),
        file("routes-overlay", "an overlay of a file of routes", &MainFile::shape(), Form::Overlay),
        file("gateway-overlay", "an overlay of gateway.yaml", &GatewayFile::shape(), Form::Overlay),
        file("test", "tests of routes, `*.test.yaml`", &TestFile::shape(), Form::Whole),
    ]
}

/// Whether a file says everything, or what differs in one environment.
#[derive(Clone, Copy, PartialEq)]
enum Form {
    Whole,
    /// Nothing is required, every list may say append or replace, and routes have numbers or names.
    Overlay,
}

struct Writer {
    form: Form,
    /// Every section once, by name.
    sections: BTreeMap<&'static str, Value>,
}

fn whole_file(title: &str, shape: &Shape, form: Form) -> Value {
    let mut writer = Writer { form, sections: BTreeMap::new() };
    let mut schema = writer.schema(shape);
    let mut definitions = serde_json::Map::new();
    definitions
        .insert("variable".to_owned(), json!({"type": "string", "pattern": VARIABLE, "description": "A variable declared under `vars`."}));
    definitions.extend(writer.sections.into_iter().map(|(name, section)| (name.to_owned(), section)));
    schema["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
    schema["title"] = json!(format!("protogate: {title}"));
    schema["$defs"] = Value::Object(definitions);
    schema
}

/// A text with a variable in it may mean anything.
const VARIABLE: &str = r"\$\{var\.[a-z][a-z0-9_]*\}";

// === impl FileSchema ===

impl FileSchema {
    /// The name of its file.
    pub fn file_name(&self) -> String {
        format!("{}.schema.json", self.name)
    }

    pub fn text(&self) -> String {
        serde_json::to_string_pretty(&self.schema).expect("text and numbers always become JSON") + "\n"
    }
}

// === impl Writer ===

impl Writer {
    fn schema(&mut self, shape: &Shape) -> Value {
        match shape {
            Shape::Section { name, doc, keys } => self.section(name, doc, keys),
            Shape::Map { key_pattern, key_what, value } => {
                let mut map = json!({"type": ["object", "null"], "additionalProperties": self.schema(value)});
                if self.form == Form::Whole {
                    map["propertyNames"] = json!({"pattern": whole(key_pattern), "description": format!("Each key is {key_what}.")});
                }
                map
            }
            Shape::List(item) if self.form == Form::Whole => list(self.schema(item)),
            Shape::List(item) | Shape::Edit(item) => edit(&list(self.schema(item))),
            Shape::Choice { doc, words } => {
                let words = words.iter().map(|(word, doc)| json!({"const": word, "description": doc}));
                json!({"description": doc, "anyOf": words.chain([variable()]).collect::<Vec<_>>()})
            }
            Shape::Text { pattern: FREE_TEXT, unquoted, .. } => json!({"type": text_types(unquoted), "minLength": 1}),
            Shape::Text { what, pattern, example, unquoted } => json!({
                "type": text_types(unquoted),
                "pattern": format!("{}|{VARIABLE}", whole(pattern)),
                "description": format!("Write {what} such as {example}."),
            }),
            Shape::Integer { min, max } => json!({"anyOf": [{"type": "integer", "minimum": min, "maximum": max}, variable()]}),
            Shape::Either(one, other) => json!({"anyOf": [self.schema(one), self.schema(other)]}),
            Shape::Bool => json!({"anyOf": [{"type": "boolean"}, variable()]}),
            Shape::Any => json!({"type": ["string", "number", "boolean"]}),
            Shape::Message => json!({"type": ["object", "null"]}),
        }
    }

    fn section(&mut self, name: &'static str, doc: &str, keys: &[KeyShape]) -> Value {
        if !self.sections.contains_key(name) {
            let properties: serde_json::Map<String, Value> = keys.iter().map(|key| (key.name.to_owned(), self.property(key))).collect();
            let mut section = json!({
                "type": ["object", "null"],
                "description": doc,
                "properties": properties,
                "additionalProperties": false,
            });
            let required: Vec<&str> = keys.iter().filter(|key| key.required).map(|key| key.name).collect();
            if self.form == Form::Whole && !required.is_empty() {
                section["required"] = json!(required);
                // Nothing at all is a section of nothing, and would lack them.
                section["type"] = json!("object");
            }
            self.sections.insert(name, section);
        }
        json!({"$ref": format!("#/$defs/{name}")})
    }

    /// What stands under a key; the sentence over the key comes before what is to be said about its value.
    fn property(&mut self, key: &KeyShape) -> Value {
        let mut property = self.schema(&key.shape);
        let about = match (&key.shape, property["description"].as_str()) {
            (Shape::Text { .. }, Some(value)) => format!("{} {value}", key.doc),
            _ => key.doc.to_owned(),
        };
        property["description"] = json!(about);
        property
    }
}

/// A file as an editor takes it: plain data, without places. None when it cannot be read to its end.
pub fn plain(text: &str) -> Option<Value> {
    let file = Sources::default().add("", String::new());
    let tree = parse::parse(file, text, &mut Report::default())?;
    serde_json::to_value(tree.to_value()).ok()
}

/// What a text may be to a reader of YAML, as `type` of JSON Schema says it.
fn text_types(unquoted: &[Unquoted]) -> Value {
    let name = |kind: &Unquoted| match kind {
        Unquoted::Integer => "integer",
        Unquoted::Number => "number",
    };
    match unquoted {
        [] => json!("string"),
        kinds => std::iter::once("string").chain(kinds.iter().map(name)).collect(),
    }
}

fn whole(pattern: &str) -> String {
    format!("^({pattern})$")
}

fn variable() -> Value {
    json!({"$ref": "#/$defs/variable"})
}

fn list(items: Value) -> Value {
    json!({"type": ["array", "null"], "items": items})
}

fn edit(list: &Value) -> Value {
    let verb = |verb: &str| json!({"type": "object", "properties": {verb: list}, "required": [verb], "additionalProperties": false});
    json!({"anyOf": [list, verb("append"), verb("replace")]})
}
