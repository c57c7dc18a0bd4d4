//! How a section is declared once, and read and described from that one declaration.
//!
//! `section!` makes a struct whose every field is optional and remembers its place, its reader, and its shape for the schemas.
//! `choice!` does so for a closed set of words. Promise: reading never fails; what is broken is reported with its path and left out.

use super::shape::{KeyShape, Shape};
use super::tree::{Entry, Kind, Node, Scalar};
use crate::diagnostic::{Diagnostic, Report, Rule, Sources, Span, Spanned};

/// Something that can be read from the tree.
pub trait Read: Sized {
    /// None when it is broken, which has then been reported.
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self>;

    /// What a schema says about it.
    fn shape() -> Shape;
}

/// A map with known keys.
pub trait Section: Sized {
    /// One in which nothing is written.
    fn empty(span: Span) -> Self;

    /// Reads the value of a key; false when there is no such key.
    fn set(&mut self, entry: &Entry, reader: &mut Reader<'_>) -> bool;

    /// Every key, in the order of the declaration.
    fn keys() -> Vec<KeyShape>;
}

/// A list.
#[derive(Clone, Debug)]
pub struct List<T>(pub Vec<Spanned<T>>);

/// A map whose keys are the user's own, in the order they are written.
#[derive(Clone, Debug)]
pub struct Map<K, V>(pub Vec<(Spanned<K>, Spanned<V>)>);

/// A list in a layer: said outright, or as a change to the layer below.
#[derive(Clone, Debug)]
pub enum Edit<T> {
    Set(Vec<Spanned<T>>),
    Append(Vec<Spanned<T>>),
    Replace(Vec<Spanned<T>>),
}

/// Where reading has got to, and what has been found.
pub struct Reader<'a> {
    pub report: &'a mut Report,
    pub sources: &'a Sources,
    path: Vec<String>,
}

// === impl Reader ===

impl<'a> Reader<'a> {
    pub fn new(sources: &'a Sources, report: &'a mut Report) -> Reader<'a> {
        Reader { report, sources, path: Vec::new() }
    }

    /// Reads what is below `step`.
    pub fn at<R>(&mut self, step: &str, read: impl FnOnce(&mut Reader<'a>) -> R) -> R {
        self.path.push(step.to_owned());
        let result = read(self);
        self.path.pop();
        result
    }

    /// The value of a key. Nothing written is nothing said.
    pub fn value<T: Read>(&mut self, entry: &Entry) -> Option<Spanned<T>> {
        if matches!(entry.value.kind, Kind::Null) {
            return None;
        }
        self.at(&entry.key, |reader| T::read(&entry.value, reader)).map(|value| Spanned::new(value, entry.value.span))
    }

    /// A map with known keys; others are reported.
    pub fn section<T: Section>(&mut self, node: &Node) -> Option<T> {
        let Kind::Map(entries) = &node.kind else {
            self.wrong_type(node, "a map");
            return None;
        };
        let mut section = T::empty(node.span);
        for entry in entries {
            if !section.set(entry, self) {
                let keys = T::keys();
                let unknown = Diagnostic::new(Rule::UnknownKey, entry.key_span, format!("there is no key `{}` here", entry.key));
                let unknown = unknown.label("not known").did_you_mean(&entry.key, keys.iter().map(|key| key.key));
                self.at(&entry.key, |reader| reader.push(unknown));
            }
        }
        Some(section)
    }

    /// The text of a single value; anything else is reported.
    pub fn scalar<'n>(&mut self, node: &'n Node, wanted: &str) -> Option<&'n Scalar> {
        match &node.kind {
            Kind::Scalar(scalar) => Some(scalar),
            _ => {
                self.wrong_type(node, wanted);
                None
            }
        }
    }

    pub fn wrong_type(&mut self, node: &Node, wanted: &str) {
        let what = format!("{} stands where {wanted} belongs", node.noun());
        self.push(Diagnostic::new(Rule::WrongType, node.span, what).help(format!("write {wanted}")));
    }

    /// Reports a finding at the place reading has got to.
    pub fn push(&mut self, diagnostic: Diagnostic) {
        let path = self.path.join(".");
        self.report.push(diagnostic.path(path));
    }
}

// === impl List ===

impl<T: Read> Read for List<T> {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        items(node, reader).map(List)
    }

    fn shape() -> Shape {
        Shape::List(Box::new(T::shape()))
    }
}

impl<T> List<T> {
    pub fn iter(&self) -> std::slice::Iter<'_, Spanned<T>> {
        self.0.iter()
    }
}

/// The items of a list that may not have been written at all.
pub trait Items<T> {
    fn items(&self) -> std::slice::Iter<'_, Spanned<T>>;
}

impl<T> Items<T> for Option<Spanned<List<T>>> {
    fn items(&self) -> std::slice::Iter<'_, Spanned<T>> {
        self.as_ref().map(|list| list.value.0.as_slice()).unwrap_or_default().iter()
    }
}

fn items<T: Read>(node: &Node, reader: &mut Reader<'_>) -> Option<Vec<Spanned<T>>> {
    let Kind::List(nodes) = &node.kind else {
        reader.wrong_type(node, "a list, such as `[a, b]`");
        return None;
    };
    let read = |(index, node): (usize, &Node), reader: &mut Reader<'_>| {
        reader.at(&index.to_string(), |reader| T::read(node, reader)).map(|value| Spanned::new(value, node.span))
    };
    Some(nodes.iter().enumerate().filter_map(|item| read(item, reader)).collect())
}

// === impl Map ===

impl<K: Read, V: Read> Read for Map<K, V> {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        let Kind::Map(entries) = &node.kind else {
            reader.wrong_type(node, "a map");
            return None;
        };
        let mut map = Vec::with_capacity(entries.len());
        for entry in entries {
            // A key is a value too: it is read by its own type, and complained about at its own place.
            let scalar = Scalar { text: entry.key.clone(), plain: true, variable: false, secret: false };
            let key = Node { span: entry.key_span, kind: Kind::Scalar(scalar) };
            let (key, value) = reader.at(&entry.key, |reader| (K::read(&key, reader), V::read(&entry.value, reader)));
            if let (Some(key), Some(value)) = (key, value) {
                map.push((Spanned::new(key, entry.key_span), Spanned::new(value, entry.value.span)));
            }
        }
        Some(Map(map))
    }

    fn shape() -> Shape {
        Shape::Map(Box::new(K::shape()), Box::new(V::shape()))
    }
}

/// The entries of a map that may not have been written at all.
pub trait Entries<K, V> {
    fn entries(&self) -> std::slice::Iter<'_, (Spanned<K>, Spanned<V>)>;
}

impl<K, V> Entries<K, V> for Option<Spanned<Map<K, V>>> {
    fn entries(&self) -> std::slice::Iter<'_, (Spanned<K>, Spanned<V>)> {
        self.as_ref().map(|map| map.value.0.as_slice()).unwrap_or_default().iter()
    }
}

// === impl Edit ===

impl<T: Read> Read for Edit<T> {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        let Kind::Map(entries) = &node.kind else { return items(node, reader).map(Edit::Set) };
        match entries.as_slice() {
            [Entry { key, value, .. }] if key == "append" => reader.at(key, |reader| items(value, reader)).map(Edit::Append),
            [Entry { key, value, .. }] if key == "replace" => reader.at(key, |reader| items(value, reader)).map(Edit::Replace),
            _ => {
                let what = "a list is changed by exactly one of `append` and `replace`";
                reader.push(Diagnostic::new(Rule::ListEdit, node.span, what).help("write `{ append: [x] }` or `{ replace: [x] }`"));
                None
            }
        }
    }

    fn shape() -> Shape {
        Shape::Edit(Box::new(T::shape()))
    }
}

/// Declares a map with known keys. The first sentence over a key is what an editor shows.
macro_rules! section {
    (
        $(#[doc = $doc:literal])+
        pub struct $name:ident {
            $($(#[doc = $key_doc:literal])+ $field:ident: $type:ty $(= $key:literal)?,)*
            $(..$base:ident: $base_type:ty,)?
        }
    ) => {
        $(#[doc = $doc])+
        #[derive(Clone, Debug)]
        pub struct $name {
            $($(#[doc = $key_doc])+ pub $field: Option<$crate::diagnostic::Spanned<$type>>,)*
            $(#[doc = "The keys it shares with others."] pub $base: $base_type,)?
            /// Where the section stands.
            pub span: $crate::diagnostic::Span,
        }

        impl $crate::config::grammar::Section for $name {
            fn empty(span: $crate::diagnostic::Span) -> Self {
                $name {
                    $($field: None,)*
                    $($base: <$base_type as $crate::config::grammar::Section>::empty(span),)?
                    span,
                }
            }

            fn set(&mut self, entry: &$crate::config::tree::Entry, reader: &mut $crate::config::grammar::Reader<'_>) -> bool {
                $(if entry.key == $crate::config::grammar::section!(@key $field $($key)?) {
                    self.$field = reader.value(entry);
                    return true;
                })*
                $(if self.$base.set(entry, reader) {
                    return true;
                })?
                false
            }

            fn keys() -> Vec<$crate::config::shape::KeyShape> {
                #[allow(unused_mut, reason = "only a section that shares keys adds to its own")]
                let mut keys = vec![$($crate::config::shape::KeyShape {
                    key: $crate::config::grammar::section!(@key $field $($key)?),
                    doc: concat!($($key_doc),+).trim_ascii(),
                    shape: <$type as $crate::config::grammar::Read>::shape,
                },)*];
                $(keys.extend(<$base_type as $crate::config::grammar::Section>::keys());)?
                keys
            }
        }

        impl $crate::config::grammar::Read for $name {
            fn read(node: &$crate::config::tree::Node, reader: &mut $crate::config::grammar::Reader<'_>) -> Option<Self> {
                reader.section(node)
            }

            fn shape() -> $crate::config::shape::Shape {
                $crate::config::shape::Shape::Section {
                    name: stringify!($name),
                    doc: concat!($($doc),+).trim_ascii(),
                    keys: <$name as $crate::config::grammar::Section>::keys,
                }
            }
        }
    };
    (@key $field:ident) => { stringify!($field) };
    (@key $field:ident $key:literal) => { $key };
}

/// Declares a closed set of words.
macro_rules! choice {
    (
        $(#[doc = $doc:literal])+
        pub enum $name:ident { $($(#[doc = $word_doc:literal])+ $variant:ident = $word:literal,)+ }
    ) => {
        $(#[doc = $doc])+
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub enum $name { $($(#[doc = $word_doc])+ $variant,)+ }

        impl $crate::config::grammar::Read for $name {
            fn read(node: &$crate::config::tree::Node, reader: &mut $crate::config::grammar::Reader<'_>) -> Option<Self> {
                let scalar = reader.scalar(node, "one word")?;
                match scalar.text.as_str() {
                    $($word => Some($name::$variant),)+
                    other => {
                        let what = format!("`{other}` is not one of the words that belong here");
                        let finding = $crate::diagnostic::Diagnostic::new($crate::diagnostic::Rule::BadValue, node.span, what);
                        reader.push(finding.did_you_mean(other, [$($word),+]));
                        None
                    }
                }
            }

            fn shape() -> $crate::config::shape::Shape {
                $crate::config::shape::Shape::Choice(vec![$(($word, concat!($($word_doc),+).trim_ascii()),)+])
            }
        }
    };
}

pub(crate) use {choice, section};
