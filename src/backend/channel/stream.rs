//! A stream of HTTP/2 that stays open, in two halves: what is said to the service, and what it says.
//!
//! What the service says is moved out of h2 as it comes, by a task of the stream's own, and lies here until it is asked for. h2 keeps a
//! quarter of a kilobyte beside every DATA frame and closes the connection when it holds too many; here a message takes no more than
//! its bytes. The peer gets its window back only for what was taken.
//!
//! Promises: what is held for a stream is at most its window, so 32 KiB; a thousand streams that nobody reads hold 32 MiB, and as much
//! again of spare room in their buffers. Who waits for a long message holds as much of it as has come. Of what is said, h2 holds at most
//! 16 KiB and [`MESSAGES_MAX`] messages of a stream. At its deadline the stream is reset, whether anybody asks for it or not.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};

use bytes::Bytes;
use h2::SendStream;
use h2::client::ResponseFuture;
use http::response::Parts;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};
use tokio_util::task::AbortOnDropHandle;

use super::{Abandoned, Parcel, Resets, Seat, Stage, fault};
use crate::backend::message::Held;
use crate::backend::stream::{Closed, Event};
use crate::failure::Result;

/// The most messages of a stream that wait in h2 to be written. Each costs a quarter of a kilobyte, however small it is.
const MESSAGES_MAX: usize = 16;

/// The half that says messages.
pub(in crate::backend) struct Speaking(Arc<Stream>);

/// The half that hears them. The stream ends with it.
pub(in crate::backend) struct Hearing {
    stream: Arc<Stream>,
    /// What was heard and holds its part of the window.
    unreleased: usize,
    _moving: AbortOnDropHandle<()>,
}

/// What the halves and the moving task share.
struct Stream {
    state: Mutex<State>,
    /// What is left of [`MESSAGES_MAX`]; closed when the stream is over.
    room: Arc<Semaphore>,
    resets: Arc<Resets<Abandoned>>,
}

struct State {
    /// None once the stream is over.
    live: Option<Live>,
    /// What has come and was not asked for, in this order.
    head: Option<Parts>,
    held: Held,
    end: Option<Result<Event>>,
    /// Who waits for what comes, and who for room to say more.
    hearer: Option<Waker>,
    speaker: Option<Waker>,
}

struct Live {
    stage: Stage,
    body: SendStream<Parcel>,
    /// Whether the end has been said.
    finished: bool,
    seat: Seat,
}

/// How a stream ends.
enum End {
    /// The peer has said all it had to say. It does not know yet that we say no more, unless we said so.
    Answered,
    /// It has failed, and h2 knows.
    Broken,
    /// By our will.
    Cancelled,
}

/// The two halves of a stream whose head is on its way.
pub(super) fn begun(
    response: ResponseFuture,
    body: SendStream<Parcel>,
    seat: Seat,
    resets: Arc<Resets<Abandoned>>,
    deadline: Instant,
) -> (Speaking, Hearing) {
    let live = Live { stage: Stage::Head(response), body, finished: false, seat };
    let state = State { live: Some(live), head: None, held: Held::default(), end: None, hearer: None, speaker: None };
    let stream = Arc::new(Stream { state: Mutex::new(state), room: Arc::new(Semaphore::new(MESSAGES_MAX)), resets });
    let moving = AbortOnDropHandle::new(tokio::spawn(move_until(Arc::clone(&stream), deadline)));
    (Speaking(Arc::clone(&stream)), Hearing { stream, unreleased: 0, _moving: moving })
}

async fn move_until(stream: Arc<Stream>, deadline: Instant) {
    if timeout_at(deadline, poll_fn(|context| stream.poll_move(context))).await.is_err() {
        stream.close(End::Cancelled);
    }
}

// === impl Speaking ===

impl Speaking {
    /// Hands over a message, as fast as the peer takes it.
    pub(in crate::backend) async fn say(&mut self, mut message: Bytes) -> std::result::Result<(), Closed> {
        let mut room = Some(Arc::clone(&self.0.room).acquire_owned().await.map_err(|_| Closed)?);
        poll_fn(|context| self.0.lock().poll_say(&mut message, &mut room, context)).await
    }

    /// Says that there is nothing more.
    pub(in crate::backend) fn finish(&mut self) {
        if let Some(live) = &mut self.0.lock().live
            && !live.finished
        {
            live.finished = true;
            // It fails only on a stream that is over, which the other half will hear.
            let _ = live.body.send_data(Parcel::default(), true);
        }
    }
}

// === impl Hearing ===

impl Hearing {
    /// What comes next, once. Cancel-safe. Nothing comes after the end, nor after the deadline.
    pub(in crate::backend) async fn next(&mut self) -> Result<Event> {
        let event = poll_fn(|context| self.stream.lock().poll_next(context)).await;
        if let Ok(Event::Chunk(chunk)) = &event {
            self.unreleased += chunk.len();
        }
        event
    }

    /// Lets the peer say more, in the place of everything that was heard but these bytes.
    pub(in crate::backend) fn release_all_but(&mut self, unread: usize) {
        let released = self.unreleased.saturating_sub(unread);
        if released > 0 {
            self.unreleased -= released;
            self.stream.lock().release(released);
        }
    }

    #[cfg(test)]
    pub(in crate::backend) fn held_bytes(&self) -> usize {
        self.stream.lock().held.bytes().len()
    }
}

impl Drop for Hearing {
    fn drop(&mut self) {
        self.stream.close(End::Cancelled);
    }
}

// === impl Stream ===

impl Stream {
    /// Moves what has come out of h2. Ready when nothing more will.
    fn poll_move(&self, context: &mut Context) -> Poll<()> {
        let mut state = self.lock();
        let moved = state.poll_move(context);
        let hearer = if state.has_news() { state.hearer.take() } else { None };
        drop(state);
        hearer.into_iter().for_each(Waker::wake);
        moved.map(|end| self.close(end))
    }

    /// Ends the stream towards its peer. What has come can still be heard.
    fn close(&self, end: End) {
        let mut state = self.lock();
        self.room.close();
        let speaker = state.speaker.take();
        let live = state.live.take();
        drop(state);
        let Some(Live { stage, body, finished, seat }) = live else { return };
        let reset = match end {
            End::Answered => !finished,
            End::Broken => false,
            End::Cancelled => true,
        };
        if reset {
            self.resets.abandon(Abandoned { _stage: stage, _body: Some(body), _seat: Some(seat) });
        }
        speaker.into_iter().for_each(Waker::wake);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl State ===

impl State {
    fn poll_move(&mut self, context: &mut Context) -> Poll<End> {
        loop {
            let Some(live) = &mut self.live else { return Poll::Ready(End::Broken) };
            match &mut live.stage {
                Stage::Head(response) => match ready!(Pin::new(response).poll(context)) {
                    Ok(response) => {
                        let (head, body) = response.into_parts();
                        live.seat.prove();
                        live.stage = Stage::Body(body);
                        self.head = Some(head);
                    }
                    Err(error) => return Poll::Ready(self.broken(&error)),
                },
                Stage::Body(body) => match ready!(body.poll_data(context)) {
                    Some(Ok(chunk)) => self.held.push(chunk),
                    Some(Err(error)) => return Poll::Ready(self.broken(&error)),
                    None => match ready!(body.poll_trailers(context)) {
                        Ok(trailers) => {
                            self.end = Some(Ok(Event::End(trailers)));
                            return Poll::Ready(End::Answered);
                        }
                        Err(error) => return Poll::Ready(self.broken(&error)),
                    },
                },
            }
        }
    }

    fn broken(&mut self, error: &h2::Error) -> End {
        self.end = Some(Err(fault(error).into()));
        End::Broken
    }

    fn has_news(&self) -> bool {
        self.head.is_some() || !self.held.bytes().is_empty() || self.end.is_some()
    }

    fn poll_next(&mut self, context: &mut Context) -> Poll<Result<Event>> {
        if let Some(head) = self.head.take() {
            return Poll::Ready(Ok(Event::Head(head.status, head.headers)));
        }
        if !self.held.bytes().is_empty() {
            return Poll::Ready(Ok(Event::Chunk(self.held.take())));
        }
        if let Some(end) = self.end.take() {
            return Poll::Ready(end);
        }
        self.hearer = Some(context.waker().clone());
        Poll::Pending
    }

    /// Lets the peer say so much more.
    fn release(&mut self, bytes: usize) {
        if let Some(Live { stage: Stage::Body(body), .. }) = &mut self.live {
            // It fails only when there is no such stream any more.
            let _ = body.flow_control().release_capacity(bytes);
        }
    }

    fn poll_say(
        &mut self,
        message: &mut Bytes,
        room: &mut Option<OwnedSemaphorePermit>,
        context: &mut Context,
    ) -> Poll<std::result::Result<(), Closed>> {
        let Some(live) = self.live.as_mut().filter(|live| !live.finished) else { return Poll::Ready(Err(Closed)) };
        while !message.is_empty() {
            live.body.reserve_capacity(message.len());
            // What was given before is not announced again.
            let capacity = match live.body.capacity() {
                0 => match live.body.poll_capacity(context) {
                    Poll::Ready(Some(Ok(capacity))) => capacity,
                    Poll::Ready(_) => return Poll::Ready(Err(Closed)),
                    Poll::Pending => {
                        self.speaker = Some(context.waker().clone());
                        return Poll::Pending;
                    }
                },
                capacity => capacity,
            };
            let bytes = message.split_to(capacity.min(message.len()));
            // When the last part is written, all of it is.
            let room = if message.is_empty() { room.take() } else { None };
            if live.body.send_data(Parcel { bytes, _room: room }, false).is_err() {
                return Poll::Ready(Err(Closed));
            }
        }
        Poll::Ready(Ok(()))
    }
}
