//! The reference as one page of HTML that needs nothing else: no other file, no network, and of scripts its own alone.
//!
//! Promise: what others wrote is text in it; and were it not, the page's own policy would let it do nothing.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use sha2::{Digest, Sha256};

use super::facts::Fact;
use super::failures::Mistake;
use super::inline::{Piece, code, pieces};
use super::notes::{Note, notes};
use super::{Group, Push, Reference, Route, Topic, anchor, kind_in_words};
use crate::author::{WRITTEN, saying};
use crate::proto::{Described, DescribedField, DescribedMessage};
use crate::wire::Codec;

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// The whole page.
pub fn write(reference: &Reference) -> String {
    let title = text(&saying::line(&reference.title));
    let mut page = String::new();
    write!(
        page,
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src '{}'; script-src '{}'; img-src data:; base-uri 'none'; \
         form-action 'none'\">\n<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<meta name=\"referrer\" \
         content=\"no-referrer\">\n<link rel=\"icon\" href=\"data:,\">\n<title>{title}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n\
         <a class=\"skip\" href=\"#content\">To the content</a>\n",
        hash(STYLE),
        hash(SCRIPT)
    )
    .expect(WRITTEN);
    side(reference, &title, &mut page);
    writeln!(page, "<main id=\"content\" tabindex=\"-1\">\n<h1 id=\"top\">{title}</h1>").expect(WRITTEN);
    begin(reference, &mut page);
    overview(reference, &mut page);
    for (at, Group { name, routes }) in reference.groups().into_iter().enumerate() {
        writeln!(page, "<h2 id=\"group-{at}\">{}</h2>", text(name)).expect(WRITTEN);
        routes.iter().for_each(|route| of_route(reference, route, &mut page));
    }
    if !reference.pushes.is_empty() {
        page.push_str("<h2 id=\"pushes\">Pushes</h2>\n<p>Messages that come without being asked for.</p>\n");
        reference.pushes.iter().for_each(|push| of_push(reference, push, &mut page));
    }
    if !reference.topics.is_empty() {
        page.push_str("<h2 id=\"topics\">Topics</h2>\n<p>What is pushed to a topic reaches every session that hears it.</p>\n");
        reference.topics.iter().enumerate().for_each(|(at, topic)| of_topic(at, topic, &mut page));
    }
    page.push_str("<h2 id=\"failures\">How every call may fail</h2>\n<div class=\"part\">");
    failures(&reference.common, &mut page);
    page.push_str("</div>\n");
    if !reference.nested.is_empty() {
        page.push_str("<h2 id=\"types\">Types</h2>\n<p>What fields of other messages hold.</p>\n");
        let nested = reference.nested.iter().filter_map(|name| reference.types.get(name));
        nested.for_each(|described| of_type(reference, described, &mut page));
    }
    write!(page, "</main>\n<script>{SCRIPT}</script>\n</body>\n</html>\n").expect(WRITTEN);
    page
}

fn side(reference: &Reference, title: &str, page: &mut String) {
    write!(
        page,
        "<div class=\"side\">\n<div class=\"brand\"><a href=\"#top\">{title}</a><button id=\"theme\" type=\"button\" hidden \
         aria-label=\"Light or dark\">◐</button></div>\n<input id=\"find\" type=\"search\" placeholder=\"Find a number, name or field\" \
         aria-label=\"Find a number, name or field\" aria-keyshortcuts=\"/\" autocomplete=\"off\" spellcheck=\"false\">\n\
         <nav aria-label=\"Contents\">\n"
    )
    .expect(WRITTEN);
    for group in reference.groups() {
        let links = group.routes.iter().map(|route| {
            let fields = words_of(reference, &[&route.request, &route.reply]);
            link(&format!("route-{}", route.number), Some(route.number), &route.name, &fields)
        });
        list(group.name, links, page);
    }
    let pushes = reference.pushes.iter();
    list(
        "Pushes",
        pushes.map(|push| link(&format!("push-{}", push.number), Some(push.number), &push.name, &words_of(reference, &[&push.message]))),
        page,
    );
    let topics = reference.topics.iter().enumerate();
    list("Topics", topics.map(|(at, topic)| link(&format!("topic-{at}"), None, &topic.pattern, "")), page);
    let failures = link("failures", None, "How every call may fail", "errors reasons");
    list("Failures", std::iter::once(failures), page);
    list("Types", reference.nested.iter().map(|name| link(&anchor(name), None, short(name), name)), page);
    page.push_str("</nav>\n<p id=\"none\" class=\"muted\" role=\"status\" hidden>Nothing is called so.</p>\n</div>\n");
}

/// Entries under a heading; nothing without entries.
fn list(heading: &str, links: impl Iterator<Item = String>, page: &mut String) {
    let links: String = links.collect();
    if !links.is_empty() {
        writeln!(page, "<section><h2>{}</h2><ul>{links}</ul></section>", text(heading)).expect(WRITTEN);
    }
}

fn link(target: &str, number: Option<u32>, name: &str, words: &str) -> String {
    let number = number.map(|number| format!("<span>{number}</span>")).unwrap_or_default();
    format!("<li><a href=\"#{}\" data-words=\"{}\">{number}{}</a></li>\n", text(target), text(words), text(name))
}

/// By which a search finds messages: their fields.
fn words_of(reference: &Reference, messages: &[&str]) -> String {
    let fields = messages.iter().filter_map(|name| reference.message(name)).flat_map(|message| &message.fields);
    fields.map(|field| saying::line(&field.name)).collect::<Vec<_>>().join(" ")
}

fn begin(reference: &Reference, page: &mut String) {
    write!(
        page,
        "<p>Clients connect by WebSocket at the path {} with the subprotocol {} (text, as in the examples) or {} (protobuf). A call is an \
         envelope with a <code>protocol</code> number, an <code>id</code> of the client's own, and a <code>payload</code>; the answer has \
         the same <code>id</code>.</p>\n<p>In JSON, fields have the names below; 64-bit integers are texts, bytes are base64, times are \
         RFC 3339, an absent field has its default.</p>\n",
        inline(&code(&reference.path)),
        inline(&code(Codec::Json.subprotocol())),
        inline(&code(Codec::Proto.subprotocol())),
    )
    .expect(WRITTEN);
}

fn overview(reference: &Reference, page: &mut String) {
    page.push_str(
        "<div class=\"wide overview\"><table><thead><tr><th>number</th><th>name</th><th>kind</th><th>what for</th></tr></thead><tbody>\n",
    );
    let routes = reference.routes.iter().map(|route| ("route", route.number, &route.name, kind_in_words(route.kind), &route.says));
    let pushes = reference.pushes.iter().map(|push| ("push", push.number, &push.name, "push", &push.says));
    for (what, number, name, kind, says) in routes.chain(pushes) {
        let first = says.first().map(|said| inline(said)).unwrap_or_default();
        writeln!(
            page,
            "<tr><td class=\"digits\"><a href=\"#{what}-{number}\">{number}</a></td><td class=\"name\">{}</td><td class=\"name muted\">{kind}</td>\
             <td class=\"rest\">{first}</td></tr>",
            text(name)
        ).expect(WRITTEN);
    }
    page.push_str("</tbody></table></div>\n");
}

fn of_route(reference: &Reference, route: &Route, page: &mut String) {
    open(&format!("route-{}", route.number), Some(route.number), &route.name, kind_in_words(route.kind), route.deprecated, page);
    paragraphs(&route.says, page);
    facts(&route.facts, page);
    part(reference, "Request", &route.request, &route.written, page);
    part(reference, "Reply", &route.reply, &[], page);
    page.push_str("<div class=\"pair\">");
    example("Sent", &route.sent, page);
    example("Answered", &route.told, page);
    page.push_str("</div>\n<div class=\"part\"><h4>Fails, besides as <a href=\"#failures\">every call may</a></h4>");
    failures(&route.failures, page);
    page.push_str("</div>\n</article>\n");
}

fn of_push(reference: &Reference, push: &Push, page: &mut String) {
    open(&format!("push-{}", push.number), Some(push.number), &push.name, "push", false, page);
    paragraphs(&push.says, page);
    facts(&push.facts, page);
    part(reference, "Message", &push.message, &[], page);
    page.push_str("<div class=\"pair\">");
    example("Pushed", std::slice::from_ref(&push.told), page);
    page.push_str("</div>\n</article>\n");
}

fn of_topic(at: usize, topic: &Topic, page: &mut String) {
    open(&format!("topic-{at}"), None, &topic.pattern, "topic", false, page);
    facts(&topic.facts, page);
    page.push_str("</article>\n");
}

fn of_type(reference: &Reference, described: &Described, page: &mut String) {
    match described {
        Described::Message(message) => {
            open(&anchor(&message.name), None, &message.name, "message", message.deprecated, page);
            paragraphs(&saying::paragraphs(message.comment.as_deref().unwrap_or_default()), page);
            page.push_str("<div class=\"part\">");
            table(reference, message, &[], page);
        }
        Described::Enum(values) => {
            open(&anchor(&values.name), None, &values.name, "enum", false, page);
            paragraphs(&saying::paragraphs(values.comment.as_deref().unwrap_or_default()), page);
            page.push_str(
                "<div class=\"part\"><div class=\"wide\"><table><thead><tr><th>value</th><th>number</th><th></th></tr></thead><tbody>\n",
            );
            for value in &values.values {
                let comment = inline(&saying::line(value.comment.as_deref().unwrap_or_default()));
                let name = inline(&code(&value.name));
                writeln!(page, "<tr><td>{name}</td><td class=\"digits\">{}</td><td class=\"rest\">{comment}</td></tr>", value.number)
                    .expect(WRITTEN);
            }
            page.push_str("</tbody></table></div>");
        }
    }
    page.push_str("</div>\n</article>\n");
}

/// The beginning of an article, with its heading.
fn open(id: &str, number: Option<u32>, name: &str, kind: &str, deprecated: bool, page: &mut String) {
    let number = number.map(|number| format!("<span class=\"number\"><a href=\"#{id}\">{number}</a></span> ")).unwrap_or_default();
    let old = if deprecated { " <span class=\"tag warn\">deprecated</span>" } else { "" };
    writeln!(
        page,
        "<article id=\"{id}\">\n<div class=\"head\"><h3>{number}{}</h3> <span class=\"tag\">{kind}</span>{old}</div>",
        text(&saying::line(name))
    )
    .expect(WRITTEN);
}

/// A message with its fields, under a heading.
fn part(reference: &Reference, heading: &str, name: &str, written: &[String], page: &mut String) {
    write!(page, "<div class=\"part\"><h4>{heading} <code>{}</code></h4>", text(name)).expect(WRITTEN);
    match reference.message(name) {
        Some(message) => table(reference, message, written, page),
        None => page.push_str("<p class=\"muted\">As JSON writes this type.</p>"),
    }
    page.push_str("</div>\n");
}

fn table(reference: &Reference, message: &DescribedMessage, written: &[String], page: &mut String) {
    if message.fields.is_empty() {
        return page.push_str("<p class=\"muted\">It has no fields.</p>");
    }
    page.push_str("<div class=\"wide\"><table><thead><tr><th>field</th><th>number</th><th>type</th><th></th></tr></thead><tbody>\n");
    for field in &message.fields {
        let notes = notes(field, written).into_iter().map(|note| match note {
            Note::Tag(tag) => format!("<span class=\"tag\">{tag}</span>"),
            Note::Says(line) => format!("{} ", inline(&line)),
        });
        writeln!(
            page,
            "<tr><td>{}</td><td class=\"digits\">{}</td><td class=\"kind\">{}</td><td class=\"rest\">{}</td></tr>",
            inline(&code(&field.name)),
            field.number,
            kind_of_field(reference, field),
            notes.collect::<String>().trim_end()
        )
        .expect(WRITTEN);
    }
    page.push_str("</tbody></table></div>");
    paragraphs(&message.rules, page);
}

fn kind_of_field(reference: &Reference, field: &DescribedField) -> String {
    let repeated = if field.repeated { "repeated " } else { "" };
    let linked = field.refers.as_ref().filter(|name| reference.types.contains_key(*name));
    let parts = linked.and_then(|name| Some((name, field.r#type.split_once(name.as_str())?)));
    let kind = match parts {
        Some((name, (before, after))) => {
            format!("{}<a href=\"#{}\" title=\"{}\">{}</a>{}", text(before), anchor(name), text(name), text(short(name)), text(after))
        }
        None => text(&field.r#type),
    };
    format!("<code>{repeated}{kind}</code>")
}

fn facts(facts: &[Fact], page: &mut String) {
    if facts.is_empty() {
        return;
    }
    page.push_str("<dl class=\"facts\">\n");
    for fact in facts {
        let says: String = fact.says.iter().map(|said| format!("<p>{}</p>", inline(said))).collect();
        writeln!(page, "<dt>{}</dt><dd>{says}</dd>", fact.about).expect(WRITTEN);
    }
    page.push_str("</dl>\n");
}

fn failures(mistakes: &[Mistake], page: &mut String) {
    page.push_str("<div class=\"wide\"><table><thead><tr><th>reason</th><th>code</th><th>when</th></tr></thead><tbody>\n");
    for mistake in mistakes {
        let (reason, code, means) = (mistake.reason, mistake.code, inline(mistake.means));
        writeln!(page, "<tr><td><code>{reason}</code></td><td class=\"digits\">{code}</td><td class=\"rest\">{means}</td></tr>")
            .expect(WRITTEN);
    }
    page.push_str("</tbody></table></div>");
}

/// Envelopes, each on lines of its own; nothing without any.
fn example(heading: &str, envelopes: &[String], page: &mut String) {
    if envelopes.is_empty() {
        return;
    }
    let shown: Vec<String> = envelopes.iter().map(|envelope| text(envelope)).collect();
    write!(
        page,
        "<div class=\"example\"><h4>{heading}<button class=\"copy\" type=\"button\" hidden>copy</button></h4><pre tabindex=\"0\" \
         aria-label=\"{heading}\">{}</pre></div>",
        shown.join("\n")
    )
    .expect(WRITTEN);
}

fn paragraphs(says: &[String], page: &mut String) {
    says.iter().for_each(|said| page.push_str(&format!("<p>{}</p>\n", inline(said))));
}

/// A line, with what is between backquotes as code.
fn inline(line: &str) -> String {
    let pieces = pieces(line).into_iter().map(|piece| match piece {
        Piece::Words(words) => text(words),
        Piece::Code(words) => format!("<code>{}</code>", text(words)),
    });
    pieces.collect()
}

/// Text that is nothing else to HTML, in an element or in quotes.
fn text(words: &str) -> String {
    let mut escaped = String::with_capacity(words.len());
    for c in words.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c => escaped.push(c),
        }
    }
    escaped
}

/// The last part of a full name.
fn short(name: &str) -> &str {
    name.rsplit('.').next().unwrap_or(name)
}

/// By which the page's policy knows a text of its own.
fn hash(text: &str) -> String {
    format!("sha256-{}", BASE64_STANDARD.encode(Sha256::digest(text.as_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_wrote_is_text() {
        assert_eq!(
            inline("<script>alert(\"1\")</script> `a<b` 'x'"),
            "&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt; <code>a&lt;b</code> &#39;x&#39;"
        );
    }

    #[test]
    fn style_and_script_cannot_end_early() {
        assert!(!STYLE.contains("</") && !SCRIPT.contains("</"));
    }
}
