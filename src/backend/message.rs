//! gRPC's frame around a message: a flag, four bytes of length, the message.
//!
//! Promises: a reply takes no more memory than its bound and one DATA frame; one that arrives in a single frame is not copied.

use bytes::{Bytes, BytesMut};

use crate::failure::{Failure, Reason};

/// Bytes before a message: one says whether it is compressed, four how long it is.
const PREFIX_BYTES: usize = 5;

/// Gathers the one message of a reply from the chunks it arrives in.
pub(super) struct Assembly {
    bytes_max: usize,
    held: Held,
}

enum Held {
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
        Assembly { bytes_max, held: Held::First(Bytes::new()) }
    }

    /// Takes the next chunk, and refuses as soon as what has come so far cannot be one message within the bound.
    pub(super) fn push(&mut self, chunk: Bytes) -> Result<(), Failure> {
        match &mut self.held {
            Held::First(first) if first.is_empty() => *first = chunk,
            Held::First(first) => {
                let mut several = BytesMut::from(std::mem::take(first));
                several.extend_from_slice(&chunk);
                self.held = Held::Several(several);
            }
            Held::Several(several) => several.extend_from_slice(&chunk),
        }
        let held = self.held.bytes();
        let Some((prefix, message)) = held.split_first_chunk::<PREFIX_BYTES>() else { return Ok(()) };
        if prefix[0] != 0 {
            return Err(bad_reply("the reply is compressed, which was not asked for"));
        }
        let announced = announced(prefix);
        if announced > self.bytes_max {
            let bytes_max = self.bytes_max;
            return Err(Failure::gateway(Reason::ReplyTooLarge, "the reply is larger than this route passes on; ask for less at a time")
                .because(format!("{announced} bytes announced, reply_bytes_max is {bytes_max}")));
        }
        if message.len() > announced {
            return Err(bad_reply("the reply holds more than its one message"));
        }
        Ok(())
    }

    /// The message, when all of it has come.
    pub(super) fn finish(self) -> Result<Bytes, Failure> {
        let held = match self.held {
            Held::First(first) => first,
            Held::Several(several) => several.freeze(),
        };
        match held.split_first_chunk::<PREFIX_BYTES>() {
            Some((prefix, message)) if message.len() == announced(prefix) => Ok(held.slice(PREFIX_BYTES..)),
            None if held.is_empty() => Err(bad_reply("the reply says OK and holds no message")),
            _ => Err(bad_reply("the reply ended within its message")),
        }
    }
}

impl Held {
    fn bytes(&self) -> &[u8] {
        match self {
            Held::First(first) => first,
            Held::Several(several) => several,
        }
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

    fn assemble(chunks: &[&[u8]]) -> Result<Bytes, String> {
        let mut assembly = Assembly::new(4);
        for chunk in chunks {
            assembly.push(Bytes::copy_from_slice(chunk)).map_err(|failure| failure.reason().to_owned())?;
        }
        assembly.finish().map_err(|failure| failure.cause().unwrap_or_default().to_owned())
    }

    #[test]
    fn a_message_is_put_together_from_any_chunks() {
        let framed = [&frame(4)[..], b"abcd"].concat();
        for size in 1..=framed.len() {
            let chunks: Vec<_> = framed.chunks(size).collect();
            assert_eq!(assemble(&chunks).as_deref(), Ok(&b"abcd"[..]), "chunks of {size}");
        }
        assert_eq!(assemble(&[b"", &frame(0)]).as_deref(), Ok(&b""[..]));
    }

    #[test]
    fn what_is_not_one_message_is_refused() {
        assert_eq!(assemble(&[&frame(5)]), Err("REPLY_TOO_LARGE".to_owned()), "refused by its length alone");
        assert_eq!(assemble(&[&[1, 0, 0, 0, 0]]), Err("BAD_REPLY".to_owned()), "compressed");
        assert_eq!(assemble(&[&[0, 0, 0, 0, 1, 7], &frame(0)]), Err("BAD_REPLY".to_owned()), "two messages");
        assert_eq!(assemble(&[]), Err("the reply says OK and holds no message".to_owned()));
        assert_eq!(assemble(&[&[0, 0]]), Err("the reply ended within its message".to_owned()));
        assert_eq!(assemble(&[&frame(2), b"a"]), Err("the reply ended within its message".to_owned()));
    }
}
