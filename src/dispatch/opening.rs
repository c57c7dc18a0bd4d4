//! Opening a stream: all that a call is asked, and what is written down for the one that runs.
//!
//! [`open`] does what [`admit`](super::admit) does for a call, and [`checked`] what it does for one message.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::ended::{self, Record, Traced};
use super::inlet::Inlet;
use super::mailbox::Mailbox;
use super::stream::{Asking, Life, Stream};
use super::{caught, find, guard, permit, request};
use crate::backend::{self, Journey};
use crate::failure::{Failure, Reason, Result};
use crate::id::CallId;
use crate::pipeline::call::Caller;
use crate::pipeline::rate_limit::{self, Facts};
use crate::proto::{Kind, Values};
use crate::table::{Route, Table};
use crate::wire::{Codec, Envelope};

/// How much longer than the gateway's own bound the service is given: who is told that the stream is too old is told so by the gateway.
const SLACK: Duration = Duration::from_secs(5);

/// What the edge grants a stream.
pub struct Terms {
    /// Messages that either side may send before the other grants more, as Hello has said.
    pub credit: u32,
    /// How old it may be: what the route says, give or take.
    pub max_age: Duration,
}

/// A message that may be sent on.
pub(super) struct Checked {
    /// Which endpoint a stream that it opens is for.
    choice: backend::Choice,
    /// Behind its frame.
    pub body: Bytes,
    pub payload_bytes: usize,
    pub would_refuse: Vec<Arc<str>>,
}

/// Decides whether a stream may be opened, and prepares it. Does no I/O and awaits nothing.
pub fn open(
    table: &Arc<Table>,
    caller: &mut Caller,
    codec: Codec,
    envelope: &Envelope<'_>,
    terms: &Terms,
    now: Instant,
) -> Result<(Inlet, Box<Stream>)> {
    let opened = caught(|| prepare(table, caller, codec, envelope, terms, now));
    opened.inspect_err(|failure| ended::refused(table, caller, envelope, failure, now))
}

fn prepare(
    table: &Arc<Table>,
    caller: &mut Caller,
    codec: Codec,
    envelope: &Envelope<'_>,
    terms: &Terms,
    now: Instant,
) -> Result<(Inlet, Box<Stream>)> {
    let route = find(table, envelope)?;
    if envelope.id == 0 {
        return Err(Failure::gateway(Reason::InvalidMessage, "a stream needs an id other than 0, by which its messages are known"));
    }
    let takes_many = matches!(route.method.kind, Kind::ClientStream | Kind::Bidi);
    if envelope.more && !takes_many {
        return Err(Failure::gateway(Reason::InvalidMessage, "this route takes one message; send it with `more` unset"));
    }
    permit(table, route, caller)?;
    let metadata = request::metadata(route, caller, envelope)?;
    let checked = checked(route, caller, codec, envelope, now)?;

    let question = guard::question(route, caller, envelope, &checked.body);
    let mailbox = Arc::new(Mailbox::new(terms.credit, now));
    let sent = ended::is_watched(route).then(|| checked.body.slice(request::FRAME..));
    if !takes_many || envelope.more || !envelope.payload.is_empty() {
        mailbox.spend()?;
        mailbox.push(checked.body, checked.payload_bytes, now);
    }
    if !envelope.more {
        mailbox.close();
    }
    mailbox.allow(envelope.credit);

    let (patience, reason) = match Duration::from_millis(envelope.deadline_ms.into()) {
        asked if !asked.is_zero() && asked < terms.max_age => (asked, Reason::DeadlineExceeded),
        _ => (terms.max_age, Reason::StreamTooOld),
    };
    let traced = Traced::begin(route, caller, envelope);
    let opening = backend::Opening {
        path: route.method.path.clone(),
        headers: Arc::clone(&route.headers),
        metadata,
        trace: traced.as_deref().and_then(Traced::told),
        choice: checked.choice,
        deadline: now + patience + SLACK,
        message_bytes_max: route.reply_bytes_max,
    };
    let record = Record {
        route: Arc::clone(route),
        backend: Arc::clone(route.backend_for(caller)),
        id: CallId(envelope.id),
        generation: table.generation,
        connection: caller.connection,
        peer: caller.peer,
        worker: caller.worker,
        identity: caller.identity().cloned(),
        began: now,
        payload_bytes: checked.payload_bytes,
        would_refuse: checked.would_refuse,
        sent,
        answered: None,
        journey: Journey::default(),
        stream: Some(Arc::clone(&mailbox)),
        traced,
        told: false,
    };
    let inlet = Inlet { route: Arc::clone(route), codec, session: caller.session().cloned(), mailbox: Arc::clone(&mailbox) };
    let life = Life::new(route.stream.idle, now + patience, reason, now);
    Ok((inlet, Box::new(Stream::new(codec, caller.worker, mailbox, Asking { question, opening }, life, record))))
}

/// A message as the service is sent it: checked, stamped, and paid for last.
pub(super) fn checked(route: &Route, caller: &Caller, codec: Codec, envelope: &Envelope<'_>, now: Instant) -> Result<Checked> {
    let message = request::message(route, codec, envelope)?;
    let mut values = Values::default();
    request::check(route, &message, &mut values)?;
    let body = request::body(route, caller, &message)?;
    let fields = request::key_values(&values);
    let passed = rate_limit::admit(&route.limits, &Facts { route: route.number, caller, fields: &fields }, now)?;
    Ok(Checked { choice: route.choice(caller, &fields), body, payload_bytes: message.len(), would_refuse: passed.would_refuse })
}
