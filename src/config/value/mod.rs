//! Single values: text with a meaning, parsed once and carried as its own type.
//!
//! A type here parses text and says why it cannot; place, path, the text itself and the remedy are added in one spot, below.
//! A reason therefore never quotes the text, so that a secret cannot slip into it.
//!
//! - `names`: names, permissions, methods, field paths, limit keys, metadata keys
//! - `quantity`: numbers with and without units
//! - `net`: addresses, networks, origins
//! - `written`: text, files, secrets, and defaults of variables

mod names;
mod net;
mod quantity;
mod written;

pub use names::{FieldPathText, LimitKey, MessageName, MetadataKey, MethodName, Name, PermissionName, PermissionPattern, RouteName};
pub use net::{Address, Cidr, EndpointUrl, Origin, UrlPath};
pub use quantity::{ByteSize, Duration, NumberRange, ProtocolNumber, Rate, Version, Workers};
pub use written::{FilePath, Secret, Text, VarValue};

use super::grammar::{Read, Shape};
use super::reader::Reader;
use super::tree::Node;
use crate::diagnostic::Rule;

/// Text with a meaning.
pub trait Value: Sized + Clone {
    /// What it is, with its article: `a duration`.
    const WHAT: &'static str;

    /// One or two that are right, in backquotes.
    const EXAMPLE: &'static str;

    /// What its text looks like, as a regular expression for schemas. It may allow more than `parse`, never less.
    const PATTERN: &'static str;

    fn parse(text: &str) -> Result<Self, Problem>;

    /// What schemas say; only what YAML reads as a number says something else.
    fn shape() -> Shape {
        Shape::Text { what: Self::WHAT, pattern: Self::PATTERN, example: Self::EXAMPLE }
    }
}

/// Why a text does not mean anything.
#[derive(Debug)]
pub struct Problem {
    pub rule: Rule,
    /// Beside the caret; does not quote the text.
    pub why: String,
    /// What to do, where that is more than to follow the example.
    pub help: Option<String>,
}

// === impl Problem ===

impl Problem {
    pub fn new(why: impl Into<String>) -> Problem {
        Problem { rule: Rule::BadValue, why: why.into(), help: None }
    }

    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Problem {
        self.help = Some(help.into());
        self
    }

    #[must_use]
    pub fn rule(mut self, rule: Rule) -> Problem {
        self.rule = rule;
        self
    }
}

// === impl Read ===

impl<T: Value> Read for T {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<T> {
        let scalar = reader.scalar(node, T::WHAT)?;
        match T::parse(&scalar.text) {
            Ok(value) => Some(value),
            Err(problem) => reader.bad_value(node.span, &scalar.shown(), T::WHAT, T::EXAMPLE, problem),
        }
    }

    fn shape() -> Shape {
        <T as Value>::shape()
    }
}

impl Read for u32 {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<u32> {
        let scalar = reader.scalar(node, "a whole number")?;
        if !scalar.to_value().is_number() {
            return reader.wrong_type(node, "a whole number", Some("write digits without quotes, such as `40`".to_owned()));
        }
        match serde_yaml::from_value(scalar.to_value()) {
            Ok(number) => Some(number),
            Err(_) => {
                let problem = Problem::new(format!("not between 0 and {}", u32::MAX));
                reader.bad_value(node.span, &scalar.shown(), "a whole number in range", "`40`", problem)
            }
        }
    }

    fn shape() -> Shape {
        Shape::Integer { min: 0, max: u32::MAX }
    }
}

impl Read for bool {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<bool> {
        let scalar = reader.scalar(node, "true or false")?;
        scalar.to_value().as_bool().or_else(|| reader.wrong_type(node, "true or false", Some("write `true` or `false`".to_owned())))
    }

    fn shape() -> Shape {
        Shape::Bool
    }
}
