//! The collections of the grammar: [`Map`], [`List`], [`Several`], [`Edit`], a list that knows what it does to a lower layer, and [`WordOr`].

use std::collections::HashMap;

use super::grammar::{Read, Shape, is_free};
use super::layers::Layers;
use super::leaves::Leaves;
use super::reader::Reader;
use super::tree::{Entry, Kind, Node};
use super::value::Value;
use crate::diagnostic::{Diagnostic, Rule, Span, Spanned};

/// Items in the order in which they are written. Broken ones are left out.
pub type List<T> = Vec<Spanned<T>>;

/// Values by name, in the order in which they are written.
#[derive(Clone)]
pub struct Map<K, V> {
    entries: Vec<(Spanned<K>, Spanned<V>)>,
    /// Keys whose values were reported: declared, and not there.
    broken: Vec<K>,
}

/// A list over a lower layer.
#[derive(Clone)]
pub enum Edit<T> {
    /// `[x]`: stands for itself; an error over a lower layer that has a list.
    Plain(List<T>),
    /// `{append: [x]}`: the lower layer's, then these.
    Append(List<T>),
    /// `{replace: [x]}`: these, whatever the lower layers say.
    Replace(List<T>),
}

/// One or several, written as one or as a list.
#[derive(Clone)]
pub struct Several<T>(pub List<T>);

/// One of a few words, or a map where a word does not say enough.
#[derive(Clone)]
pub enum WordOr<W, S> {
    Word(W),
    Map(S),
}

// === impl Map ===

impl<K, V> Map<K, V> {
    /// Every entry that could be read, in the order of the file.
    pub fn iter(&self) -> impl Iterator<Item = (&Spanned<K>, &Spanned<V>)> {
        self.entries.iter().map(|(key, value)| (key, value))
    }

    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Keys that are declared with a value that could not be read: a reference to one of them is not worth a finding of its own.
    pub fn broken(&self) -> &[K] {
        &self.broken
    }
}

impl<K: PartialEq, V> Map<K, V> {
    pub fn get(&self, key: &K) -> Option<&Spanned<V>> {
        self.entries.iter().find(|(found, _)| found.value == *key).map(|(_, value)| value)
    }
}

impl<K, V> Default for Map<K, V> {
    fn default() -> Map<K, V> {
        Map { entries: Vec::new(), broken: Vec::new() }
    }
}

impl<K: Value + PartialEq, V: Read> Read for Map<K, V> {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Map<K, V>> {
        let mut map = Map::default();
        for entry in reader.entries(node, "a map")? {
            // A value is read under a broken key too, for what there is to say about it.
            match (read_key::<K>(entry, reader), reader.field(entry)) {
                (Some(key), Some(value)) => map.entries.push((Spanned::new(key, entry.key.span), value)),
                (Some(key), None) => map.broken.push(key),
                (None, _) => {}
            }
        }
        Some(map)
    }

    fn shape() -> Shape {
        Shape::Map { key_pattern: K::PATTERN, key_what: K::WHAT, value: Box::new(V::shape()) }
    }

    /// Keys of both; where both have one, the values are layered.
    fn over(higher: Spanned<Self>, lower: Spanned<Self>, layers: &mut Layers<'_>) -> Spanned<Self> {
        let mut merged = lower.value;
        for (key, value) in higher.value.entries {
            match merged.entries.iter().position(|(found, _)| found.value == key.value) {
                Some(at) => {
                    let (_, below) = merged.entries.remove(at);
                    merged.entries.insert(at, (key, V::over(value, below, layers)));
                }
                None => merged.entries.push((key, value)),
            }
        }
        merged.broken.extend(higher.value.broken);
        Spanned::new(merged, higher.span)
    }

    fn tell(&self, place: Span, leaves: &mut Leaves<'_>) {
        if self.entries.is_empty() {
            leaves.leaf(place);
        }
        for (key, value) in &self.entries {
            leaves.key_at(key.span, |leaves| value.value.tell(value.span, leaves));
        }
    }
}

fn read_key<K: Value>(entry: &Entry, reader: &mut Reader<'_>) -> Option<K> {
    let key = &entry.key;
    match K::parse(&key.text) {
        Ok(parsed) => Some(parsed),
        Err(problem) => {
            let shown = format!("`{}`", super::tree::shorten(&key.text));
            reader.push_at_key(&key.text, problem.finding(key.span, &shown, K::WHAT, K::EXAMPLE));
            None
        }
    }
}

// === impl List ===

impl<T: Read> Read for Vec<Spanned<T>> {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<List<T>> {
        let items = reader.items(node)?;
        tell_twice(items, &T::shape(), reader);
        Some(items.iter().enumerate().filter_map(|(index, item)| reader.item(index, item)).collect())
    }

    fn shape() -> Shape {
        Shape::List(Box::new(T::shape()))
    }

    fn tell(&self, place: Span, leaves: &mut Leaves<'_>) {
        tell_items(self, place, leaves);
    }
}

/// Warns of names and words that stand twice in a list. Text that may be anything may be meant so, and what is more than text says by itself
/// what it may not be.
fn tell_twice(items: &[Node], shape: &Shape, reader: &mut Reader<'_>) {
    let is_name = match shape {
        Shape::Text { pattern, .. } => !is_free(pattern),
        Shape::Choice { .. } => true,
        _ => false,
    };
    let mut seen: HashMap<&str, Span> = HashMap::new();
    for (index, item) in items.iter().enumerate().filter(|_| is_name) {
        let Some(scalar) = item.scalar().filter(|_| !item.is_null()) else { continue };
        let Some(first) = seen.insert(&scalar.text, item.span) else { continue };
        let what = format!("{} stands twice in this list", scalar.shown());
        let finding = Diagnostic::new(Rule::ListedTwice, item.span, what).label("and again here").related(first, "first here");
        reader.push_at_item(index, finding.help("remove one of the two"));
    }
}

/// An empty list is something that is said, and stands by itself.
fn tell_items<T: Read>(items: &[Spanned<T>], place: Span, leaves: &mut Leaves<'_>) {
    if items.is_empty() {
        leaves.leaf(place);
    }
    for (index, item) in items.iter().enumerate() {
        leaves.item(index, |leaves| item.value.tell(item.span, leaves));
    }
}

// === impl Several ===

impl<T: Read> Read for Several<T> {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Several<T>> {
        match &node.kind {
            Kind::List(_) => List::read(node, reader).map(Several),
            _ => T::read(node, reader).map(|one| Several(vec![Spanned::new(one, node.span)])),
        }
    }

    fn shape() -> Shape {
        Shape::Either(Box::new(T::shape()), Box::new(List::<T>::shape()))
    }

    fn tell(&self, place: Span, leaves: &mut Leaves<'_>) {
        tell_items(&self.0, place, leaves);
    }
}

// === impl Edit ===

impl<T> Edit<T> {
    /// What it lists. After layers are resolved this is all there is to it.
    pub fn items(&self) -> &[Spanned<T>] {
        match self {
            Edit::Plain(items) | Edit::Append(items) | Edit::Replace(items) => items,
        }
    }

    fn into_items(self) -> List<T> {
        match self {
            Edit::Plain(items) | Edit::Append(items) | Edit::Replace(items) => items,
        }
    }
}

impl<T: Read> Read for Edit<T> {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Edit<T>> {
        let Kind::Map(entries) = &node.kind else {
            return Read::read(node, reader).map(Edit::Plain);
        };
        match entries.as_slice() {
            [entry] if entry.key.text == "append" => reader.field(entry).map(|items| Edit::Append(items.value)),
            [entry] if entry.key.text == "replace" => reader.field(entry).map(|items| Edit::Replace(items.value)),
            _ => reader.push(
                Diagnostic::new(Rule::ListEdit, node.span, "a list says either `append` or `replace`")
                    .help("write `[x]`, `{ append: [x] }` or `{ replace: [x] }`"),
            ),
        }
    }

    fn shape() -> Shape {
        Shape::Edit(Box::new(T::shape()))
    }

    fn tell(&self, place: Span, leaves: &mut Leaves<'_>) {
        tell_items(self.items(), place, leaves);
    }

    /// A plain list over a list is a finding, because half of all readers expect it to add and the other half to replace.
    fn over(higher: Spanned<Self>, lower: Spanned<Self>, layers: &mut Layers<'_>) -> Spanned<Self> {
        let Spanned { value, span } = higher;
        let items = match value {
            Edit::Replace(items) => items,
            Edit::Append(items) => lower.value.into_items().into_iter().chain(items).collect(),
            Edit::Plain(items) => {
                layers.push(list_over_list(span, lower.span));
                items
            }
        };
        Spanned::new(Edit::Plain(items), span)
    }
}

// === impl WordOr ===

impl<W: Read, S: Read> Read for WordOr<W, S> {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<WordOr<W, S>> {
        match &node.kind {
            Kind::Map(_) => Read::read(node, reader).map(WordOr::Map),
            _ => Read::read(node, reader).map(WordOr::Word),
        }
    }

    fn shape() -> Shape {
        Shape::Either(Box::new(W::shape()), Box::new(S::shape()))
    }

    fn tell(&self, place: Span, leaves: &mut Leaves<'_>) {
        match self {
            WordOr::Word(word) => word.tell(place, leaves),
            WordOr::Map(map) => map.tell(place, leaves),
        }
    }
}

/// A list where a lower layer, or the file under an overlay, has one already.
pub(super) fn list_over_list(span: Span, lower: Span) -> Diagnostic {
    Diagnostic::new(Rule::ListEdit, span, "a list over another list must say what becomes of the other")
        .label("append to it, or replace it?")
        .related(lower, "the list below it")
        .help("write `{ append: [x] }` or `{ replace: [x] }`")
}
