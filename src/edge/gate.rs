//! What holds the streams of a connection back while their client does not read.
//!
//! Promises: while it is closed no stream goes on but one that is to end, whose service is not to work on for nobody; once it is open all
//! that waited go on.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};

use crate::dispatch::{Ending, Said, Stream};

/// One connection's.
#[derive(Default)]
pub struct Gate {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    is_closed: bool,
    /// How often it was opened.
    opened: u64,
    /// The streams that wait, since it was last opened.
    waiting: Vec<Waker>,
}

/// A stream that is running behind the gate, until it says something. Dropping it cancels it at the backend.
pub struct Running {
    gate: Arc<Gate>,
    ending: Ending,
    /// It is among those that wait, since the gate was opened so often.
    waits: Option<u64>,
    next: Pin<Box<dyn Future<Output = Said> + Send>>,
}

// === impl Gate ===

impl Gate {
    pub fn set(&self, is_closed: bool) {
        let mut state = self.lock();
        if state.is_closed == is_closed {
            return;
        }
        state.is_closed = is_closed;
        if !is_closed {
            state.opened += 1;
            let waiting = std::mem::take(&mut state.waiting);
            drop(state);
            waiting.into_iter().for_each(Waker::wake);
        }
    }

    pub fn is_closed(&self) -> bool {
        self.lock().is_closed
    }

    /// The next that a stream says, when the gate lets it.
    pub fn run(self: &Arc<Self>, stream: Box<Stream>) -> Running {
        Running { gate: Arc::clone(self), ending: stream.ending(), waits: None, next: Box::pin(stream.next()) }
    }

    /// Whether it is closed; then whoever asks is woken once it is open.
    fn holds(&self, waits: &mut Option<u64>, cx: &Context<'_>) -> bool {
        let mut state = self.lock();
        if state.is_closed && waits.replace(state.opened) != Some(state.opened) {
            state.waiting.push(cx.waker().clone());
        }
        state.is_closed
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nothing that holds the gate panics")
    }
}

// === impl Running ===

impl Future for Running {
    type Output = Said;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Said> {
        let running = &mut *self;
        if running.gate.holds(&mut running.waits, cx) && running.ending.poll(cx).is_pending() {
            return Poll::Pending;
        }
        running.next.as_mut().poll(cx)
    }
}
