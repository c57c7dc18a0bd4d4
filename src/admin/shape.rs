//! A notation for what JSON looks like that fits into a line, and the JSON Schema that it means.
//!
//! `{name: text, next?: text, routes: [Route]}` is an object with these keys and no others, of which `next` may be missing; `{*: whole}` is
//! one with any keys. There are `text`, `whole`, `number`, `bool`, `time` (milliseconds since the epoch), `null`, `any`, words in quotes,
//! `|` for one or the other, and names with a capital for what is written out elsewhere.

use serde_json::{Map, Value, json};

/// What a value looks like.
#[derive(Clone, PartialEq, Debug)]
pub enum Shape {
    Is(&'static str),
    Word(&'static str),
    Named(&'static str),
    List(Box<Shape>),
    Object(Vec<Key>),
    /// Any keys, with such values.
    Map(Box<Shape>),
    OneOf(Vec<Shape>),
}

/// A key of an object.
#[derive(Clone, PartialEq, Debug)]
pub struct Key {
    pub name: &'static str,
    pub required: bool,
    pub shape: Shape,
}

/// What is left to read.
struct Reader {
    rest: &'static str,
}

// === impl Shape ===

impl Shape {
    /// Reads the notation; it is written by us, so that a mistake is ours.
    pub fn read(text: &'static str) -> Result<Shape, String> {
        let mut reader = Reader { rest: text };
        let shape = reader.shape().filter(|_| reader.rest.trim().is_empty());
        shape.ok_or_else(|| format!("`{text}` is no shape, from `{}` on", reader.rest))
    }

    /// The keys of an object; of anything else, none.
    pub fn keys(&self) -> &[Key] {
        match self {
            Shape::Object(keys) => keys,
            _ => &[],
        }
    }

    pub fn schema(&self) -> Value {
        match self {
            Shape::Is("text") => json!({ "type": "string" }),
            Shape::Is("whole") => json!({ "type": "integer", "minimum": 0 }),
            Shape::Is("number") => json!({ "type": "number" }),
            Shape::Is("bool") => json!({ "type": "boolean" }),
            Shape::Is("time") => json!({ "type": "integer", "minimum": 0, "description": "Milliseconds since the epoch." }),
            Shape::Is("null") => json!({ "type": "null" }),
            Shape::Is(_) => json!({}),
            Shape::Word(word) => json!({ "const": word }),
            Shape::Named(name) => json!({ "$ref": format!("#/components/schemas/{name}") }),
            Shape::List(item) => json!({ "type": "array", "items": item.schema() }),
            Shape::Map(value) => json!({ "type": "object", "additionalProperties": value.schema() }),
            Shape::OneOf(shapes) => json!({ "anyOf": shapes.iter().map(Shape::schema).collect::<Vec<_>>() }),
            Shape::Object(keys) => {
                let properties: Map<String, Value> = keys.iter().map(|key| (key.name.to_owned(), key.shape.schema())).collect();
                let required: Vec<&str> = keys.iter().filter(|key| key.required).map(|key| key.name).collect();
                json!({ "type": "object", "properties": properties, "required": required, "additionalProperties": false })
            }
        }
    }
}

// === impl Reader ===

impl Reader {
    fn shape(&mut self) -> Option<Shape> {
        let mut shapes = vec![self.one()?];
        while self.take('|') {
            shapes.push(self.one()?);
        }
        if shapes.len() == 1 { shapes.pop() } else { Some(Shape::OneOf(shapes)) }
    }

    fn one(&mut self) -> Option<Shape> {
        if self.take('[') {
            let item = self.shape()?;
            return self.take(']').then(|| Shape::List(Box::new(item)));
        }
        if self.take('{') {
            return self.object();
        }
        if self.take('"') {
            let (word, rest) = self.rest.split_once('"')?;
            self.rest = rest;
            return Some(Shape::Word(word));
        }
        let word = self.word()?;
        match word {
            "text" | "whole" | "number" | "bool" | "time" | "null" | "any" => Some(Shape::Is(word)),
            _ => word.starts_with(|first: char| first.is_ascii_uppercase()).then_some(Shape::Named(word)),
        }
    }

    fn object(&mut self) -> Option<Shape> {
        if self.take('*') {
            let value = self.take(':').then(|| self.shape())??;
            return self.take('}').then(|| Shape::Map(Box::new(value)));
        }
        let mut keys = Vec::new();
        while !self.take('}') {
            if !keys.is_empty() && !self.take(',') {
                return None;
            }
            let (name, required) = (self.word()?, !self.take('?'));
            keys.push(Key { name, required, shape: self.take(':').then(|| self.shape())?? });
        }
        Some(Shape::Object(keys))
    }

    fn word(&mut self) -> Option<&'static str> {
        self.rest = self.rest.trim_start();
        let end = self.rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        (!word.is_empty()).then_some(word)
    }

    fn take(&mut self, expected: char) -> bool {
        let rest = self.rest.trim_start().strip_prefix(expected);
        rest.inspect(|rest| self.rest = rest).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_means_a_schema() {
        let shape = Shape::read(r#"{name: text, next?: text|null, of: [Route], how: "a"|"b", counts: {*: whole}}"#).expect("it is sound");
        let expected = json!({
            "type": "object",
            "properties": {
                "name": { "type": "string" },
                "next": { "anyOf": [{ "type": "string" }, { "type": "null" }] },
                "of": { "type": "array", "items": { "$ref": "#/components/schemas/Route" } },
                "how": { "anyOf": [{ "const": "a" }, { "const": "b" }] },
                "counts": { "type": "object", "additionalProperties": { "type": "integer", "minimum": 0 } },
            },
            "required": ["name", "of", "how", "counts"],
            "additionalProperties": false,
        });
        assert_eq!(shape.schema(), expected);
        assert_eq!(Shape::read("{}").expect("it is sound").keys(), []);
    }

    #[test]
    fn a_slip_is_found() {
        for wrong in ["", "txt", "[text", "{a text}", "{a: text,}", "{a: text b: text}", "text text", "{*: text, a: text}", "\"a"] {
            assert!(Shape::read(wrong).is_err(), "{wrong}");
        }
    }
}
