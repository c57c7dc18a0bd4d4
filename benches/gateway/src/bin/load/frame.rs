//! WebSocket frames as a client writes and reads them.

use std::io;

use prost::Message;
use protogate_bench::ECHO;
use protogate_bench::echo::EchoRequest;
use protogate_bench::wire::Envelope;

pub const BINARY: u8 = 2;
pub const CLOSE: u8 = 8;
pub const PING: u8 = 9;
pub const PONG: u8 = 10;

/// Any key but zero: a server that unmasks must do the work.
const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// A frame that arrived, and what stands behind it.
pub struct Frame<'a> {
    pub opcode: u8,
    pub payload: &'a [u8],
    pub after: &'a [u8],
}

/// One call of the echo route, ready to be written as often as one likes.
pub fn call(id: u32, text: &str) -> Vec<u8> {
    call_of(ECHO, id, text)
}

/// The same of another route of the echo.
pub fn call_of(protocol: u32, id: u32, text: &str) -> Vec<u8> {
    let payload = EchoRequest { text: text.to_owned() }.encode_to_vec().into();
    masked(BINARY, &Envelope { protocol, id, payload, ..Envelope::default() }.encode_to_vec())
}

/// One whole, masked frame.
pub fn masked(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x80 | opcode];
    match u16::try_from(payload.len()) {
        Ok(length @ 0..126) => frame.push(0x80 | length as u8),
        Ok(length) => {
            frame.push(0x80 | 126);
            frame.extend_from_slice(&length.to_be_bytes());
        }
        Err(_) => {
            frame.push(0x80 | 127);
            frame.extend_from_slice(&(payload.len() as u64).to_be_bytes());
        }
    }
    frame.extend_from_slice(&MASK);
    frame.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, key)| byte ^ key));
    frame
}

/// The first frame of `bytes`; `None` while it is not complete.
pub fn split(bytes: &[u8]) -> io::Result<Option<Frame<'_>>> {
    let [first, second, rest @ ..] = bytes else { return Ok(None) };
    if first & 0xf0 != 0x80 || second & 0x80 != 0 {
        return Err(io::Error::other("a fragment, an extension or a mask: none of these is spoken here"));
    }
    let (length, rest) = match (second, rest) {
        (126, [a, b, rest @ ..]) => (usize::from(u16::from_be_bytes([*a, *b])), rest),
        (127, [0, 0, 0, 0, a, b, c, d, rest @ ..]) => (u32::from_be_bytes([*a, *b, *c, *d]) as usize, rest),
        (126 | 127, _) => return Ok(None),
        (length, rest) => (usize::from(*length), rest),
    };
    Ok(rest.split_at_checked(length).map(|(payload, after)| Frame { opcode: first & 0x0f, payload, after }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unmasked_frame_is_split_at_every_length() {
        for (head, length) in [(vec![0x82, 5], 5), (vec![0x82, 126, 1, 0], 256), (vec![0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0], 65_536)] {
            let bytes: Vec<u8> = head.into_iter().chain(std::iter::repeat_n(7, length + 3)).collect();
            let Frame { opcode, payload, after } = split(&bytes).expect("no extension").expect("complete");
            assert_eq!((opcode, payload.len(), after.len()), (BINARY, length, 3));
            assert!(split(&bytes[..bytes.len() - 4]).expect("no extension").is_none());
        }
    }

    #[test]
    fn a_masked_frame_announces_its_length_and_hides_its_payload() {
        let frame = masked(PONG, b"hello");
        assert_eq!(frame[..6], [0x8a, 0x85, 0x37, 0xfa, 0x21, 0x3d]);
        assert_eq!(frame[6] ^ MASK[0], b'h');
        assert_eq!(masked(BINARY, &[0; 300])[..4], [0x82, 0xfe, 1, 44]);
    }
}
