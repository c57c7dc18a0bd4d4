//! Hides what a log must not show, in place and without changing a length: text becomes stars, numbers become zero.
//!
//! Hidden are the fields of a route's `redact:`, those marked `debug_redact` in the descriptor, and those that are called as secrets are
//! (`secret`), at any depth: in lists, in maps
//! (keys too, when the map itself is hidden), in groups, and inside `Any`. An `Any` of a type that the pool lacks is hidden whole.
//! What stays visible are field numbers and lengths.

use std::sync::Arc;

use super::program::{Layout, Shape, Shapes};
use super::read::{self, Malformed, Wire};
use super::walk::DEPTH_MAX;
use super::{FieldPath, MessageType};

/// What to hide in messages of one type.
#[derive(Clone)]
pub struct Redact {
    shapes: Arc<Shapes>,
    root: u32,
    paths: Paths,
}

/// The bytes are not a message: log nothing of them.
#[derive(Debug)]
pub struct Unreadable;

/// The paths that a route hides, as a tree.
#[derive(Clone, Default)]
struct Paths {
    hidden: bool,
    below: Vec<(u32, Paths)>,
}

/// What is hidden in one message.
#[derive(Clone, Copy)]
enum Hide<'p> {
    /// Everything.
    All,
    /// These, and what the descriptor marks.
    Paths(Option<&'p Paths>),
}

/// The fields of `google.protobuf.Any`.
const ANY_TYPE_URL: u32 = 1;
const ANY_VALUE: u32 = 2;

// === impl Redact ===

impl Redact {
    pub fn compile(root: &MessageType, paths: &[FieldPath]) -> Redact {
        let shapes = Arc::clone(root.pool().shapes());
        let index = shapes.index(root.name()).expect("a pool's shapes cover all its messages");
        let mut tree = Paths::default();
        paths.iter().for_each(|path| tree.insert(path.numbers()));
        Redact { shapes, root: index, paths: tree }
    }

    /// Hides in place. After an error the bytes are partly hidden and must not be logged at all.
    pub fn apply(&self, message: &mut [u8]) -> Result<(), Unreadable> {
        let root = self.shapes.shape(self.root);
        self.message(Some(root), Hide::Paths(Some(&self.paths)), message, DEPTH_MAX).map_err(|Malformed| Unreadable)
    }

    fn message(&self, shape: Option<&Shape>, hide: Hide<'_>, message: &mut [u8], depth: u32) -> Result<(), Malformed> {
        let depth = depth.checked_sub(u32::from(!shape.is_some_and(|shape| shape.is_entry))).ok_or(Malformed)?;
        if shape.is_some_and(|shape| shape.is_any) && matches!(hide, Hide::Paths(_)) {
            return self.any(hide, message, depth);
        }
        let mut at = 0;
        while at < message.len() {
            let field = read::field(message, at)?;
            at = field.whole.end;
            let body = &mut message[field.body];
            let known = shape.map(|shape| shape.field(field.number)).filter(|known| known.layout != Layout::Unknown);
            let hide = hide.field(field.number, known.is_some_and(|known| known.redact));
            match (known.map(|known| (known.layout, known.shape)), field.wire, hide) {
                (Some((Layout::Message, shape)), Wire::Len, _) | (Some((Layout::Group, shape)), Wire::StartGroup, _) => {
                    self.message(Some(self.shapes.shape(shape)), hide, body, depth)?;
                }
                (_, _, Hide::Paths(_)) => {}
                (_, Wire::StartGroup, Hide::All) => self.message(None, hide, body, depth)?,
                (_, Wire::Varint, Hide::All) => zero_varint(body),
                (Some((Layout::PackedVarint | Layout::PackedFixed32 | Layout::PackedFixed64, _)), Wire::Len, Hide::All) => body.fill(0),
                (_, Wire::Len, Hide::All) => body.fill(b'*'),
                (_, Wire::Fixed32 | Wire::Fixed64 | Wire::EndGroup, Hide::All) => body.fill(0),
            }
        }
        Ok(())
    }

    /// Hides in the message that an `Any` holds; all of it, when its type is not known, or it does not say, or the route says so.
    fn any(&self, hide: Hide<'_>, message: &mut [u8], depth: u32) -> Result<(), Malformed> {
        let mut shape = None;
        let mut urls = Vec::new();
        let mut values = Vec::new();
        for field in read::fields(message) {
            let field = field?;
            match (field.number, field.wire) {
                (ANY_TYPE_URL, Wire::Len) => {
                    shape = self.type_url(&message[field.body.clone()]);
                    urls.push(field.body);
                }
                (ANY_VALUE, Wire::Len) => values.push(field.body),
                _ => {}
            }
        }
        if matches!(hide.field(ANY_TYPE_URL, false), Hide::All) {
            urls.into_iter().for_each(|url| message[url].fill(b'*'));
        }
        if matches!(hide.field(ANY_VALUE, false), Hide::All) {
            shape = None;
        }
        for value in values {
            let value = &mut message[value];
            let hidden = shape.map(|shape| self.message(Some(shape), Hide::Paths(None), value, depth));
            if !matches!(hidden, Some(Ok(()))) {
                value.fill(b'*');
            }
        }
        Ok(())
    }

    fn type_url(&self, url: &[u8]) -> Option<&Shape> {
        let name = std::str::from_utf8(url).ok()?.rsplit('/').next()?;
        self.shapes.index(name).map(|index| self.shapes.shape(index))
    }
}

// === impl Paths ===

impl Paths {
    fn insert(&mut self, numbers: &[u32]) {
        let Some((number, rest)) = numbers.split_first() else {
            self.hidden = true;
            return;
        };
        let at = self.below.iter().position(|(known, _)| known == number).unwrap_or_else(|| {
            self.below.push((*number, Paths::default()));
            self.below.len() - 1
        });
        self.below[at].1.insert(rest);
    }

    fn field(&self, number: u32) -> Option<&Paths> {
        self.below.iter().find(|(known, _)| *known == number).map(|(_, paths)| paths)
    }
}

// === impl Hide ===

impl<'p> Hide<'p> {
    /// What is hidden in a field of a message.
    fn field(self, number: u32, marked: bool) -> Hide<'p> {
        match self {
            Hide::Paths(paths) if !marked => match paths.and_then(|paths| paths.field(number)) {
                Some(paths) if paths.hidden => Hide::All,
                paths => Hide::Paths(paths),
            },
            _ => Hide::All,
        }
    }
}

/// Zero, written in as many bytes as there are.
fn zero_varint(bytes: &mut [u8]) {
    if let Some((last, before)) = bytes.split_last_mut() {
        before.fill(0x80);
        *last = 0;
    }
}
