//! The client's end of a stream: what the client says goes in here, and waits until the service takes it.
//!
//! An [`Inlet`] is the edge's, its [`Mailbox`] is what it shares with the running [`Stream`](super::Stream). Promises: every message is
//! checked, stamped and paid for like a call before it waits; no more wait than the client was granted; nothing here waits itself.

use std::sync::Arc;

use tokio::time::Instant;

use super::mailbox::Mailbox;
use super::request::checked;
use super::{caught, permit};
use crate::failure::{Failure, Reason, Result};
use crate::id::Protocol;
use crate::pipeline::call::Caller;
use crate::table::{Route, Table};
use crate::wire::{Codec, Envelope};

/// What the edge holds of an open stream.
pub struct Inlet {
    pub(super) route: Arc<Route>,
    pub(super) codec: Codec,
    /// The session in which it was opened.
    pub(super) session: Option<Arc<str>>,
    pub(super) mailbox: Arc<Mailbox>,
}

/// What became of a message for an open stream.
#[derive(PartialEq, Eq, Debug)]
pub enum Heard {
    Taken,
    /// Nothing: the client had said that there is no more, or the stream is about to end.
    Dropped,
    /// The stream ends by it.
    Refused,
}

// === impl Inlet ===

impl Inlet {
    pub fn protocol(&self) -> Protocol {
        self.route.number
    }

    /// Takes what the client says on the stream.
    pub fn hear(&self, caller: &Caller, envelope: &Envelope<'_>, now: Instant) -> Heard {
        if envelope.credit > 0 {
            self.mailbox.allow(envelope.credit);
        }
        let is_message = envelope.more || !envelope.payload.is_empty();
        if !is_message && envelope.credit > 0 {
            return Heard::Taken;
        }
        if self.mailbox.is_deaf() {
            return Heard::Dropped;
        }
        let heard = if is_message { self.take(caller, envelope, now) } else { Ok(()) };
        if let Err(failure) = heard {
            self.mailbox.end(failure);
            return Heard::Refused;
        }
        if !envelope.more {
            self.mailbox.close();
        }
        Heard::Taken
    }

    fn take(&self, caller: &Caller, envelope: &Envelope<'_>, now: Instant) -> Result<()> {
        self.mailbox.spend()?;
        let checked = caught(|| checked(&self.route, caller, self.codec, envelope, now))?;
        self.mailbox.push(checked.body, checked.payload_bytes, now);
        Ok(())
    }

    /// Whether the stream may go on by this table, and with who the caller is by now.
    pub fn may_go_on(&self, table: &Table, caller: &mut Caller) -> Result<()> {
        let denied = |what: String| Failure::gateway(Reason::PermissionDenied, what);
        if self.session.is_some() && self.session.as_ref() != caller.session() {
            return Err(Failure::gateway(Reason::SessionReplaced, "the session that opened the stream is no longer this connection's"));
        }
        let route = table.route(self.route.number.0).ok_or_else(|| denied(format!("`{}` is routed no longer", self.route.name)))?;
        permit(table, route, caller).map_err(|failure| denied(failure.message().to_owned()))
    }

    /// Ends the stream with this failure; the first counts.
    pub fn end(&self, failure: Failure) {
        self.mailbox.end(failure);
    }

    /// Bytes that the service has not taken yet.
    pub fn waiting_bytes(&self) -> usize {
        self.mailbox.waiting_bytes()
    }
}
