//! What a message breaks, in words for the client.
//!
//! Promises: at most [`VIOLATIONS_MAX`], each once; nothing of what the client sent: a map's entry is `field[*]`, whatever its key.

use std::fmt;

/// Most violations that are told of one message.
pub const VIOLATIONS_MAX: usize = 100;

/// One rule that a message breaks.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Violation {
    /// The path of the field, such as `items[3].name`; empty when it is the whole message.
    pub field: String,
    /// The rule's id, such as `string.min_len`.
    pub rule: String,
    /// Such as `must be at least 3 characters`.
    pub says: String,
}

/// Everything that a message breaks.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Violations(Vec<Violation>);

/// Where the judge is in a message.
pub(super) struct Path<'p> {
    pub above: Option<&'p Path<'p>>,
    pub name: &'p str,
    pub at: At,
}

/// Which part of a field.
#[derive(Clone, Copy)]
pub(super) enum At {
    Whole,
    Element(u32),
    Entry,
}

// === impl Violations ===

impl Violations {
    /// In the order in which they were found.
    pub fn iter(&self) -> impl Iterator<Item = &Violation> {
        self.0.iter()
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// No more are taken.
    pub(super) fn is_full(&self) -> bool {
        self.0.len() >= VIOLATIONS_MAX
    }

    pub(super) fn push(&mut self, violation: Violation) {
        // Entries of a map look alike.
        if !self.is_full() && !self.0.contains(&violation) {
            self.0.push(violation);
        }
    }
}

impl fmt::Display for Violations {
    /// The first of them, and how many more there are.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(first) = self.0.first() else { return f.write_str("it breaks no rule") };
        let Violation { field, rule, says } = first;
        match field.as_str() {
            "" => write!(f, "{says} ({rule})")?,
            field => write!(f, "`{field}` {says} ({rule})")?,
        }
        match self.0.len() {
            1 => Ok(()),
            len => write!(f, ", and {} more", len - 1),
        }
    }
}

// === impl Path ===

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(above) = self.above {
            write!(f, "{above}.")?;
        }
        match self.at {
            At::Whole => f.write_str(self.name),
            At::Element(index) => write!(f, "{}[{index}]", self.name),
            At::Entry => write!(f, "{}[*]", self.name),
        }
    }
}
