//! One file as a tree in which everything knows its place.
//!
//! The tree is what overlays are merged into, what variables are expanded in, and what the grammar reads.
//! Promises: keys of a map are distinct; a part that was already reported is [`Kind::Broken`], about which later passes keep silent.
//! How text becomes a tree is `parse.rs`.

use serde_yaml::{Mapping, Number, Value};

use crate::diagnostic::Span;

/// Anything with a place.
#[derive(Clone)]
pub struct Node {
    pub kind: Kind,
    pub span: Span,
}

#[derive(Clone)]
pub enum Kind {
    Scalar(Scalar),
    List(Vec<Node>),
    Map(Vec<Entry>),
    /// Reported already.
    Broken,
}

/// A key of a map and what stands under it.
#[derive(Clone)]
pub struct Entry {
    pub key: Key,
    pub value: Node,
}

#[derive(Clone)]
pub struct Key {
    pub text: String,
    pub span: Span,
}

/// Text, and what is known about how it was written.
#[derive(Clone)]
pub struct Scalar {
    pub text: String,
    pub style: Style,
    pub origin: Origin,
}

/// Whether YAML may read a scalar as something else than text.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Style {
    Plain,
    Quoted,
}

/// Where a scalar's text came from.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Origin {
    /// The file itself.
    File,
    /// A variable, at least in part.
    Variable,
    /// A secret variable, at least in part: the text is never shown.
    Secret,
}

// === impl Node ===

impl Node {
    /// The value under a key, when this is a map that has it.
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.entries().iter().find(|entry| entry.key.text == key).map(|entry| &entry.value)
    }

    /// The entries of a map; of anything else, none.
    pub fn entries(&self) -> &[Entry] {
        match &self.kind {
            Kind::Map(entries) => entries,
            _ => &[],
        }
    }

    /// The scalar, when this is one.
    pub fn scalar(&self) -> Option<&Scalar> {
        match &self.kind {
            Kind::Scalar(scalar) => Some(scalar),
            _ => None,
        }
    }

    /// True for `~`, `null` and nothing at all.
    pub fn is_null(&self) -> bool {
        self.scalar().is_some_and(|scalar| scalar.to_value().is_null())
    }

    /// Whether another one is the same but for places, and sound.
    pub fn is_same(&self, other: &Node) -> bool {
        match (&self.kind, &other.kind) {
            (Kind::Scalar(one), Kind::Scalar(other)) => one.text == other.text && one.style == other.style,
            (Kind::List(one), Kind::List(other)) => {
                one.len() == other.len() && one.iter().zip(other).all(|(one, other)| one.is_same(other))
            }
            (Kind::Map(one), Kind::Map(other)) => {
                let entry = |(one, other): (&Entry, &Entry)| one.key.text == other.key.text && one.value.is_same(&other.value);
                one.len() == other.len() && one.iter().zip(other).all(entry)
            }
            _ => false,
        }
    }

    /// The same as serde_yaml has it, without places.
    pub fn to_value(&self) -> Value {
        match &self.kind {
            Kind::Scalar(scalar) => scalar.to_value(),
            Kind::List(items) => Value::Sequence(items.iter().map(Node::to_value).collect()),
            Kind::Map(entries) => Value::Mapping(
                entries.iter().map(|entry| (Value::String(entry.key.text.clone()), entry.value.to_value())).collect::<Mapping>(),
            ),
            Kind::Broken => Value::Null,
        }
    }

    /// What this is, for a sentence such as `expected a list, found a map`.
    pub fn describe(&self) -> &'static str {
        match &self.kind {
            Kind::Scalar(scalar) => match scalar.to_value() {
                Value::Null => "nothing",
                Value::Bool(_) => "true or false",
                Value::Number(_) => "a number",
                _ => "text",
            },
            Kind::List(_) => "a list",
            Kind::Map(_) => "a map",
            Kind::Broken => "something broken",
        }
    }
}

// === impl Scalar ===

impl Scalar {
    /// Null, a bool, a number or text. What counts as a number is serde_yaml's answer; the words are those of YAML 1.2.
    ///
    /// A whole document is not parsed here, because `---` is text in the middle of a line and a marker at its start.
    pub fn to_value(&self) -> Value {
        if self.style == Style::Quoted {
            return Value::String(self.text.clone());
        }
        match self.text.as_str() {
            "" | "~" | "null" | "Null" | "NULL" => Value::Null,
            "true" | "True" | "TRUE" => Value::Bool(true),
            "false" | "False" | "FALSE" => Value::Bool(false),
            text => text.parse::<Number>().map_or_else(|_| Value::String(text.to_owned()), Value::Number),
        }
    }

    /// The text as a diagnostic may show it.
    pub fn shown(&self) -> String {
        match self.origin {
            Origin::Secret => "a secret value".to_owned(),
            Origin::File | Origin::Variable => format!("`{}`", shorten(&self.text)),
        }
    }
}

/// The first line of a text, no longer than fits a message.
pub fn shorten(text: &str) -> String {
    /// A message with more than this no longer fits a terminal's line.
    const SHOWN_CHARS_MAX: usize = 60;
    let line = text.lines().next().unwrap_or_default();
    match line.char_indices().nth(SHOWN_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None if line.len() < text.trim_end().len() => format!("{line}…"),
        None => line.to_owned(),
    }
}
