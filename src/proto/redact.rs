//! Masks what must not be shown, in place and without changing a length, so that a masked message still decodes and logs tell its shape.
//!
//! Masked are the fields that a path names, the fields that the schema marks `debug_redact`, wherever their type is used, everything
//! inside them, and every field that the schema does not name: nobody has said that those may be shown. Text and bytes become asterisks,
//! numbers become zero.

use super::program::{Field, Program, Shape, Table};
use super::raw::{self, COUNTED, DEPTH_MAX, END, FIXED32, FIXED64, GROUP, VARINT};
use super::walk::WalkProblem;
use super::{FieldPath, MessageType};

/// A compiled mask of one message type.
pub struct Redact {
    program: Program,
}

/// Where in the types and in the paths the mask stands.
#[derive(Clone, Copy)]
struct Place {
    table: Table,
    node: Option<u32>,
    depth: u32,
    /// The number of the group that is open, or 0 in a message, which ends where its bytes end.
    group: u32,
    /// Everything here is secret.
    secret: bool,
}

// === impl Redact ===

impl Redact {
    /// Compiles a mask. Paths may lead through lists and maps, and may end in a message, which is then masked as a whole.
    pub fn compile(root: &MessageType, paths: &[FieldPath]) -> Redact {
        let mut program = Program::compile(root.descriptor(), true);
        for path in paths {
            program.hide(path.fields());
        }
        Redact { program }
    }

    /// Masks a message. If this fails the message is masked up to some point only, and must not be shown.
    pub fn apply(&self, message: &mut [u8]) -> Result<(), WalkProblem> {
        let (table, node) = self.program.start();
        self.fields(message, Place { table, node, depth: 0, group: 0, secret: false }).map(|_| ())
    }

    /// Masks the fields of one message or group and returns how many bytes they took.
    fn fields(&self, message: &mut [u8], place: Place) -> Result<usize, WalkProblem> {
        let mut at = 0;
        while at < message.len() {
            let (number, wire, after) = raw::key(&message[at..])?;
            at = message.len() - after.len();
            if wire == END {
                return if number == place.group { Ok(at) } else { Err(WalkProblem::Group(number)) };
            }
            let field = self.program.field(place.table, number);
            let step = self.program.at(place.node, number);
            let secret = place.secret || field.secret || field.shape == Shape::Unknown || step.is_some_and(|step| step.secret);
            let inside = Place {
                // Of an unknown field also the inside is unknown.
                table: if field.shape == Shape::Unknown { Table::default() } else { self.program.table(field.table) },
                node: step.and_then(|step| step.node),
                depth: place.depth + 1,
                group: if wire == GROUP { number } else { 0 },
                secret,
            };
            at += self.value(&mut message[at..], number, wire, field, inside)?;
        }
        if place.group == 0 { Ok(at) } else { Err(WalkProblem::Truncated) }
    }

    /// Masks one value and returns how many bytes it took.
    fn value(&self, bytes: &mut [u8], number: u32, wire: u32, field: Field, inside: Place) -> Result<usize, WalkProblem> {
        let length = bytes.len();
        match wire {
            VARINT => {
                let taken = length - raw::varint(bytes)?.1.len();
                if inside.secret {
                    zero(&mut bytes[..taken]);
                }
                Ok(taken)
            }
            FIXED32 | FIXED64 => {
                let width = if wire == FIXED32 { 4 } else { 8 };
                let value = bytes.get_mut(..width).ok_or(WalkProblem::Truncated)?;
                if inside.secret {
                    value.fill(0);
                }
                Ok(width)
            }
            GROUP if !matches!(field.shape, Shape::Group | Shape::Unknown) => Err(WalkProblem::WireType(number)),
            GROUP if inside.depth > DEPTH_MAX => Err(WalkProblem::Deep),
            GROUP => self.fields(bytes, inside),
            COUNTED => {
                let (value, rest) = raw::counted(bytes)?;
                let (end, start) = (length - rest.len(), length - rest.len() - value.len());
                self.counted(&mut bytes[start..end], field, inside)?;
                Ok(end)
            }
            _ => Err(WalkProblem::Key),
        }
    }

    fn counted(&self, value: &mut [u8], field: Field, inside: Place) -> Result<(), WalkProblem> {
        match field.shape {
            Shape::Message | Shape::Map if inside.depth > DEPTH_MAX => return Err(WalkProblem::Deep),
            Shape::Message | Shape::Map => {
                self.fields(value, inside)?;
            }
            _ if !inside.secret => {}
            Shape::Fixed32 | Shape::Fixed64 => value.fill(0),
            Shape::Varint => zero(value),
            Shape::Text | Shape::Bytes | Shape::Unknown | Shape::Group => value.fill(b'*'),
        }
        Ok(())
    }
}

/// Turns whole varints into zeros of the same lengths: the continuation bits stay, the rest goes.
fn zero(varints: &mut [u8]) {
    for byte in varints {
        *byte &= 0x80;
    }
}
