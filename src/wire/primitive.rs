//! The pieces protobuf is made of, read from borrowed bytes and appended to a vector.
//!
//! Promises: reading copies nothing, allocates nothing, and never goes backwards; what it accepts is what prost accepts, except groups,
//! which nobody writes any more and which are refused.

/// What is wrong with the bytes; the caller adds which field it was.
pub type Problem = &'static str;

/// How a field's value is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Wire {
    Varint,
    Fixed64,
    Bytes,
    Fixed32,
}

/// What is left of a message.
#[derive(Clone, Copy)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

// === impl Reader ===

impl<'a> Reader<'a> {
    pub fn new(message: &'a [u8]) -> Reader<'a> {
        Reader { rest: message }
    }

    /// The number and the form of the next field; None at the end.
    pub fn field(&mut self) -> Result<Option<(u32, Wire)>, Problem> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let key = u32::try_from(self.varint()?).map_err(|_| "a field number is out of range")?;
        let wire = match key & 7 {
            0 => Wire::Varint,
            1 => Wire::Fixed64,
            2 => Wire::Bytes,
            5 => Wire::Fixed32,
            3 | 4 => return Err("groups are not supported"),
            _ => return Err("a field has an unknown wire type"),
        };
        match key >> 3 {
            0 => Err("a field has number 0"),
            number => Ok(Some((number, wire))),
        }
    }

    /// Passes over a field that nobody here knows.
    pub fn skip(&mut self, wire: Wire) -> Result<(), Problem> {
        match wire {
            Wire::Varint => self.varint().map(drop),
            Wire::Fixed64 => self.take(8).map(drop),
            Wire::Bytes => self.bytes(wire).map(drop),
            Wire::Fixed32 => self.take(4).map(drop),
        }
    }

    /// A uint64.
    pub fn uint64(&mut self, wire: Wire) -> Result<u64, Problem> {
        match wire {
            Wire::Varint => self.varint(),
            _ => Err("is not a number"),
        }
    }

    /// A uint32; like every protobuf reader it keeps the low half of a larger number.
    pub fn uint32(&mut self, wire: Wire) -> Result<u32, Problem> {
        self.uint64(wire).map(|value| value as u32)
    }

    pub fn bool(&mut self, wire: Wire) -> Result<bool, Problem> {
        self.uint64(wire).map(|value| value != 0)
    }

    /// A string.
    pub fn text(&mut self, wire: Wire) -> Result<&'a str, Problem> {
        std::str::from_utf8(self.bytes(wire)?).map_err(|_| "is not UTF-8")
    }

    /// Bytes, or a message.
    pub fn bytes(&mut self, wire: Wire) -> Result<&'a [u8], Problem> {
        if wire != Wire::Bytes {
            return Err("is a number and should have a length");
        }
        let length = self.varint()?;
        self.take(usize::try_from(length).map_err(|_| "ends after the message")?)
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], Problem> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or("ends after the message")?;
        self.rest = rest;
        Ok(taken)
    }

    fn varint(&mut self) -> Result<u64, Problem> {
        let mut value = 0;
        for (index, &byte) in self.rest.iter().enumerate().take(10) {
            value |= u64::from(byte & 0x7f) << (7 * index);
            if byte < 0x80 {
                // The tenth byte holds the 64th bit and no more.
                if index == 9 && byte > 1 {
                    break;
                }
                self.rest = &self.rest[index + 1..];
                return Ok(value);
            }
        }
        Err(if self.rest.len() < 10 { "a number ends after the message" } else { "a number is longer than 64 bits" })
    }
}

// === Writing. Default values are left out, as proto3 does. ===

/// A uint32, a uint64 or a bool.
pub fn put_number(out: &mut Vec<u8>, field: u32, value: u64) {
    if value != 0 {
        put_varint(out, u64::from(field) << 3);
        put_varint(out, value);
    }
}

/// A string or bytes.
pub fn put_bytes(out: &mut Vec<u8>, field: u32, bytes: &[u8]) {
    if !bytes.is_empty() {
        put_varint(out, u64::from(field) << 3 | 2);
        put_varint(out, bytes.len() as u64);
        out.extend_from_slice(bytes);
    }
}

/// A message, written even when it is empty. Its length stands before it and is known after it: the length is inserted, which moves the
/// message by a byte or two and allocates nothing.
pub fn put_message(out: &mut Vec<u8>, field: u32, write: impl FnOnce(&mut Vec<u8>)) {
    put_varint(out, u64::from(field) << 3 | 2);
    let start = out.len();
    write(out);
    let end = out.len();
    put_varint(out, (end - start) as u64);
    let length_bytes = out.len() - end;
    out[start..].rotate_right(length_bytes);
}

fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_number_is_read_as_prost_reads_it(bytes in prop::collection::vec(prop_oneof![any::<u8>(), Just(0xff), Just(0x80)], 0..12)) {
            let mut reader = Reader::new(&bytes);
            let mut theirs = &bytes[..];
            match (reader.varint(), prost::encoding::decode_varint(&mut theirs)) {
                (Ok(ours), Ok(value)) => {
                    prop_assert_eq!(ours, value);
                    prop_assert_eq!(reader.rest, theirs);
                }
                (Err(_), Err(_)) => {}
                (ours, theirs) => prop_assert!(false, "{ours:?} and {theirs:?}"),
            }
        }

        #[test]
        fn a_message_of_any_length_gets_its_length(length in 0_usize..40_000) {
            let mut out = vec![9];
            put_message(&mut out, 4, |out| out.resize(out.len() + length, 7));
            let mut reader = Reader::new(&out[1..]);
            prop_assert_eq!(reader.field(), Ok(Some((4, Wire::Bytes))));
            prop_assert_eq!(reader.bytes(Wire::Bytes), Ok(&vec![7; length][..]));
            prop_assert_eq!(reader.field(), Ok(None));
        }
    }
}
