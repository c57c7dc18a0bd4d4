//! Fields that the gateway writes and a client cannot: every occurrence the client sent is left out, then one is appended.
//!
//! Appending alone can be forged: an unfinished unknown field at the end of a message would swallow the stamp. So stamps are for
//! messages that a [`Walk`](super::Walk) accepted, which therefore end where they end; others are refused here too.

use bytes::BufMut;
use prost::encoding;
use prost_reflect::Kind;

use super::{FieldPath, read};

/// A field that can be stamped.
#[derive(Clone)]
pub struct Stamp {
    number: u32,
    kind: Kind,
}

/// A value that does not fit its field, or a message that is none. The call is refused; there is no unstamped message.
#[derive(Debug)]
pub struct Unconvertible;

// === impl Stamp ===

impl Stamp {
    /// Says why a field cannot be stamped: only one that stands in the message itself, once, outside any oneof, has no other place
    /// from which a client could still decide its value.
    pub fn compile(path: &FieldPath) -> Result<Stamp, String> {
        let kind = path.leaf().kind();
        let why_not = match (&kind, path.numbers()) {
            (_, [_, _, ..]) => "is not a field of the request itself",
            _ if path.is_repeated_anywhere() => "is a list or a map",
            _ if path.is_oneof_member() => "is in a oneof",
            (Kind::Message(_), _) => "is a message",
            (Kind::Float | Kind::Double, _) => "is a floating point number",
            (_, [number]) => return Ok(Stamp { number: *number, kind }),
            (_, []) => unreachable!("a path has at least one field"),
        };
        Err(format!("`{path}` {why_not}; a stamp needs a single string, bytes, integer, bool or enum of the request itself"))
    }

    pub(super) fn number(&self) -> u32 {
        self.number
    }

    /// Writes the field even when `value` is what an absent field means: present is what the gateway says.
    fn append(&self, value: &str, out: &mut impl BufMut) -> Option<()> {
        let number = self.number;
        match &self.kind {
            Kind::String | Kind::Bytes => encoding::string::encode(number, &value.to_owned(), out),
            Kind::Bool => encoding::bool::encode(number, &value.parse().ok()?, out),
            Kind::Int32 => encoding::int32::encode(number, &value.parse().ok()?, out),
            Kind::Int64 => encoding::int64::encode(number, &value.parse().ok()?, out),
            Kind::Uint32 => encoding::uint32::encode(number, &value.parse().ok()?, out),
            Kind::Uint64 => encoding::uint64::encode(number, &value.parse().ok()?, out),
            Kind::Sint32 => encoding::sint32::encode(number, &value.parse().ok()?, out),
            Kind::Sint64 => encoding::sint64::encode(number, &value.parse().ok()?, out),
            Kind::Fixed32 => encoding::fixed32::encode(number, &value.parse().ok()?, out),
            Kind::Fixed64 => encoding::fixed64::encode(number, &value.parse().ok()?, out),
            Kind::Sfixed32 => encoding::sfixed32::encode(number, &value.parse().ok()?, out),
            Kind::Sfixed64 => encoding::sfixed64::encode(number, &value.parse().ok()?, out),
            Kind::Enum(values) => {
                let named = values.get_value_by_name(value);
                let declared = named.or_else(|| values.get_value(value.parse().ok()?))?;
                encoding::int32::encode(number, &declared.number(), out);
            }
            Kind::Float | Kind::Double | Kind::Message(_) => return None,
        }
        Some(())
    }
}

/// Copies `message`, which a walk has accepted, with the given fields holding the given values. After an error `out` is not to be used.
pub fn copy_stamped(message: &[u8], stamps: &[(&Stamp, &str)], out: &mut impl BufMut) -> Result<(), Unconvertible> {
    let is_stamped = |number| stamps.iter().any(|(stamp, _)| stamp.number == number);
    read::copy_without(message, is_stamped, out).map_err(|read::Malformed| Unconvertible)?;
    stamps.iter().try_for_each(|(stamp, value)| stamp.append(value, out)).ok_or(Unconvertible)
}
