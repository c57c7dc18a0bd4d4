//! One client's side of the contract: what it says, and what is said back.
//!
//! Knows messages, calls and identities; knows no socket. Promises: every request is answered exactly once, at once or through
//! [`Conversation::poll_answer`]; nothing here waits; the table is the caller's, loaded once for all messages that were read together.

use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::time::Instant;
use tracing::debug;

use super::admission::{Admission, Way};
use super::calls::{Calls, InFlight};
use super::control::Entry;
use super::end::{End, aborted, goodbye};
use super::frames::{Event, Flow};
use super::patience::{Exhausted, Patience};
use super::pulse::Tick;
use super::seats::Seat;
use super::speaker::Speaker;
use super::standing::Standing;
use super::streams::Streams;
use super::undertaker::Left;
use crate::dispatch::{self, Answer, Change, Effect};
use crate::failure::{Failure, Reason};
use crate::id::{CallId, Protocol};
use crate::pipeline::Caller;
use crate::proto::Kind;
use crate::push::Resumption;
use crate::session::outbox::Full;
use crate::table::{Table, TableReader};
use crate::wire::{Close, Codec, Envelope, number};

/// What all messages that were read together have in common.
pub struct Batch {
    pub table: Arc<Table>,
    pub now: Instant,
    pub tick: Tick,
}

/// The state of a conversation.
pub struct Conversation {
    pub(super) speaker: Speaker,
    pub(super) caller: Caller,
    pub(super) standing: Standing,
    pub(super) seat: Seat,
    pub(super) calls: Calls,
    pub(super) streams: Streams,
    /// Messages that either side may send on a new stream, as Hello has said.
    pub(super) stream_credit: u32,
    /// Messages for streams that are not open.
    pub(super) strays: u32,
    /// It has asked for something that goes on, so that what it says without a number may be for a stream that is over.
    pub(super) has_streamed: bool,
    /// The answer for which there was no room, and where there was none. Until it is out, no other is collected.
    put_off: Option<Box<(Answer, Full)>>,
    /// New calls are refused, for the gateway is about to end.
    pub(super) draining: bool,
    /// What is being found out about who the client is. Until it is, nothing is read.
    pub(super) admission: Option<Box<Admission>>,
    patience: Patience,
}

// === impl Conversation ===

impl Conversation {
    pub fn new(speaker: Speaker, caller: Caller, standing: Standing, seat: Seat) -> Conversation {
        Conversation {
            speaker,
            caller,
            standing,
            seat,
            calls: Calls::default(),
            streams: Streams::default(),
            stream_credit: 0,
            strays: 0,
            has_streamed: false,
            put_off: None,
            draining: false,
            admission: None,
            patience: Patience::default(),
        }
    }

    /// Takes what came from the client. An error ends the connection.
    pub fn hear(&mut self, event: Event<'_>, batch: &Batch) -> Result<Flow, End> {
        match event {
            Event::Message { text, payload } => self.hear_message(text, payload, batch)?,
            Event::Ping(payload) => self.speaker.pong(payload)?,
            Event::Pong => {}
            Event::Close(code) => return Err(End::Client(code)),
        }
        Ok(if self.is_being_admitted() || self.is_backed_up() { Flow::Pause } else { Flow::Continue })
    }

    /// Whether it is being found out who the client is. What it says next may depend on that, so that it is read afterwards.
    pub fn is_being_admitted(&self) -> bool {
        self.admission.is_some()
    }

    /// Whether so much waits to be written that no more should be read.
    pub fn is_backed_up(&self) -> bool {
        self.speaker.outbox.is_more_than_half_full()
    }

    /// Says the answers of calls that ended, as long as there is room. Ready when all are out and no call is in flight.
    ///
    /// Answers that come together may be larger than the outbox without the client being slow. The one that does not fit any more is put
    /// off until what waits is written, or until there is room in all outboxes. One that fits not even alone is refused.
    pub fn poll_answer(&mut self, cx: &mut Context<'_>, tables: &TableReader, now: Tick) -> Poll<Result<(), End>> {
        loop {
            let mut answer = match self.put_off.take() {
                Some(put_off) => put_off.0,
                None => match ready!(self.calls.poll_next(cx)) {
                    Some(answer) => answer,
                    None => return Poll::Ready(Ok(())),
                },
            };
            // Before the reply: whoever sees it can rely on what it changed.
            if let Some(mut effect) = answer.effect.take() {
                self.commit(&mut effect, tables, now)?;
                answer.effect = Some(effect).filter(|effect| !effect.publish.is_empty());
            }
            match self.speaker.answer(&answer) {
                Ok(()) => self.publish(&mut answer, tables),
                Err(Full::Own) if self.speaker.outbox.is_empty() => {
                    let failure = Failure::gateway(Reason::ReplyTooLarge, "the answer is larger than what may wait for you; ask for less");
                    self.speaker.refuse(answer.protocol.0, answer.id.0, &failure)?;
                    self.publish(&mut answer, tables);
                }
                Err(full) => {
                    self.put_off = Some(Box::new((answer, full)));
                    return Poll::Pending;
                }
            }
        }
    }

    fn commit(&mut self, effect: &mut Effect, tables: &TableReader, now: Tick) -> Result<(), End> {
        let table = tables.load();
        match effect.session.take() {
            Some(Change::Enter(admitted)) => {
                let entry = Entry { way: Way::Authenticate, id: 0, topics: Resumption::default() };
                self.enter(admitted, entry, tables, &table.settings, now)?;
            }
            Some(Change::Leave(left)) => self.leave_session(&left, &table.settings, now)?,
            None => {}
        }
        self.commit_topics(effect, &table)
    }

    /// What a success has sent to others, once the client was answered.
    fn publish(&mut self, answer: &mut Answer, tables: &TableReader) {
        let Some(effect) = answer.effect.take() else { return };
        let table = tables.load();
        for (topic, number, payload) in effect.publish {
            table.hub.publish_later(topic, number, payload);
        }
    }

    /// Where there was no room for an answer, if one waits for it.
    pub fn put_off(&self) -> Option<Full> {
        self.put_off.as_ref().map(|put_off| put_off.1)
    }

    /// Whether there is memory to give back with [`Conversation::tidy`].
    pub fn is_untidy(&self) -> bool {
        self.calls.is_untidy() || self.streams.is_untidy() || self.calls.is_empty() && self.caller.is_untidy()
    }

    /// Gives back the memory that only calls need, if there are none.
    pub fn tidy(&mut self) {
        self.streams.tidy();
        if self.calls.is_empty() {
            self.calls.tidy();
            self.caller.tidy();
        }
    }

    /// Says the last words that this end deserves, and gives up the calls that are open.
    pub fn part(&mut self, end: &End) -> Vec<Left> {
        let open = self.calls.take_all();
        let (streams, running) = self.streams.take_all();
        if self.strays > 0 {
            debug!(connection = %self.caller.connection, messages = self.strays, "messages came for streams that are not open");
        }
        let asked = self.admission.take().and_then(|admission| Some((admission.way.request()?, admission.id)));
        // From here on the session waits for its client; what is pushed meanwhile is kept.
        let resumable = self.caller.leave().is_some_and(|attachment| attachment.is_current());
        match end {
            End::Gone => {}
            End::Client(code) => self.speaker.echo_close(*code),
            End::Gateway { close, what, back_within } => {
                let text = format!("{}: {what}", close.reason());
                let late = self.put_off.take().map(|put_off| (put_off.0.protocol.0, put_off.0.id.0));
                let streams = streams.iter().map(|known| (known.inlet.protocol().0, known.id.0));
                let ids = open.iter().map(|call| (call.protocol.0, call.id.0)).chain(asked).chain(late).chain(streams);
                self.speaker.farewell(ids, &aborted(*close), &goodbye(*close, resumable, *back_within), *close, &text);
            }
        }
        open.into_iter().map(|call| Left::Call(call.running)).chain(running.into_iter().map(Left::Stream)).collect()
    }

    /// Refuses a request, and counts it: see [`Patience`].
    ///
    /// Only what the gateway refuses at its door is counted. A backend that is down is not the client's doing, and closing its clients
    /// for good would make an outage worse.
    pub(super) fn refuse(&mut self, protocol: u32, id: u32, failure: &Failure, tick: Tick) -> Result<(), End> {
        self.speaker.refuse(protocol, id, failure)?;
        // That the gateway is about to stop is not the client's doing either.
        if failure.is(Reason::Shutdown) {
            return Ok(());
        }
        self.strike(tick, failure.reason())
    }

    pub(super) fn strike(&mut self, tick: Tick, what: &str) -> Result<(), End> {
        self.patience
            .strike(tick)
            .map_err(|Exhausted| End::close(Close::TooManyErrors, format!("the last of too many refused requests: {what}")))
    }

    /// Counts a good token.
    pub(super) fn count_token(&mut self, tick: Tick) -> Result<(), End> {
        self.patience.token(tick).map_err(|Exhausted| End::close(Close::TooManyErrors, "too many tokens, good as they are"))
    }

    /// Counts a topic that the client asked to hear, or not to hear any more.
    pub(super) fn count_topic(&mut self, tick: Tick) -> Result<(), End> {
        self.patience.topic(tick).map_err(|Exhausted| End::close(Close::TooManyErrors, "topics were begun and left too often"))
    }

    fn hear_message(&mut self, text: bool, payload: &[u8], batch: &Batch) -> Result<(), End> {
        let codec = self.speaker.codec;
        if text != (codec == Codec::Json) {
            let what = format!("the subprotocol is {}: send {} messages", codec.subprotocol(), if text { "binary" } else { "text" });
            return self.refuse(0, 0, &Failure::gateway(Reason::InvalidMessage, what), batch.tick);
        }
        let envelope = match codec.decode(payload) {
            Ok(envelope) => envelope,
            Err(malformed) => {
                let failure = Failure::gateway(Reason::InvalidMessage, malformed.what);
                return self.refuse(0, malformed.id.unwrap_or(0), &failure, batch.tick);
            }
        };
        if envelope.ack != 0 {
            self.caller.acknowledge(envelope.ack);
        }
        match envelope.protocol {
            number::STREAM => self.hear_stream(&envelope, batch),
            1..number::APPLICATION_MIN => self.hear_control(&envelope, batch),
            _ => self.hear_call(&envelope, batch),
        }
    }

    fn hear_call(&mut self, envelope: &Envelope<'_>, batch: &Batch) -> Result<(), End> {
        let (protocol, id) = (envelope.protocol, CallId(envelope.id));
        self.has_streamed |= envelope.more;
        self.not_in_flight(id)?;
        if let Some(route) = batch.table.route(protocol).filter(|route| route.method.kind != Kind::Unary) {
            return self.hear_opening(envelope, route, batch);
        }
        match self.admit(envelope, batch) {
            Ok(call) => {
                self.standing.extend(batch.tick, &batch.table.settings);
                self.calls.push(InFlight { protocol: Protocol(protocol), id, topic: None, running: Box::pin(call.run()) });
                Ok(())
            }
            Err(failure) => self.refuse(protocol, id.0, &failure, batch.tick),
        }
    }

    fn admit(&mut self, envelope: &Envelope<'_>, batch: &Batch) -> Result<dispatch::Call, Failure> {
        self.not_draining()?;
        self.room_for_a_call(batch)?;
        dispatch::admit(&batch.table, &mut self.caller, self.speaker.codec, envelope, batch.now)
    }

    pub(super) fn not_draining(&self) -> Result<(), Failure> {
        match self.draining {
            true => Err(Failure::gateway(Reason::Shutdown, "the gateway is about to stop; reconnect and send it again")),
            false => Ok(()),
        }
    }

    /// An id is taken until it is answered.
    pub(super) fn not_in_flight(&self, id: CallId) -> Result<(), End> {
        match self.calls.has(id) || self.streams.has(id) {
            true => Err(End::close(Close::Protocol, format!("id {} is in flight", id.0))),
            false => Ok(()),
        }
    }

    pub(super) fn room_for_a_call(&self, batch: &Batch) -> Result<(), Failure> {
        let inflight_max = batch.table.settings.inflight_max;
        if self.calls.len() < inflight_max {
            return Ok(());
        }
        let what = format!("{inflight_max} calls are in flight, which is `inflight_max` of Hello; wait for an answer");
        Err(Failure::gateway(Reason::TooManyCalls, what))
    }

    /// Ends one call because its caller asked for it.
    pub(super) fn cancel(&mut self, id: CallId) -> Result<Option<InFlight>, End> {
        let Some(call) = self.calls.cancel(id) else { return Ok(None) };
        self.speaker.refuse(call.protocol.0, id.0, &Failure::gateway(Reason::Cancelled, "you cancelled the call"))?;
        Ok(Some(call))
    }
}

#[cfg(test)]
mod tests;
