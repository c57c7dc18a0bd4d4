//! The way from a session to its connection: pushes in the connection's codec, into its outbox.

use std::sync::Arc;

use super::socket::append_message;
use crate::proto;
use crate::session::Line;
use crate::session::outbox::Outbox;
use crate::session::ring::Entry;
use crate::table::TableReader;
use crate::wire::{Close, Codec, Envelope, Payload};

/// One connection, as its session sees it.
pub struct SocketLine {
    pub codec: Codec,
    pub outbox: Arc<Outbox>,
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

    fn close(&self, close: Close) {
        self.outbox.close(close);
    }
}
