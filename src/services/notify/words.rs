//! The words of a notification, and the templates that make them. The one file that knows minijinja.
//!
//! Promises: what is rendered fits a notification; a template cannot use what is not declared, reads nothing but its values, and ends,
//! however it loops; values are escaped in HTML. A title is one line, so that it can be the subject of a mail.

use minijinja::{AutoEscape, Environment, UndefinedBehavior, Value, context, filters, tests};
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

/// A part of [`Words`]: its name, and how long it may be. HTML is told by the name.
const PARTS: [(&str, usize); 3] = [("title", TITLE_BYTES_MAX), ("body", BODY_BYTES_MAX), ("html", HTML_BYTES_MAX)];

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
        if self.title.trim().is_empty() {
            wrong.say(format!("{field}.title"), "must say something");
        }
        for ((part, bytes_max), text) in PARTS.iter().zip(self.parts()) {
            if text.len() > *bytes_max {
                wrong.say(format!("{field}.{part}"), format!("has more than {bytes_max} bytes"));
            }
        }
    }

    /// What is wrong with templates that know these parameters. They are tried with all of them, and with the required ones alone.
    pub fn check_templates(&self, parameters: &[Parameter], field: &str, wrong: &mut Wrong) {
        if self.title.trim().is_empty() {
            wrong.say(format!("{field}.title"), "must say something");
        }
        let sample = |parameter: &Parameter| (parameter.name.clone(), parameter.kind.sample());
        let all: Values = parameters.iter().map(sample).collect();
        let required: Values = parameters.iter().filter(|parameter| parameter.required).map(sample).collect();
        for ((part, bytes_max), source) in PARTS.iter().zip(self.parts()) {
            if source.len() > bytes_max * SOURCE_FACTOR {
                wrong.say(format!("{field}.{part}"), format!("has more than {} bytes", bytes_max * SOURCE_FACTOR));
            } else if let Err(problem) = check(part, source, parameters, &[&all, &required]) {
                wrong.say(format!("{field}.{part}"), problem);
            }
        }
    }

    /// The words that these templates make. The error names the part, and is for the sender.
    pub fn render(&self, values: &Values) -> Result<Words, String> {
        let [title, body, html] = PARTS.map(|(part, _)| part);
        let words = Words {
            title: render(title, &self.title, values)?,
            body: render(body, &self.body, values)?,
            html: render(html, &self.html, values)?,
        };
        let words = words.in_line();
        let mut wrong = Wrong::default();
        words.check_literal("words", &mut wrong);
        if wrong.is_empty() { Ok(words) } else { Err("what it makes has no title, or is too long".to_owned()) }
    }

    /// With a title of one line, without control characters.
    pub fn in_line(mut self) -> Words {
        self.title = self.title.replace(char::is_control, " ").split_whitespace().collect::<Vec<_>>().join(" ");
        self
    }

    fn parts(&self) -> [&str; 3] {
        [&self.title, &self.body, &self.html]
    }
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

fn check(part: &str, source: &str, parameters: &[Parameter], samples: &[&Values]) -> Result<(), String> {
    let environment = environment();
    let template = environment.template_from_named_str(part, source).map_err(|error| problem(&error))?;
    let unknown =
        template.undeclared_variables(false).into_iter().filter(|name| parameters.iter().all(|parameter| parameter.name != *name));
    // In order, so that the same template is refused in the same words.
    if let Some(name) = unknown.min() {
        return Err(format!("uses `{name}`, which is no parameter"));
    }
    samples.iter().try_for_each(|values| render(part, source, values).map(drop))
}

fn render(part: &str, source: &str, values: &Values) -> Result<String, String> {
    environment().render_named_str(part, source, context! { ..known(values) }).map_err(|error| problem(&error))
}

fn known(values: &Values) -> Value {
    let known = |value: &parameters::Value| match value {
        parameters::Value::Text(text) => Value::from(text.as_str()),
        parameters::Value::Integer(number) => Value::from(*number),
        parameters::Value::Bool(truth) => Value::from(*truth),
    };
    values.iter().map(|(name, value)| (name.clone(), known(value))).collect()
}

/// In a line, without a value: the library tells no more than the source and its own words.
fn problem(error: &minijinja::Error) -> String {
    let line = error.line().map(|line| format!(" in line {line}")).unwrap_or_default();
    let detail = error.detail().map(|detail| format!(": {detail}")).unwrap_or_default();
    format!("is no template that works: {}{detail}{line}", error.kind())
}
