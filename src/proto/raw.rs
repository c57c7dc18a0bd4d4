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

#[inline(never)]
fn long_varint(bytes: &[u8]) -> Result<(u64, &[u8]), WalkProblem> {
    // Where eight bytes can be read at once and one of them is the last, the sevens are pushed together in three steps, without a loop.
    if let Some(word) = bytes.first_chunk() {
        let word = u64::from_le_bytes(*word);
        let ends = !word & 0x8080_8080_8080_8080;
        if ends != 0 {
            let sevens = word & (ends ^ (ends - 1)) & 0x7f7f_7f7f_7f7f_7f7f;
            let pairs = (sevens & 0x007f_007f_007f_007f) | ((sevens & 0x7f00_7f00_7f00_7f00) >> 1);
            let fours = (pairs & 0x0000_3fff_0000_3fff) | ((pairs & 0x3fff_0000_3fff_0000) >> 2);
            let value = (fours & 0x0fff_ffff) | ((fours & 0x0fff_ffff_0000_0000) >> 4);
            return Ok((value, &bytes[ends.trailing_zeros() as usize / 8 + 1..]));
        }
    }
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

#[cfg(test)]
mod tests {
    use prost::encoding::{decode_varint, encode_varint};

    use super::*;

    #[test]
    fn varints_are_read_as_the_library_reads_them() {
        for shift in 0..64 {
            for value in [1_u64 << shift, (1 << shift) - 1, u64::MAX >> shift, 0x0123_4567_89ab_cdef >> shift] {
                for padding in [0, 9] {
                    let mut bytes = Vec::new();
                    encode_varint(value, &mut bytes);
                    let length = bytes.len();
                    bytes.resize(length + padding, 0xff);
                    assert_eq!(varint(&bytes), Ok((value, &bytes[length..])));
                    for end in 0..length {
                        assert_eq!(varint(&bytes[..end]), Err(WalkProblem::Truncated));
                    }
                }
            }
        }
        for long in [&b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02"[..], &[0x80; 11], b"\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x00"] {
            assert!(decode_varint(&mut &long[..]).is_err());
            assert_eq!(varint(long), Err(WalkProblem::Varint));
        }
        assert_eq!(varint(b"\x80\x80\x00rest"), Ok((0, &b"rest"[..])), "over-long is allowed");
    }
}
