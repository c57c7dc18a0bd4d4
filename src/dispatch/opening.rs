//! Opening a stream: all that a call is asked, and what is written down for the one that runs.
//!
//! [`open`] does what [`admit`](super::admit) does for a call.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::ended::{self, Record, Traced};
use super::inlet::Inlet;
use super::mailbox::Mailbox;
use super::stream::{Asking, Life, Stream};
use super::{caught, find, guard, permit, request};
use crate::backend;
use crate::failure::{Failure, Reason, Result};
use crate::pipeline::call::Caller;
use crate::proto::Kind;
use crate::table::Table;
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
    let mut checked = request::checked(route, caller, codec, envelope, now)?;

    let question = guard::question(route, caller, envelope, &checked.body);
    let mailbox = Arc::new(Mailbox::new(terms.credit, now));
    let says = !takes_many || envelope.more || !envelope.payload.is_empty();
    if says {
        mailbox.spend()?;
    }
    let mut record = Record::begin(table, route, caller, envelope, &mut checked, now);
    record.stream = Some(Arc::clone(&mailbox));
    if says {
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
    let opening = backend::Opening {
        path: route.method.path.clone(),
        headers: Arc::clone(&route.headers),
        metadata,
        trace: record.traced.as_deref().and_then(Traced::told),
        choice: checked.choice,
        deadline: now + patience + SLACK,
        message_bytes_max: route.reply_bytes_max,
    };
    let inlet = Inlet { route: Arc::clone(route), codec, session: caller.session().cloned(), mailbox: Arc::clone(&mailbox) };
    let life = Life::new(route.stream.idle, now + patience, reason, now);
    Ok((inlet, Box::new(Stream::new(codec, caller.worker, mailbox, Asking { question, opening }, life, record))))
}
