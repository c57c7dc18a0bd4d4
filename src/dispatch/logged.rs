//! What the access log says about a call or a stream: one line, whatever becomes of it.

use std::sync::Arc;

use bytes::Bytes;
use tokio::time::Instant;

use super::mailbox::Mailbox;
use super::{caught, request};
use crate::backend::Backend;
use crate::failure::{Failure, Reason};
use crate::id::{CallId, ConnectionId, Generation};
use crate::pipeline::access_log::Entry;
use crate::pipeline::call::Caller;
use crate::pipeline::identity::Identity;
use crate::table::plan::LogPayload;
use crate::table::{Route, Table};
use crate::wire::Envelope;

/// What the access log will say, known from the beginning. It says it once: at the end, or when it is dropped before.
pub(super) struct Logged {
    pub(super) route: Arc<Route>,
    /// The one that was chosen for this caller.
    pub(super) backend: Arc<Backend>,
    pub(super) id: CallId,
    pub(super) generation: Generation,
    pub(super) connection: ConnectionId,
    pub(super) identity: Option<Arc<Identity>>,
    pub(super) began: Instant,
    pub(super) payload_bytes: usize,
    pub(super) would_refuse: Vec<Arc<str>>,
    /// The request as it was sent, where the route logs payloads.
    pub(super) sent: Option<Bytes>,
    /// Of a stream: what counts its messages.
    pub(super) stream: Option<Arc<Mailbox>>,
    pub(super) said: bool,
}

/// Says that a request was refused before there was anything to run.
pub(super) fn log_refusal(table: &Table, caller: &Caller, envelope: &Envelope<'_>, failure: &Failure, began: Instant) {
    let route = table.route(envelope.protocol);
    let entry = Entry {
        generation: table.generation,
        connection: caller.connection,
        protocol: envelope.protocol,
        id: envelope.id,
        route: route.map(|route| &*route.name),
        user: caller.identity().map(|identity| &*identity.user),
        outcome: Err(failure),
        duration: began.elapsed(),
        slow: None,
        backend: None,
        endpoint: None,
        bytes_in: envelope.payload.len(),
        bytes_out: 0,
        messages: None,
        would_refuse: &[],
        payload: None,
    };
    if entry.is_wanted() {
        entry.write();
    }
}

// === impl Logged ===

impl Logged {
    /// How it ended: with a reply of so many bytes, or a failure.
    pub(super) fn say(&mut self, outcome: Result<usize, &Failure>, endpoint: Option<&str>) {
        // Beforehand: if this panics, it is not tried again.
        self.said = true;
        let route = &*self.route;
        let counts = self.stream.as_ref().map(|mailbox| mailbox.counts());
        let mut entry = Entry {
            generation: self.generation,
            connection: self.connection,
            protocol: route.number.0,
            id: self.id.0,
            route: Some(&route.name),
            user: self.identity.as_ref().map(|identity| &*identity.user),
            outcome: outcome.map(|_| ()),
            duration: self.began.elapsed(),
            // A stream is as long as it is.
            slow: counts.is_none().then_some(route.log.slow),
            backend: Some(self.backend.name()),
            endpoint,
            bytes_in: counts.as_ref().map_or(self.payload_bytes, |counts| counts.bytes_in),
            bytes_out: counts.as_ref().map_or(outcome.unwrap_or(0), |counts| counts.bytes_out),
            messages: counts.map(|counts| (counts.messages_in, counts.messages_out)),
            would_refuse: &self.would_refuse,
            payload: None,
        };
        if !entry.is_wanted() {
            return;
        }
        let shown = match route.log.payload {
            LogPayload::None => false,
            LogPayload::Failures => outcome.is_err(),
            LogPayload::All => true,
        };
        let payload = self.sent.as_deref().filter(|_| shown).and_then(|sent| request::redacted(route, sent));
        entry.payload = payload.as_deref();
        entry.write();
    }
}

impl Drop for Logged {
    /// Nobody waits for the answer any more: the client cancelled, or it is gone.
    fn drop(&mut self) {
        if !self.said {
            let failure = Failure::gateway(Reason::Cancelled, "the call was given up before its answer came");
            // A panic while another one unwinds would end the process.
            _ = caught(|| {
                self.say(Err(&failure), None);
                Ok(())
            });
        }
    }
}
