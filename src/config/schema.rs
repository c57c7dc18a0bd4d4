//! The grammar for editors: JSON Schema, draft 2020-12, from the same declarations that the reader uses.
//!
//! A schema rejects no valid file. Every single value may also be `${var.name}`, and every section is closed.

use serde_json::{Map, Value, json};

use super::document::{GatewayFile, RoutesFile};
use super::grammar::{Read, Section};
use super::shape::{KeyShape, Shape};

/// The schema files: name below `schemas/`, and content.
pub fn files() -> Vec<(&'static str, Value)> {
    let included = |key: &KeyShape| key.key != "version" && key.key != "include";
    vec![
        ("gateway.schema.json", root("gateway.yaml", GatewayFile::shape(), GatewayFile::keys(), &["version"])),
        ("routes.schema.json", root("routes.yaml", RoutesFile::shape(), RoutesFile::keys(), &["version"])),
        (
            "group.schema.json",
            root("A file that routes.yaml includes", RoutesFile::shape(), RoutesFile::keys().into_iter().filter(included).collect(), &[]),
        ),
    ]
}

fn root(title: &str, shape: Shape, keys: Vec<KeyShape>, required: &[&str]) -> Value {
    let Shape::Section { doc, .. } = shape else { unreachable!("a file is a section") };
    let mut definitions = Map::new();
    let mut schema = section(doc, &keys, &mut definitions);
    let object = schema.as_object_mut().expect("a section is an object");
    object.insert("$schema".to_owned(), json!("https://json-schema.org/draft/2020-12/schema"));
    object.insert("title".to_owned(), json!(title));
    if !required.is_empty() {
        object.insert("required".to_owned(), json!(required));
    }
    object.insert("$defs".to_owned(), Value::Object(definitions));
    schema
}

fn section(doc: &str, keys: &[KeyShape], definitions: &mut Map<String, Value>) -> Value {
    let mut properties = Map::new();
    for key in keys {
        let mut value = schema((key.shape)(), definitions);
        let object = value.as_object_mut().expect("every schema here is an object");
        object.insert("description".to_owned(), json!(key.doc));
        properties.insert(key.key.to_owned(), value);
    }
    json!({ "type": ["object", "null"], "description": doc, "properties": properties, "additionalProperties": false })
}

fn schema(shape: Shape, definitions: &mut Map<String, Value>) -> Value {
    match shape {
        Shape::Text { pattern, example } => text(pattern, example),
        // A variable may stand for any single value.
        Shape::Integer { min, max } => json!({ "anyOf": [{ "type": "integer", "minimum": min, "maximum": max }, variable()] }),
        Shape::Bool => json!({ "anyOf": [{ "type": "boolean" }, variable()] }),
        Shape::Scalar => json!({ "type": ["string", "number", "boolean"] }),
        Shape::Choice(words) => {
            let mut options: Vec<Value> = words.iter().map(|(word, doc)| json!({ "const": word, "description": doc })).collect();
            options.push(variable());
            json!({ "anyOf": options })
        }
        Shape::List(item) => json!({ "type": ["array", "null"], "items": schema(*item, definitions) }),
        Shape::Edit(item) => {
            let list = json!({ "type": "array", "items": schema(*item, definitions) });
            let change = |verb: &str| json!({ "type": "object", "properties": { verb: list }, "required": [verb], "additionalProperties": false });
            json!({ "anyOf": [list, change("append"), change("replace"), { "type": "null" }] })
        }
        Shape::Map(key, value) => {
            let mut map = json!({ "type": ["object", "null"], "additionalProperties": schema(*value, definitions) });
            if let Shape::Text { pattern: Some(pattern), .. } = *key {
                map["propertyNames"] = json!({ "pattern": pattern });
            }
            map
        }
        Shape::Section { name, doc, keys } => {
            if !definitions.contains_key(name) {
                // Held while its keys are written, so that each section is written once.
                definitions.insert(name.to_owned(), Value::Null);
                let written = section(doc, &keys(), definitions);
                definitions.insert(name.to_owned(), written);
            }
            json!({ "$ref": format!("#/$defs/{name}") })
        }
    }
}

fn text(pattern: Option<&str>, example: &str) -> Value {
    // An editor's reader may take a text that looks like a number for one: `key: 5` is text here all the same.
    let examples: Vec<&str> = example.split(['`', ',']).map(|part| part.trim().trim_start_matches("or ").trim()).filter(|part| !part.is_empty()).collect();
    let mut schema = match pattern {
        Some(pattern) => json!({ "type": ["string", "integer"], "pattern": format!("{pattern}|\\$\\{{var\\.") }),
        None => json!({ "type": ["string", "number", "boolean"] }),
    };
    schema["examples"] = json!(examples);
    schema
}

fn variable() -> Value {
    json!({ "type": "string", "pattern": "\\$\\{var\\." })
}
