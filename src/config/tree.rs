//! YAML text to a tree in which everything remembers where it stands.
//!
//! The text is parsed once, from parser events. Promises: no input panics or grows without bound; what YAML allows and this language does
//! without (tags, merge keys, further documents, duplicate keys) is reported with its place; the rest of the file is still read.

use std::collections::HashMap;

use saphyr_parser::{Event, Parser, ScalarStyle};

use crate::diagnostic::{Diagnostic, FileId, Report, Rule, Span};

/// Largest file. Ten thousand routes, generously written, are 4 MiB.
const FILE_BYTES_MAX: usize = 16 << 20;

/// Deepest nesting; the grammar itself needs eight levels.
const DEPTH_MAX: usize = 64;

/// Most nodes after aliases are expanded: ten thousand routes of a hundred nodes.
const NODES_MAX: usize = 1_000_000;

/// Most bytes of text that aliases may repeat.
const ALIAS_BYTES_MAX: usize = 4 << 20;

/// A value and its place.
#[derive(Clone, Debug)]
pub struct Node {
    pub span: Span,
    pub kind: Kind,
}

/// What a value is.
#[derive(Clone, Debug)]
pub enum Kind {
    /// Nothing, `~` or `null`.
    Null,
    Scalar(Scalar),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

/// A text, and how it came to be.
#[derive(Clone, Debug)]
pub struct Scalar {
    pub text: String,
    /// Written without quotes, so that it may be a number or true or false.
    pub plain: bool,
    /// It holds the value of a variable.
    pub variable: bool,
    /// That variable is secret.
    pub secret: bool,
}

/// A key and its value.
#[derive(Clone, Debug)]
pub struct Entry {
    pub key: String,
    pub key_span: Span,
    pub value: Node,
}

/// Reads one file. None when there is no document in it at all, or when it is not YAML.
pub fn parse(file: FileId, text: &str, report: &mut Report) -> Option<Node> {
    if text.len() > FILE_BYTES_MAX {
        let what = format!("the file is larger than {} MiB", FILE_BYTES_MAX >> 20);
        report.push(Diagnostic::new(Rule::RefusedYaml, Span::start_of(file), what).help("split it with `include`"));
        return None;
    }
    if let Some(at) = text.find('\0') {
        report.push(Diagnostic::new(Rule::Syntax, Span { file, start: at, end: at + 1 }, "the file holds a zero byte, so it is not text"));
        return None;
    }
    // A byte order mark is one character; the parser must not see it, and positions must count it.
    let skipped = text.len() - text.trim_start_matches('\u{feff}').len();
    let mut builder = Builder {
        parser: Parser::new_from_str(&text[skipped..]),
        places: Places::new(file, text, skipped),
        report,
        anchors: HashMap::new(),
        nodes: 0,
        alias_bytes: 0,
        failed: false,
    };
    builder.document()
}

struct Builder<'t, 'r> {
    parser: Parser<'t, saphyr_parser::StrInput<'t>>,
    places: Places,
    report: &'r mut Report,
    /// Finished anchors. One that is used inside itself is not in here yet.
    anchors: HashMap<usize, Node>,
    nodes: usize,
    alias_bytes: usize,
    /// The text cannot be read any further.
    failed: bool,
}

/// Turns the parser's character indices into bytes.
struct Places {
    file: FileId,
    length: usize,
    skipped: usize,
    /// The byte of each character; empty when every character is one byte.
    bytes: Vec<usize>,
}

// === impl Builder ===

impl Builder<'_, '_> {
    fn document(&mut self) -> Option<Node> {
        let mut root = None;
        while let Some((event, span)) = self.next() {
            match event {
                Event::StreamStart | Event::DocumentEnd | Event::Nothing => {}
                Event::StreamEnd => break,
                Event::DocumentStart(_) if root.is_none() => {}
                Event::DocumentStart(_) => {
                    let help = "one file is one document; write the second into a file of its own";
                    self.report.push(Diagnostic::new(Rule::RefusedYaml, span, "a second document in this file").help(help));
                    return root;
                }
                event => root = self.node(event, span, 0),
            }
        }
        if self.failed { None } else { root }
    }

    fn next(&mut self) -> Option<(Event<'static>, Span)> {
        match self.parser.next_event()? {
            Ok((event, span)) => Some((owned(event), self.places.span(span.start.index(), span.end.index()))),
            Err(error) => {
                let at = self.places.byte(error.marker().index());
                let span = Span { file: self.places.file, start: at, end: at };
                self.report.push(Diagnostic::new(Rule::Syntax, span, format!("this is not YAML: {}", error.info())).label("here"));
                self.failed = true;
                None
            }
        }
    }

    fn node(&mut self, event: Event<'static>, span: Span, depth: usize) -> Option<Node> {
        self.nodes += 1;
        if depth > DEPTH_MAX || self.nodes > NODES_MAX {
            let what = if depth > DEPTH_MAX { format!("nested deeper than {DEPTH_MAX} levels") } else { format!("more than {NODES_MAX} values") };
            self.report.push(Diagnostic::new(Rule::RefusedYaml, span, what).help("a configuration needs neither so much nor so deep"));
            self.failed = true;
            return None;
        }
        let (node, anchor) = match event {
            Event::Alias(id) => return self.alias(id, span),
            Event::Scalar(text, style, anchor, tag) => {
                self.refuse_tag(tag.is_some(), span);
                let plain = style == ScalarStyle::Plain;
                if plain {
                    self.refuse_ambiguous(&text, span);
                }
                let kind = match plain && matches!(&*text, "" | "~" | "null" | "Null" | "NULL") {
                    true => Kind::Null,
                    false => Kind::Scalar(Scalar { text: text.into_owned(), plain, variable: false, secret: false }),
                };
                (Node { span, kind }, anchor)
            }
            Event::SequenceStart(anchor, tag) => {
                self.refuse_tag(tag.is_some(), span);
                (self.list(span, depth)?, anchor)
            }
            Event::MappingStart(anchor, tag) => {
                self.refuse_tag(tag.is_some(), span);
                (self.map(span, depth)?, anchor)
            }
            _ => return None,
        };
        if anchor > 0 {
            self.anchors.insert(anchor, node.clone());
        }
        Some(node)
    }

    fn list(&mut self, start: Span, depth: usize) -> Option<Node> {
        let mut items = Vec::new();
        loop {
            match self.next()? {
                (Event::SequenceEnd, end) => return Some(Node { span: start.to(end), kind: Kind::List(items) }),
                (event, span) => {
                    let item = self.node(event, span, depth + 1);
                    if self.failed {
                        return None;
                    }
                    items.extend(item);
                }
            }
        }
    }

    fn map(&mut self, start: Span, depth: usize) -> Option<Node> {
        let mut entries: Vec<Entry> = Vec::new();
        let mut places: HashMap<String, Span> = HashMap::new();
        loop {
            let (event, key_span) = self.next()?;
            if event == Event::MappingEnd {
                return Some(Node { span: start.to(key_span), kind: Kind::Map(entries) });
            }
            let key = self.node(event, key_span, depth + 1);
            let (event, span) = self.next()?;
            let value = self.node(event, span, depth + 1);
            if self.failed {
                return None;
            }
            let (Some(key), Some(value)) = (key, value) else { continue };
            let Kind::Scalar(Scalar { text: key, plain, .. }) = key.kind else {
                self.report.push(Diagnostic::new(Rule::WrongType, key.span, "a key must be a single word").help("write `key: value`"));
                continue;
            };
            if plain && key == "<<" {
                let help = "say what is shared under `defaults`, or write it out";
                self.report.push(Diagnostic::new(Rule::RefusedYaml, key_span, "merge keys are not part of this language").help(help));
                continue;
            }
            match places.get(&key) {
                Some(first) => self.report.push(
                    Diagnostic::new(Rule::DuplicateKey, key_span, format!("the key `{key}` stands twice in this map"))
                        .label("again here")
                        .related(*first, "first here")
                        .help("remove one of them"),
                ),
                None => {
                    places.insert(key.clone(), key_span);
                    entries.push(Entry { key, key_span, value });
                }
            }
        }
    }

    fn alias(&mut self, id: usize, span: Span) -> Option<Node> {
        let Some(anchored) = self.anchors.get(&id) else {
            self.report.push(Diagnostic::new(Rule::RefusedYaml, span, "an alias inside what it stands for").help("write the value out"));
            return None;
        };
        let (nodes, bytes) = anchored.size();
        self.nodes += nodes;
        self.alias_bytes += bytes;
        if self.nodes > NODES_MAX || self.alias_bytes > ALIAS_BYTES_MAX {
            self.report.push(Diagnostic::new(Rule::RefusedYaml, span, "aliases repeat too much").help("write the values out, or say them under `defaults`"));
            self.failed = true;
            return None;
        }
        // The copy points at where it is used: that is the line a user has to change.
        Some(Node { span, ..anchored.clone() })
    }

    fn refuse_tag(&mut self, tagged: bool, span: Span) {
        if tagged {
            let help = "remove the tag; a list says `{ append: [x] }` or `{ replace: [x] }` in plain YAML";
            self.report.push(Diagnostic::new(Rule::RefusedYaml, span, "tags are not part of this language").help(help));
        }
    }

    fn refuse_ambiguous(&mut self, text: &str, span: Span) {
        let meant = match text.to_ascii_lowercase().as_str() {
            "yes" | "on" => "true",
            "no" | "off" => "false",
            _ => return,
        };
        let what = format!("`{text}` is a word that some YAML readers take for `{meant}`");
        self.report.push(Diagnostic::new(Rule::AmbiguousWord, span, what).help(format!("write `{meant}`, or `\"{text}\"` if the word itself is meant")));
    }
}

fn owned(event: Event<'_>) -> Event<'static> {
    use std::borrow::Cow;
    match event {
        Event::Scalar(text, style, anchor, tag) => {
            Event::Scalar(Cow::Owned(text.into_owned()), style, anchor, tag.map(|tag| Cow::Owned(tag.into_owned())))
        }
        Event::SequenceStart(anchor, tag) => Event::SequenceStart(anchor, tag.map(|tag| Cow::Owned(tag.into_owned()))),
        Event::MappingStart(anchor, tag) => Event::MappingStart(anchor, tag.map(|tag| Cow::Owned(tag.into_owned()))),
        Event::Nothing => Event::Nothing,
        Event::StreamStart => Event::StreamStart,
        Event::StreamEnd => Event::StreamEnd,
        Event::DocumentStart(explicit) => Event::DocumentStart(explicit),
        Event::DocumentEnd => Event::DocumentEnd,
        Event::Alias(id) => Event::Alias(id),
        Event::SequenceEnd => Event::SequenceEnd,
        Event::MappingEnd => Event::MappingEnd,
    }
}

// === impl Places ===

impl Places {
    fn new(file: FileId, text: &str, skipped: usize) -> Places {
        let rest = &text[skipped..];
        let bytes = if rest.is_ascii() { Vec::new() } else { rest.char_indices().map(|(at, _)| at).collect() };
        Places { file, length: rest.len(), skipped, bytes }
    }

    fn byte(&self, character: usize) -> usize {
        let byte = if self.bytes.is_empty() { character } else { self.bytes.get(character).copied().unwrap_or(self.length) };
        byte.min(self.length) + self.skipped
    }

    fn span(&self, start: usize, end: usize) -> Span {
        let start = self.byte(start);
        Span { file: self.file, start, end: self.byte(end).max(start) }
    }
}

// === impl Node ===

impl Node {
    /// What stands under a key of a map.
    pub fn get(&self, key: &str) -> Option<&Node> {
        match &self.kind {
            Kind::Map(entries) => entries.iter().find(|entry| entry.key == key).map(|entry| &entry.value),
            _ => None,
        }
    }

    /// What it is called when it is not what belongs there.
    pub fn noun(&self) -> &'static str {
        match &self.kind {
            Kind::Null => "nothing",
            Kind::Scalar(_) => "a single value",
            Kind::List(_) => "a list",
            Kind::Map(_) => "a map",
        }
    }

    /// Nodes below and with it, and the bytes of their texts.
    fn size(&self) -> (usize, usize) {
        let sum = |sizes: &mut dyn Iterator<Item = (usize, usize)>| sizes.fold((1, 0), |all, one| (all.0 + one.0, all.1 + one.1));
        match &self.kind {
            Kind::Null => (1, 0),
            Kind::Scalar(scalar) => (1, scalar.text.len()),
            Kind::List(items) => sum(&mut items.iter().map(Node::size)),
            Kind::Map(entries) => sum(&mut entries.iter().map(|entry| {
                let (nodes, bytes) = entry.value.size();
                (nodes + 1, bytes + entry.key.len())
            })),
        }
    }
}
