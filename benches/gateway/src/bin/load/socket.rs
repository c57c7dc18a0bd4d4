//! One client's WebSocket, framed by hand: whatever the load generator spends is taken from the core it shares with the backend.
//!
//! Promises: a write that the kernel refuses is kept and resumed; pings of either kind are answered; a close is an error that says why.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use prost::Message;
use protogate_bench::wire::{Envelope, Goodbye};
use protogate_bench::{PUSH, SUBPROTOCOL};

use crate::frame::{self, BINARY, CLOSE, Frame, PING, PONG};

/// Numbers below this are the gateway's own.
const APPLICATION: u32 = 1000;
const HELLO: u32 = 1;
const GOODBYE: u32 = 11;

/// The largest head of a handshake's answer we expect.
const HEAD_BYTES_MAX: usize = 4096;

/// Where to connect, and as whom.
pub struct Target {
    pub address: String,
    pub path: String,
    /// A connection takes its own, by its number; without any, nobody says who it is.
    pub tokens: Vec<String>,
    /// Each connection says that it comes from an address of its own, as a proxy would.
    pub forwarded: bool,
}

pub struct Socket {
    pub stream: TcpStream,
    /// Whether the gateway said Hello.
    pub greeted: bool,
    /// What has arrived of a frame that is not complete.
    inbox: Vec<u8>,
    outbox: Vec<u8>,
}

/// The answer to one call, or a push.
pub struct Reply {
    pub id: u32,
    pub ok: bool,
    pub push: bool,
}

/// How the envelope of a push begins, which is all that is looked at: most of what a client hears of a fan-out.
const PUSH_HEAD: [u8; 3] = [1 << 3, (PUSH & 0x7f) as u8 | 0x80, (PUSH >> 7) as u8];

// === impl Socket ===

impl Socket {
    /// Connects and shakes hands, blocking, as the connection of this number.
    pub fn open(target: &Target, number: usize) -> io::Result<Socket> {
        let mut stream = TcpStream::connect(&target.address)?;
        stream.set_nodelay(true)?;
        let authorization = target
            .tokens
            .get(number % target.tokens.len().max(1))
            .map(|token| format!("Authorization: Bearer {token}\r\n"))
            .unwrap_or_default();
        let forwarded = if target.forwarded { forwarded(number) } else { String::new() };
        let request = format!(
            "GET {} HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: {SUBPROTOCOL}\r\n{authorization}{forwarded}\r\n",
            target.path, target.address
        );
        stream.write_all(request.as_bytes())?;

        let mut head = Vec::with_capacity(HEAD_BYTES_MAX);
        let end = loop {
            let mut part = [0; HEAD_BYTES_MAX];
            let count = stream.read(&mut part)?;
            head.extend_from_slice(&part[..count]);
            if let Some(at) = head.windows(4).position(|four| four == b"\r\n\r\n") {
                break at + 4;
            }
            if count == 0 || head.len() > HEAD_BYTES_MAX {
                return Err(io::Error::other("the handshake has no end"));
            }
        };
        if !head.starts_with(b"HTTP/1.1 101 ") {
            return Err(io::Error::other(format!("the handshake was refused: {}", String::from_utf8_lossy(&head))));
        }
        let inbox = head[end..].to_vec();
        Ok(Socket { stream, greeted: false, inbox, outbox: Vec::new() })
    }

    /// Waits for the gateway's Hello for at most `patience`, then stops blocking for good.
    pub fn greet(&mut self, patience: Duration, scratch: &mut [u8]) -> io::Result<()> {
        self.take_messages(&mut |_, _| ())?;
        if !self.greeted && !patience.is_zero() {
            self.stream.set_read_timeout(Some(patience))?;
            self.receive(scratch, &mut |_, _| ())?;
        }
        self.stream.set_nonblocking(true)
    }

    /// Reads once and hands each reply to `on_reply`, with the socket to answer on. Returns whether more may be waiting.
    pub fn receive(&mut self, scratch: &mut [u8], on_reply: &mut impl FnMut(&mut Socket, Reply)) -> io::Result<bool> {
        match self.stream.read(scratch) {
            Ok(0) => Err(io::Error::other("the gateway hung up")),
            Ok(count) => {
                self.inbox.extend_from_slice(&scratch[..count]);
                self.take_messages(on_reply)?;
                Ok(count == scratch.len())
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Queues bytes of whole frames.
    pub fn send(&mut self, frames: &[u8]) {
        self.outbox.extend_from_slice(frames);
    }

    /// Writes what is queued, as far as the kernel takes it.
    pub fn flush(&mut self) -> io::Result<()> {
        while !self.outbox.is_empty() {
            match self.stream.write(&self.outbox) {
                Ok(count) => drop(self.outbox.drain(..count)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn take_messages(&mut self, on_reply: &mut impl FnMut(&mut Socket, Reply)) -> io::Result<()> {
        let inbox = std::mem::take(&mut self.inbox);
        let mut rest = &inbox[..];
        while let Some(Frame { opcode, payload, after }) = frame::split(rest)? {
            rest = after;
            match opcode {
                BINARY if payload.starts_with(&PUSH_HEAD) => on_reply(self, Reply { id: 0, ok: true, push: true }),
                BINARY => {
                    if let Some(reply) = self.judge(Envelope::decode(payload)?)? {
                        on_reply(self, reply);
                    }
                }
                PING => self.send(&frame::masked(PONG, payload)),
                CLOSE => return Err(closed(payload)),
                _ => {}
            }
        }
        // What is left of a frame moves to the front; almost always that is nothing.
        let taken = inbox.len() - rest.len();
        self.inbox = inbox;
        self.inbox.drain(..taken);
        Ok(())
    }

    /// A reply is whatever carries an application's number, or a failure. The rest of the gateway's own messages need no answer.
    fn judge(&mut self, envelope: Envelope) -> io::Result<Option<Reply>> {
        let ok = envelope.status.as_ref().is_none_or(|status| status.code == 0);
        if !ok && envelope.id == 0 {
            return Err(io::Error::other(format!("the gateway failed: {:?}", envelope.status)));
        }
        match envelope.protocol {
            HELLO => self.greeted = true,
            GOODBYE => return Err(io::Error::other(format!("the gateway says {:?}", Goodbye::decode(envelope.payload)?))),
            _ => {}
        }
        Ok((envelope.protocol >= APPLICATION || !ok).then_some(Reply { id: envelope.id, ok, push: false }))
    }
}

fn closed(payload: &[u8]) -> io::Error {
    let (code, reason) = payload.split_at(payload.len().min(2));
    let code = code.iter().fold(0, |code, byte| code << 8 | u32::from(*byte));
    io::Error::other(format!("the gateway closed with {code} {}", String::from_utf8_lossy(reason)))
}

/// The line of a proxy in front of many clients.
fn forwarded(number: usize) -> String {
    let [_, b, c, d] = u32::try_from(number).unwrap_or(u32::MAX).to_be_bytes();
    format!("X-Forwarded-For: 10.{b}.{c}.{d}\r\n")
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::thread;

    use protogate_bench::wire::Status;

    use super::*;

    /// A gateway that accepts one client, says `frames` right behind its handshake, and answers with what the client sent.
    fn gateway_says(frames: Vec<u8>) -> (Target, thread::JoinHandle<(String, Vec<u8>)>) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("bound").to_string();
        let gateway = thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a client");
            let mut request = vec![0; HEAD_BYTES_MAX];
            let count = stream.read(&mut request).expect("a request");
            stream.write_all(&[b"HTTP/1.1 101 Switching Protocols\r\n\r\n", &frames[..]].concat()).expect("the client reads");
            let mut said = Vec::new();
            stream.read_to_end(&mut said).expect("the client leaves");
            (String::from_utf8_lossy(&request[..count]).into_owned(), said)
        });
        (Target { address, path: "/ws".to_owned(), tokens: vec!["a.b.c".to_owned()], forwarded: false }, gateway)
    }

    fn frame(opcode: u8, payload: &[u8]) -> Vec<u8> {
        [&[0x80 | opcode, payload.len() as u8], payload].concat()
    }

    fn message(protocol: u32, id: u32, code: Option<u32>) -> Vec<u8> {
        let status = code.map(|code| Status { code, ..Status::default() });
        frame(BINARY, &Envelope { protocol, id, status, ..Envelope::default() }.encode_to_vec())
    }

    #[test]
    fn a_hello_is_heard_a_ping_answered_and_a_ready_is_no_reply() {
        let (target, gateway) =
            gateway_says([message(HELLO, 0, None), message(3, 0, None), message(6, 0, None), frame(PING, b"?")].concat());
        let mut socket = Socket::open(&target, 0).expect("101");
        socket.greet(Duration::from_secs(5), &mut [0; 1024]).expect("still open");
        assert!(socket.greeted);
        while socket.outbox.is_empty() {
            socket.receive(&mut [0; 1024], &mut |_, reply| panic!("{} is no reply", reply.id)).expect("still open");
        }
        socket.flush().expect("still open");
        drop(socket);
        let (request, said) = gateway.join().expect("no panic");
        assert!(request.starts_with("GET /ws HTTP/1.1\r\n") && request.contains("Authorization: Bearer a.b.c\r\n"));
        assert_eq!(said, frame::masked(PONG, b"?"));
    }

    #[test]
    fn a_push_is_told_by_its_head() {
        let envelope = Envelope { protocol: PUSH, topic: "room/all".to_owned(), ..Envelope::default() };
        assert!(envelope.encode_to_vec().starts_with(&PUSH_HEAD));
    }

    #[test]
    fn replies_are_told_from_failures_and_a_close_says_why() {
        let frames = [message(9001, 4, None), message(9001, 5, Some(8)), frame(CLOSE, b"\x11\x94bad token")].concat();
        let (target, _gateway) = gateway_says(frames);
        let mut socket = Socket::open(&target, 0).expect("101");
        let mut replies = Vec::new();
        let mut on_reply = |_: &mut Socket, reply: Reply| replies.push((reply.id, reply.ok));
        // The frames may have come together with the handshake's answer; then there is nothing more to read.
        let mut outcome = socket.take_messages(&mut on_reply);
        while outcome.is_ok() {
            outcome = socket.receive(&mut [0; 1024], &mut on_reply).map(drop);
        }
        let error = outcome.expect_err("the loop ends with one");
        assert_eq!(replies, [(4, true), (5, false)]);
        assert_eq!(error.to_string(), "the gateway closed with 4500 bad token");
    }
}
