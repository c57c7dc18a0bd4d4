//! One WebSocket: the task that reads, has the conversation, and writes.
//!
//! A connection is one task and one hand-written poll: whatever woke it, it looks at the clock, reads what came, collects the answers of
//! its calls, and writes everything at once. Promises:
//! - Every wake-up ends with at most one write for all that there is to say, unless the kernel takes less, or pushes wait that are worth
//!   another.
//! - The loop never waits for a backend, and a client that does not read is not read from.
//! - Whatever ends it, even a panic, the client is told why if it can be told anything, open calls end, and every count goes back.

mod leaving;

use std::future::poll_fn;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::Instant;
use tracing::{debug, error};

use super::conversation::Conversation;
use super::end::End;
use super::frames::{Event, Flow, Limits};
use super::heartbeat::{Heartbeat, Verdict};
use super::pulse::{Place, STEP, Tick};
use super::socket::Socket;
use super::speaker::Speaker;
use super::standing::Standing;
use super::upgrade::Upgraded;
use super::worker::Worker;
use crate::id::ConnectionId;
use crate::jitter;
use crate::pipeline::Caller;
use crate::session::outbox::{Full, Outbox, Ready};
use crate::table::Table;
use crate::wire::Close;

/// Reads of one wake-up, a scratch buffer each, before others have their turn.
const READS_MAX: usize = 4;

/// How often streams are asked for more in one wake-up, after what they said was written, before others have their turn.
const ROUNDS_MAX: usize = 4;

/// How long a message may take from its first byte to its last.
const MESSAGE_WAIT: Duration = Duration::from_secs(30);

/// How long a client may take no byte of what is to be written.
const STALL_WAIT: Duration = Duration::from_secs(10);

/// How soon a connection gives back what its calls needed, if no other call comes.
const TIDY_WAIT: Duration = Duration::from_secs(1);

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

    /// What time alone brings about.
    fn check_time(&mut self) -> Result<(), End> {
        let now = self.place.now();
        if self.place.is_shed() {
            return Err(End::close(
                Close::Overloaded,
                "what was sent and could not be dealt with takes too much memory, and this connection's most",
            ));
        }
        if let Some(end_by) = self.place.end_by() {
            self.check_departure(now, end_by)?;
        }
        if now >= self.message_due() {
            return Err(End::close(Close::Policy, "a message took more than 30 s to come"));
        }
        if now >= self.stall_due() {
            return Err(End::close(Close::Slow, "nothing was read for 10 s"));
        }
        self.conversation.tidy();
        self.conversation.check_standing(now)
    }

    /// A client that is not read from cannot be heard; whether it lives is then for [`STALL_WAIT`] to say, or for the time that an
    /// admission may take.
    fn check_heartbeat(&mut self, now: Tick, table: &Table) -> Result<Tick, End> {
        let settings = &table.settings;
        if self.conversation.caller.identity().is_some_and(|identity| !table.verifier.still_lists(identity)) {
            return Err(End::close(Close::Revoked, "the API key is listed no longer"));
        }
        if self.stalled_since.is_some() || self.conversation.is_being_admitted() {
            self.heartbeat.hear(now);
        }
        loop {
            match self.heartbeat.check(now, settings.heartbeat, settings.heartbeat_grace) {
                Verdict::Quiet(due) => return Ok(due),
                Verdict::Ask => {
                    self.conversation.ask()?;
                    self.worker.round_trip.asked(self.id(), Instant::now());
                }
                Verdict::Dead => return Err(End::close(Close::Dead, "no sign of life")),
            }
        }
    }

    /// When the pulse should wake the connection, if nothing else does.
    fn due(&self) -> Tick {
        let tidy = if self.conversation.is_untidy() { self.place.now().after(TIDY_WAIT) } else { Tick::NEVER };
        let standing = self.conversation.standing.due();
        let end = self.departure_due();
        // Nobody says when there is room in all outboxes, so it is tried again.
        let retry = if [self.conversation.put_off(), self.conversation.streams.full()].contains(&Some(Full::All)) {
            self.place.now().after(STEP)
        } else {
            Tick::NEVER
        };
        self.heartbeat_due.min(standing).min(self.message_due()).min(self.stall_due()).min(tidy).min(end).min(retry)
    }

    fn message_due(&self) -> Tick {
        self.socket.partial_since().map_or(Tick::NEVER, |since| since.after(MESSAGE_WAIT))
    }

    fn stall_due(&self) -> Tick {
        self.stalled_since.map_or(Tick::NEVER, |since| since.after(STALL_WAIT))
    }
}

#[cfg(test)]
mod tests {
    use futures_util::{SinkExt, StreamExt};
    use tokio::io::AsyncWriteExt;
    use tokio_tungstenite::tungstenite::Message;
    use tokio_tungstenite::tungstenite::client::IntoClientRequest;

    use super::*;
    use crate::edge::control::PANIC;
    use crate::edge::departure::{Drain, Next};
    use crate::edge::questions::Question;
    use crate::edge::request::Offer;
    use crate::edge::seats::Seats;
    use crate::edge::socket::Stream;
    use crate::edge::{self, Edge};
    use crate::session::connected::Search;
    use crate::table::live;
    use crate::telemetry::labels::Closed;
    use crate::wire::Codec;

    #[tokio::test]
    async fn a_panic_in_a_connection_closes_it_alone_and_gives_everything_back() {
        let (_writer, tables) = live(Arc::new(Table::empty()));
        let edge = Edge::start(edge::bind("127.0.0.1:0".parse().unwrap()).unwrap(), 1, tables, 0).unwrap();
        let connect = async || {
            let mut request = format!("ws://{}/ws", edge.address()).into_client_request().unwrap();
            request.headers_mut().insert("sec-websocket-protocol", "protogate.v1.json".parse().unwrap());
            tokio_tungstenite::connect_async(request).await.unwrap().0
        };
        let (mut failing, mut other) = (connect().await, connect().await);
        failing.send(Message::text(format!(r#"{{"protocol":{PANIC}}}"#))).await.unwrap();
        let mut last = String::new();
        let code = loop {
            match failing.next().await.unwrap().unwrap() {
                Message::Text(text) => last = text.to_string(),
                Message::Close(frame) => break u16::from(frame.unwrap().code),
                _ => {}
            }
        };
        assert_eq!(code, 1011);
        assert!(last.contains(r#""protocol":11"#) && last.contains("1011"), "Goodbye comes before Close: {last}");
        while failing.next().await.is_some() {}
        other.send(Message::text(r#"{"protocol":6,"id":1}"#)).await.unwrap();
        while !other.next().await.unwrap().unwrap().to_string().contains(r#""protocol":7"#) {}
        drop((failing, other));
        edge.drain(Drain { over: Duration::ZERO, calls: Duration::ZERO, next: Next::Elsewhere, url: None }).await;
        assert_eq!(edge.connections(), 0);
    }

    /// A connection that nobody polls but the test, on a clock that the test drives.
    async fn by_hand() -> (Connection, tokio::net::TcpStream) {
        let hour = Duration::from_secs(3600);
        let mut table = Table::empty();
        (table.settings.auth_timeout, table.settings.anonymous_max_age) = (hour, hour);
        let seat = Seats::new(1).take(&table.settings).unwrap();
        let (_writer, tables) = live(Arc::new(table));
        let worker = Arc::new(Worker::by_hand(tables));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = tokio::net::TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (stream, peer) = listener.accept().await.unwrap();
        let offer = Offer { codec: Codec::Json, token: None };
        (Connection::new(Upgraded { stream: Stream::Plain(stream), unread: Vec::new(), offer, peer: peer.ip(), seat }, worker), client)
    }

    #[tokio::test]
    async fn a_client_that_spoke_while_the_gateway_was_stopped_is_alive() {
        let (mut connection, mut client) = by_hand().await;
        let wait = |connection: &Connection, seconds| (0..seconds * 4).for_each(|_| connection.worker.pulse.beat());
        let poll = async |connection: &mut Connection| poll_fn(|cx| Poll::Ready(connection.poll(cx).is_ready())).await;
        assert!(!poll(&mut connection).await);
        wait(&connection, 31);
        assert!(!poll(&mut connection).await, "asked");
        client.write_all(b"\x8a\x80\0\0\0\0").await.unwrap();
        match &connection.socket.stream {
            Stream::Plain(stream) => stream.readable().await.unwrap(),
            _ => unreachable!("it is plain"),
        }
        wait(&connection, 300);
        assert!(!poll(&mut connection).await);
        assert!(matches!(connection.phase, Phase::Open));
        let observers = Arc::clone(&connection.worker.tables().load().observers);
        assert_eq!(observers.edge.heartbeat.spread().count(), 1, "how long the answer took is known");
        wait(&connection, 300);
        assert!(!poll(&mut connection).await, "asked again");
        wait(&connection, 300);
        poll(&mut connection).await;
        assert!(matches!(connection.phase, Phase::Leaving { .. }), "nothing was heard");
        assert_eq!((observers.edge.closes.of(Closed::Dead), observers.edge.heartbeat.spread().count()), (1, 1));
    }

    #[tokio::test]
    async fn who_is_asked_says_what_it_is_like_and_is_not_there_any_more_once_it_leaves() {
        let (mut connection, _client) = by_hand().await;
        let found = connection.worker.pulse.find(connection.id()).unwrap();
        let asked = async |connection: &mut Connection| {
            let (question, mut answers) = Question::to(1, Search::of("127.0.0.1"));
            assert_eq!(connection.worker.pulse.ask(&[found], &question).len(), 1);
            drop(question);
            poll_fn(|cx| Poll::Ready(connection.poll(cx).is_ready())).await;
            answers.recv().await
        };
        let connected = asked(&mut connection).await.unwrap();
        assert_eq!((connected.id, connected.codec, connected.session), (connection.id(), Codec::Json, None));
        (0..40).for_each(|_| connection.worker.pulse.beat());
        let later = asked(&mut connection).await.unwrap();
        assert_eq!((later.age, later.idle), (Duration::from_secs(10), Duration::from_secs(10)));
        connection.leave(&End::close(Close::Policy, "enough"));
        assert!(asked(&mut connection).await.is_none());
    }

    fn future_bytes<F: Future>(_: impl FnOnce(Connection) -> F) -> usize {
        size_of::<F>()
    }

    #[test]
    fn an_idle_connection_is_small() {
        // With tokio's task around it, the outbox and the socket's registration, this must stay well under 1.5 KiB.
        assert!(future_bytes(Connection::run) <= 496, "{} bytes", future_bytes(Connection::run));
    }
}
