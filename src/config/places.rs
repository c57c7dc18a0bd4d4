//! From saphyr's places, which count characters, to ours, which count bytes.

use saphyr_parser::Span as Marked;

use crate::diagnostic::{FileId, Span};

/// The characters of one file.
pub struct Places {
    pub file: FileId,
    length: usize,
    /// Where each character begins; empty when every character is one byte.
    starts: Vec<usize>,
}

// === impl Places ===

impl Places {
    pub fn new(file: FileId, text: &str) -> Places {
        let starts = if text.is_ascii() { Vec::new() } else { text.char_indices().map(|(at, _)| at).collect() };
        Places { file, length: text.len(), starts }
    }

    pub fn byte(&self, character: usize) -> usize {
        if self.starts.is_empty() { character.min(self.length) } else { self.starts.get(character).copied().unwrap_or(self.length) }
    }

    pub fn span(&self, place: Marked) -> Span {
        let (start, end) = (self.byte(place.start.index()), self.byte(place.end.index()));
        Span { file: self.file, start, end: end.max(start) }
    }
}
