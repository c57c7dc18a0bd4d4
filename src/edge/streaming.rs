//! What a client says on streams, and when what they say is said to it.
//!
//! A stream is asked for more only while little waits to be written: see [`Conversation::poll_streams`].

use std::task::{Context, Poll, ready};

use tracing::trace;

use super::conversation::{Batch, Conversation};
use super::end::End;
use crate::dispatch::{self, Heard, Said, Terms};
use crate::failure::{Failure, Reason};
use crate::id::CallId;
use crate::jitter;
use crate::session::outbox::Full;
use crate::table::{Route, TableReader};
use crate::wire::Envelope;

// === impl Conversation ===

impl Conversation {
    /// The client opens a stream.
    pub(super) fn hear_opening(&mut self, envelope: &Envelope<'_>, route: &Route, batch: &Batch) -> Result<(), End> {
        // Streams that were opened together do not end together.
        let terms = Terms { credit: self.stream_credit, max_age: jitter::about(route.stream.max_age) };
        let opened = self
            .room_for_a_stream(batch)
            .and_then(|()| dispatch::open(&batch.table, &mut self.caller, self.speaker.codec, envelope, &terms, batch.now));
        match opened {
            Ok((inlet, stream)) => {
                self.has_streamed = true;
                self.standing.extend(batch.tick, &batch.table.settings);
                self.streams.push(CallId(envelope.id), inlet, stream);
                Ok(())
            }
            Err(failure) => self.refuse(envelope.protocol, envelope.id, &failure, batch.tick),
        }
    }

    /// The client goes on with a stream, ends its half of it, or grants it something.
    pub(super) fn hear_stream(&mut self, envelope: &Envelope<'_>, batch: &Batch) -> Result<(), End> {
        let is_for_none = envelope.id == 0 || !self.has_streamed;
        let heard = match self.streams.find(CallId(envelope.id)) {
            Some(inlet) => inlet.hear(&self.caller, envelope, batch.now),
            None => Heard::Dropped,
        };
        match heard {
            Heard::Taken => Ok(()),
            Heard::Refused => self.strike(batch.tick, "a message on a stream"),
            Heard::Dropped if is_for_none && !envelope.payload.is_empty() => {
                let what = "there is no `protocol`, and no stream that this could be for; say the number of a route";
                self.refuse(0, envelope.id, &Failure::gateway(Reason::InvalidMessage, what), batch.tick)
            }
            Heard::Dropped => {
                self.strays = self.strays.saturating_add(1);
                trace!(connection = %self.caller.connection, id = envelope.id, "dropped a message for a stream that is not open");
                Ok(())
            }
        }
    }

    fn room_for_a_stream(&self, batch: &Batch) -> Result<(), Failure> {
        self.not_draining()?;
        let streams_max = batch.table.settings.streams_max;
        if self.streams.len() < streams_max {
            return Ok(());
        }
        let what = format!("{streams_max} streams are open, and there may be no more; end one first");
        Err(Failure::gateway(Reason::TooManyStreams, what))
    }

    /// Ends a stream because its client asked for it. Its end says so.
    pub(super) fn cancel_stream(&self, id: CallId) {
        if let Some(inlet) = self.streams.find(id) {
            inlet.end(Failure::gateway(Reason::Cancelled, "you cancelled the stream"));
        }
    }

    /// Ends the streams that the caller may not go on with, by a table or an identity that has not been asked yet.
    pub fn check_streams(&mut self, tables: &TableReader) {
        if !self.streams.must_check(tables.generation()) {
            return;
        }
        let table = tables.load();
        for known in self.streams.known() {
            if let Err(failure) = known.inlet.may_go_on(&table, &mut self.caller) {
                known.inlet.end(failure);
            }
        }
    }

    /// Says what streams say, while not more than a quarter of the outbox is full: so one slow client costs no more than that and one
    /// message, and is read from still, which ends only at a half. A stream that is to end does so all the same. Ready when no stream goes on.
    pub fn poll_streams(&mut self, cx: &mut Context<'_>, tables: &TableReader) -> Poll<Result<(), End>> {
        self.check_streams(tables);
        loop {
            self.streams.hold(self.is_more_than_enough());
            let Some(said) = ready!(self.streams.poll_next(cx)) else { return Poll::Ready(Ok(())) };
            match self.speaker.stream(&said) {
                Ok(()) => self.streams.go_on(said),
                Err(Full::Own) if self.speaker.outbox.is_empty() => self.fits_not_even_alone(said)?,
                Err(full) => {
                    self.streams.put_off(said, full);
                    return Poll::Pending;
                }
            }
        }
    }

    /// Whether streams will be asked for more once what waits is written.
    pub fn streams_are_held_back(&self) -> bool {
        self.is_more_than_enough() || self.streams.full() == Some(Full::Own)
    }

    fn is_more_than_enough(&self) -> bool {
        !self.streams.is_empty() && self.speaker.outbox.is_more_than_a_quarter_full()
    }

    /// A message that is larger than what may wait ends its stream.
    fn fits_not_even_alone(&mut self, said: Said) -> Result<(), End> {
        let failure = Failure::gateway(Reason::ReplyTooLarge, "the message is larger than what may wait for you; ask for less");
        match &said {
            Said::Message { rest, .. } | Said::Grant { rest, .. } => rest.fail(failure),
            Said::Over(answer) => self.speaker.refuse(answer.protocol.0, answer.id.0, &failure)?,
            Said::Done(_) => {}
        }
        self.streams.go_on(said);
        Ok(())
    }
}
