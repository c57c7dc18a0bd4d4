//! What reads a tree by the grammar: it knows the path, the folder of the file, and where findings go.
//!
//! Reading never fails. What cannot be read is reported and is `None`; everything beside it is read all the same.

use std::path::Path;

use super::grammar::Read;
use super::path::DocPath;
use super::tree::{Entry, Kind, Node, Scalar};
use crate::diagnostic::{Diagnostic, Report, Rule, Spanned};

pub struct Reader<'a> {
    report: &'a mut Report,
    folder: &'a Path,
    path: DocPath,
}

impl<'a> Reader<'a> {
    /// A reader at the top of a file; paths written in it start from `folder`.
    pub fn new(report: &'a mut Report, folder: &'a Path) -> Reader<'a> {
        Reader { report, folder, path: DocPath::default() }
    }

    pub fn folder(&self) -> &Path {
        self.folder
    }

    /// What stands under a key.
    pub fn field<T: Read>(&mut self, entry: &Entry) -> Option<Spanned<T>> {
        let before = self.path.enter_key(&entry.key.text);
        let value = self.value(&entry.value);
        self.path.leave(before);
        value
    }

    /// An item of a list.
    pub fn item<T: Read>(&mut self, index: usize, node: &Node) -> Option<Spanned<T>> {
        let before = self.path.enter_item(index);
        let value = self.value(node);
        self.path.leave(before);
        value
    }

    fn value<T: Read>(&mut self, node: &Node) -> Option<Spanned<T>> {
        Some(Spanned::new(T::read(node, self)?, node.span))
    }

    /// The entries of a map; an empty value is a map of nothing, so that every entry of it may be commented out.
    pub fn entries<'n>(&mut self, node: &'n Node, expected: &str) -> Option<&'n [Entry]> {
        match &node.kind {
            Kind::Map(entries) => Some(entries),
            _ if node.is_null() => Some(&[]),
            _ => self.wrong_type(node, expected, None),
        }
    }

    /// The items of a list; an empty value is a list of nothing.
    pub fn items<'n>(&mut self, node: &'n Node) -> Option<&'n [Node]> {
        match &node.kind {
            Kind::List(items) => Some(items),
            Kind::Scalar(scalar) if !node.is_null() => {
                self.wrong_type(node, "a list", Some(format!("write it as a list: `[{}]`", scalar.shown().trim_matches('`'))))
            }
            _ if node.is_null() => Some(&[]),
            _ => self.wrong_type(node, "a list", None),
        }
    }

    /// A single value that is there.
    pub fn scalar<'n>(&mut self, node: &'n Node, expected: &str) -> Option<&'n Scalar> {
        match &node.kind {
            Kind::Scalar(scalar) if !node.is_null() => Some(scalar),
            _ => self.wrong_type(node, expected, None),
        }
    }

    /// Reports a value of the wrong kind, unless it is broken and therefore reported already.
    pub fn wrong_type<T>(&mut self, node: &Node, expected: &str, help: Option<String>) -> Option<T> {
        if matches!(node.kind, Kind::Broken) {
            return None;
        }
        let mut diagnostic = Diagnostic::new(Rule::WrongType, node.span, format!("expected {expected}, found {}", node.describe()));
        diagnostic.help = if node.is_null() { Some("give it a value, or leave the key out".to_owned()) } else { help };
        self.push(diagnostic)
    }

    /// Reports at the present path, and is `None` for the caller to return.
    pub fn push<T>(&mut self, diagnostic: Diagnostic) -> Option<T> {
        self.report.push(diagnostic.path(self.path.to_string()));
        None
    }

    /// The path of a key of the present map; with none, of the map itself, unless it is the whole file.
    pub fn path_of(&self, key: Option<&str>) -> Option<String> {
        let mut path = self.path.clone();
        if let Some(key) = key {
            path.enter_key(key);
        }
        Some(path.to_string()).filter(|path| !path.is_empty())
    }

    /// Reports something about an item of the present list.
    pub fn push_at_item(&mut self, index: usize, diagnostic: Diagnostic) {
        let before = self.path.enter_item(index);
        self.report.push(diagnostic.path(self.path.to_string()));
        self.path.leave(before);
    }

    /// Reports something about a key of the present map.
    pub fn push_at_key(&mut self, key: &str, diagnostic: Diagnostic) {
        let before = self.path.enter_key(key);
        self.report.push(diagnostic.path(self.path.to_string()));
        self.path.leave(before);
    }
}
