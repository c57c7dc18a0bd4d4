//! What a template wants to know: declared with a type, given as text, and checked all at once.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use prost_types::Timestamp;
use serde::{Deserialize, Serialize};

use super::v1;
use super::wrong::Wrong;

const PARAMETERS_MAX: usize = 32;
const NAME_BYTES_MAX: usize = 64;

/// The longest value; a title that holds one still has to fit.
const VALUE_BYTES_MAX: usize = 2048;

/// One parameter, as it was declared.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parameter {
    pub name: String,
    pub kind: Kind,
    pub required: bool,
}

/// What its value must be.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    String,
    Integer,
    Bool,
    Timestamp,
}

/// A value that is what was declared.
#[derive(Clone, PartialEq, Debug)]
pub enum Value {
    Text(String),
    Integer(i64),
    Bool(bool),
}

/// By the names of the parameters.
pub type Values = BTreeMap<String, Value>;

/// Reads a declaration, and says what is wrong with it.
pub fn declared(written: Vec<v1::Parameter>, wrong: &mut Wrong) -> Vec<Parameter> {
    if written.len() > PARAMETERS_MAX {
        wrong.say("parameters", format!("has more than {PARAMETERS_MAX} entries"));
    }
    let mut names = BTreeSet::new();
    let mut read = Vec::new();
    for (index, v1::Parameter { name, r#type, required }) in written.into_iter().take(PARAMETERS_MAX).enumerate() {
        if !is_name(&name) {
            wrong.say(
                format!("parameters[{index}].name"),
                format!("must be 1 to {NAME_BYTES_MAX} small letters, digits and `_`, not beginning with a digit"),
            );
        } else if !names.insert(name.clone()) {
            wrong.say(format!("parameters[{index}].name"), format!("declares `{name}` a second time"));
        }
        match Kind::of(r#type) {
            Some(kind) => read.push(Parameter { name, kind, required }),
            None => wrong.say(format!("parameters[{index}].type"), "is none that there is"),
        }
    }
    read
}

/// Takes the values that were given for what was declared, and says what is wrong with them.
pub fn filled(parameters: &[Parameter], mut given: HashMap<String, String>, wrong: &mut Wrong) -> Values {
    let mut values = Values::new();
    for Parameter { name, kind, required } in parameters {
        let field = || format!("template.parameters.{name}");
        match given.remove(name) {
            Some(text) if text.len() > VALUE_BYTES_MAX => wrong.say(field(), format!("has more than {VALUE_BYTES_MAX} bytes")),
            Some(text) => match kind.read(text) {
                Some(value) => drop(values.insert(name.clone(), value)),
                None => wrong.say(field(), kind.wanted()),
            },
            None if *required => wrong.say(field(), "is missing"),
            None => {}
        }
    }
    // In order, so that the same mistake is the same answer.
    for name in given.into_keys().collect::<BTreeSet<_>>() {
        wrong.say(format!("template.parameters.{name}"), "is no parameter of this template");
    }
    values
}

fn is_name(name: &str) -> bool {
    let sound = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    (1..=NAME_BYTES_MAX).contains(&name.len()) && name.bytes().all(sound) && !name.as_bytes()[0].is_ascii_digit()
}

// === impl Parameter ===

impl Parameter {
    pub fn shown(&self) -> v1::Parameter {
        v1::Parameter { name: self.name.clone(), r#type: self.kind.shown().into(), required: self.required }
    }
}

// === impl Kind ===

impl Kind {
    /// A value to try a template with.
    pub fn sample(self) -> Value {
        match self {
            Kind::String => Value::Text("text".to_owned()),
            Kind::Integer => Value::Integer(1),
            Kind::Bool => Value::Bool(true),
            Kind::Timestamp => Value::Text("2026-01-31T18:00:00Z".to_owned()),
        }
    }

    fn of(number: i32) -> Option<Kind> {
        match v1::ParameterType::try_from(number).ok()? {
            v1::ParameterType::Unspecified | v1::ParameterType::String => Some(Kind::String),
            v1::ParameterType::Integer => Some(Kind::Integer),
            v1::ParameterType::Bool => Some(Kind::Bool),
            v1::ParameterType::Timestamp => Some(Kind::Timestamp),
        }
    }

    fn shown(self) -> v1::ParameterType {
        match self {
            Kind::String => v1::ParameterType::String,
            Kind::Integer => v1::ParameterType::Integer,
            Kind::Bool => v1::ParameterType::Bool,
            Kind::Timestamp => v1::ParameterType::Timestamp,
        }
    }

    fn read(self, text: String) -> Option<Value> {
        match self {
            Kind::String => Some(Value::Text(text)),
            Kind::Integer => text.parse().ok().map(Value::Integer),
            Kind::Bool => text.parse().ok().map(Value::Bool),
            // In one form, whatever the offset it was written with.
            Kind::Timestamp => text.parse::<Timestamp>().ok().map(|time| Value::Text(time.to_string())),
        }
    }

    fn wanted(self) -> &'static str {
        match self {
            Kind::String => "must be text",
            Kind::Integer => "must be an integer of 64 bits, such as `42`",
            Kind::Bool => "must be `true` or `false`",
            Kind::Timestamp => "must be a moment such as `2026-01-31T18:00:00Z`",
        }
    }
}
