//! The reference as Markdown, as GitHub reads it.
//!
//! Promise: what others wrote cannot become anything but words: no heading, no link, no cell, no HTML.

use std::fmt::Write as _;

use super::facts::Fact;
use super::failures::Mistake;
use super::inline::{Piece, code, pieces};
use super::notes::{Note, notes};
use super::{Group, Push, Reference, Route, Topic, anchor, kind_in_words};
use crate::author::{WRITTEN, saying};
use crate::proto::{Described, DescribedEnum, DescribedField, DescribedMessage};
use crate::wire::Codec;

/// The whole reference.
pub fn write(reference: &Reference) -> String {
    let mut text = format!("# {}\n\n", words(&saying::line(&reference.title)));
    begin(reference, &mut text);
    overview(reference, &mut text);
    for Group { name, routes } in reference.groups() {
        write!(text, "## {}\n\n", words(name)).expect(WRITTEN);
        routes.iter().for_each(|route| of_route(reference, route, &mut text));
    }
    if !reference.pushes.is_empty() {
        text.push_str("## Pushes\n\nMessages that come without being asked for.\n\n");
        reference.pushes.iter().for_each(|push| of_push(reference, push, &mut text));
    }
    if !reference.topics.is_empty() {
        text.push_str("## Topics\n\nWhat is pushed to a topic reaches every session that hears it.\n\n");
        reference.topics.iter().for_each(|topic| of_topic(topic, &mut text));
    }
    text.push_str("## How every call may fail\n\n");
    failures(&reference.common, &mut text);
    if !reference.nested.is_empty() {
        text.push_str("## Types\n\nWhat fields of other messages hold.\n\n");
        let nested = reference.nested.iter().filter_map(|name| reference.types.get(name));
        nested.for_each(|described| of_type(reference, described, &mut text));
    }
    text.trim_end().to_owned() + "\n"
}

fn begin(reference: &Reference, text: &mut String) {
    write!(
        text,
        "Clients connect by WebSocket at the path {} with the subprotocol {} (text, as in the examples) or {} (protobuf). \
         A call is an envelope with a `protocol` number, an `id` of the client's own, and a `payload`; the answer has the same `id`.\n\n\
         In JSON, fields have the names below; 64-bit integers are texts, bytes are base64, times are RFC 3339, an absent field has its default.\n\n",
        inline(&code(&reference.path)),
        inline(&code(Codec::Json.subprotocol())),
        inline(&code(Codec::Proto.subprotocol())),
    ).expect(WRITTEN);
}

fn overview(reference: &Reference, text: &mut String) {
    text.push_str("| number | name | kind | |\n|---|---|---|---|\n");
    for route in &reference.routes {
        let first = route.says.first().map(|said| cell(said)).unwrap_or_default();
        writeln!(text, "| [{0}](#route-{0}) | {1} | {2} | {first} |", route.number, cell(&code(&route.name)), kind(route)).expect(WRITTEN);
    }
    for push in &reference.pushes {
        let first = push.says.first().map(|said| cell(said)).unwrap_or_default();
        writeln!(text, "| [{0}](#push-{0}) | {1} | push | {first} |", push.number, cell(&code(&push.name))).expect(WRITTEN);
    }
    text.push('\n');
}

fn kind(route: &Route) -> String {
    let kind = kind_in_words(route.kind);
    if route.deprecated { format!("{kind}, deprecated") } else { kind.to_owned() }
}

fn of_route(reference: &Reference, route: &Route, text: &mut String) {
    write!(text, "<a id=\"route-{0}\"></a>\n\n### {0} {1}\n\n", route.number, words(&route.name)).expect(WRITTEN);
    if route.deprecated {
        text.push_str("**Deprecated.**\n\n");
    }
    route.says.iter().for_each(|said| paragraph(said, text));
    facts(&route.facts, text);
    write!(text, "**Request** {}\n\n", words(&route.request)).expect(WRITTEN);
    message(reference, &route.request, &route.written, text);
    write!(text, "**Reply** {}\n\n", words(&route.reply)).expect(WRITTEN);
    message(reference, &route.reply, &[], text);
    examples(&route.sent, &route.told, text);
    if !route.failures.is_empty() {
        text.push_str("**Fails** besides as [every call may](#how-every-call-may-fail):\n\n");
        failures(&route.failures, text);
    }
}

fn of_push(reference: &Reference, push: &Push, text: &mut String) {
    write!(text, "<a id=\"push-{0}\"></a>\n\n### {0} {1}\n\n", push.number, words(&push.name)).expect(WRITTEN);
    push.says.iter().for_each(|said| paragraph(said, text));
    facts(&push.facts, text);
    write!(text, "**Message** {}\n\n", words(&push.message)).expect(WRITTEN);
    message(reference, &push.message, &[], text);
    examples(&[], std::slice::from_ref(&push.told), text);
}

fn of_topic(topic: &Topic, text: &mut String) {
    write!(text, "### {}\n\n", inline(&code(&topic.pattern))).expect(WRITTEN);
    facts(&topic.facts, text);
}

fn of_type(reference: &Reference, described: &Described, text: &mut String) {
    match described {
        Described::Message(message) => {
            write!(text, "<a id=\"{}\"></a>\n\n### {}\n\n", anchor(&message.name), words(&message.name)).expect(WRITTEN);
            said(message.comment.as_deref(), text);
            table(reference, message, &[], text);
        }
        Described::Enum(values) => of_enum(values, text),
    }
}

fn of_enum(values: &DescribedEnum, text: &mut String) {
    write!(text, "<a id=\"{}\"></a>\n\n### {}\n\n", anchor(&values.name), words(&values.name)).expect(WRITTEN);
    said(values.comment.as_deref(), text);
    text.push_str("| value | number | |\n|---|---|---|\n");
    for value in &values.values {
        let comment = cell(&saying::line(value.comment.as_deref().unwrap_or_default()));
        writeln!(text, "| {} | {} | {comment} |", cell(&code(&value.name)), value.number).expect(WRITTEN);
    }
    text.push('\n');
}

fn facts(facts: &[Fact], text: &mut String) {
    for fact in facts {
        writeln!(text, "- **{}**: {}", fact.about, inline(&fact.says.join("; "))).expect(WRITTEN);
    }
    text.push('\n');
}

fn failures(mistakes: &[Mistake], text: &mut String) {
    text.push_str("| reason | code | when |\n|---|---|---|\n");
    for mistake in mistakes {
        writeln!(text, "| `{}` | {} | {} |", mistake.reason, mistake.code, cell(mistake.means)).expect(WRITTEN);
    }
    text.push('\n');
}

fn message(reference: &Reference, name: &str, written: &[String], text: &mut String) {
    match reference.message(name) {
        Some(message) => table(reference, message, written, text),
        None => text.push_str("As JSON writes this type.\n\n"),
    }
}

fn table(reference: &Reference, message: &DescribedMessage, written: &[String], text: &mut String) {
    if message.fields.is_empty() {
        return text.push_str("It has no fields.\n\n");
    }
    text.push_str("| field | number | type | |\n|---|---|---|---|\n");
    for field in &message.fields {
        writeln!(
            text,
            "| {} | {} | {} | {} |",
            cell(&code(&field.name)),
            field.number,
            kind_of_field(reference, field),
            noted(field, written)
        )
        .expect(WRITTEN);
    }
    text.push('\n');
    message.rules.iter().for_each(|rule| paragraph(rule, text));
}

/// Its type, as a link where that is described.
fn kind_of_field(reference: &Reference, field: &DescribedField) -> String {
    let repeated = if field.repeated { "repeated " } else { "" };
    let linked = field.refers.as_ref().filter(|name| reference.types.contains_key(*name));
    let kind = match linked {
        Some(name) => match field.r#type.split_once(name.as_str()) {
            Some((before, after)) => format!("{}[{}](#{}){}", words(before), words(name), anchor(name), words(after)),
            None => words(&field.r#type),
        },
        None => words(&field.r#type),
    };
    format!("{repeated}{kind}").replace('|', "\\|")
}

/// What else there is to know of a field, in one cell.
fn noted(field: &DescribedField, written: &[String]) -> String {
    let notes = notes(field, written).into_iter().map(|note| match note {
        Note::Tag(tag) => format!("*{tag}*"),
        Note::Says(line) => cell(&line),
    });
    notes.collect::<Vec<_>>().join(" ")
}

fn examples(sent: &[String], told: &[String], text: &mut String) {
    let lines = |envelopes: &[String]| envelopes.iter().map(|envelope| format!("{envelope}\n")).collect::<String>();
    for block in [lines(sent), lines(told)].iter().filter(|block| !block.is_empty()) {
        write!(text, "```json\n{block}```\n\n").expect(WRITTEN);
    }
}

fn said(comment: Option<&str>, text: &mut String) {
    saying::paragraphs(comment.unwrap_or_default()).iter().for_each(|said| paragraph(said, text));
}

fn paragraph(said: &str, text: &mut String) {
    write!(text, "{}\n\n", inline(said)).expect(WRITTEN);
}

/// A line, with what is between backquotes as code.
fn inline(line: &str) -> String {
    let pieces = pieces(line).into_iter().map(|piece| match piece {
        Piece::Words(text) => words(text),
        Piece::Code(text) => format!("`{text}`"),
    });
    pieces.collect()
}

/// The same in a cell, where a bar would end it, even in code.
fn cell(line: &str) -> String {
    let pieces = pieces(line).into_iter().map(|piece| match piece {
        Piece::Words(text) => words(text),
        Piece::Code(text) => format!("`{}`", text.replace('|', "\\|")),
    });
    pieces.collect()
}

/// Words that mean nothing to Markdown.
fn words(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for (at, c) in text.char_indices() {
        let begins = at == 0 && matches!(c, '+' | '-' | '=');
        let counts = matches!(c, '.' | ')') && at > 0 && text[..at].bytes().all(|byte| byte.is_ascii_digit());
        if begins
            || counts
            || matches!(c, '\\' | '`' | '*' | '[' | ']' | '<' | '>' | '|' | '~' | '&' | '#' | '!' | '$')
            || is_mark(text, at, c)
        {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}

/// A `_` that is not inside of a word, and so could begin emphasis.
fn is_mark(text: &str, at: usize, c: char) -> bool {
    let inside = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
    c == '_' && !(inside(text[..at].chars().next_back()) && inside(text[at + 1..].chars().next()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_wrote_is_words() {
        for (said, expected) in [
            ("# no heading", "\\# no heading"),
            ("- no list", "\\- no list"),
            ("1. no list", "1\\. no list"),
            ("<script>alert(1)</script>", "\\<script\\>alert(1)\\</script\\>"),
            ("a | b", "a \\| b"),
            ("[x](javascript:1) ![y](z)", "\\[x\\](javascript:1) \\!\\[y\\](z)"),
            ("*bold* snake_case _it_ &amp; \\", "\\*bold\\* snake_case \\_it\\_ \\&amp; \\\\"),
            ("odd ` tick", "odd \\` tick"),
            ("`a|b` c", "`a\\|b` c"),
        ] {
            assert_eq!(cell(said), expected);
        }
    }
}
