//! A message inside a message, taken out as it is.
//!
//! For what is read rarely, such as an event in a reply. The message was accepted by a [`Walk`](super::Walk) before.

use bytes::{Bytes, BytesMut};

use super::read::{self, Wire};
use super::{FieldKind, FieldPath};

/// A path to one message.
#[derive(Clone)]
pub struct Submessage {
    numbers: Vec<u32>,
}

// === impl Submessage ===

impl Submessage {
    /// Nothing if the path does not lead to one message at most. Beside it, the name of that message's type.
    pub fn compile(path: &FieldPath) -> Option<(Submessage, String)> {
        let is_one = path.kind() == FieldKind::Message && !path.is_repeated_anywhere();
        let kind = path.message().filter(|_| is_one)?;
        Some((Submessage { numbers: path.numbers().to_vec() }, kind))
    }

    /// Its bytes; nothing where there is no such message. One that is written in pieces is their sum, as protobuf merges them.
    pub fn read(&self, message: &Bytes) -> Option<Bytes> {
        let mut found: Option<Bytes> = None;
        let mut several: Option<BytesMut> = None;
        self.collect(&self.numbers, message, &mut |piece| match (&mut found, &mut several) {
            (None, _) => found = Some(piece),
            (Some(first), None) => {
                let mut sum = BytesMut::from(&first[..]);
                sum.extend_from_slice(&piece);
                several = Some(sum);
            }
            (Some(_), Some(sum)) => sum.extend_from_slice(&piece),
        });
        several.map(BytesMut::freeze).or(found)
    }

    fn collect(&self, numbers: &[u32], message: &Bytes, take: &mut impl FnMut(Bytes)) {
        let (number, below) = numbers.split_first().expect("a path has at least one field");
        for field in read::fields(message).map_while(Result::ok) {
            if field.number != *number || field.wire != Wire::Len {
                continue;
            }
            let body = message.slice(field.body);
            if below.is_empty() { take(body) } else { self.collect(below, &body, take) }
        }
    }
}
