//! The protobuf wire format: keys, varints, and where each field of a message begins and ends.
//!
//! Promise: nothing here reads past its input, allocates, or accepts what prost would refuse.

use std::ops::Range;

use bytes::BufMut;

use super::walk::DEPTH_MAX;

/// How a field's value is laid out.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Wire {
    Varint = 0,
    Fixed64 = 1,
    Len = 2,
    StartGroup = 3,
    EndGroup = 4,
    Fixed32 = 5,
}

/// The bytes are not a protobuf message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Malformed;

/// One field as it lies in a message.
pub(super) struct Field {
    pub number: u32,
    pub wire: Wire,
    /// From its key to the end of its value.
    pub whole: Range<usize>,
    /// What it holds: a varint's or a number's bytes, a string without its length, a group without its end.
    pub body: Range<usize>,
}

// === impl Wire ===

impl Wire {
    #[inline(always)]
    pub fn of(key: u32) -> Option<Wire> {
        match key & 7 {
            0 => Some(Wire::Varint),
            1 => Some(Wire::Fixed64),
            2 => Some(Wire::Len),
            3 => Some(Wire::StartGroup),
            4 => Some(Wire::EndGroup),
            5 => Some(Wire::Fixed32),
            _ => None,
        }
    }
}

/// Reads a varint: at most ten bytes, at most 64 bits. One or two bytes are what most keys, lengths and numbers take.
#[inline(always)]
pub(super) fn varint(input: &mut &[u8]) -> Result<u64, Malformed> {
    match *input {
        [byte @ ..0x80, rest @ ..] => {
            *input = rest;
            Ok(u64::from(*byte))
        }
        [low, high @ ..0x80, rest @ ..] => {
            *input = rest;
            Ok(u64::from(low & 0x7f) | u64::from(*high) << 7)
        }
        _ => {
            let (value, len) = long_varint(input);
            if len == 0 {
                return Err(Malformed);
            }
            *input = &input[len..];
            Ok(value)
        }
    }
}

/// The value of a varint and its length, which is 0 when there is none. It takes and returns what fits into registers, so that the
/// caller's input may stay in one.
#[inline(never)]
fn long_varint(input: &[u8]) -> (u64, usize) {
    let mut value = 0u64;
    for (at, byte) in input.iter().take(10).enumerate() {
        if at == 9 && *byte > 1 {
            break;
        }
        value |= u64::from(byte & 0x7f) << (7 * at);
        if *byte < 0x80 {
            return (value, at + 1);
        }
    }
    (0, 0)
}

/// Reads a key as it is: a field number from 1 to 2^29-1, and three bits of wire type, which [`Wire::of`] may not know.
#[inline(always)]
pub(super) fn key(input: &mut &[u8]) -> Result<u32, Malformed> {
    if let [key @ 8..0x80, rest @ ..] = *input {
        *input = rest;
        return Ok(u32::from(*key));
    }
    match varint(input)? {
        key @ 8..=0xffff_ffff => Ok(key as u32),
        _ => Err(Malformed),
    }
}

/// Reads a key as a field number and a wire type.
fn number_and_wire(input: &mut &[u8]) -> Result<(u32, Wire), Malformed> {
    let key = key(input)?;
    Ok((key >> 3, Wire::of(key).ok_or(Malformed)?))
}

/// Takes `len` bytes.
#[inline(always)]
pub(super) fn take<'m>(input: &mut &'m [u8], len: u64) -> Result<&'m [u8], Malformed> {
    let len = usize::try_from(len).map_err(|_| Malformed)?;
    let (taken, rest) = input.split_at_checked(len).ok_or(Malformed)?;
    *input = rest;
    Ok(taken)
}

/// Takes as many bytes as the array has.
#[inline(always)]
pub(super) fn array<const SIZE: usize>(input: &mut &[u8]) -> Result<[u8; SIZE], Malformed> {
    let (taken, rest) = input.split_first_chunk::<SIZE>().ok_or(Malformed)?;
    *input = rest;
    Ok(*taken)
}

/// Takes a length, and that many bytes.
#[inline(always)]
pub(super) fn delimited<'m>(input: &mut &'m [u8]) -> Result<&'m [u8], Malformed> {
    let len = varint(input)?;
    take(input, len)
}

/// Whether these are UTF-8. Mostly they are ASCII, which eight bytes at a time tell.
#[inline(always)]
pub(super) fn is_utf8(bytes: &[u8]) -> bool {
    let high_bits = match bytes.last_chunk::<8>() {
        Some(last) => bytes.as_chunks::<8>().0.iter().fold(u64::from_le_bytes(*last), |bits, word| bits | u64::from_le_bytes(*word)),
        None => bytes.iter().fold(0, |bits, byte| bits | u64::from(*byte)),
    };
    high_bits & 0x8080_8080_8080_8080 == 0 || std::str::from_utf8(bytes).is_ok()
}

/// How many varints there are, when `packed` is nothing but whole varints.
pub(super) fn count_varints(packed: &[u8]) -> Result<u64, Malformed> {
    let (words, tail) = packed.as_chunks::<8>();
    // The tail is filled up with zeros: each ends a varint, or would, so they are not counted.
    let mut last = [0; 8];
    last[..tail.len()].copy_from_slice(tail);
    let mut count = tail.len() as u64;
    let mut long = packed.last().is_some_and(|byte| *byte >= 0x80);
    for word in words {
        count += 8 - continued(*word, &mut long);
    }
    count -= continued(last, &mut long);
    if long { count_varints_slowly(packed) } else { Ok(count) }
}

/// How many of eight bytes are continued by the next one. A varint of nine bytes or more, which may be too long, fills an aligned
/// group of four with such bytes wherever it begins: then `long` asks for a closer look.
#[inline(always)]
fn continued(word: [u8; 8], long: &mut bool) -> u64 {
    const FOUR: u64 = 0x8080_8080;
    let more = u64::from_le_bytes(word) & (FOUR | FOUR << 32);
    *long |= more & FOUR == FOUR || more >> 32 == FOUR;
    u64::from(more.count_ones())
}

fn count_varints_slowly(mut packed: &[u8]) -> Result<u64, Malformed> {
    let mut count = 0;
    while !packed.is_empty() {
        varint(&mut packed)?;
        count += 1;
    }
    Ok(count)
}

/// The field that begins at byte `at`. A group is looked through to its end, at most [`DEPTH_MAX`] deep.
pub(super) fn field(message: &[u8], at: usize) -> Result<Field, Malformed> {
    let mut rest = &message[at..];
    let (number, wire) = number_and_wire(&mut rest)?;
    let mut start = message.len() - rest.len();
    let mut end = start;
    match wire {
        Wire::Varint => _ = varint(&mut rest)?,
        Wire::Fixed64 => _ = array::<8>(&mut rest)?,
        Wire::Fixed32 => _ = array::<4>(&mut rest)?,
        Wire::Len => {
            let body = delimited(&mut rest)?;
            start = message.len() - rest.len() - body.len();
        }
        Wire::StartGroup => {
            let before_end = group(&mut rest, number, DEPTH_MAX)?;
            end = message.len() - before_end;
        }
        Wire::EndGroup => return Err(Malformed),
    }
    let next = message.len() - rest.len();
    let end = if wire == Wire::StartGroup { end } else { next };
    Ok(Field { number, wire, whole: at..next, body: start..end })
}

/// Every field of a message, one after the other.
pub(super) fn fields(message: &[u8]) -> impl Iterator<Item = Result<Field, Malformed>> {
    let mut at = 0;
    std::iter::from_fn(move || {
        if at == message.len() {
            return None;
        }
        let field = field(message, at);
        at = field.as_ref().map_or(message.len(), |field| field.whole.end);
        Some(field)
    })
}

/// Copies a message without the fields that `left_out` names by number; what lies inside other fields is not looked at.
pub(super) fn copy_without(message: &[u8], left_out: impl Fn(u32) -> bool, out: &mut impl BufMut) -> Result<(), Malformed> {
    let mut kept = 0;
    for field in fields(message) {
        let field = field?;
        if left_out(field.number) {
            out.put_slice(&message[kept..field.whole.start]);
            kept = field.whole.end;
        }
    }
    out.put_slice(&message[kept..]);
    Ok(())
}

/// Skips a group's fields and its end; answers how many bytes were left before the end's key.
fn group(input: &mut &[u8], number: u32, depth: u32) -> Result<usize, Malformed> {
    let depth = depth.checked_sub(1).ok_or(Malformed)?;
    loop {
        let left = input.len();
        match number_and_wire(input)? {
            (_, Wire::Varint) => _ = varint(input)?,
            (_, Wire::Fixed64) => _ = array::<8>(input)?,
            (_, Wire::Fixed32) => _ = array::<4>(input)?,
            (_, Wire::Len) => _ = delimited(input)?,
            (inner, Wire::StartGroup) => _ = group(input, inner, depth)?,
            (inner, Wire::EndGroup) if inner == number => return Ok(left),
            (_, Wire::EndGroup) => return Err(Malformed),
        }
    }
}
