//! How a grammar is declared, and what is derived from a declaration: reading, layering, and the shape that schemas are made of.
//!
//! `section!` declares a map with known keys, `choice!` one of a few words; `document.rs` uses nothing else.
//! In a section, `key: Type` makes the field `pub key: Option<Spanned<Type>>`, `[required]` after the type makes its absence a finding,
//! `= "key"` gives the key a name that Rust reserves, and `..inner: Section` takes another section's keys into the same map.
//! Promise: a required key that is `None` after reading was reported.

pub use super::collection::{Edit, List, Map, Several, WordOr};
use super::layers::Layers;
pub use super::leaves::Leaves;
use super::reader::Reader;
use super::tree::{Entry, Node};
use crate::diagnostic::{Diagnostic, Rule, Span, Spanned, nearest};

/// Whatever may stand in a document.
pub trait Read: Sized + Clone {
    /// Reads it; what is wrong is reported and is `None`.
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self>;

    /// What it looks like, for schemas and for merging overlays.
    fn shape() -> Shape;

    /// What holds where one layer says `higher` and a layer below it says `lower`. A single value wins as it is.
    fn over(higher: Spanned<Self>, lower: Spanned<Self>, layers: &mut Layers<'_>) -> Spanned<Self> {
        let _ = (lower, layers);
        higher
    }

    /// Tells of every value in it that stands by itself; most are one.
    fn tell(&self, place: Span, leaves: &mut Leaves<'_>) {
        leaves.leaf(place);
    }
}

/// A map with known keys. Implemented by `section!` alone.
pub trait Section: Read + Default {
    const NAME: &'static str;
    const DOC: &'static str;

    /// Its own keys, and whether each must be there. A section that is taken into another requires none.
    const KEYS: &'static [(&'static str, bool)];

    /// Every key, those of a section taken in included.
    fn keys() -> Vec<KeyShape>;

    /// Reads one entry into its field; false when the section has no such key.
    fn read_entry(&mut self, entry: &Entry, reader: &mut Reader<'_>) -> bool;

    /// Tells of what stands under its own keys, those of a section taken in not included.
    fn tell_own(&self, leaves: &mut Leaves<'_>);

    /// Two layers of it, key by key.
    fn merge(higher: Self, lower: Self, layers: &mut Layers<'_>) -> Self;
}

/// The pattern of text that may be anything: there is nothing to say about it.
pub const FREE_TEXT: &str = ".+";

/// The same in one line, without white space at either end, and without what cannot be seen (`is_harmless`).
pub const ONE_LINE: &str =
    concat!(r"(?!\s)(?![\s\S]*\s$)", r"[^\u0000-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]+");

/// Whether text of a pattern may be anything, also what YAML reads as a number.
pub fn is_free(pattern: &str) -> bool {
    [FREE_TEXT, ONE_LINE].contains(&pattern)
}

/// What something looks like.
#[derive(Clone)]
pub enum Shape {
    Section {
        name: &'static str,
        doc: &'static str,
        keys: Vec<KeyShape>,
    },
    Map {
        key_pattern: &'static str,
        key_what: &'static str,
        value: Box<Shape>,
    },
    List(Box<Shape>),
    /// A list, or `{append: list}`, or `{replace: list}`.
    Edit(Box<Shape>),
    Choice {
        doc: &'static str,
        words: &'static [(&'static str, &'static str)],
    },
    /// Text or a number whose text matches a pattern.
    Text {
        what: &'static str,
        pattern: &'static str,
        example: &'static str,
        /// What else than text it may be to a reader of YAML: `1.5` is a version to us and a number to an editor.
        unquoted: &'static [Unquoted],
    },
    Integer {
        min: u32,
        max: u32,
    },
    /// One or the other.
    Either(Box<Shape>, Box<Shape>),
    Bool,
    /// Text, a whole number, or true or false.
    Any,
    /// A map whose keys the type of a message knows.
    Message,
}

/// What a text that means something here is to a reader of YAML when it stands without quotes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unquoted {
    Integer,
    Number,
}

/// One key of a section.
#[derive(Clone)]
pub struct KeyShape {
    pub name: &'static str,
    pub doc: &'static str,
    pub required: bool,
    pub shape: Shape,
}

impl Shape {
    /// Any text that is not empty.
    pub fn free_text(what: &'static str, example: &'static str) -> Shape {
        Shape::Text { what, pattern: FREE_TEXT, example, unquoted: &[] }
    }

    /// The shape of what stands under a key of this, where that is known.
    pub fn of_key(&self, key: &str) -> Option<&Shape> {
        match self {
            Shape::Section { keys, .. } => keys.iter().find(|known| known.name == key).map(|known| &known.shape),
            Shape::Map { value, .. } => Some(value),
            _ => None,
        }
    }
}

/// Declares a section; see the top of this file.
macro_rules! section {
    (
        $(#[doc = $doc:literal])+
        pub struct $name:ident {
            $(
                $(#[doc = $key_doc:literal])+
                $field:ident: $type:ty $(= $key:literal)? $([$required:ident])?,
            )*
            $(..$inner:ident: $inner_type:ty,)?
        }
    ) => {
        $(#[doc = $doc])+
        #[derive(Clone, Default)]
        pub struct $name {
            $($(#[doc = $key_doc])+ pub $field: Option<$crate::diagnostic::Spanned<$type>>,)*
            $(pub $inner: $inner_type,)?
        }

        impl $crate::config::grammar::Section for $name {
            const NAME: &'static str = stringify!($name);
            const DOC: &'static str = concat!($($doc),+).trim_ascii();
            const KEYS: &'static [(&'static str, bool)] = &[$((section!(@key $field $($key)?), section!(@required $($required)?))),*];

            fn keys() -> Vec<$crate::config::grammar::KeyShape> {
                let own = [$($crate::config::grammar::KeyShape {
                    name: section!(@key $field $($key)?),
                    doc: concat!($($key_doc),+).trim_ascii(),
                    required: section!(@required $($required)?),
                    shape: <$type as $crate::config::grammar::Read>::shape(),
                }),*];
                own.into_iter()$(.chain(<$inner_type as $crate::config::grammar::Section>::keys()))?.collect()
            }

            fn read_entry(&mut self, entry: &$crate::config::tree::Entry, reader: &mut $crate::config::reader::Reader<'_>) -> bool {
                // A section may have no key at all.
                let _ = &reader;
                match entry.key.text.as_str() {
                    $(section!(@key $field $($key)?) => {
                        self.$field = reader.field(entry);
                        true
                    })*
                    _ => false $(|| self.$inner.read_entry(entry, reader))?,
                }
            }

            fn tell_own(&self, leaves: &mut $crate::config::grammar::Leaves<'_>) {
                let _ = &leaves;
                $(if let Some(value) = &self.$field {
                    leaves.key(section!(@key $field $($key)?), |leaves| $crate::config::grammar::Read::tell(&value.value, value.span, leaves));
                })*
            }

            fn merge(higher: Self, lower: Self, layers: &mut $crate::config::layers::Layers<'_>) -> Self {
                let _ = (&higher, &lower, &layers);
                $name {
                    $($field: layers.field(section!(@key $field $($key)?), higher.$field, lower.$field),)*
                    $($inner: <$inner_type as $crate::config::grammar::Section>::merge(higher.$inner, lower.$inner, layers),)?
                }
            }
        }

        impl $crate::config::grammar::Read for $name {
            fn read(node: &$crate::config::tree::Node, reader: &mut $crate::config::reader::Reader<'_>) -> Option<Self> {
                $crate::config::grammar::read_section(node, reader)
            }

            fn shape() -> $crate::config::grammar::Shape {
                use $crate::config::grammar::Section;
                $crate::config::grammar::Shape::Section { name: Self::NAME, doc: Self::DOC, keys: Self::keys() }
            }

            fn over(
                higher: $crate::diagnostic::Spanned<Self>,
                lower: $crate::diagnostic::Spanned<Self>,
                layers: &mut $crate::config::layers::Layers<'_>,
            ) -> $crate::diagnostic::Spanned<Self> {
                use $crate::config::grammar::Section;
                $crate::diagnostic::Spanned::new(Self::merge(higher.value, lower.value, layers), higher.span)
            }

            fn tell(&self, place: $crate::diagnostic::Span, leaves: &mut $crate::config::grammar::Leaves<'_>) {
                use $crate::config::grammar::Section;
                self.tell_own(leaves);
                $(<$inner_type as $crate::config::grammar::Read>::tell(&self.$inner, place, leaves);)?
                let _ = place;
            }
        }
    };
    (@key $field:ident $key:literal) => { $key };
    (@key $field:ident) => { stringify!($field) };
    (@required required) => { true };
    (@required) => { false };
}
pub(crate) use section;

/// Declares one of a few words: an enum that is read from text.
macro_rules! choice {
    (
        $(#[doc = $doc:literal])+
        pub enum $name:ident { $($(#[doc = $word_doc:literal])+ $variant:ident = $word:literal,)+ }
    ) => {
        $(#[doc = $doc])+
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        pub enum $name { $($(#[doc = $word_doc])+ $variant,)+ }

        impl $name {
            /// Every word and what it means.
            pub const WORDS: &'static [(&'static str, &'static str)] = &[$(($word, concat!($($word_doc),+).trim_ascii()),)+];

            /// The word as it is written.
            pub fn word(self) -> &'static str {
                match self { $($name::$variant => $word,)+ }
            }
        }

        impl $crate::config::grammar::Read for $name {
            fn read(node: &$crate::config::tree::Node, reader: &mut $crate::config::reader::Reader<'_>) -> Option<Self> {
                match reader.scalar(node, "a word")?.text.as_str() {
                    $($word => Some($name::$variant),)+
                    _ => $crate::config::grammar::unknown_word(node, Self::WORDS, reader),
                }
            }

            fn shape() -> $crate::config::grammar::Shape {
                $crate::config::grammar::Shape::Choice { doc: concat!($($doc),+).trim_ascii(), words: Self::WORDS }
            }
        }
    };
}
pub(crate) use choice;

/// Reads every entry of a map into a section, and reports keys it does not have and keys it must have.
pub(super) fn read_section<S: Section>(node: &Node, reader: &mut Reader<'_>) -> Option<S> {
    let entries = reader.entries(node, "a map")?;
    let mut section = S::default();
    let unknown: Vec<&Entry> = entries.iter().filter(|entry| !section.read_entry(entry, reader)).collect();
    let missing = |key: &str| !entries.iter().any(|entry| entry.key.text == key);
    let mut required: Vec<&str> = S::KEYS.iter().filter(|(key, required)| *required && missing(key)).map(|(key, _)| *key).collect();
    // One that is unknown where one is missing was written in its place.
    let instead =
        Some(required.as_slice()).filter(|_| unknown.len() == 1).and_then(|keys| keys.first().filter(|_| keys.len() == 1)).copied();
    for entry in unknown {
        let meant = unknown_key::<S>(entry, entries, instead, reader);
        required.retain(|key| Some(*key) != meant);
    }
    for key in required {
        reader.push::<()>(Diagnostic::new(Rule::MissingKey, node.span, format!("`{key}` is missing")).help(format!("add `{key}: …`")));
    }
    Some(section)
}

/// Reports a key, and is the one that was probably meant, if the section does not have that as well.
fn unknown_key<S: Section>(
    entry: &Entry,
    entries: &[Entry],
    instead: Option<&'static str>,
    reader: &mut Reader<'_>,
) -> Option<&'static str> {
    let key = &entry.key;
    let keys = S::keys();
    let known = || keys.iter().map(|key| key.name);
    // What an overlay says of the same section was not written in its place.
    let is_there = |near: &str| entries.iter().any(|entry| entry.key.text == near && entry.key.span.file == key.span.file);
    let near = nearest(&key.text, known()).filter(|near| !is_there(near));
    let glued = known()
        .find(|name| key.text.strip_prefix(name).is_some_and(|rest| rest.starts_with([':', ' ', '='])))
        .filter(|name| !is_there(name));
    let finding =
        Diagnostic::new(Rule::UnknownKey, key.span, format!("unknown key `{}`", super::tree::shorten(&key.text))).label("no such key here");
    let (meant, finding) = match (near, glued, instead) {
        (None, Some(key), _) => (glued, finding.help(format!("write `{key}: …`: a colon and a space stand between a key and its value"))),
        (None, None, Some(key)) => (instead, finding.help(format!("did you mean `{key}`, which is missing?"))),
        _ => (near, finding.did_you_mean(&key.text, known())),
    };
    reader.push_at_key(&key.text, finding.meant(reader.path_of(meant)));
    meant
}

pub(super) fn unknown_word<T>(node: &Node, words: &[(&'static str, &'static str)], reader: &mut Reader<'_>) -> Option<T> {
    let scalar = node.scalar()?;
    let finding = Diagnostic::new(Rule::BadValue, node.span, format!("{} is not a word that is known here", scalar.shown()));
    reader.push(finding.did_you_mean(&scalar.text, words.iter().map(|(word, _)| *word)))
}
