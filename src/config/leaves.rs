//! Every value in a part of a document that stands by itself, with its key and its place: `log.slow`, `permissions[1]`.
//!
//! This is what is told of a policy to people. Promises: a text is what the file says, with the values of variables in it; of a secret
//! variable only the name is shown.

use std::collections::HashMap;

use super::path::DocPath;
use super::tree::{Origin, Scalar};
use crate::diagnostic::{Report, Sources, Span};

/// The longest text that is shown; what is longer ends in `…`.
const SHOWN_CHARS_MAX: usize = 256;

/// Texts with variables in them, by their places.
#[derive(Default)]
pub struct Expanded {
    /// As they are with the values; what holds a secret is not among them.
    texts: HashMap<Span, Box<str>>,
    /// Where the variables in them are declared.
    declared: HashMap<Span, Vec<Span>>,
}

/// Whoever tells of values says here which; each goes to `found` with its key.
pub struct Leaves<'a> {
    sources: &'a Sources,
    path: DocPath,
    found: &'a mut dyn FnMut(&str, Span),
}

// === impl Expanded ===

impl Expanded {
    pub fn note(&mut self, place: Span, scalar: &Scalar, declared: Vec<Span>) {
        if scalar.origin == Origin::Variable {
            self.texts.insert(place, scalar.text.as_str().into());
        }
        self.declared.insert(place, declared);
    }

    /// Says of what is wrong with such a text where what stands in it comes from.
    pub fn explain(&self, report: &mut Report) {
        report
            .relate(|finding| self.declared.get(&finding.label.span).map(Vec::as_slice).unwrap_or_default(), "its value is declared here");
    }

    /// What stands at a place.
    pub fn text(&self, place: Span, sources: &Sources) -> String {
        let text = self.texts.get(&place).map(|text| &**text).unwrap_or_else(|| written(place, sources));
        match text.char_indices().nth(SHOWN_CHARS_MAX) {
            Some((end, _)) => format!("{}…", &text[..end]),
            None => text.to_owned(),
        }
    }
}

// === impl Leaves ===

impl<'a> Leaves<'a> {
    pub fn new(sources: &'a Sources, found: &'a mut dyn FnMut(&str, Span)) -> Leaves<'a> {
        Leaves { sources, path: DocPath::default(), found }
    }

    /// A value that stands by itself.
    pub fn leaf(&mut self, place: Span) {
        (self.found)(self.path.as_str(), place);
    }

    /// What stands under a key.
    pub fn key(&mut self, key: &str, tell: impl FnOnce(&mut Leaves<'a>)) {
        let before = self.path.enter_key(key);
        tell(self);
        self.path.leave(before);
    }

    /// What stands under a key that is written at this place.
    pub fn key_at(&mut self, place: Span, tell: impl FnOnce(&mut Leaves<'a>)) {
        let sources = self.sources;
        self.key(written(place, sources).trim_matches(['"', '\'']), tell);
    }

    /// An item of a list.
    pub fn item(&mut self, index: usize, tell: impl FnOnce(&mut Leaves<'a>)) {
        let before = self.path.enter_item(index);
        tell(self);
        self.path.leave(before);
    }
}

fn written(place: Span, sources: &Sources) -> &str {
    sources.file(place.file).text.get(place.start..place.end).unwrap_or_default()
}
