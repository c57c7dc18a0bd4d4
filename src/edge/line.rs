//! The way from a session to its connection: pushes in the connection's codec, into its outbox.
//!
//! What many get is encoded by the first of each codec; the others share the frame.

use std::borrow::Cow;
use std::sync::Arc;

use super::own::OwnMessages;
use super::socket::append_message;
use crate::failure::{Code, Failure};
use crate::proto;
use crate::session::outbox::{Fate, Mark, Outbox};
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
    /// Appends the frame of `envelope` with this payload.
    fn append(&self, out: &mut Vec<u8>, envelope: Envelope<'_>, payload: &[u8]) {
        let json;
        let payload = match self.codec {
            _ if payload.is_empty() => Payload::None,
            Codec::Proto => Payload::Proto(payload),
            Codec::Json => {
                json = self.json(envelope.protocol, payload);
                json.as_deref().map_or(Payload::None, Payload::Json)
            }
        };
        append_message(out, self.codec, |out| self.codec.encode(&Envelope { payload, ..envelope }, out));
    }

    /// The push as JSON. Nothing: no push of this number is declared any more, or its bytes are not of its type.
    fn json(&self, number: u32, payload: &[u8]) -> Option<String> {
        let table = self.tables.load();
        let mut json = Vec::new();
        proto::to_json(&table.push(number)?.message, payload, &mut json).ok()?;
        Some(String::from_utf8(json).expect("JSON is text"))
    }
}

impl Line for SocketLine {
    fn push(&self, entry: &Entry) -> bool {
        let envelope = Envelope { protocol: entry.number, seq: entry.seq, ..Envelope::default() };
        self.outbox.try_push(|out| self.append(out, envelope, &entry.payload)).is_ok()
    }

    fn publish(&self, publication: &Arc<Publication>) -> bool {
        let frame = publication.frame(self.codec, || {
            let envelope = Envelope {
                protocol: publication.number,
                topic: Cow::Borrowed(&publication.topic),
                offset: publication.offset,
                epoch: Cow::Borrowed(&publication.epoch),
                dropped: publication.lost,
                ..Envelope::default()
            };
            let mut frame = Vec::new();
            self.append(&mut frame, envelope, &publication.payload);
            frame
        });
        self.outbox.publish(publication, frame).is_ok()
    }

    fn expel(&self, topic: &str, reason: &str) -> bool {
        let message = v1::Unsubscribe { topic: topic.to_owned() };
        let failure = Failure::backend(Code::Aborted, Some(reason.to_owned()), String::new(), Vec::new());
        let envelope = Envelope { protocol: number::UNSUBSCRIBE, status: Some(Status::from(&failure)), ..Envelope::default() };
        let write = |out: &mut Vec<u8>| append_message(out, self.codec, |out| self.own.write_in(self.codec, envelope, &message, out));
        self.outbox.try_push(write).is_ok()
    }

    fn mark(&self) -> Mark {
        self.outbox.mark()
    }

    fn fate(&self, mark: Mark) -> Fate {
        self.outbox.fate(mark)
    }

    fn close(&self, close: Close) {
        self.outbox.close(close);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::{Budget, OnSlow};
    use crate::table::{Table, live};

    #[test]
    fn everybody_of_a_codec_gets_the_same_frame_with_its_place_in_the_topic() {
        let (_writer, tables) = live(Arc::new(Table::empty()));
        let budget = Arc::new(Budget::new(1000, 1000));
        let line = |codec| SocketLine {
            codec,
            outbox: Outbox::new(Arc::clone(&budget)),
            own: Arc::new(OwnMessages::new(&crate::proto::Pool::own())),
            tables: tables.clone(),
        };
        let publication = Publication::new(2101, b"\x0a\x01x".as_slice().into(), OnSlow::DropOldest);
        let publication = Arc::new(publication.at("room/1".into(), "e1".into(), 7));
        for codec in [Codec::Proto, Codec::Json] {
            let (one, other) = (line(codec), line(codec));
            assert!(one.publish(&publication) && other.publish(&publication));
            let frame = publication.frame(codec, || panic!("it was made"));
            let read = codec.decode(&frame[2..]).unwrap();
            assert_eq!((read.protocol, &*read.topic, &*read.epoch, read.offset), (2101, "room/1", "e1", 7));
            assert_eq!((read.seq, read.dropped), (0, 0));
            for line in [one, other] {
                assert_eq!(line.outbox.take(|_, _, _| {}), **frame);
            }
        }
    }
}
