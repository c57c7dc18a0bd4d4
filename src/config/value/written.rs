//! Values whose meaning depends on how or where they are written: text, lines, files, secrets, and the defaults of variables.

use std::path::{Path, PathBuf};

use super::{Problem, Value};
use crate::config::grammar::{FREE_TEXT, ONE_LINE, Read, Shape};
use crate::config::reader::Reader;
use crate::config::tree::{Node, Origin, Style};
use crate::telemetry::line::is_harmless;

/// Any text that is not empty.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Text(String);

/// Text in one line, in which nothing is that cannot be seen.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Line(String);

/// A file or folder, already resolved: a relative path starts from the folder of the file in which it is written.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct FilePath(PathBuf);

/// Text that is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret {
    text: String,
    literal: bool,
}

/// The default of a variable.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum VarValue {
    String(String),
    Integer(i64),
    Bool(bool),
}

// === impl Text ===

impl Text {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Value for Text {
    const WHAT: &'static str = "text";
    const EXAMPLE: &'static str = "`abc`";
    const PATTERN: &'static str = FREE_TEXT;

    fn parse(text: &str) -> Result<Text, Problem> {
        if text.is_empty() { Err(Problem::new("empty").help("write something, or leave the key out")) } else { Ok(Text(text.to_owned())) }
    }
}

// === impl Line ===

impl Line {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Value for Line {
    const WHAT: &'static str = "text in one line";
    const EXAMPLE: &'static str = "`abc`";
    const PATTERN: &'static str = ONE_LINE;

    fn parse(text: &str) -> Result<Line, Problem> {
        Text::parse(text)?;
        if text.trim() != text {
            return Err(Problem::new("begins or ends with white space").help("take it away"));
        }
        if !text.chars().all(is_harmless) {
            return Err(Problem::new("holds a character that cannot be seen").help("type it anew"));
        }
        Ok(Line(text.to_owned()))
    }
}

// === impl FilePath ===

impl FilePath {
    pub fn as_path(&self) -> &Path {
        &self.0
    }
}

impl Read for FilePath {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<FilePath> {
        let text = Text::read(node, reader)?;
        Some(FilePath(reader.folder().join(text.as_str())))
    }

    fn shape() -> Shape {
        Shape::free_text("a path", "`../proto`")
    }
}

// === impl Secret ===

impl Secret {
    /// The text itself. Whoever calls this sees to it that it is not shown.
    pub fn expose(&self) -> &str {
        &self.text
    }

    /// True when it stands in the file rather than in a variable.
    pub fn is_literal(&self) -> bool {
        self.literal
    }
}

impl Read for Secret {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Secret> {
        let scalar = reader.scalar(node, "a secret")?;
        let is_text = scalar.style == Style::Quoted || !(scalar.to_value().is_number() || scalar.to_value().is_bool());
        if scalar.origin == Origin::File && !is_text {
            return reader.wrong_type(node, "a secret", Some("put it into quotes, or better into a variable".to_owned()));
        }
        Some(Secret { text: scalar.text.clone(), literal: scalar.origin == Origin::File })
    }

    fn shape() -> Shape {
        Shape::free_text("a secret", "`${var.admin_token}`")
    }
}

// === impl VarValue ===

impl Read for VarValue {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<VarValue> {
        let scalar = reader.scalar(node, "text, a whole number, or true or false")?;
        match scalar.to_value() {
            serde_yaml::Value::Bool(value) => Some(VarValue::Bool(value)),
            serde_yaml::Value::Number(number) if number.is_i64() => number.as_i64().map(VarValue::Integer),
            // A number with a fraction, such as a version, is the text that was written.
            _ => Some(VarValue::String(scalar.text.clone())),
        }
    }

    fn shape() -> Shape {
        Shape::Any
    }
}
