//! The kinds of harmful mutations, each with the least number of places it must be tried at in both configurations together.
//!
//! - `keys`: names of keys, keys that are missing or twice
//! - `types`: values of another type than the one that belongs there
//! - `values`: values of the right type that mean nothing: words, durations, sizes, rates, numbers
//! - `names`: names of what does not exist, methods of others
//! - `fields`: paths to fields
//! - `numbers`: protocol numbers, and what is declared twice
//! - `text`: what is no YAML, or YAML that the language does without
//! - `files`: includes, overlays, descriptors, versions

mod fields;
mod files;
mod keys;
mod names;
mod numbers;
mod text;
mod types;
mod values;

use std::ops::RangeInclusive;

use protogate::diagnostic::Rule;

use super::corpus::{Corpus, File, Place};

/// A configuration with one mistake.
pub struct Mutant {
    /// Where the mistake is, such as `routes/auth.yaml routes.1001.timeout: 3`.
    pub what: String,
    /// The file that is another, and its text.
    pub path: &'static str,
    pub text: String,
    /// Where the finding may point: a file, and lines in it, from 1.
    pub at: Vec<(&'static str, RangeInclusive<usize>)>,
    /// By which rule, one of them.
    pub rules: Vec<Rule>,
    /// What the remedy says, where it must say something.
    pub says: Option<String>,
}

/// A kind of mutations, by its promise.
pub struct Kind {
    pub promise: &'static str,
    pub least: usize,
    /// Most findings that one mistake may have: a second one only confuses, mostly.
    pub most: usize,
    pub make: fn(&Corpus) -> Vec<Mutant>,
}

/// Declares kinds: `function, least` or `function, least, most`.
macro_rules! kinds {
    (@most) => { 1 };
    (@most $most:literal) => { $most };
    ($($make:ident, $least:literal $(, $most:literal)?;)+) => {
        pub const KINDS: &[super::Kind] = &[$(super::Kind {
            promise: stringify!($make),
            least: $least,
            most: kinds!(@most $($most)?),
            make: $make,
        }),+];
    };
}
use kinds;

/// Every kind.
pub fn all() -> Vec<&'static Kind> {
    [keys::KINDS, types::KINDS, values::KINDS, names::KINDS, fields::KINDS, numbers::KINDS, text::KINDS, files::KINDS]
        .into_iter()
        .flatten()
        .collect()
}

// === impl Mutant ===

impl Mutant {
    /// Another text of a file, with a mistake in one line.
    pub fn new(file: &File, text: String, line: usize, rule: Rule, what: impl std::fmt::Display) -> Mutant {
        let what = format!("{} {what}", file.path);
        Mutant { what, path: file.path, text, at: vec![(file.path, line..=line)], rules: vec![rule], says: None }
    }

    /// Another value in the place of one.
    pub fn value(place: &Place<'_>, value: &str, rule: Rule) -> Mutant {
        Mutant::new(place.file, place.with(value), place.line(), rule, format_args!("{}: {value}", place.path))
    }

    /// Another key in the place of one.
    pub fn key(place: &Place<'_>, key: &str, rule: Rule) -> Mutant {
        let entry = place.entry.expect("it has a key");
        Mutant::new(place.file, place.file.with(&entry.key_at, key), place.key_line(), rule, format_args!("{}, its key {key}", place.path))
    }

    #[must_use]
    pub fn or(mut self, rule: Rule) -> Mutant {
        self.rules.push(rule);
        self
    }

    #[must_use]
    pub fn or_at(mut self, file: &File, lines: RangeInclusive<usize>) -> Mutant {
        self.at.push((file.path, lines));
        self
    }

    #[must_use]
    pub fn says(mut self, words: impl Into<String>) -> Mutant {
        self.says = Some(words.into());
        self
    }
}

/// Misspellings of a word, each near enough to be guessed.
fn typos(word: &str) -> Vec<String> {
    let chars: Vec<char> = word.chars().collect();
    let middle = chars.len() / 2;
    let mut typos = Vec::new();
    if chars.len() > 3 {
        // A letter that is missing, and two in the wrong order.
        typos.push(chars.iter().enumerate().filter(|(at, _)| *at != middle).map(|(_, c)| *c).collect());
        let mut swapped = chars.clone();
        swapped.swap(middle - 1, middle);
        typos.push(swapped.into_iter().collect::<String>());
    }
    // A letter too many.
    typos.push(format!("{word}s"));
    typos.retain(|typo| typo != word);
    typos
}
