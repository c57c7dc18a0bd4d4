//! gRPC's frame around a message: a flag, four bytes of length, the message.
//!
//! Promises: what is being put together takes no more memory than the bound on one message and what came in with its last chunk; a
//! message that arrives in a single frame is not copied.

use bytes::{Bytes, BytesMut};

use crate::failure::{Failure, Reason};

/// Bytes before a message: one says whether it is compressed, four how long it is.
const PREFIX_BYTES: usize = 5;

/// Makes messages out of the chunks in which they arrive.
pub(super) struct Assembly {
    bytes_max: usize,
    held: Held,
}

/// Chunks, one behind the other.
pub(super) enum Held {
    /// What arrived first, as it arrived; empty at the beginning.
    First(Bytes),
    /// What arrived in several chunks.
    Several(BytesMut),
}

/// The five bytes that stand before an uncompressed message of this length. [`Request::body`](super::Request::body) starts with them.
pub const fn frame(message_bytes: usize) -> [u8; PREFIX_BYTES] {
    assert!(message_bytes <= u32::MAX as usize, "requests are bounded far below 4 GiB");
    let [a, b, c, d] = (message_bytes as u32).to_be_bytes();
    [0, a, b, c, d]
}

// === impl Assembly ===

impl Assembly {
    pub(super) fn new(bytes_max: usize) -> Assembly {
        Assembly { bytes_max, held: Held::default() }
    }

    /// Takes the next chunk in. [`take`](Assembly::take) says what is wrong with it.
    pub(super) fn push(&mut self, chunk: Bytes) {
        self.held.push(chunk);
    }

    /// The next message, when all of it has come. Refuses as soon as what has come cannot be one within the bound.
    pub(super) fn take(&mut self) -> Result<Option<Bytes>, Failure> {
        let held = self.held.bytes();
        let Some((prefix, rest)) = held.split_first_chunk::<PREFIX_BYTES>() else { return Ok(None) };
        if prefix[0] != 0 {
            return Err(bad_reply("the reply is compressed, which was not asked for"));
        }
        let announced = announced(prefix);
        if announced > self.bytes_max {
            let bytes_max = self.bytes_max;
            return Err(Failure::gateway(Reason::ReplyTooLarge, "the reply is larger than this route passes on; ask for less at a time")
                .because(format!("{announced} bytes announced, reply_bytes_max is {bytes_max}")));
        }
        Ok((rest.len() >= announced).then(|| self.held.split_to(PREFIX_BYTES + announced).slice(PREFIX_BYTES..)))
    }

    /// How much has come that was not taken.
    pub(super) fn len(&self) -> usize {
        self.held.bytes().len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

// === impl Held ===

impl Held {
    pub(super) fn push(&mut self, chunk: Bytes) {
        match self {
            Held::First(first) if first.is_empty() => *first = chunk,
            Held::First(first) => {
                let mut several = BytesMut::from(std::mem::take(first));
                several.extend_from_slice(&chunk);
                *self = Held::Several(several);
            }
            Held::Several(several) => several.extend_from_slice(&chunk),
        }
    }

    pub(super) fn bytes(&self) -> &[u8] {
        match self {
            Held::First(first) => first,
            Held::Several(several) => several,
        }
    }

    /// Everything that is held.
    pub(super) fn take(&mut self) -> Bytes {
        match std::mem::take(self) {
            Held::First(first) => first,
            Held::Several(several) => several.freeze(),
        }
    }

    fn split_to(&mut self, bytes: usize) -> Bytes {
        // What is empty keeps no buffer.
        if bytes == self.bytes().len() {
            return self.take();
        }
        match self {
            Held::First(first) => first.split_to(bytes),
            Held::Several(several) => several.split_to(bytes).freeze(),
        }
    }
}

impl Default for Held {
    fn default() -> Held {
        Held::First(Bytes::new())
    }
}

fn announced(prefix: &[u8; PREFIX_BYTES]) -> usize {
    let [_, length @ ..] = *prefix;
    u32::from_be_bytes(length) as usize
}

fn bad_reply(what: &'static str) -> Failure {
    Failure::gateway(Reason::BadReply, "the service gave a reply that cannot be read").because(what)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The messages in these chunks, and `...` when something is left over.
    fn assemble(chunks: &[&[u8]]) -> Result<Vec<Bytes>, String> {
        let mut assembly = Assembly::new(4);
        let mut messages = Vec::new();
        for chunk in chunks {
            assembly.push(Bytes::copy_from_slice(chunk));
            while let Some(message) = assembly.take().map_err(|failure| failure.reason().to_owned())? {
                messages.push(message);
            }
        }
        if !assembly.is_empty() {
            messages.push(Bytes::from_static(b"..."));
        }
        Ok(messages)
    }

    #[test]
    fn messages_are_put_together_from_any_chunks() {
        let framed = [&frame(4)[..], b"abcd", &frame(0), &frame(2), b"ef"].concat();
        for size in 1..=framed.len() {
            let chunks: Vec<_> = framed.chunks(size).collect();
            let messages = [&b"abcd"[..], b"", b"ef"].map(Bytes::from_static);
            assert_eq!(assemble(&chunks).as_deref(), Ok(&messages[..]), "chunks of {size}");
        }
        assert_eq!(assemble(&[b"", &frame(0)]), Ok(vec![Bytes::new()]));
        assert_eq!(assemble(&[]), Ok(Vec::new()));
    }

    #[test]
    fn what_is_no_message_is_refused_and_what_is_not_yet_one_is_waited_for() {
        assert_eq!(assemble(&[&frame(5)]), Err("REPLY_TOO_LARGE".to_owned()), "refused by its length alone");
        assert_eq!(assemble(&[&[1, 0, 0, 0, 0]]), Err("BAD_REPLY".to_owned()), "compressed");
        for unfinished in [&[0, 0][..], &[0, 0, 0, 0, 2, 7]] {
            assert_eq!(assemble(&[unfinished]), Ok(vec![Bytes::from_static(b"...")]));
        }
    }

    #[test]
    fn what_is_empty_holds_no_buffer() {
        let mut assembly = Assembly::new(4);
        for byte in [&frame(1)[..], b"a"].concat() {
            assembly.push(Bytes::from(vec![byte]));
        }
        assert!(matches!(assembly.held, Held::Several(_)));
        assert_eq!(assembly.take().ok().flatten().as_deref(), Some(&b"a"[..]));
        assert!(matches!(assembly.held, Held::First(_)));
    }
}
