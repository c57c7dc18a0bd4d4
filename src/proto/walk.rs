//! Reads a message once: is it whole, is it within bounds, and what are the few values that a route asks about.
//!
//! A walk accepts what the reflecting decoder accepts, less what is beyond the bounds. It is stricter in one point: a map field must be
//! written as counted bytes. The decoder does not look at that wire type, but a service does, and would read other fields than we judged.
//!
//! Values are what a service will read: the last occurrence wins, the parts of a message are merged, and a later member of a oneof clears
//! the earlier ones with everything inside them. A field without presence that holds its default is absent, however it was written.
//! Running allocates nothing, unless a route asks about more than four values.

use std::fmt;

use smallvec::SmallVec;

use super::program::{Form, Program, Scalar, Shape, Step, Table};
use super::raw::{self, COUNTED, DEPTH_MAX, END, FIXED32, FIXED64, GROUP, VARINT};
use super::{FieldPath, MessageType};

/// Each occurrence of a field and each packed element counts.
const ELEMENTS_MAX: u32 = 10_000;

/// Fields that the schema does not name, also those inside unknown groups.
const UNKNOWN_MAX: u32 = 64;

/// A compiled reader of one message type.
pub struct Walk {
    program: Program,
    values: usize,
    options: WalkOptions,
}

#[derive(Clone, Copy)]
pub struct WalkOptions {
    pub unknown_fields: UnknownPolicy,
}

/// What happens to a field that the schema does not name.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum UnknownPolicy {
    /// It is passed on, because the service may be newer than the gateway's schema.
    Pass,
    /// The message is refused.
    Reject,
}

/// The values that a walk took out, in the order in which they were asked for.
#[derive(Default)]
pub struct Values<'m>(SmallVec<[Value<'m>; 4]>);

/// A scalar as protobuf means it, whatever its encoding.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'m> {
    Absent,
    Bool(bool),
    /// Also the number of an enum's value.
    Int(i64),
    Uint(u64),
    Str(&'m str),
    Bytes(&'m [u8]),
}

/// Why a message is refused. The text is for the client; the numbers are those of fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WalkProblem {
    Truncated,
    Varint,
    Key,
    WireType(u32),
    Text(u32),
    Group(u32),
    Deep,
    Elements,
    UnknownCount,
    Unknown(u32),
}

/// One run: the budgets that are left.
struct Run<'w, 'm> {
    walk: &'w Walk,
    values: &'w mut [Value<'m>],
    elements: u32,
    unknown: u32,
}

/// Where in the types and in the paths a run stands.
#[derive(Clone, Copy)]
struct Place {
    table: Table,
    node: Option<u32>,
    depth: u32,
    /// The number of the group that is open, or 0 in a message, which ends where its bytes end.
    group: u32,
}

// === impl Walk ===

impl Walk {
    /// Compiles a walk. A path in `extract` that does not lead to exactly one scalar that a [`Value`] can hold yields an absent value.
    pub fn compile(root: &MessageType, extract: &[FieldPath], options: WalkOptions) -> Walk {
        let mut program = Program::compile(root.descriptor(), false);
        for (index, path) in (0..).zip(extract) {
            program.extract(path.fields(), index);
        }
        Walk { program, values: extract.len(), options }
    }

    /// Reads a message to its exact end. If it is refused, the values mean nothing.
    pub fn run<'m>(&self, message: &'m [u8], values: &mut Values<'m>) -> Result<(), WalkProblem> {
        values.0.clear();
        values.0.resize(self.values, Value::Absent);
        let (table, node) = self.program.start();
        let mut run = Run { walk: self, values: &mut values.0, elements: ELEMENTS_MAX, unknown: UNKNOWN_MAX };
        run.fields(message, Place { table, node, depth: 0, group: 0 }).map(|_| ())
    }
}

// === impl Run ===

impl<'m> Run<'_, 'm> {
    /// Reads the fields of one message or group and returns what follows it.
    fn fields(&mut self, mut rest: &'m [u8], place: Place) -> Result<&'m [u8], WalkProblem> {
        let program = &self.walk.program;
        let near = program.near(place.table);
        let node = program.node(place.node);
        while !rest.is_empty() {
            let (number, wire, after) = raw::key(rest)?;
            if wire == END {
                return if number == place.group { Ok(after) } else { Err(WalkProblem::Group(number)) };
            }
            self.count(1)?;
            let field = near.get(number as usize).copied().unwrap_or_else(|| program.far(place.table, number));
            let step = node.and_then(|node| node.at(number));
            if let Some(step) = step {
                self.clear(step);
            }
            rest = match (field.shape, wire) {
                (Shape::Varint, VARINT) => {
                    let (value, rest) = raw::varint(after)?;
                    self.take_number(step, value);
                    rest
                }
                (Shape::Text, COUNTED) => {
                    let (bytes, rest) = raw::counted(after)?;
                    if step.is_some() || !bytes.is_ascii() {
                        let text = std::str::from_utf8(bytes).map_err(|_| WalkProblem::Text(number))?;
                        self.take_counted(step, text.is_empty(), Value::Str(text));
                    }
                    rest
                }
                (Shape::Message | Shape::Map, COUNTED) => {
                    let (bytes, rest) = raw::counted(after)?;
                    self.fields(bytes, self.inside(place, field.table, step, 0)?)?;
                    rest
                }
                (Shape::Fixed32, FIXED32) => {
                    let (bytes, rest) = raw::fixed(after)?;
                    self.take_number(step, u64::from(u32::from_le_bytes(*bytes)));
                    rest
                }
                (Shape::Fixed64, FIXED64) => {
                    let (bytes, rest) = raw::fixed(after)?;
                    self.take_number(step, u64::from_le_bytes(*bytes));
                    rest
                }
                (Shape::Bytes, COUNTED) => {
                    let (bytes, rest) = raw::counted(after)?;
                    self.take_counted(step, bytes.is_empty(), Value::Bytes(bytes));
                    rest
                }
                (shape, COUNTED) if field.packable => {
                    let (bytes, rest) = raw::counted(after)?;
                    self.packed(shape, bytes)?;
                    rest
                }
                (Shape::Group, GROUP) => self.fields(after, self.inside(place, field.table, step, number)?)?,
                (Shape::Unknown, _) => self.unknown(number, wire, after, place.depth)?,
                _ => return Err(WalkProblem::WireType(number)),
            };
        }
        if place.group == 0 { Ok(rest) } else { Err(WalkProblem::Truncated) }
    }

    /// The place inside a message, map entry or group.
    fn inside(&self, place: Place, table: u32, step: Option<&Step>, group: u32) -> Result<Place, WalkProblem> {
        if place.depth >= DEPTH_MAX {
            return Err(WalkProblem::Deep);
        }
        Ok(Place { table: self.walk.program.table(table), node: step.and_then(|step| step.node), depth: place.depth + 1, group })
    }

    /// The elements of a packed list.
    fn packed(&mut self, shape: Shape, bytes: &[u8]) -> Result<(), WalkProblem> {
        let width = match shape {
            Shape::Fixed32 => 4,
            Shape::Fixed64 => 8,
            _ => return self.packed_varints(bytes),
        };
        if !bytes.len().is_multiple_of(width) {
            return Err(WalkProblem::Truncated);
        }
        self.count(u32::try_from(bytes.len() / width).unwrap_or(u32::MAX))
    }

    fn packed_varints(&mut self, mut bytes: &[u8]) -> Result<(), WalkProblem> {
        // Eight bytes at a time: an element ends at each byte without a continuation bit, and what ends within eight bytes is not too long.
        while let Some(word) = bytes.first_chunk() {
            let ends = !u64::from_le_bytes(*word) & 0x8080_8080_8080_8080;
            if ends == 0 {
                self.count(1)?;
                (_, bytes) = raw::varint(bytes)?;
            } else {
                // The product sums the bytes, each 0 or 1, in the highest one.
                self.count(((ends >> 7).wrapping_mul(0x0101_0101_0101_0101) >> 56) as u32)?;
                bytes = &bytes[8 - ends.leading_zeros() as usize / 8..];
            }
        }
        // Fewer than eight are left, so that none is too long either.
        match bytes.last() {
            Some(last) if *last >= 0x80 => Err(WalkProblem::Truncated),
            _ => self.count(bytes.iter().map(|byte| u32::from(*byte < 0x80)).sum()),
        }
    }

    /// A field that the schema does not name. Unknown groups are read here and not skipped, because what is inside counts as well.
    #[cold]
    fn unknown(&mut self, number: u32, wire: u32, bytes: &'m [u8], depth: u32) -> Result<&'m [u8], WalkProblem> {
        if self.walk.options.unknown_fields == UnknownPolicy::Reject {
            return Err(WalkProblem::Unknown(number));
        }
        self.unknown = self.unknown.checked_sub(1).ok_or(WalkProblem::UnknownCount)?;
        if wire != GROUP {
            return raw::skip(number, wire, bytes, depth);
        }
        if depth >= DEPTH_MAX {
            return Err(WalkProblem::Deep);
        }
        // In a table without fields everything is unknown.
        self.fields(bytes, Place { table: Table::default(), node: None, depth: depth + 1, group: number })
    }

    #[inline(always)]
    fn count(&mut self, elements: u32) -> Result<(), WalkProblem> {
        self.elements = self.elements.checked_sub(elements).ok_or(WalkProblem::Elements)?;
        Ok(())
    }

    fn clear(&mut self, step: &Step) {
        for index in &step.clears {
            self.values[*index as usize] = Value::Absent;
        }
    }

    #[inline(always)]
    fn take_number(&mut self, step: Option<&Step>, raw: u64) {
        if let Some((scalar, indexes)) = step.and_then(|step| step.take.as_ref()) {
            self.store(indexes, scalar.number(raw));
        }
    }

    #[inline(always)]
    fn take_counted(&mut self, step: Option<&Step>, empty: bool, value: Value<'m>) {
        if let Some((scalar, indexes)) = step.and_then(|step| step.take.as_ref()) {
            self.store(indexes, if empty && !scalar.presence { Value::Absent } else { value });
        }
    }

    fn store(&mut self, indexes: &[u32], value: Value<'m>) {
        for index in indexes {
            self.values[*index as usize] = value;
        }
    }
}

// === impl Scalar ===

impl Scalar {
    /// Decodes as every protobuf library does: numbers of 32 bits lose what is above.
    #[inline(never)]
    fn number<'m>(self, raw: u64) -> Value<'m> {
        let low = raw as u32;
        let value = match self.form {
            Form::Bool => Value::Bool(raw != 0),
            Form::Int32 | Form::Sfixed32 => Value::Int(i64::from(low as i32)),
            Form::Int64 | Form::Sfixed64 => Value::Int(raw as i64),
            Form::Sint32 => Value::Int(i64::from((low >> 1) as i32 ^ -((low & 1) as i32))),
            Form::Sint64 => Value::Int((raw >> 1) as i64 ^ -((raw & 1) as i64)),
            Form::Uint32 => Value::Uint(u64::from(low)),
            Form::Uint64 | Form::Fixed => Value::Uint(raw),
            // The table and the path come from the same descriptor, so text never stands where a number is.
            Form::Text | Form::Bytes => Value::Absent,
        };
        let default = matches!(value, Value::Bool(false) | Value::Int(0) | Value::Uint(0));
        if default && !self.presence { Value::Absent } else { value }
    }
}

// === impl Values ===

impl<'m> Values<'m> {
    /// The value that was asked for under this index; absent if nothing was.
    pub fn get(&self, index: usize) -> Value<'m> {
        self.0.get(index).copied().unwrap_or(Value::Absent)
    }

    /// Every value, in the order in which they were asked for.
    pub fn iter(&self) -> impl Iterator<Item = Value<'m>> {
        self.0.iter().copied()
    }
}

// === impl WalkProblem ===

impl fmt::Display for WalkProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WalkProblem::Truncated => f.write_str("the message ends inside a field"),
            WalkProblem::Varint => f.write_str("a number is longer than 64 bits"),
            WalkProblem::Key => f.write_str("a field has an impossible number or wire type"),
            WalkProblem::WireType(number) => write!(f, "field {number} has another wire type than its schema says"),
            WalkProblem::Text(number) => write!(f, "field {number} is not valid UTF-8"),
            WalkProblem::Group(number) => write!(f, "field {number} ends a group that is not open"),
            WalkProblem::Deep => write!(f, "the message nests deeper than {DEPTH_MAX} levels"),
            WalkProblem::Elements => write!(f, "the message has more than {ELEMENTS_MAX} elements"),
            WalkProblem::UnknownCount => write!(f, "the message has more than {UNKNOWN_MAX} unknown fields"),
            WalkProblem::Unknown(number) => write!(f, "field {number} is unknown"),
        }
    }
}

impl std::error::Error for WalkProblem {}

#[cfg(test)]
#[path = "walk_tests.rs"]
mod tests;
