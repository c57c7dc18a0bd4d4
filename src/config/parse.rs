//! Text to tree: the YAML that this language speaks, and the bounds on how much of it.
//!
//! saphyr-parser turns text into events with places; here they become a tree. The language is YAML without tags, merge keys and second
//! documents; anchors work inside a file. Promises: no text makes this panic or take more than `bounds.rs` allows; every span lies in the text.

mod stumbled;

use std::collections::HashMap;

use saphyr_parser::{Event, Parser, ScalarStyle, Span as Marked};

use self::stumbled::Stumbled;
use super::bounds::{Budget, DEPTH_MAX, Extent};
use super::path::DocPath;
use super::places::Places;
use super::tree::{Entry, Key, Kind, Node, Origin, Scalar, Style};
use crate::diagnostic::{Diagnostic, FileId, Report, Rule, Span};

/// The tree of a file; none when the text is not YAML to its end. An empty file is an empty map.
pub fn parse(file: FileId, text: &str, report: &mut Report) -> Option<Node> {
    if let Some(at) = text.find('\0') {
        let nul = Span { file, start: at, end: at + 1 };
        report.push(Diagnostic::new(Rule::Syntax, nul, "the text contains a NUL byte").help("save the file as UTF-8 text"));
        return None;
    }
    let mut builder = Builder {
        places: Places::new(file, text),
        report,
        stack: Vec::new(),
        root: None,
        anchors: HashMap::new(),
        skipped: None,
        closed: None,
        read: 0,
        budget: Budget::of_a_file(),
    };
    let mut parser = Parser::new_from_str(text);
    while let Some(event) = parser.next_event() {
        match event {
            Ok((event, place)) => builder.take(event, place).ok()?,
            Err(error) => {
                let stumbled = Stumbled {
                    file,
                    text,
                    at: builder.places.byte(error.marker().index()),
                    info: error.info(),
                    read: builder.read,
                    bracket: builder.stack.iter().rev().map(|open| open.start).find(|start| text[*start..].starts_with(['{', '['])),
                    block: builder.closed,
                };
                builder.report.push(stumbled.finding());
                return None;
            }
        }
    }
    let root = builder.root.filter(|root| !root.is_null());
    Some(root.unwrap_or(Node { kind: Kind::Map(Vec::new()), span: Span::start_of(file) }))
}

/// Nothing more of this file is read; the reason was reported.
struct Stop;

struct Builder<'a> {
    places: Places<'a>,
    report: &'a mut Report,
    /// The open lists and maps, outermost first.
    stack: Vec<Open>,
    root: Option<Node>,
    /// What each anchor stands for, and how much that is. An anchor that is still open is not here.
    anchors: HashMap<usize, (Node, Extent)>,
    /// How many lists and maps are open below the deepest one that is kept.
    skipped: Option<usize>,
    /// Where the outermost of the blocks began that were closed last, while nothing has come behind them.
    closed: Option<usize>,
    /// Where what was read last ends.
    read: usize,
    budget: Budget,
}

/// A list or map that has begun.
struct Open {
    start: usize,
    anchor: usize,
    content: Content,
}

enum Content {
    List(Vec<Node>),
    Map { entries: Vec<Entry>, places: HashMap<String, Span>, pending: Pending },
}

/// What a map waits for.
enum Pending {
    Key,
    Value(Key),
    /// The value of a key that was reported.
    Nothing,
}

// === impl Builder ===

impl Builder<'_> {
    fn take(&mut self, event: Event<'_>, place: Marked) -> Result<(), Stop> {
        if let Some(open) = &mut self.skipped {
            match event {
                Event::SequenceStart(..) | Event::MappingStart(..) => *open += 1,
                Event::SequenceEnd | Event::MappingEnd => *open -= 1,
                _ => {}
            }
            if *open == 0 {
                self.skipped = None;
            }
            return Ok(());
        }
        let span = self.places.span(place);
        self.read = self.read.max(span.end);
        self.closed = self.closed.filter(|_| matches!(event, Event::SequenceEnd | Event::MappingEnd));
        match event {
            Event::DocumentStart(_) if self.root.is_some() => {
                self.refuse(
                    span,
                    "a file holds one document, and a second one begins here",
                    "put it into a file of its own and `include` it",
                );
                Err(Stop)
            }
            Event::Scalar(text, style, anchor, tag) => {
                self.refuse_tag(tag.is_some(), span);
                self.scalar(&text, style, anchor, span)
            }
            Event::Alias(anchor) => self.alias(anchor, span),
            Event::SequenceStart(anchor, tag) => {
                self.refuse_tag(tag.is_some(), span);
                self.open(anchor, span, Content::List(Vec::new()))
            }
            Event::MappingStart(anchor, tag) => {
                self.refuse_tag(tag.is_some(), span);
                self.open(anchor, span, Content::Map { entries: Vec::new(), places: HashMap::new(), pending: Pending::Key })
            }
            Event::SequenceEnd | Event::MappingEnd => {
                self.close(span);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn open(&mut self, anchor: usize, span: Span, content: Content) -> Result<(), Stop> {
        self.spend(Extent::of_text(""), span)?;
        if self.stack.len() == DEPTH_MAX {
            self.refuse(span, &format!("nested deeper than {DEPTH_MAX} levels"), "no part of the language is this deep");
            self.skipped = Some(1);
            self.place(Node { kind: Kind::Broken, span });
            return Ok(());
        }
        self.stack.push(Open { start: span.start, anchor, content });
        Ok(())
    }

    fn close(&mut self, end: Span) {
        let Some(open) = self.stack.pop() else { return };
        self.closed = Some(open.start).filter(|_| end.start == end.end);
        let (kind, last) = match open.content {
            Content::List(items) => {
                let last = items.last().map(|item| item.span.end);
                (Kind::List(items), last)
            }
            Content::Map { entries, .. } => {
                let last = entries.last().map(|entry| entry.value.span.end);
                (Kind::Map(entries), last)
            }
        };
        // A bracket has a width. A block has none, and its end event stands wherever the next thing begins.
        let end = if end.end > end.start { end.end } else { last.unwrap_or(open.start) };
        let node = Node { kind, span: Span { start: open.start, end: end.max(open.start), file: self.places.file } };
        self.remember(open.anchor, &node);
        self.place(node);
    }

    fn scalar(&mut self, text: &str, style: ScalarStyle, anchor: usize, span: Span) -> Result<(), Stop> {
        self.spend(Extent::of_text(text), span)?;
        let style = if style == ScalarStyle::Plain { Style::Plain } else { Style::Quoted };
        let span = self.places.value(self.settle(text, span));
        let kind = if style == Style::Plain && is_ambiguous(text) {
            self.ambiguous(text, span);
            Kind::Broken
        } else {
            Kind::Scalar(Scalar { text: text.to_owned(), style, origin: Origin::File })
        };
        let node = Node { kind, span };
        self.remember(anchor, &node);
        self.place(node);
        Ok(())
    }

    fn alias(&mut self, anchor: usize, span: Span) -> Result<(), Stop> {
        let Some((node, extent)) = self.anchors.get(&anchor) else {
            self.refuse(span, "an alias stands inside of what it stands for", "an anchor cannot contain itself");
            self.place(Node { kind: Kind::Broken, span });
            return Ok(());
        };
        let (node, extent) = (node.clone(), *extent);
        self.spend(extent, span)?;
        if self.stack.len() + extent.depth > DEPTH_MAX {
            self.refuse(span, &format!("nested deeper than {DEPTH_MAX} levels"), "no part of the language is this deep");
            self.place(Node { kind: Kind::Broken, span });
            return Ok(());
        }
        self.place(node);
        Ok(())
    }

    /// Puts a finished node where it belongs: into the innermost open list or map, or at the top.
    fn place(&mut self, node: Node) {
        let Some(open) = self.stack.last_mut() else {
            self.root = Some(node);
            return;
        };
        match &mut open.content {
            Content::List(items) => items.push(node),
            Content::Map { entries, pending, .. } => match std::mem::replace(pending, Pending::Key) {
                Pending::Value(key) => entries.push(Entry { key, value: node }),
                Pending::Nothing => {}
                Pending::Key => self.key(node),
            },
        }
    }

    fn key(&mut self, node: Node) {
        let key = match node.kind {
            Kind::Scalar(scalar) if scalar.style == Style::Plain && scalar.text == "<<" => {
                self.refuse(node.span, "merge keys are not part of this language", "write the keys out, or use `defaults`");
                None
            }
            Kind::Scalar(scalar) => self.distinct(Key { text: scalar.text, span: node.span }),
            Kind::Broken => None,
            Kind::List(_) | Kind::Map(_) => {
                self.refuse(node.span, "a list or map cannot be a key", "a key is text");
                None
            }
        };
        if let Some(Open { content: Content::Map { pending, .. }, .. }) = self.stack.last_mut() {
            *pending = key.map_or(Pending::Nothing, Pending::Value);
        }
    }

    /// The key, unless this map has it already.
    fn distinct(&mut self, key: Key) -> Option<Key> {
        let Some(Open { content: Content::Map { places, .. }, .. }) = self.stack.last_mut() else { return Some(key) };
        let Some(first) = places.insert(key.text.clone(), key.span) else { return Some(key) };
        places.insert(key.text.clone(), first);
        self.push(
            Diagnostic::new(Rule::DuplicateKey, key.span, format!("`{}` stands twice in this map", super::tree::shorten(&key.text)))
                .label("and again here")
                .related(first, "first here")
                .help("remove one of the two"),
        );
        None
    }

    /// The span that findings about a scalar point to: of an empty value its key.
    fn settle(&self, text: &str, span: Span) -> Span {
        match self.stack.last().map(|open| &open.content) {
            Some(Content::Map { pending: Pending::Value(key), .. }) if text.is_empty() && span.start == span.end => key.span,
            _ => span,
        }
    }

    fn remember(&mut self, anchor: usize, node: &Node) {
        if anchor != 0 {
            self.anchors.insert(anchor, (node.clone(), Extent::of(node)));
        }
    }

    fn spend(&mut self, extent: Extent, span: Span) -> Result<(), Stop> {
        if self.budget.spend(extent) {
            return Ok(());
        }
        self.refuse(span, "too much in one file, aliases counted each time", "divide it into several files and `include` them");
        Err(Stop)
    }

    fn refuse_tag(&mut self, tagged: bool, span: Span) {
        if tagged {
            self.refuse(span, "tags are not part of this language", "leave the tag out: what a value is follows from its key");
        }
    }

    fn refuse(&mut self, span: Span, what: &str, help: &str) {
        self.push(Diagnostic::new(Rule::RefusedYaml, span, what).help(help));
    }

    fn ambiguous(&mut self, text: &str, span: Span) {
        let is_key = matches!(self.stack.last(), Some(Open { content: Content::Map { pending: Pending::Key, .. }, .. }));
        let help = match text.to_ascii_lowercase().as_str() {
            _ if is_key => format!("choose another name, or quote it: `\"{text}\"`"),
            "y" | "yes" | "on" => format!("write `true`, or `\"{text}\"` where text is meant"),
            _ => format!("write `false`, or `\"{text}\"` where text is meant"),
        };
        let what = format!("`{text}` is text to some readers of YAML and true or false to others");
        self.push(Diagnostic::new(Rule::AmbiguousWord, span, what).help(help));
    }

    fn push(&mut self, finding: Diagnostic) {
        let mut path = DocPath::default();
        for open in &self.stack {
            match &open.content {
                Content::List(items) => _ = path.enter_item(items.len()),
                Content::Map { pending: Pending::Value(key), .. } => _ = path.enter_key(&key.text),
                Content::Map { .. } => {}
            }
        }
        self.report.push(finding.path(path.to_string()));
    }
}

/// YAML 1.1 reads these as true or false, YAML 1.2 as text, and libraries disagree about which they speak.
fn is_ambiguous(text: &str) -> bool {
    ["yes", "no", "on", "off", "y", "n"].iter().any(|word| text.eq_ignore_ascii_case(word))
}
