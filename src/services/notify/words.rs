//! The words of a notification, and the templates that make them. The one file that knows minijinja.
//!
//! Promises: what is rendered fits a notification; a template cannot use what is not declared, reads nothing but its values, and ends,
//! however it loops; values are escaped in HTML. A title is one line, so that it can be the subject of a mail.

use std::collections::BTreeMap;

use minijinja::{AutoEscape, Environment, UndefinedBehavior, Value, filters, tests};
use serde::{Deserialize, Serialize};

use super::parameters::{self, Parameter, Values};
use super::v1;
use super::wrong::Wrong;

pub const TITLE_BYTES_MAX: usize = 256;
pub const BODY_BYTES_MAX: usize = 4096;
pub const HTML_BYTES_MAX: usize = 64 << 10;

/// How much longer than what it makes a template may be.
const SOURCE_FACTOR: usize = 4;

/// Steps and bytes of one rendering: more than any that fits can need.
const FUEL: u64 = 256 << 10;

/// In one language. `html` may be empty.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Words {
    pub title: String,
    pub body: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub html: String,
}

/// A part of [`Words`], and how long it may be.
struct Part {
    name: &'static str,
    bytes_max: usize,
}

const TITLE: Part = Part { name: "title", bytes_max: TITLE_BYTES_MAX };
const BODY: Part = Part { name: "body", bytes_max: BODY_BYTES_MAX };
/// Told by its name.
const HTML: Part = Part { name: "html", bytes_max: HTML_BYTES_MAX };

// === impl Words ===

impl Words {
    pub fn of(written: v1::Words) -> Words {
        Words { title: written.title, body: written.body, html: written.html }
    }

    pub fn shown(&self) -> v1::Words {
        v1::Words { title: self.title.clone(), body: self.body.clone(), html: self.html.clone() }
    }

    /// What is wrong with words that are to be told as they are. `field` is where they stand.
    pub fn check_literal(&self, field: &str, wrong: &mut Wrong) {
        for (part, text) in self.parts() {
            if let Err(problem) = part.check(text) {
                wrong.say(format!("{field}.{}", part.name), problem);
            }
        }
    }

    /// What is wrong with templates that know these parameters. They are tried with all of them, and with the required ones alone.
    pub fn check_templates(&self, parameters: &[Parameter], field: &str, wrong: &mut Wrong) {
        let sample = |parameter: &Parameter| (parameter.name.clone(), parameter.kind.sample());
        let all: Values = parameters.iter().map(sample).collect();
        let required: Values = parameters.iter().filter(|parameter| parameter.required).map(sample).collect();
        for (part, source) in self.parts() {
            if let Err(problem) = part.check_template(source, parameters, &[&all, &required]) {
                wrong.say(format!("{field}.{}", part.name), problem);
            }
        }
    }

    /// The words that these templates make. The error is for the sender, and goes on after the name of the template.
    pub fn render(&self, values: &Values) -> Result<Words, String> {
        let [title, body, html] = self.parts().map(|(part, source)| part.render(source, values));
        Ok(Words { title: title?, body: body?, html: html? })
    }

    /// With a title of one line, without control characters.
    pub fn in_line(self) -> Words {
        Words { title: line(&self.title), ..self }
    }

    fn parts(&self) -> [(Part, &str); 3] {
        [(TITLE, &self.title), (BODY, &self.body), (HTML, &self.html)]
    }
}

// === impl Part ===

impl Part {
    fn check(&self, text: &str) -> Result<(), String> {
        match text.len() {
            0 if self.name == TITLE.name => Err("says nothing".to_owned()),
            bytes if bytes > self.bytes_max => Err(format!("has more than {} bytes", self.bytes_max)),
            _ => Ok(()),
        }
    }

    fn check_template(&self, source: &str, parameters: &[Parameter], samples: &[&Values]) -> Result<(), String> {
        let bytes_max = self.bytes_max * SOURCE_FACTOR;
        if source.len() > bytes_max {
            return Err(format!("has more than {bytes_max} bytes"));
        }
        let environment = environment();
        let template = environment.template_from_named_str(self.name, source).map_err(|error| problem(&error))?;
        let is_known = |name: &String| parameters.iter().any(|parameter| parameter.name == *name);
        // In order, so that the same template is refused in the same words.
        if let Some(name) = template.undeclared_variables(false).into_iter().filter(|name| !is_known(name)).min() {
            return Err(format!("uses `{name}`, which is no parameter"));
        }
        samples.iter().try_for_each(|values| self.render(source, values).map(drop))
    }

    fn render(&self, source: &str, values: &Values) -> Result<String, String> {
        let text = environment().render_named_str(self.name, source, known(values)).map_err(|error| problem(&error))?;
        let text = if self.name == TITLE.name { line(&text) } else { text };
        self.check(&text).map_err(|problem| format!("makes a {} that {problem}", self.name))?;
        Ok(text)
    }
}

/// A text in one line.
fn line(text: &str) -> String {
    text.replace(char::is_control, " ").split_whitespace().collect::<Vec<_>>().join(" ")
}

fn environment() -> Environment<'static> {
    let mut environment = Environment::empty();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_auto_escape_callback(|part| if part == "html" { AutoEscape::Html } else { AutoEscape::None });
    environment.set_fuel(Some(FUEL));
    environment.add_filter("upper", filters::upper);
    environment.add_filter("lower", filters::lower);
    environment.add_filter("trim", filters::trim);
    environment.add_filter("default", filters::default);
    // Of a timestamp, `2026-01-31` and `18:00`.
    environment.add_filter("date", |moment: &str| moment.get(..10).unwrap_or(moment).to_owned());
    environment.add_filter("time", |moment: &str| moment.get(11..16).unwrap_or(moment).to_owned());
    environment.add_test("defined", tests::is_defined);
    environment
}

fn known(values: &Values) -> Value {
    let known = |value: &parameters::Value| match value {
        parameters::Value::Text(text) => Value::from(text.as_str()),
        parameters::Value::Integer(number) => Value::from(*number),
        parameters::Value::Bool(truth) => Value::from(*truth),
    };
    values.iter().map(|(name, value)| (name.clone(), known(value))).collect::<BTreeMap<String, Value>>().into()
}

/// In a line, without a value: the library tells no more than the source and its own words.
fn problem(error: &minijinja::Error) -> String {
    let line = error.line().map(|line| format!(" in line {line}")).unwrap_or_default();
    let detail = error.detail().map(|detail| format!(": {detail}")).unwrap_or_default();
    format!("is no template that works: {}{detail}{line}", error.kind())
}
