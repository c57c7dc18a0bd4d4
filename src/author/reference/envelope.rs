//! Envelopes as they are shown: in the order in which people read them, and without what is not seen.

use std::fmt::Write as _;

use serde_json::Value;

use crate::author::WRITTEN;
use crate::proto::Example;
use crate::telemetry::line::is_harmless;

/// An envelope that is longer stands on several lines.
const LINE_CHARS_MAX: usize = 76;

/// An envelope with these keys, in this order.
pub fn of(keys: Vec<(&str, Example)>) -> String {
    let envelope = Example::Map(keys.into_iter().map(|(key, value)| (key.to_owned(), value)).collect());
    let mut short = String::new();
    write(&envelope, None, &mut short);
    if short.chars().count() <= LINE_CHARS_MAX {
        return short;
    }
    let mut long = String::new();
    write(&envelope, Some(0), &mut long);
    long
}

/// A value that is no message.
pub fn value(value: impl Into<Value>) -> Example {
    Example::Value(value.into())
}

/// On one line, or, at a depth, on several.
fn write(example: &Example, depth: Option<usize>, text: &mut String) {
    match example {
        Example::Value(value) => harmless(&value.to_string(), text),
        Example::List(items) => block(['[', ']'], items.iter().map(|item| (None, item)), depth, text),
        Example::Map(fields) => block(['{', '}'], fields.iter().map(|(key, value)| (Some(key), value)), depth, text),
    }
}

fn block<'e>(ends: [char; 2], items: impl Iterator<Item = (Option<&'e String>, &'e Example)>, depth: Option<usize>, text: &mut String) {
    text.push(ends[0]);
    let mut first = true;
    for (key, item) in items {
        if !first {
            text.push(',');
        }
        match depth {
            Some(depth) => text.push_str(&format!("\n{}", "  ".repeat(depth + 1))),
            None if !first => text.push(' '),
            None => {}
        }
        if let Some(key) = key {
            harmless(&Value::from(key.as_str()).to_string(), text);
            text.push_str(": ");
        }
        write(item, depth.map(|depth| depth + 1), text);
        first = false;
    }
    if let Some(depth) = depth.filter(|_| !first) {
        text.push_str(&format!("\n{}", "  ".repeat(depth)));
    }
    text.push(ends[1]);
}

/// What is not seen, as JSON writes it.
fn harmless(json: &str, text: &mut String) {
    for c in json.chars() {
        match is_harmless(c) {
            true => text.push(c),
            false => write!(text, "\\u{:04x}", u32::from(c)).expect(WRITTEN),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_envelope_stands_on_several_lines() {
        let payload = |text: &str| Example::Map(vec![("text".to_owned(), value(text)), ("tags".to_owned(), Example::List(Vec::new()))]);
        let short = of(vec![("protocol", value(9001)), ("payload", payload("a\u{202e}"))]);
        assert_eq!(short, "{\"protocol\": 9001, \"payload\": {\"text\": \"a\\u202e\", \"tags\": []}}");
        let long = of(vec![("payload", payload(&"a".repeat(80)))]);
        assert_eq!(long, format!("{{\n  \"payload\": {{\n    \"text\": \"{}\",\n    \"tags\": []\n  }}\n}}", "a".repeat(80)));
    }
}
