//! The way from a session to its connection: pushes in the connection's codec, into its outbox.

use std::sync::Arc;

use super::own::OwnMessages;
use super::socket::append_message;
use crate::failure::{Code, Failure};
use crate::proto;
use crate::session::outbox::Outbox;
use crate::session::ring::Entry;
use crate::session::{Line, Publication};
use crate::table::TableReader;
use crate::wire::{Close, Codec, Envelope, Payload, Status, number, v1};

/// One connection, as its session sees it.
pub struct SocketLine {
    pub codec: Codec,
    pub outbox: Arc<Outbox>,
    pub own: Arc<OwnMessages>,
    pub tables: TableReader,
}

// === impl SocketLine ===

impl SocketLine {
    /// The push as JSON. Nothing: no push of this number is declared any more, or its bytes are not of its type.
    fn json(&self, entry: &Entry) -> Option<String> {
        let table = self.tables.load();
        let mut json = Vec::new();
        proto::to_json(&table.push(entry.number)?.message, &entry.payload, &mut json).ok()?;
        Some(String::from_utf8(json).expect("JSON is text"))
    }
}

impl Line for SocketLine {
    fn push(&self, entry: &Entry) -> bool {
        let json;
        let payload = match self.codec {
            _ if entry.payload.is_empty() => Payload::None,
            Codec::Proto => Payload::Proto(&entry.payload),
            Codec::Json => {
                json = self.json(entry);
                json.as_deref().map_or(Payload::None, Payload::Json)
            }
        };
        let envelope = Envelope { protocol: entry.number, seq: entry.seq, payload, ..Envelope::default() };
        self.outbox.try_append(|out| append_message(out, self.codec, |out| self.codec.encode(&envelope, out))).is_ok()
    }

    fn publish(&self, publication: &Arc<Publication>) -> bool {
        let frame = publication.frame(self.codec, || {
            let mut json = Vec::new();
            let payload = match self.codec {
                _ if publication.payload.is_empty() => Payload::None,
                Codec::Proto => Payload::Proto(&publication.payload),
                Codec::Json => {
                    let table = self.tables.load();
                    let written = table
                        .push(publication.number)
                        .is_some_and(|push| proto::to_json(&push.message, &publication.payload, &mut json).is_ok());
                    if written { Payload::Json(std::str::from_utf8(&json).expect("JSON is text")) } else { Payload::None }
                }
            };
            let envelope = Envelope {
                protocol: publication.number,
                payload,
                topic: (&*publication.topic).into(),
                epoch: (&*publication.epoch).into(),
                offset: publication.offset,
                dropped: publication.lost,
                ..Envelope::default()
            };
            let mut out = Vec::new();
            append_message(&mut out, self.codec, |out| self.codec.encode(&envelope, out));
            out
        });
        self.outbox.try_append(|out| out.extend_from_slice(frame)).is_ok()
    }

    fn expel(&self, topic: &str, reason: &str) -> bool {
        let message = v1::Unsubscribe { topic: topic.to_owned() };
        let failure = Failure::backend(Code::Aborted, Some(reason.to_owned()), String::new(), Vec::new());
        let envelope = Envelope { protocol: number::UNSUBSCRIBE, status: Some(Status::from(&failure)), ..Envelope::default() };
        let write = |out: &mut Vec<u8>| append_message(out, self.codec, |out| self.own.write_in(self.codec, envelope, &message, out));
        self.outbox.try_append(write).is_ok()
    }

    fn close(&self, close: Close) {
        self.outbox.close(close);
    }
}
