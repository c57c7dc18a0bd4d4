//! One client's byte stream: frames decoded from it, and buffers written to it.
//!
//! Reading goes through a scratch buffer that belongs to the worker and is borrowed for one poll; see `frames` for what stays here.
//! Promises: every poll is cancel-safe, for what was read is decoded before the poll ends and what was written is counted; one call of
//! [`Socket::poll_write`] makes one write unless the kernel takes less than it was given.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use fastwebsockets::{Frame, OpCode, Payload};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::server::TlsStream;

use super::frames::{Decoder, Event, Flow, Limits, Violation};
use super::pulse::Tick;
use crate::wire::{Close, Codec};

/// Bytes of a worker's scratch buffer. One read of this size per system call is as much as loopback gives; larger did not measure faster.
pub const SCRATCH_BYTES: usize = 64 << 10;

/// Longest head of a frame that a server sends: no mask.
const HEAD_BYTES_MAX: usize = 10;

/// Longest reason in a Close frame: a control frame holds 125 bytes, two of them the code.
const REASON_BYTES_MAX: usize = 123;

/// How long a refused client may take to read why. Closing at once would reset the connection and could destroy the answer on its way.
const LINGER: Duration = Duration::from_secs(1);

/// A connected client, with or without TLS.
pub enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
    /// Without a network, for tests on a clock of their own.
    #[cfg(test)]
    Memory(tokio::io::DuplexStream),
}

/// The stream and what is between it and its messages.
pub struct Socket {
    pub(super) stream: Stream,
    decoder: Decoder,
    /// Read but not decoded: what came behind the handshake, or behind the message at which the receiver paused.
    unread: Vec<u8>,
    /// Being written; the first `written` bytes are gone. Freed when all are.
    writing: Vec<u8>,
    written: usize,
}

/// The last step of a conversation that ended before it was a WebSocket: half-closes, and reads on until the client has gone.
pub async fn linger(mut stream: Stream) {
    let mut sink = [0; 1024];
    let gone = async {
        stream.shutdown().await?;
        while stream.read(&mut sink).await? > 0 {}
        io::Result::Ok(())
    };
    // Whatever happens, nobody is left to be told.
    _ = timeout(LINGER, gone).await;
}

/// Appends a message that `write` encodes, behind its frame head.
pub fn append_message(out: &mut Vec<u8>, codec: Codec, write: impl FnOnce(&mut Vec<u8>)) {
    /// The head of a message from 126 bytes to 64 KiB, which is moved least if the guess is wrong.
    const GUESS: usize = 4;
    let start = out.len();
    out.extend([0; GUESS]);
    write(out);
    let opcode = match codec {
        Codec::Proto => OpCode::Binary,
        Codec::Json => OpCode::Text,
    };
    let mut head = [0; HEAD_BYTES_MAX];
    let size = Frame::new(true, opcode, None, Payload::Borrowed(&out[start + GUESS..])).fmt_head(&mut head);
    out.splice(start..start + GUESS, head[..size].iter().copied());
}

/// Appends the message of a frame that [`append_message`] made, and says in it how many were lost before it.
pub fn append_with_dropped(out: &mut Vec<u8>, codec: Codec, frame: &[u8], dropped: u32) {
    // A server's frames have no mask: a length of 16 bits stands behind 126, one of 64 bits behind 127.
    let head = match frame[1] {
        126 => 4,
        127 => HEAD_BYTES_MAX,
        _ => 2,
    };
    append_message(out, codec, |out| {
        out.extend_from_slice(&frame[head..]);
        codec.append_dropped(dropped, out);
    });
}

/// Appends a WebSocket ping.
pub fn append_ping(out: &mut Vec<u8>) {
    append_control(out, OpCode::Ping, &[]);
}

/// Appends the answer to a WebSocket ping.
pub fn append_pong(out: &mut Vec<u8>, payload: &[u8]) {
    append_control(out, OpCode::Pong, payload);
}

/// Appends the gateway's Close frame.
pub fn append_close(out: &mut Vec<u8>, close: Close, reason: &str) {
    let reason = &reason[..reason.floor_char_boundary(REASON_BYTES_MAX)];
    append_control(out, OpCode::Close, &[&close.code().to_be_bytes(), reason.as_bytes()].concat());
}

/// Appends the answer to a client's Close frame: its own code.
pub fn append_close_echo(out: &mut Vec<u8>, code: Option<u16>) {
    append_control(out, OpCode::Close, code.map(u16::to_be_bytes).as_ref().map_or(&[][..], |code| code));
}

fn append_control(out: &mut Vec<u8>, opcode: OpCode, payload: &[u8]) {
    let mut head = [0; HEAD_BYTES_MAX];
    let size = Frame::new(true, opcode, None, Payload::Borrowed(payload)).fmt_head(&mut head);
    out.extend_from_slice(&head[..size]);
    out.extend_from_slice(payload);
}

// === impl Socket ===

impl Socket {
    /// `unread` is what the client sent behind its handshake.
    pub fn new(stream: Stream, unread: Vec<u8>) -> Socket {
        Socket { stream, decoder: Decoder::default(), unread, writing: Vec::new(), written: 0 }
    }

    /// Reads once into `scratch`, or takes up what was left unread. 0 is the end of the stream.
    pub fn poll_fill(&mut self, cx: &mut Context<'_>, scratch: &mut [u8]) -> Poll<io::Result<usize>> {
        if !self.unread.is_empty() {
            let unread = std::mem::take(&mut self.unread);
            let length = unread.len();
            scratch[..length].copy_from_slice(&unread);
            return Poll::Ready(Ok(length));
        }
        let mut buffer = ReadBuf::new(scratch);
        ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buffer))?;
        Poll::Ready(Ok(buffer.filled().len()))
    }

    /// Delivers the messages in what [`Socket::poll_fill`] read. What is behind a pause is kept for the next fill.
    pub fn decode(&mut self, bytes: &mut [u8], limits: Limits, deliver: impl FnMut(Event<'_>) -> Flow) -> Result<(), Violation> {
        let used = self.decoder.feed(bytes, limits, deliver)?;
        if used < bytes.len() {
            self.unread = bytes[used..].to_vec();
        }
        Ok(())
    }

    /// Hears nothing more but the client's Close.
    pub fn discard_messages(&mut self) {
        self.decoder.discard_messages();
    }

    /// When the message that is still incomplete began.
    pub fn partial_since(&self) -> Option<Tick> {
        self.decoder.partial_since()
    }

    /// Bytes that are kept for the client between two reads.
    pub fn held_bytes(&self) -> usize {
        self.decoder.held_bytes() + self.unread.capacity()
    }

    /// Writes the buffer it has, and then those that `next` yields until that is empty. Ready when nothing is left.
    ///
    /// Adds to `went` what the kernel took.
    pub fn poll_write(&mut self, cx: &mut Context<'_>, went: &mut usize, mut next: impl FnMut() -> Vec<u8>) -> Poll<io::Result<()>> {
        loop {
            if self.writing.is_empty() {
                self.writing = next();
                self.written = 0;
            }
            if self.writing.is_empty() {
                return Pin::new(&mut self.stream).poll_flush(cx);
            }
            let written = ready!(Pin::new(&mut self.stream).poll_write(cx, &self.writing[self.written..]))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            *went += written;
            self.written += written;
            if self.written == self.writing.len() {
                self.writing = Vec::new();
            }
        }
    }

    /// Ends our half.
    pub fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

// === impl AsyncRead, AsyncWrite ===

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Plain(stream) => Pin::new(stream).poll_read(cx, buffer),
            Stream::Tls(stream) => Pin::new(stream).poll_read(cx, buffer),
            #[cfg(test)]
            Stream::Memory(stream) => Pin::new(stream).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Stream::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Stream::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
            #[cfg(test)]
            Stream::Memory(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Stream::Tls(stream) => Pin::new(stream).poll_flush(cx),
            #[cfg(test)]
            Stream::Memory(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Stream::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
            #[cfg(test)]
            Stream::Memory(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_stands_behind_the_shortest_head() {
        for (length, head) in [
            (0, &[0x82, 0][..]),
            (125, &[0x82, 125]),
            (126, &[0x82, 126, 0, 126]),
            (65535, &[0x82, 126, 0xff, 0xff]),
            (65536, &[0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0]),
        ] {
            let mut out = vec![9];
            append_message(&mut out, Codec::Proto, |out| out.extend(vec![7; length]));
            assert_eq!(out, [&[9], head, &vec![7; length]].concat());
        }
        let mut out = Vec::new();
        append_message(&mut out, Codec::Json, |out| out.extend(b"{}"));
        assert_eq!(out, b"\x81\x02{}");
    }

    #[test]
    fn what_was_lost_is_said_behind_a_head_of_any_size() {
        for length in [0, 120, 125, 126, 65534, 65536] {
            let json = |more: &str| {
                let mut out = Vec::new();
                append_message(&mut out, Codec::Json, |out| out.extend(format!(r#"{{"a":"{}"{more}}}"#, "x".repeat(length)).bytes()));
                out
            };
            let mut out = Vec::new();
            append_with_dropped(&mut out, Codec::Json, &json(""), 12);
            assert_eq!(out, json(r#","dropped":12"#));
        }
    }

    #[test]
    fn a_close_frame_fits_whatever_the_reason() {
        let mut out = Vec::new();
        append_close(&mut out, Close::Slow, &"é".repeat(100));
        assert_eq!(out[..4], [0x88, 124, 0x0f, 0xa1]);
        assert_eq!(out.len(), 2 + 124);
    }
}
