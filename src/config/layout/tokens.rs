//! A file's text as tokens with places: what a formatter may move, and what it may not touch.
//!
//! saphyr says where scalars are; what lies between them is white space, comments and indicators, and is easily read. Promise: a token is a
//! part of the text, tokens do not overlap, and what is in none of them is white space.

use saphyr_parser::{Event, Parser, ScalarStyle};

use crate::config::places::Places;
use crate::diagnostic::FileId;

/// A part of the text that has a meaning of its own.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Token {
    pub kind: Kind,
    pub start: usize,
    pub end: usize,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// `-` before an item.
    Dash,
    /// `?` before a key.
    Question,
    /// `:` behind a key.
    Colon,
    Comma,
    OpenMap,
    OpenList,
    CloseMap,
    CloseList,
    /// Text, a number, a word: whatever a scalar is.
    Scalar,
    /// A text whose lines count as they are, from its first line on.
    Block,
    /// The `|` or `>` before it.
    Header,
    /// `*name`.
    Alias,
    /// `&name`, a tag, or a marker of documents.
    Mark,
    Comment,
}

/// The tokens of a text that was parsed before, in order.
pub fn tokens(file: FileId, text: &str) -> Vec<Token> {
    let mut scalars = scalars(file, text).into_iter().peekable();
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(c) = text[at..].chars().next() {
        while scalars.peek().is_some_and(|scalar| scalar.start < at) {
            scalars.next();
        }
        if let Some(scalar) = scalars.next_if(|scalar| scalar.start == at) {
            at = scalar.end;
            tokens.push(scalar);
            continue;
        }
        if c.is_whitespace() || c == '\u{feff}' {
            at += c.len_utf8();
            continue;
        }
        let (kind, length) = indicator(text, at, c);
        tokens.push(Token { kind, start: at, end: at + length });
        at += length;
    }
    tokens
}

/// What begins at a place where no scalar does, and how long it is.
fn indicator(text: &str, at: usize, c: char) -> (Kind, usize) {
    let rest = &text[at..];
    let until = |ends: &dyn Fn(char) -> bool| rest.find(ends).unwrap_or(rest.len());
    let line = rest.lines().next().unwrap_or_default();
    match c {
        '#' => (Kind::Comment, line.trim_end().len()),
        ',' => (Kind::Comma, 1),
        '{' => (Kind::OpenMap, 1),
        '[' => (Kind::OpenList, 1),
        '}' => (Kind::CloseMap, 1),
        ']' => (Kind::CloseList, 1),
        ':' => (Kind::Colon, 1),
        '?' => (Kind::Question, 1),
        '-' if rest[1..].chars().next().is_none_or(char::is_whitespace) => (Kind::Dash, 1),
        '*' => (Kind::Alias, until(&|c| c.is_whitespace() || ",[]{}".contains(c))),
        '|' | '>' => (Kind::Header, until(&char::is_whitespace)),
        '%' => (Kind::Mark, line.trim_end().len()),
        _ => (Kind::Mark, until(&|c| c.is_whitespace() || ",[]{}".contains(c)).max(c.len_utf8())),
    }
}

/// Every scalar that has a text, in order.
fn scalars(file: FileId, text: &str) -> Vec<Token> {
    let places = Places::new(file, text);
    let mut scalars = Vec::new();
    let mut parser = Parser::new_from_str(text);
    while let Some(Ok((event, place))) = parser.next_event() {
        let Event::Scalar(value, style, ..) = event else { continue };
        let span = places.span(place);
        let start = behind_marks(text, span.start, span.end);
        let (kind, end) = match style {
            ScalarStyle::Plain => (Kind::Scalar, span.end),
            ScalarStyle::SingleQuoted => (Kind::Scalar, quoted_end(text, start, false)),
            ScalarStyle::DoubleQuoted => (Kind::Scalar, quoted_end(text, start, true)),
            ScalarStyle::Literal | ScalarStyle::Folded => (Kind::Block, span.end + kept(&value, &text[span.end..])),
        };
        if end > start {
            scalars.push(Token { kind, start, end });
        }
    }
    scalars.sort_by_key(|scalar| scalar.start);
    scalars
}

/// How long the empty lines are that a block keeps behind its last one: as many as its text has line ends there, one less.
fn kept(value: &str, behind: &str) -> usize {
    let ends = value.len() - value.trim_end_matches('\n').len();
    if ends < 2 {
        return 0;
    }
    let lines = behind.split_inclusive('\n').take(ends);
    lines.take_while(|line| line.trim_ascii().is_empty()).map(str::len).sum()
}

/// Behind the anchor that a scalar's place begins with, if it does.
fn behind_marks(text: &str, mut start: usize, end: usize) -> usize {
    while text[start..end].starts_with(['&', '!']) {
        let mark = text[start..end].find(char::is_whitespace).unwrap_or(end - start);
        let rest = &text[start + mark..end];
        start += mark + rest.len() - rest.trim_start().len();
    }
    start
}

/// Behind the quote that closes the one at `start`.
fn quoted_end(text: &str, start: usize, escapes: bool) -> usize {
    let bytes = text.as_bytes();
    let quote = bytes[start];
    let mut at = start + 1;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' if escapes => at += 1,
            byte if byte == quote && !escapes && bytes.get(at + 1) == Some(&quote) => at += 1,
            byte if byte == quote => return at + 1,
            _ => {}
        }
        at += 1;
    }
    text.len()
}
