//! A stream to a service of this process, in two halves: what is said to it, and what it says.
//!
//! The service and the body of its answer are polled by one task, on the back room's runtime. Promises: the body is polled only as it is
//! heard, at most [`PARTS_AHEAD`] ahead and one more; of what is said one message waits; at its deadline, or when nobody hears it, the
//! service is dropped.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::Frame;
use tokio::sync::mpsc;
use tokio::time::timeout_at;
use tokio_util::task::AbortOnDropHandle;
use tonic::body::Body;
use tower::ServiceExt as _;

use super::{Answered, Builtin, Inside, broken_off, request};
use crate::backend::outcome::Answer as _;
use crate::backend::stream::{self, Closed, Event, Opening, Receiving, Sending};
use crate::failure::{Failure, Result};

/// Parts of an answer that wait to be heard. tonic makes them of one message, or of several up to 32 KiB.
const PARTS_AHEAD: usize = 2;

/// The half that says messages.
pub(in crate::backend) struct Speaking {
    /// None once the end has been said.
    messages: Option<mpsc::Sender<Bytes>>,
    finished: Arc<AtomicBool>,
}

/// The half that hears them. The service is dropped with it.
pub(in crate::backend) struct Hearing {
    events: mpsc::Receiver<Result<Event>>,
    running: AbortOnDropHandle<()>,
}

type Unheard = mpsc::error::SendError<Result<Event>>;

/// What is said, as the service reads it.
struct Said {
    messages: mpsc::Receiver<Bytes>,
    finished: Arc<AtomicBool>,
}

// === impl Builtin ===

impl Builtin {
    /// Opens a stream to the service.
    pub(in crate::backend) fn open(&self, opening: &Opening) -> Result<(Sending, Receiving)> {
        let seat = super::sit(&self.free_streams)?;
        let finished = Arc::new(AtomicBool::new(false));
        let (messages, said) = mpsc::channel(1);
        let (hear, events) = mpsc::channel(PARTS_AHEAD);
        let said = Said { messages: said, finished: Arc::clone(&finished) };
        let request = request(&opening.path, opening.attempt(), Body::new(said));
        let (service, deadline) = (self.service.clone(), opening.deadline);
        let running = self.runtime.spawn(async move {
            let _seat = seat;
            // Whoever hears knows the deadline as well.
            let _ = timeout_at(deadline, tell(service, request, hear)).await;
        });
        let hearing = Hearing { events, running: AbortOnDropHandle::new(running) };
        Ok(stream::inside((Speaking { messages: Some(messages), finished }, hearing), &self.name, opening))
    }
}

/// Calls the service and tells what it says, until it ends or nobody hears it.
async fn tell(service: Inside, request: http::Request<Body>, hear: mpsc::Sender<Result<Event>>) -> std::result::Result<(), Unheard> {
    let (head, body) = match service.oneshot(request).await {
        Ok(response) => response.into_parts(),
        Err(never) => match never {},
    };
    let mut answer = Answered { body, trailers: None };
    hear.send(Ok(Event::Head(head.status, head.headers))).await?;
    while let Some(chunk) = answer.chunk().await {
        hear.send(chunk.map(Event::Chunk).map_err(Failure::from)).await?;
    }
    hear.send(Ok(Event::End(answer.trailers))).await
}

// === impl Speaking ===

impl Speaking {
    /// Hands over a message, when the service has begun to read the one before.
    pub(in crate::backend) async fn say(&mut self, message: Bytes) -> std::result::Result<(), Closed> {
        let Some(messages) = &self.messages else { return Err(Closed) };
        messages.send(message).await.map_err(|_| Closed)
    }

    /// Says that there is nothing more.
    pub(in crate::backend) fn finish(&mut self) {
        self.finished.store(true, Ordering::Release);
        self.messages = None;
    }
}

// === impl Hearing ===

impl Hearing {
    /// What comes next, once. Cancel-safe. Nothing comes after the end, nor after the deadline.
    pub(in crate::backend) async fn next(&mut self) -> Result<Event> {
        match self.events.recv().await {
            Some(event) => event,
            None => Err(self.end().await),
        }
    }

    /// Why nothing comes any more.
    async fn end(&mut self) -> Failure {
        match (&mut self.running).await {
            Err(error) => broken_off(error),
            // The task has ended by itself, and said nothing: it was too late.
            Ok(()) => std::future::pending().await,
        }
    }
}

// === impl Said ===

impl http_body::Body for Said {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<std::result::Result<Frame<Bytes>, Infallible>>> {
        match ready!(self.messages.poll_recv(context)) {
            Some(message) => Poll::Ready(Some(Ok(Frame::data(message)))),
            None if self.finished.load(Ordering::Acquire) => Poll::Ready(None),
            // Nobody will say more, and nobody has said that this was all: it ends with the service.
            None => Poll::Pending,
        }
    }
}
