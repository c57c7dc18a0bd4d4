//! What the walker reads from a message: decoded scalars, borrowed from the message's own bytes.

use smallvec::SmallVec;

/// One scalar. Enum values are their numbers; compare these, never the bytes they came from (a varint has many spellings).
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Value<'m> {
    /// Not on the wire, or cleared by a later member of its oneof. A reader that makes no difference between a field that is absent
    /// and one that holds its default value takes [`Value::or`] with [`FieldPath::default_value`](super::FieldPath::default_value).
    Absent,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Float(f64),
    Str(&'m str),
    Bytes(&'m [u8]),
}

/// The values of one walk, in the order in which the fields were asked for. Made to be used again for the next message.
#[derive(Default)]
pub struct Values<'m> {
    /// Eight are inline: a route reads a hash key, a few limit keys and a binding, so a walk allocates nothing.
    slots: SmallVec<[Value<'m>; 8]>,
}

// === impl Value ===

impl<'m> Value<'m> {
    /// This value, or `default` when it is absent.
    pub fn or(self, default: Value<'m>) -> Value<'m> {
        if self == Value::Absent { default } else { self }
    }
}

// === impl Values ===

impl<'m> Values<'m> {
    pub fn new() -> Values<'m> {
        Values::default()
    }

    /// The value of the `index`th field of the walk's `extract`.
    pub fn get(&self, index: usize) -> Value<'m> {
        self.slots[index]
    }

    pub fn iter(&self) -> impl Iterator<Item = Value<'m>> {
        self.slots.iter().copied()
    }

    #[inline]
    pub(super) fn reset(&mut self, len: usize) {
        self.slots.clear();
        if len > 0 {
            self.slots.resize(len, Value::Absent);
        }
    }

    pub(super) fn set(&mut self, slot: u16, value: Value<'m>) {
        self.slots[usize::from(slot)] = value;
    }
}
