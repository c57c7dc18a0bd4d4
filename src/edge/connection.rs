//! One WebSocket: the task that reads, has the conversation, and writes.
//!
//! A connection is one task and one hand-written poll: whatever woke it, it looks at the clock, reads what came, collects the answers of
//! its calls, and writes everything at once. Promises:
//! - Every wake-up ends with at most one write for all that there is to say, unless the kernel takes less, or pushes wait that are worth
//!   another.
//! - The loop never waits for a backend, and a client that does not read is not read from.
//! - Whatever ends it, even a panic, the client is told why if it can be told anything, open calls end, and every count goes back.
//!
//! What time alone brings about is in `time`, the last words are in `leaving`.

mod leaving;
mod time;

use std::future::poll_fn;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tracing::{debug, error};

use super::conversation::Conversation;
use super::end::End;
use super::frames::{Event, Flow, Limits};
use super::heartbeat::Heartbeat;
use super::pulse::{Place, Tick};
use super::socket::Socket;
use super::speaker::Speaker;
use super::standing::Standing;
use super::upgrade::Upgraded;
use super::worker::Worker;
use crate::id::ConnectionId;
use crate::jitter;
use crate::pipeline::Caller;
use crate::session::outbox::{Full, Outbox, Ready};
use crate::wire::Close;

/// Reads of one wake-up, a scratch buffer each, before others have their turn.
const READS_MAX: usize = 4;

/// How often streams are asked for more in one wake-up, after what they said was written, before others have their turn.
const ROUNDS_MAX: usize = 4;

/// A connection. Everything it needs of a table it looks up when it needs it.
pub struct Connection {
    socket: Socket,
    pub(super) conversation: Conversation,
    heartbeat: Heartbeat,
    worker: Arc<Worker>,
    pub(super) place: Place,
    /// When it began.
    since: Tick,
    /// When the heartbeat next needs looking at.
    heartbeat_due: Tick,
    /// Since when the client takes nothing, while there is something to take.
    stalled_since: Option<Tick>,
    /// When it leaves, once it was told that the gateway drains.
    pub(super) leave_at: Option<Tick>,
    phase: Phase,
}

enum Phase {
    /// Not polled yet. With the token that the handshake brought, which nobody has looked at.
    New {
        token: Option<Box<str>>,
    },
    Open,
    /// The last words are said. What still comes is thrown away, until the client has closed as well or `until`.
    Leaving {
        until: Tick,
        client_closed: bool,
        discarded: usize,
    },
}

/// Why reading stopped.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reading {
    /// There was no more.
    Done,
    /// There may be more, but others should have their turn.
    Enough,
    /// Too much waits to be written.
    PutOff,
    /// It has to be found out first who the client is.
    Waiting,
}

// === impl Connection ===

impl Connection {
    pub fn new(upgraded: Upgraded, worker: Arc<Worker>) -> Connection {
        let Upgraded { stream, unread, offer, peer, seat } = upgraded;
        let id = worker.shared.next_connection();
        let table = worker.tables().load();
        let outbox = Outbox::with_bell(Arc::clone(&worker.shared.outboxes), Arc::clone(&worker.bell));
        let place = worker.pulse.enter(id, Arc::clone(&outbox));
        let speaker = Speaker::new(offer.codec, outbox, Arc::clone(&worker.shared.own));
        let standing = Standing::anonymous(place.now(), &table.settings);
        let caller = Caller::new(id, worker.id, peer);
        debug!(connection = %id, %peer, "connected");
        Connection {
            socket: Socket::new(stream, unread),
            conversation: Conversation::new(speaker, caller, standing, seat),
            heartbeat: Heartbeat::new(place.now(), jitter::between(Duration::ZERO, table.settings.heartbeat)),
            since: place.now(),
            heartbeat_due: place.now(),
            stalled_since: None,
            leave_at: None,
            phase: Phase::New { token: offer.token.map(String::into_boxed_str) },
            worker,
            place,
        }
    }

    /// Runs to the end.
    ///
    /// Not an `async fn`, whose future would hold the connection twice: as its argument, and as what it runs.
    pub fn run(mut self) -> impl Future<Output = ()> {
        let mut failed = false;
        poll_fn(move |cx| match catch_unwind(AssertUnwindSafe(|| self.poll(cx))) {
            Ok(poll) => poll,
            Err(_) if failed => Poll::Ready(()),
            Err(_) => {
                failed = true;
                error!(connection = %self.id(), "a connection failed");
                // The outbox holds whole frames whatever happened, so the client can still be told.
                self.leave(&End::close(Close::Internal, "the gateway failed"));
                cx.waker().wake_by_ref();
                Poll::Pending
            }
        })
    }

    fn id(&self) -> ConnectionId {
        self.conversation.caller.connection
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.place.is_asked() {
            self.answer();
        }
        let result = match &mut self.phase {
            Phase::Leaving { .. } => return self.poll_leaving(cx),
            Phase::Open => self.turn(cx),
            Phase::New { token } => {
                let token = token.take();
                self.place.set_waker(cx.waker());
                self.conversation.speaker.outbox.set_owner(cx.waker());
                self.phase = Phase::Open;
                self.conversation.greet(token.as_deref(), &self.worker.shared.node, &self.worker.batch()).and_then(|()| self.turn(cx))
            }
        };
        match result {
            Ok(()) => Poll::Pending,
            Err(end) => {
                self.leave(&end);
                self.poll_leaving(cx)
            }
        }
    }

    /// Everything that a wake-up may be about. Returns when all that is left must wait, having registered with all of it.
    fn turn(&mut self, cx: &mut Context<'_>) -> Result<(), End> {
        if self.place.is_due() || self.place.is_wanted() {
            self.check_time()?;
        }
        let mut rounds = 0;
        loop {
            let admitted = self.conversation.poll_admission(cx, self.worker.tables(), self.place.now())?;
            self.conversation.check_streams(self.worker.tables());
            let reading = if admitted.is_ready() { self.read(cx)? } else { Reading::Waiting };
            if reading == Reading::Waiting && admitted.is_ready() {
                // It has only just begun; what it waits for has to know whom to wake.
                continue;
            }
            // After it, for if the gateway itself was not running, what the client said meanwhile has only now been heard.
            if self.place.now() >= self.heartbeat_due {
                self.heartbeat_due = self.check_heartbeat(self.place.now(), &self.worker.tables().load())?;
            }
            if let Poll::Ready(answered) = self.conversation.poll_answer(cx, self.worker.tables(), self.place.now()) {
                answered?;
                if self.conversation.draining && !self.conversation.is_being_admitted() {
                    return Err(self.departed());
                }
            }
            if let Poll::Ready(over) = self.conversation.poll_streams(cx, self.worker.tables()) {
                over?;
            }
            let more = self.conversation.streams_are_held_back();
            let written = self.write(cx)?;
            rounds += usize::from(more);
            if reading == Reading::Enough || rounds > ROUNDS_MAX {
                cx.waker().wake_by_ref();
                break;
            }
            if written.is_pending() || (reading != Reading::PutOff && self.conversation.put_off() != Some(Full::Own) && !more) {
                break;
            }
        }
        self.place.set_held(self.held_bytes(), usize::MAX);
        self.place.set_streaming(!self.conversation.streams.is_empty());
        self.place.set_due(self.due());
        Ok(())
    }

    /// Reads and hears until there is no more, or it is enough.
    fn read(&mut self, cx: &mut Context<'_>) -> Result<Reading, End> {
        let mut loaded = None;
        for _ in 0..READS_MAX {
            if self.conversation.is_being_admitted() {
                return Ok(Reading::Waiting);
            }
            if self.conversation.is_backed_up() {
                return Ok(Reading::PutOff);
            }
            let mut scratch = self.worker.scratch();
            let length = match self.socket.poll_fill(cx, &mut scratch) {
                Poll::Pending => return Ok(Reading::Done),
                Poll::Ready(Ok(0) | Err(_)) => return Err(End::Gone),
                Poll::Ready(Ok(length)) => length,
            };
            let batch = loaded.get_or_insert_with(|| self.worker.batch());
            self.heartbeat.hear(batch.tick);
            let settings = &batch.table.settings;
            let limits = Limits { message_bytes_max: settings.message_bytes_max, now: batch.tick };
            let mut end = None;
            let decoded = self.socket.decode(&mut scratch[..length], limits, |event| {
                if let Event::Pong = event
                    && let Some(took) = self.worker.round_trip.answered(self.conversation.caller.connection, batch.now)
                {
                    batch.table.observers.edge.heartbeat.record(took);
                }
                self.conversation.hear(event, batch).unwrap_or_else(|reason| {
                    end = Some(reason);
                    Flow::Pause
                })
            });
            self.place.set_held(self.held_bytes(), settings.memory_partial);
            if let Some(end) = end {
                return Err(end);
            }
            decoded.map_err(|violation| End::close(violation.close, violation.what))?;
        }
        Ok(Reading::Enough)
    }

    /// What the client has sent and nobody has dealt with yet.
    fn held_bytes(&self) -> usize {
        self.socket.held_bytes() + self.conversation.streams.waiting_bytes()
    }

    /// Writes all that waits. Ready when nothing does; then the outbox wakes the task.
    fn write(&mut self, cx: &mut Context<'_>) -> Result<Poll<()>, End> {
        loop {
            match self.flush(cx) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(_)) => return Err(End::Gone),
                // Whoever was asked to end is not waited for until it reads.
                Poll::Pending => match self.conversation.speaker.outbox.closing() {
                    Some(close) => return Err(End::close(close, "closed by the gateway")),
                    None => return Ok(Poll::Pending),
                },
            }
            self.conversation.speaker.pay_pong()?;
            match self.conversation.speaker.outbox.poll_ready(cx) {
                Poll::Pending => return Ok(Poll::Ready(())),
                Poll::Ready(Ready::Frames) => {}
                Poll::Ready(Ready::Close(close)) => return Err(End::close(close, "closed by the gateway")),
            }
        }
    }

    fn flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let speaker = &self.conversation.speaker;
        let outbox = &speaker.outbox;
        let mut went = 0;
        let flushed = self.socket.poll_write(cx, &mut went, || speaker.take());
        if went > 0 {
            outbox.written(went);
        }
        self.stalled_since = match flushed {
            Poll::Ready(_) => None,
            Poll::Pending if went > 0 => Some(self.place.now()),
            Poll::Pending => self.stalled_since.or(Some(self.place.now())),
        };
        flushed
    }

    /// Answers what it is asked about itself; once it is leaving, it is not there any more.
    fn answer(&self) {
        let questions = self.place.questions(self.id());
        if !matches!(self.phase, Phase::Leaving { .. }) {
            self.conversation.answer_questions(&questions, self.place.now(), self.since, self.heartbeat.heard());
        }
    }
}

#[cfg(test)]
mod tests;
