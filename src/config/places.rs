//! From saphyr's places, which count characters, to ours, which count bytes.

use saphyr_parser::Span as Marked;

use crate::diagnostic::{FileId, Span};

/// The characters of one file.
pub struct Places<'a> {
    pub file: FileId,
    text: &'a str,
    /// Where each character begins; empty when every character is one byte.
    starts: Vec<usize>,
}

// === impl Places ===

impl<'a> Places<'a> {
    pub fn new(file: FileId, text: &'a str) -> Places<'a> {
        let starts = if text.is_ascii() { Vec::new() } else { text.char_indices().map(|(at, _)| at).collect() };
        Places { file, text, starts }
    }

    pub fn byte(&self, character: usize) -> usize {
        if self.starts.is_empty() { character.min(self.text.len()) } else { self.starts.get(character).copied().unwrap_or(self.text.len()) }
    }

    /// Without the white space behind it, which the parser counts in: after a quoted text up to the next thing, after a block its last lines.
    pub fn span(&self, place: Marked) -> Span {
        let start = self.byte(place.start.index());
        let end = self.byte(place.end.index()).max(start);
        Span { file: self.file, start, end: start + self.text[start..end].trim_ascii_end().len() }
    }

    /// Of a scalar what is its text: without the anchor and the tag before it, which the parser counts in, and of a quoted one without the
    /// comment behind it.
    pub fn value(&self, place: Span) -> Span {
        let text = &self.text[place.start..place.end];
        let mut rest = text;
        while rest.starts_with(['&', '!']) {
            rest = rest.find(char::is_whitespace).map_or("", |end| rest[end..].trim_ascii_start());
        }
        if rest.is_empty() {
            return place;
        }
        let start = place.start + text.len() - rest.len();
        Span { start, end: start + quoted(rest).unwrap_or(rest.len()), ..place }
    }
}

/// How long the quoted text is that this begins with.
pub fn quoted(text: &str) -> Option<usize> {
    let quote = text.chars().next().filter(|first| matches!(first, '"' | '\''))?;
    let mut chars = text.char_indices().skip(1).peekable();
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' if quote == '"' => _ = chars.next(),
            // Twice it is one of the text.
            '\'' if quote == '\'' && chars.peek().is_some_and(|(_, next)| *next == '\'') => _ = chars.next(),
            c if c == quote => return Some(at + 1),
            _ => {}
        }
    }
    None
}
