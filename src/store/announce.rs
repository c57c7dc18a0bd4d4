//! What listeners are told of an entry that was appended: its offset, and itself.

use bytes::{BufMut, Bytes, BytesMut};

use super::{Batch, Change};

/// Bytes of the offset, little-endian, in front of the entry.
const HEAD: usize = size_of::<u64>();

/// What is said of an entry on the channel that its append names.
pub fn announcement(offset: u64, entry: &[u8]) -> Bytes {
    let mut message = BytesMut::with_capacity(HEAD + entry.len());
    message.put_u64_le(offset);
    message.put_slice(entry);
    message.freeze()
}

/// The offset and the entry that such a message tells of. Nothing: it is none.
pub fn announced(message: &Bytes) -> Option<(u64, Bytes)> {
    let offset = message.first_chunk::<HEAD>()?;
    Some((u64::from_le_bytes(*offset), message.slice(HEAD..)))
}

/// Channel and message of everything that a batch announces, in order. `numbers` are what the batch was answered.
pub fn announcements<'a>(batch: &'a Batch, numbers: &'a [u64]) -> impl Iterator<Item = (&'a str, Bytes)> {
    let numbered = batch.changes.iter().filter(|change| matches!(change, Change::Put { .. } | Change::Append { .. }));
    numbered.zip(numbers).filter_map(|(change, number)| match change {
        Change::Append { entry, announce: Some(channel), .. } => Some((channel.as_str(), announcement(*number, entry))),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_announced_is_told_apart_again() {
        for (offset, entry) in [(1, ""), (u64::MAX, "x"), (258, "a\0b")] {
            let message = announcement(offset, entry.as_bytes());
            assert_eq!(announced(&message), Some((offset, Bytes::from_static(entry.as_bytes()))));
        }
        assert_eq!(announcement(258, b"x"), &b"\x02\x01\0\0\0\0\0\0x"[..]);
        assert_eq!(announced(&Bytes::from_static(b"seven..")), None);
    }
}
