//! What the gateway says on one connection: envelopes in the connection's codec, framed, into its outbox.
//!
//! Nothing here waits. A client for which there is no room any more is a slow one, and the error says to end the connection.

use std::sync::Arc;

use super::end::End;
use super::line::SocketLine;
use super::own::{Own, OwnMessages};
use super::socket::{append_close, append_close_echo, append_message, append_ping, append_pong, append_with_dropped};
use crate::dispatch::{Answer, Reply, Said};
use crate::failure::Failure;
use crate::proto;
use crate::session::outbox::{Full, Outbox};
use crate::table::TableReader;
use crate::wire::{Close, Codec, Envelope, Payload, Status, v1};

/// Room for answers to WebSocket pings. They are answered at once while less than this waits to be written; behind it, only the last one
/// is, as RFC 6455 allows: a client that pings and does not read must not fill its outbox.
const PONG_ROOM: usize = 1024;

/// One connection's voice.
pub struct Speaker {
    pub codec: Codec,
    pub outbox: Arc<Outbox>,
    own: Arc<OwnMessages>,
    /// The last ping, if there was no room for its answer.
    owed_pong: Option<Box<[u8]>>,
}

// === impl Speaker ===

impl Speaker {
    pub fn new(codec: Codec, outbox: Arc<Outbox>, own: Arc<OwnMessages>) -> Speaker {
        Speaker { codec, outbox, own, owed_pong: None }
    }

    /// The way by which a session reaches this connection.
    pub fn line(&self, tables: &TableReader) -> SocketLine {
        SocketLine { codec: self.codec, outbox: Arc::clone(&self.outbox), own: Arc::clone(&self.own), tables: tables.clone() }
    }

    /// What a control message of the client says. The error is public text.
    pub fn read<M: Own>(&self, payload: Payload<'_>) -> Result<M, String> {
        self.own.read(payload)
    }

    /// A message of the gateway's own, under its number.
    pub fn say<M: Own>(&self, id: u32, message: &M) -> Result<(), End> {
        self.say_as(M::NUMBER, id, message)
    }

    /// A message of the gateway's own under the number of the request that it answers.
    pub fn say_as<M: Own>(&self, number: u32, id: u32, message: &M) -> Result<(), End> {
        self.append(|out| append_message(out, self.codec, |out| self.own.write(self.codec, number, id, message, out)))
    }

    /// The end of a call. It may be large, and whoever says it knows better what to do where there is no room.
    pub fn answer(&self, answer: &Answer) -> Result<(), Full> {
        if answer.silent {
            return Ok(());
        }
        let envelope = match &answer.result {
            Err(status) => refusal(answer.protocol.0, answer.id.0, status.clone()),
            Ok(reply) => Envelope { protocol: answer.protocol.0, id: answer.id.0, payload: payload(reply), ..Envelope::default() },
        };
        self.outbox.try_append_awake(self.envelope(&envelope))
    }

    /// What a stream says.
    pub fn stream(&self, said: &Said) -> Result<(), Full> {
        let envelope = match said {
            Said::Over(answer) => return self.answer(answer),
            Said::Message { id, reply, .. } => Envelope { id: id.0, payload: payload(reply), more: true, ..Envelope::default() },
            Said::Grant { id, messages, .. } => Envelope { id: id.0, credit: *messages, ..Envelope::default() },
            Said::Done(id) => Envelope { id: id.0, status: Some(Status::default()), ..Envelope::default() },
        };
        self.outbox.try_append_awake(self.envelope(&envelope))
    }

    /// A request did not succeed.
    pub fn refuse(&self, protocol: u32, id: u32, failure: &Failure) -> Result<(), End> {
        let mut status = Status::from(failure);
        if self.codec == Codec::Json {
            status.details.iter_mut().for_each(|detail| detail.json = proto::detail_to_json(&detail.any));
        }
        self.append(self.envelope(&refusal(protocol, id, status)))
    }

    /// The heartbeat's question, in both languages: libraries answer the first by themselves, and pages can only see the second.
    pub fn ask(&self, ping: &v1::Ping) -> Result<(), End> {
        self.append(|out| {
            append_ping(out);
            append_message(out, self.codec, |out| self.own.write(self.codec, v1::Ping::NUMBER, 0, ping, out));
        })
    }

    /// Answers a WebSocket ping, now or when there is room.
    pub fn pong(&mut self, payload: &[u8]) -> Result<(), End> {
        if self.outbox.len() < PONG_ROOM {
            self.append(|out| append_pong(out, payload))
        } else {
            self.owed_pong = Some(payload.into());
            Ok(())
        }
    }

    /// Appends the answer that is still owed, once everything before it is written.
    pub fn pay_pong(&mut self) -> Result<(), End> {
        match self.owed_pong.take() {
            Some(payload) => self.append(|out| append_pong(out, &payload)),
            None => Ok(()),
        }
    }

    /// The last words: the end of every call that is open, Goodbye, and the Close frame.
    pub fn farewell(&self, open: impl Iterator<Item = (u32, u32)>, aborted: &Failure, goodbye: &v1::Goodbye, close: Close, text: &str) {
        self.outbox.append_farewell(|out| {
            for (protocol, id) in open {
                append_message(out, self.codec, |out| self.codec.encode(&refusal(protocol, id, Status::from(aborted)), out));
            }
            append_message(out, self.codec, |out| self.own.write(self.codec, v1::Goodbye::NUMBER, 0, goodbye, out));
            append_close(out, close, text);
        });
    }

    /// The answer to a client's own Close frame.
    pub fn echo_close(&self, code: Option<u16>) {
        self.outbox.append_farewell(|out| append_close_echo(out, code));
    }

    /// What is to be written next, which tells the client what it has missed.
    pub fn take(&self) -> Vec<u8> {
        self.outbox.take(|frame, dropped, out| append_with_dropped(out, self.codec, frame, dropped))
    }

    fn envelope(&self, envelope: &Envelope<'_>) -> impl FnOnce(&mut Vec<u8>) {
        |out| {
            // Head, number and id are a dozen bytes; one reservation instead of several while the buffer grows from nothing.
            out.reserve(32 + envelope.payload.len());
            append_message(out, self.codec, |out| self.codec.encode(envelope, out));
        }
    }

    fn append(&self, write: impl FnOnce(&mut Vec<u8>)) -> Result<(), End> {
        self.outbox.try_append_owed(write).map_err(|_| End::close(Close::Slow, "too much waits to be read"))
    }
}

fn payload(reply: &Reply) -> Payload<'_> {
    match reply {
        empty if empty.is_empty() => Payload::None,
        Reply::Proto(bytes) => Payload::Proto(bytes),
        Reply::Json(json) => Payload::Json(json),
    }
}

fn refusal(protocol: u32, id: u32, status: Status) -> Envelope<'static> {
    Envelope { protocol, id, status: Some(status), ..Envelope::default() }
}
