//! The streams of one connection that are open.
//!
//! Promises: an id that is open is known to be; every stream that is pushed ends once, with an end that is said, cancelled or abandoned;
//! what was said and has no room is kept, and its stream goes on only when it is out; a connection without streams owns one pointer.

use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;

use super::gate::{Gate, Running};
use crate::dispatch::{Inlet, Said, Stream};
use crate::id::{CallId, Generation};
use crate::session::outbox::Full;

/// Streams that are open.
#[derive(Default)]
pub struct Streams {
    open: Option<Box<Open>>,
}

/// What the connection knows of one.
pub struct Known {
    pub id: CallId,
    pub inlet: Inlet,
}

#[derive(Default)]
struct Open {
    /// All of them but the one whose word has no room.
    running: FuturesUnordered<Running>,
    gate: Arc<Gate>,
    /// In no order. Searched from end to end, like the ids of calls.
    known: Vec<Known>,
    put_off: Option<(Said, Full)>,
    /// The table by which all of them may go on.
    checked: Option<Generation>,
}

// === impl Streams ===

impl Streams {
    pub fn len(&self) -> usize {
        self.open.as_ref().map_or(0, |open| open.known.len())
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn has(&self, id: CallId) -> bool {
        self.find(id).is_some()
    }

    /// The client's end of a stream.
    pub fn find(&self, id: CallId) -> Option<&Inlet> {
        self.known().iter().find(|known| known.id == id).map(|known| &known.inlet)
    }

    pub fn known(&self) -> &[Known] {
        self.open.as_ref().map_or(&[], |open| &open.known)
    }

    /// A stream that was opened.
    pub fn push(&mut self, id: CallId, inlet: Inlet, stream: Box<Stream>) {
        let open = self.open.get_or_insert_default();
        open.known.push(Known { id, inlet });
        open.run(stream);
    }

    /// Whether all are held back, but those that are to end.
    pub fn hold(&mut self, all: bool) {
        if let Some(open) = &mut self.open {
            open.gate.set(all);
        }
    }

    /// What a stream says next; nothing while there is none. It is taken back by [`Streams::go_on`] or [`Streams::put_off`]. Cancel-safe.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Said>> {
        match &mut self.open {
            None => Poll::Ready(None),
            Some(open) if open.gate.is_closed() => open.running.poll_next_unpin(cx),
            Some(open) => match open.put_off.take() {
                Some((said, _)) => Poll::Ready(Some(said)),
                None => open.running.poll_next_unpin(cx),
            },
        }
    }

    /// What was said is out.
    pub fn go_on(&mut self, said: Said) {
        let Some(open) = &mut self.open else { return };
        match said {
            Said::Message { rest, .. } | Said::Grant { rest, .. } => open.run(rest),
            Said::Over(answer) => open.forget(answer.id),
            Said::Done(id) => open.forget(id),
        }
    }

    /// There was no room for it. Until it is out, no other stream says anything.
    pub fn put_off(&mut self, said: Said, full: Full) {
        if let Some(open) = &mut self.open {
            open.put_off = Some((said, full));
        }
    }

    /// Where there was no room, if something waits for it.
    pub fn full(&self) -> Option<Full> {
        self.open.as_ref()?.put_off.as_ref().map(|put_off| put_off.1)
    }

    /// Whether the table of this generation has not been asked yet if all streams may go on. From now on it counts as asked.
    pub fn must_check(&mut self, generation: Generation) -> bool {
        let Some(open) = self.open.as_mut().filter(|open| !open.known.is_empty()) else { return false };
        open.checked.replace(generation) != Some(generation)
    }

    /// Who the caller is has changed: it is to be asked again.
    pub fn doubt(&mut self) {
        if let Some(open) = &mut self.open {
            open.checked = None;
        }
    }

    /// Bytes that clients sent and services have not taken yet.
    pub fn waiting_bytes(&self) -> usize {
        self.known().iter().map(|known| known.inlet.waiting_bytes()).sum()
    }

    /// Takes out all streams, unfinished.
    pub fn take_all(&mut self) -> (Vec<Known>, Vec<Running>) {
        let Some(open) = self.open.take() else { return Default::default() };
        let Open { running, known, put_off, gate, .. } = *open;
        let rest = match put_off {
            Some((Said::Message { rest, .. } | Said::Grant { rest, .. }, _)) => Some(gate.run(rest)),
            _ => None,
        };
        (known, running.into_iter().chain(rest).collect())
    }

    /// Whether there is memory to give back with [`Streams::tidy`].
    pub fn is_untidy(&self) -> bool {
        self.open.is_some() && self.is_empty()
    }

    /// Gives back the memory of streams that ended.
    pub fn tidy(&mut self) {
        if self.is_empty() {
            self.open = None;
        }
    }
}

// === impl Open ===

impl Open {
    fn run(&mut self, stream: Box<Stream>) {
        self.running.push(self.gate.run(stream));
    }

    fn forget(&mut self, id: CallId) {
        self.known.retain(|known| known.id != id);
    }
}
