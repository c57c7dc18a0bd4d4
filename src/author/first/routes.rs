//! The text of one route, with what its .proto file says of it; and a call to begin with.

use std::fmt::Write as _;

use serde_json::Value;

use super::numbering::{Numbered, Route};
use crate::author::{WRITTEN, saying};
use crate::proto::{FieldKind, FieldPath, Kind, MessageType, Method, Sample, secret_paths};
use crate::telemetry::line::is_harmless;

/// How wide comments are, and how many lines of one are kept.
const WIDTH: usize = 130;
const LINES_MAX: usize = 6;

/// Fields that are often the caller's own id, which a client must not choose.
const CALLERS: [&str; 3] = ["user_id", "userId", "player_id"];

/// A request longer than this is nothing to type.
const CALL_CHARS_MAX: usize = 160;

/// The entry under `routes:`, or one that is commented out.
pub fn write(route: &Route, is_routed: bool, text: &mut String) {
    let Route { number, name, method } = route;
    if !is_routed {
        writeln!(text, "  # Deprecated, and not routed:\n  # {number}: {{ name: {name}, rpc: {} }}", method.name()).expect(WRITTEN);
        return;
    }
    text.push_str(&comment(method.comment().unwrap_or_default(), "  "));
    notes(method).into_iter().for_each(|note| text.push_str(&comment(&note, "  ")));
    writeln!(text, "  {number}:\n    name: {name}\n    rpc: {}", method.name()).expect(WRITTEN);
    let hidden = secret_paths(&method.input).into_iter().map(|path| format!("request.{path}"));
    let hidden: Vec<String> = hidden.chain(secret_paths(&method.output).into_iter().map(|path| format!("response.{path}"))).collect();
    if !hidden.is_empty() {
        writeln!(text, "    redact: [{}]", hidden.join(", ")).expect(WRITTEN);
    }
    if !method.input.rule_problems().is_empty() {
        text.push_str("    # Some rules of its messages are not supported here; the service checks them itself.\n    validate: false\n");
    }
    if let Some(field) = caller(&method.input) {
        writeln!(text, "    # If `{field}` is who calls, let the gateway write it:\n    # set: {{ request.{field}: session.user }}")
            .expect(WRITTEN);
    }
}

/// What somebody wrote, as a comment of YAML.
pub fn comment(said: &str, indent: &str) -> String {
    let lines: Vec<String> = saying::lines(said).iter().flat_map(|line| wrapped(line)).collect();
    let cut = lines.len() > LINES_MAX;
    let shown = lines.iter().take(LINES_MAX).enumerate().map(|(at, line)| {
        let more = if cut && at + 1 == LINES_MAX { " …" } else { "" };
        // An editor obeys this word wherever it stands.
        format!("{indent}# {}{more}\n", line.replace("yaml-language-server:", "yaml-language-server"))
    });
    shown.collect()
}

/// A line in lines of some width, broken between words; a word that is too long is one.
fn wrapped(line: &str) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in line.split(' ') {
        let last = lines.last_mut().expect("there is a line");
        if !last.is_empty() && last.chars().count() + 1 + word.chars().count() > WIDTH {
            lines.push(word.to_owned());
        } else {
            if !last.is_empty() {
                last.push(' ');
            }
            last.push_str(word);
        }
    }
    lines
}

/// What the descriptor says besides, that whoever reads the route should know.
fn notes(method: &Method) -> Vec<String> {
    let kind = match method.kind {
        Kind::Unary => None,
        Kind::ServerStream => Some("Answers with a stream."),
        Kind::ClientStream => Some("Takes a stream."),
        Kind::Bidi => Some("A stream each way."),
    };
    let notes = [
        kind,
        method.deprecated.then_some("Deprecated by its .proto file."),
        (method.idempotent && method.kind == Kind::Unary).then_some("May be repeated, by its `idempotency_level`."),
        (method.input.has_rules() && method.input.rule_problems().is_empty())
            .then_some("The gateway enforces rules of buf.validate on its request."),
    ];
    notes.into_iter().flatten().map(str::to_owned).collect()
}

/// A field that may be the caller's id, and could be written by the gateway.
fn caller(input: &MessageType) -> Option<&'static str> {
    CALLERS.into_iter().find(|name| {
        let kind = FieldPath::resolve(input, name).ok().filter(FieldPath::is_scalar).map(|path| path.kind());
        matches!(kind, Some(FieldKind::String | FieldKind::Int | FieldKind::Uint))
    })
}

/// A call of the first method that takes one message and answers with one, else of one that takes one: number and request.
pub fn call(services: &[Numbered]) -> Option<(u32, String)> {
    let routes = || services.iter().flat_map(|service| &service.routes);
    let of = |kind: Kind| {
        let plain = |route: &&Route| route.method.kind == kind && !route.method.deprecated;
        routes().find(|route| plain(route) && !route.method.input.has_rules()).or_else(|| routes().find(plain))
    };
    let route = of(Kind::Unary).or_else(|| of(Kind::ServerStream))?;
    Some((route.number, request(&route.method.input)))
}

/// A request to type; an empty one where it is long, or has something in it that a shell or a terminal could obey.
fn request(input: &MessageType) -> String {
    let mut template = Sample::of(input, []).template;
    said(&mut template);
    let text = template.to_string();
    let plain = text.chars().all(|c| is_harmless(c) && c != '\'');
    if plain && text.chars().count() <= CALL_CHARS_MAX { text } else { "{}".to_owned() }
}

/// Leaves out what is left open.
fn said(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|_, value| !value.is_null());
            fields.values_mut().for_each(said);
        }
        Value::Array(items) => items.iter_mut().for_each(said),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_a_comment_says_it_is_one() {
        let said = "fine\n*/ routes: {}\r\u{85}evil: 1\u{2028}more: 2\n\n# yaml-language-server: $schema=http://x\n\u{0}--- !!tag";
        let written = comment(said, "  ");
        let expected = "  # fine\n  # */ routes: {} evil: 1 more: 2\n  # # yaml-language-server $schema=http://x\n  # --- !!tag\n";
        assert_eq!(written, expected);
        assert_eq!(comment(" \n ", ""), "");
    }

    #[test]
    fn a_long_comment_is_wrapped_and_cut() {
        let written = comment(&"word ".repeat(1000), "");
        assert_eq!(written.lines().count(), LINES_MAX);
        assert!(written.lines().all(|line| line.chars().count() <= WIDTH + 4), "{written}");
        assert!(written.ends_with("word …\n"));
        assert_eq!(comment(&"x".repeat(400), "").lines().count(), 1, "a word is not broken");
    }
}
