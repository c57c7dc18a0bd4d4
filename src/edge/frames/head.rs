//! The rules that one frame must keep by itself: its head, and what a Close may hold.
//!
//! Every violation is found at the first byte that proves it, so a head is judged while it is still cut.

use fastwebsockets::OpCode;

use crate::wire::Close;

/// Longest payload of a control frame, RFC 6455 §5.5.
const CONTROL_BYTES_MAX: u64 = 125;

/// First two bytes, eight of extended length, four of mask.
pub const HEAD_BYTES_MAX: usize = 14;

/// How a frame begins.
#[derive(Clone, Copy)]
pub struct Head {
    pub fin: bool,
    pub opcode: OpCode,
    pub mask: [u8; 4],
    pub length: usize,
}

/// The client broke RFC 6455 or a limit; the socket must be closed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Violation {
    pub close: Close,
    /// Public text.
    pub what: &'static str,
}

// === impl Head ===

impl Head {
    /// The head at the start of `bytes` and its size; nothing if it is cut and right so far.
    pub fn parse(bytes: &[u8]) -> Result<Option<(Head, usize)>, Violation> {
        let Some(&first) = bytes.first() else { return Ok(None) };
        if first & 0x70 != 0 {
            return Err(Violation::protocol("a reserved bit is set, and no extension was agreed"));
        }
        let opcode = OpCode::try_from(first & 0x0f).map_err(|_| Violation::protocol("reserved opcode"))?;
        let fin = first & 0x80 != 0;
        if !fin && is_control(opcode) {
            return Err(Violation::protocol("fragmented control frame"));
        }
        let Some(&second) = bytes.get(1) else { return Ok(None) };
        if second & 0x80 == 0 {
            return Err(Violation::protocol("frame without a mask"));
        }
        let (length, size) = match second & 0x7f {
            126 => {
                let Some(extended) = bytes[2..].first_chunk::<2>() else { return Ok(None) };
                (u64::from(u16::from_be_bytes(*extended)), 4)
            }
            127 => {
                let Some(extended) = bytes[2..].first_chunk::<8>() else { return Ok(None) };
                (u64::from_be_bytes(*extended), 10)
            }
            short => (u64::from(short), 2),
        };
        if (size == 4 && length < 126) || (size == 10 && length <= u64::from(u16::MAX)) || length >= 1 << 63 {
            return Err(Violation::protocol("length not in its shortest form"));
        }
        if is_control(opcode) && length > CONTROL_BYTES_MAX {
            return Err(Violation::protocol("control frame longer than 125 bytes"));
        }
        let Some(mask) = bytes[size..].first_chunk::<4>() else { return Ok(None) };
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        Ok(Some((Head { fin, opcode, mask: *mask, length }, size + 4)))
    }
}

// === impl Violation ===

impl Violation {
    pub const TEXT: Violation = Violation { close: Close::NotUtf8, what: "text that is not UTF-8" };

    pub fn protocol(what: &'static str) -> Violation {
        Violation { close: Close::WebSocket, what }
    }

    pub fn policy(what: &'static str) -> Violation {
        Violation { close: Close::Policy, what }
    }
}

/// What a Close frame may hold: nothing, or a code that may be sent and a reason in UTF-8.
pub fn close_code(payload: &[u8]) -> Result<Option<u16>, Violation> {
    let Some((code, reason)) = payload.split_first_chunk::<2>() else {
        return if payload.is_empty() { Ok(None) } else { Err(Violation::protocol("close frame with half a code")) };
    };
    let code = u16::from_be_bytes(*code);
    if !matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999) {
        return Err(Violation::protocol("close code that may not be sent"));
    }
    std::str::from_utf8(reason).map_err(|_| Violation::TEXT)?;
    Ok(Some(code))
}

/// Close, Ping and Pong: the opcodes with the high bit.
pub fn is_control(opcode: OpCode) -> bool {
    opcode as u8 >= 0x8
}
