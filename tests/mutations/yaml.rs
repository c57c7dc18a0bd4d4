//! YAML as a tree whose every key and value knows its bytes in the text, read by the parser of events alone: what is mutated is found by
//! other code than what is tested.

use std::ops::Range;

use saphyr_parser::{Event, Parser, ScalarStyle};

/// A value.
#[derive(Clone, Debug)]
pub struct Node {
    pub kind: Kind,
    pub at: Range<usize>,
}

#[derive(Clone, Debug)]
pub enum Kind {
    Scalar { text: String, plain: bool },
    List(Vec<Node>),
    Map(Vec<Entry>),
}

/// A key of a map and what stands under it.
#[derive(Clone, Debug)]
pub struct Entry {
    pub key: String,
    pub key_at: Range<usize>,
    pub value: Node,
}

enum Open {
    List(usize, Vec<Node>),
    Map(usize, Vec<Entry>, Option<(String, Range<usize>)>),
}

/// The tree of a text that is known to be YAML, ASCII or not.
pub fn parse(text: &str) -> Node {
    let starts: Vec<usize> = text.char_indices().map(|(at, _)| at).chain([text.len()]).collect();
    let byte = |character: usize| starts.get(character).copied().unwrap_or(text.len());
    let (mut open, mut root) = (Vec::new(), None);
    let mut parser = Parser::new_from_str(text);
    while let Some(event) = parser.next_event() {
        let (event, place) = event.expect("the corpus is YAML");
        let (start, end) = (byte(place.start.index()), byte(place.end.index()));
        let end = start + text[start..end.max(start)].trim_end().len();
        match event {
            Event::SequenceStart(..) => open.push(Open::List(start, Vec::new())),
            Event::MappingStart(..) => open.push(Open::Map(start, Vec::new(), None)),
            Event::Scalar(scalar, style, ..) => {
                let kind = Kind::Scalar { text: scalar.into_owned(), plain: style == ScalarStyle::Plain };
                place_node(Node { kind, at: start..end }, &mut open, &mut root);
            }
            Event::SequenceEnd | Event::MappingEnd => {
                let node = match open.pop().expect("what ends has begun") {
                    Open::List(start, items) => {
                        let last = items.last().map_or(start, |item| item.at.end);
                        Node { kind: Kind::List(items), at: start..end_of(end, last, text, ']') }
                    }
                    Open::Map(start, entries, _) => {
                        let last = entries.last().map_or(start, |entry| entry.value.at.end.max(entry.key_at.end));
                        Node { kind: Kind::Map(entries), at: start..end_of(end, last, text, '}') }
                    }
                };
                place_node(node, &mut open, &mut root);
            }
            _ => {}
        }
    }
    root.unwrap_or(Node { kind: Kind::Map(Vec::new()), at: 0..0 })
}

/// A bracket closes what is in flow style; a block ends where its last part does.
fn end_of(end: usize, last: usize, text: &str, bracket: char) -> usize {
    if end > last && text[..end].ends_with(bracket) { end } else { last }
}

fn place_node(node: Node, open: &mut [Open], root: &mut Option<Node>) {
    match open.last_mut() {
        None => *root = Some(node),
        Some(Open::List(_, items)) => items.push(node),
        Some(Open::Map(_, entries, waiting)) => match waiting.take() {
            Some((key, key_at)) => entries.push(Entry { key, key_at, value: node }),
            None => {
                let Kind::Scalar { text, .. } = node.kind else { panic!("a key is text") };
                *waiting = Some((text, node.at));
            }
        },
    }
}

// === impl Node ===

impl Node {
    pub fn entries(&self) -> &[Entry] {
        match &self.kind {
            Kind::Map(entries) => entries,
            _ => &[],
        }
    }

    pub fn items(&self) -> &[Node] {
        match &self.kind {
            Kind::List(items) => items,
            _ => &[],
        }
    }

    pub fn scalar(&self) -> Option<&str> {
        match &self.kind {
            Kind::Scalar { text, .. } => Some(text),
            _ => None,
        }
    }

    pub fn get(&self, key: &str) -> Option<&Node> {
        self.entries().iter().find(|entry| entry.key == key).map(|entry| &entry.value)
    }

    /// The same without places, in the style of JSON, which is YAML in flow style.
    pub fn flow(&self) -> String {
        match &self.kind {
            Kind::Scalar { text, plain: true } => text.clone(),
            Kind::Scalar { text, plain: false } => serde_json::to_string(text).unwrap(),
            Kind::List(items) => format!("[{}]", items.iter().map(Node::flow).collect::<Vec<_>>().join(", ")),
            Kind::Map(entries) => {
                let entries = entries.iter().map(|entry| format!("{}: {}", serde_json::to_string(&entry.key).unwrap(), entry.value.flow()));
                format!("{{{}}}", entries.collect::<Vec<_>>().join(", "))
            }
        }
    }
}
