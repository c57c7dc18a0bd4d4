//! How a call or a stream ended: told once, whatever becomes of it, to everybody who observes calls.
//!
//! - `counted`: the counters of its route
//! - `logged`: the line in the access log
//! - `noted`: the book of errors
//! - `tapped`: operators who watch; `shown`: what people may see of a payload
//! - `traced`: its spans
//!
//! What any of them shows of a request or a reply is made in `shown`.

mod counted;
mod logged;
mod noted;
mod shown;
mod tapped;
mod traced;

use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use tokio::time::Instant;

pub(super) use self::traced::Traced;
use super::caught;
use super::mailbox::Mailbox;
use super::request::{Checked, FRAME};
use crate::backend::{Backend, Journey};
use crate::failure::{Failure, Reason};
use crate::id::{CallId, ConnectionId, Generation, WorkerId};
use crate::pipeline::call::Caller;
use crate::pipeline::identity::Identity;
use crate::table::plan::LogPayload;
use crate::table::{Route, Table};
use crate::telemetry::observers::Observers;
use crate::wire::Envelope;

/// What is known of a call from its beginning, and what it collects on its way. It tells of itself once: at the end, or when it is
/// dropped before.
pub(super) struct Record {
    pub route: Arc<Route>,
    /// The one that was chosen for this caller.
    pub backend: Arc<Backend>,
    pub id: CallId,
    pub generation: Generation,
    pub connection: ConnectionId,
    pub peer: IpAddr,
    pub worker: WorkerId,
    pub identity: Option<Arc<Identity>>,
    pub began: Instant,
    pub payload_bytes: usize,
    pub would_refuse: Vec<Arc<str>>,
    /// The request as it was sent, where somebody wants to see it.
    pub sent: Option<Bytes>,
    /// The reply as the service gave it, where somebody wants to see it.
    pub answered: Option<Bytes>,
    pub journey: Journey,
    /// Of a stream: what counts its messages.
    pub stream: Option<Arc<Mailbox>>,
    /// Nothing: whatever becomes of it, it is not traced.
    pub traced: Option<Box<Traced>>,
    pub told: bool,
}

/// How a call ended, or was refused before there was anything to run.
struct Ending<'a> {
    observers: &'a Observers,
    /// Nothing: there is no route of this number.
    route: Option<&'a Route>,
    generation: Generation,
    connection: ConnectionId,
    peer: IpAddr,
    worker: WorkerId,
    /// As the client wrote it; of no use as a name of anything unless there is a route.
    protocol: u32,
    id: u32,
    identity: Option<&'a Identity>,
    outcome: Result<(), &'a Failure>,
    began: Instant,
    ended: Instant,
    backend: Option<&'a str>,
    journey: &'a Journey,
    bytes_in: usize,
    bytes_out: usize,
    /// Of a stream: how many messages went in and out.
    messages: Option<(u64, u64)>,
    /// The limits in dry run that would have refused it.
    would_refuse: &'a [Arc<str>],
    /// Payloads in protobuf, not redacted, where somebody wants to see them.
    sent: Option<&'a [u8]>,
    answered: Option<&'a [u8]>,
    traced: Option<&'a Traced>,
}

/// A request was refused before there was anything to run.
pub(super) fn refused(table: &Table, caller: &mut Caller, envelope: &Envelope<'_>, failure: &Failure, began: Instant) {
    let route = table.route(envelope.protocol).map(|route| &**route);
    let traced = route.and_then(|route| Traced::begin(route, caller, envelope));
    let ending = Ending {
        observers: &table.observers,
        route,
        generation: table.generation,
        connection: caller.connection,
        peer: caller.peer,
        worker: caller.worker,
        protocol: envelope.protocol,
        id: envelope.id,
        identity: caller.identity().map(|identity| &**identity),
        outcome: Err(failure),
        began,
        ended: Instant::now(),
        backend: None,
        journey: &Journey::default(),
        bytes_in: envelope.payload.len(),
        bytes_out: 0,
        messages: None,
        would_refuse: &[],
        sent: None,
        answered: None,
        traced: traced.as_deref(),
    };
    ending.tell();
}

/// Whether somebody wants to see what calls of this route say.
pub(super) fn is_watched(route: &Route) -> bool {
    route.log.payload != LogPayload::None || route.observers.taps.is_open()
}

// === impl Record ===

impl Record {
    /// What is known when it begins. What it would have been refused for is told by it alone.
    pub fn begin(
        table: &Table,
        route: &Arc<Route>,
        caller: &mut Caller,
        envelope: &Envelope<'_>,
        checked: &mut Checked,
        began: Instant,
    ) -> Record {
        Record {
            route: Arc::clone(route),
            backend: Arc::clone(route.backend_for(caller)),
            id: CallId(envelope.id),
            generation: table.generation,
            connection: caller.connection,
            peer: caller.peer,
            worker: caller.worker,
            identity: caller.identity().cloned(),
            began,
            payload_bytes: checked.payload_bytes,
            would_refuse: std::mem::take(&mut checked.would_refuse),
            sent: is_watched(route).then(|| checked.body.slice(FRAME..)),
            answered: None,
            journey: Journey::default(),
            stream: None,
            traced: Traced::begin(route, caller, envelope),
            told: false,
        }
    }

    /// How it ended: with a reply of so many bytes, or a failure.
    pub fn tell(&mut self, outcome: Result<usize, &Failure>) {
        // Beforehand: if this panics, it is not tried again.
        self.told = true;
        let counts = self.stream.as_ref().map(|mailbox| mailbox.counts());
        let ending = Ending {
            observers: &self.route.observers,
            route: Some(&self.route),
            generation: self.generation,
            connection: self.connection,
            peer: self.peer,
            worker: self.worker,
            protocol: self.route.number.0,
            id: self.id.0,
            identity: self.identity.as_deref(),
            outcome: outcome.map(|_| ()),
            began: self.began,
            ended: Instant::now(),
            backend: Some(self.backend.name()),
            journey: &self.journey,
            bytes_in: counts.as_ref().map_or(self.payload_bytes, |counts| counts.bytes_in),
            bytes_out: counts.as_ref().map_or(outcome.unwrap_or(0), |counts| counts.bytes_out),
            messages: counts.map(|counts| (counts.messages_in, counts.messages_out)),
            would_refuse: &self.would_refuse,
            sent: self.sent.as_deref(),
            answered: self.answered.as_deref(),
            traced: self.traced.as_deref(),
        };
        ending.tell();
    }
}

impl Drop for Record {
    /// Nobody waits for the answer any more: the client cancelled, or it is gone.
    fn drop(&mut self) {
        if !self.told {
            let failure = Failure::gateway(Reason::Cancelled, "the call was given up before its answer came");
            // A panic while another one unwinds would end the process.
            _ = caught(|| {
                self.tell(Err(&failure));
                Ok(())
            });
        }
    }
}

// === impl Ending ===

impl Ending<'_> {
    fn tell(&self) {
        self.count();
        self.log();
        self.note();
        self.tap();
        self.trace();
    }
}
