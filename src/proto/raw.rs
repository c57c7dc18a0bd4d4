//! The smallest pieces of the wire format: keys, varints, counted bytes.
//!
//! Every reader takes the bytes that are left and returns what remains after it. None of them panics, whatever the bytes, and none of them
//! reads past its slice.

use super::walk::WalkProblem;

/// Messages, map entries and groups may nest this deep. Protobuf libraries stop at 100; nobody designs messages of 32.
pub(super) const DEPTH_MAX: u32 = 32;

pub(super) const VARINT: u32 = 0;
pub(super) const FIXED64: u32 = 1;
pub(super) const COUNTED: u32 = 2;
pub(super) const GROUP: u32 = 3;
pub(super) const END: u32 = 4;
pub(super) const FIXED32: u32 = 5;

/// A field number and a wire type.
#[inline(always)]
pub(super) fn key(bytes: &[u8]) -> Result<(u32, u32, &[u8]), WalkProblem> {
    let (key, rest) = varint(bytes)?;
    let key = u32::try_from(key).map_err(|_| WalkProblem::Key)?;
    if key < 8 {
        return Err(WalkProblem::Key);
    }
    Ok((key >> 3, key & 7, rest))
}

/// A number of 64 bits in at most ten bytes.
#[inline(always)]
pub(super) fn varint(bytes: &[u8]) -> Result<(u64, &[u8]), WalkProblem> {
    match bytes {
        [one, rest @ ..] if *one < 0x80 => Ok((u64::from(*one), rest)),
        [low, high, rest @ ..] if *high < 0x80 => Ok((u64::from(*low & 0x7f) | u64::from(*high) << 7, rest)),
        _ => long_varint(bytes),
    }
}

fn long_varint(bytes: &[u8]) -> Result<(u64, &[u8]), WalkProblem> {
    let mut value = 0;
    for (place, byte) in bytes.iter().take(10).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * place);
        if *byte < 0x80 {
            // The tenth byte has room for one bit.
            return if place == 9 && *byte > 1 { Err(WalkProblem::Varint) } else { Ok((value, &bytes[place + 1..])) };
        }
    }
    Err(if bytes.len() < 10 { WalkProblem::Truncated } else { WalkProblem::Varint })
}

/// A length, and that many bytes.
#[inline(always)]
pub(super) fn counted(bytes: &[u8]) -> Result<(&[u8], &[u8]), WalkProblem> {
    let (length, rest) = varint(bytes)?;
    // A length beyond the address space is also beyond the slice.
    rest.split_at_checked(usize::try_from(length).unwrap_or(usize::MAX)).ok_or(WalkProblem::Truncated)
}

/// Exactly four or eight bytes.
#[inline(always)]
pub(super) fn fixed<const N: usize>(bytes: &[u8]) -> Result<(&[u8; N], &[u8]), WalkProblem> {
    bytes.split_first_chunk().ok_or(WalkProblem::Truncated)
}

/// Passes over the value of a field about which only the key is known. `depth` counts the levels above it.
pub(super) fn skip(number: u32, wire: u32, bytes: &[u8], depth: u32) -> Result<&[u8], WalkProblem> {
    match wire {
        VARINT => varint(bytes).map(|(_, rest)| rest),
        FIXED64 => fixed::<8>(bytes).map(|(_, rest)| rest),
        COUNTED => counted(bytes).map(|(_, rest)| rest),
        FIXED32 => fixed::<4>(bytes).map(|(_, rest)| rest),
        GROUP if depth >= DEPTH_MAX => Err(WalkProblem::Deep),
        GROUP => {
            let mut rest = bytes;
            loop {
                let (inside, wire, after) = key(rest)?;
                if wire == END {
                    return if inside == number { Ok(after) } else { Err(WalkProblem::Group(inside)) };
                }
                rest = skip(inside, wire, after, depth + 1)?;
            }
        }
        END => Err(WalkProblem::Group(number)),
        _ => Err(WalkProblem::Key),
    }
}
