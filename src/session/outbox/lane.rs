//! The pushes that wait in one outbox, behind what must not wait for them.
//!
//! Promises:
//! - What is taken leaves in the order in which it came. Only a best-effort message whose rule allows it may be dropped, the oldest first,
//!   or be replaced by a newer state; latest states are dropped after everything else.
//! - Every message that is lost is counted, and told with the next one of its number and topic. A state that was replaced counts as lost,
//!   and is told with the one that replaced it.
//! - A drop costs no more than looking once at each message that waits, over all drops together.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use bytes::Bytes;

use crate::session::publication::{OnSlow, Publication, State};

/// Of how many numbers and topics a lane knows at once that something was lost. For a client that has lost more kinds of messages than
/// this, nothing more is dropped, which ends it as a slow one.
const STREAMS_MAX: usize = 256;

/// What waits, and what was lost of it.
#[derive(Default)]
pub struct Lane {
    /// By place; places are given once.
    waiting: BTreeMap<u64, Waiting>,
    /// The next place.
    next: u64,
    /// Of all that wait.
    bytes: usize,
    /// Of those that may be dropped.
    droppable: usize,
    /// Before which place nothing waits that may be dropped, for each of [`Loss`].
    nothing_before: [u64; 2],
    /// Where the latest state of each key waits.
    latest: HashMap<State, u64>,
    /// How many of a number and topic were lost and not told yet.
    lost: HashMap<(u32, Arc<str>), u32>,
}

struct Waiting {
    frame: Bytes,
    /// Nothing for what is a session's own.
    publication: Option<Arc<Publication>>,
    /// How many states it stands for beside its own.
    replaced: u32,
}

/// What may be lost, in this order.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    Oldest = 0,
    LatestState = 1,
}

// === impl Lane ===

impl Lane {
    /// The bytes that wait.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// How many of them may be dropped.
    pub fn droppable_bytes(&self) -> usize {
        self.droppable
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Whether something was lost that has not been told yet.
    pub fn has_lost(&self) -> bool {
        !self.lost.is_empty()
    }

    /// Whether there is nothing to remember either.
    pub fn is_spent(&self) -> bool {
        self.waiting.is_empty() && self.lost.is_empty()
    }

    /// Adds a frame that is never dropped.
    pub fn push(&mut self, frame: Bytes) {
        self.add(Waiting { frame, publication: None, replaced: 0 });
    }

    /// Adds a message that stands for so many others that it replaced.
    pub fn publish(&mut self, publication: &Arc<Publication>, frame: Bytes, replaced: u32) {
        self.add(Waiting { frame, publication: Some(Arc::clone(publication)), replaced });
    }

    /// Takes out the state that this one replaces: its bytes, and how many states it was.
    pub fn replace(&mut self, publication: &Arc<Publication>) -> Option<(usize, u32)> {
        let place = self.latest.remove(&State(Arc::clone(publication)))?;
        let waiting = self.remove(place);
        Some((waiting.frame.len(), waiting.replaced.saturating_add(1)))
    }

    /// Drops the oldest that may be lost so. How many bytes that were; nothing if there is none, or no more can be remembered.
    pub fn drop_oldest(&mut self, loss: Loss) -> Option<usize> {
        let from = &mut self.nothing_before[loss as usize];
        let found = self.waiting.range(*from..).find(|(_, waiting)| waiting.loss() == Some(loss));
        let Some((place, publication, lost)) = found
            .and_then(|(place, waiting)| Some((*place, Arc::clone(waiting.publication.as_ref()?), waiting.replaced.saturating_add(1))))
        else {
            *from = self.next;
            return None;
        };
        *from = place;
        if !self.lose(&publication, lost) {
            return None;
        }
        if loss == Loss::LatestState {
            self.latest.remove(&State(publication));
        }
        Some(self.remove(place).frame.len())
    }

    /// Remembers that so many messages were lost that would have come next. False: there is no room to remember it.
    pub fn lose(&mut self, publication: &Publication, count: u32) -> bool {
        let stream = (publication.number, Arc::clone(&publication.topic));
        if self.lost.len() >= STREAMS_MAX && !self.lost.contains_key(&stream) {
            return false;
        }
        let lost = self.lost.entry(stream).or_default();
        *lost = lost.saturating_add(count);
        true
    }

    /// Moves what waits longest to the end of `out`, as long as that does not exceed `bytes_max`, or is empty. `tell` appends a frame that
    /// says how many were lost before it. The bytes that wait no longer.
    pub fn take(&mut self, bytes_max: usize, out: &mut Vec<u8>, mut tell: impl FnMut(&[u8], u32, &mut Vec<u8>)) -> usize {
        out.reserve(self.bytes.min(bytes_max.saturating_sub(out.len())));
        let before = self.bytes;
        while let Some((&place, first)) = self.waiting.first_key_value() {
            if !out.is_empty() && out.len() + first.frame.len() > bytes_max {
                break;
            }
            let waiting = self.remove(place);
            match waiting.publication.as_ref().map_or(0, |publication| self.lost_before(publication, place, waiting.replaced)) {
                0 => out.extend_from_slice(&waiting.frame),
                lost => tell(&waiting.frame, lost, out),
            }
        }
        before - self.bytes
    }

    /// How many were lost before the message that waited here and leaves now. They are told with it.
    fn lost_before(&mut self, publication: &Arc<Publication>, place: u64, replaced: u32) -> u32 {
        if matches!(publication.rule, OnSlow::Conflate(_)) {
            let state = State(Arc::clone(publication));
            if self.latest.get(&state) == Some(&place) {
                self.latest.remove(&state);
            }
        }
        if self.lost.is_empty() {
            return replaced;
        }
        let lost = self.lost.remove(&(publication.number, Arc::clone(&publication.topic)));
        replaced.saturating_add(lost.unwrap_or(0))
    }

    fn add(&mut self, waiting: Waiting) {
        self.bytes += waiting.frame.len();
        if let Some(loss) = waiting.loss() {
            self.droppable += waiting.frame.len();
            if let (Loss::LatestState, Some(publication)) = (loss, &waiting.publication) {
                self.latest.insert(State(Arc::clone(publication)), self.next);
            }
        }
        self.waiting.insert(self.next, waiting);
        self.next += 1;
    }

    fn remove(&mut self, place: u64) -> Waiting {
        let waiting = self.waiting.remove(&place).expect("who names a place has just seen it, or it is in the index of what waits");
        self.bytes -= waiting.frame.len();
        if waiting.loss().is_some() {
            self.droppable -= waiting.frame.len();
        }
        waiting
    }
}

// === impl Waiting ===

impl Waiting {
    /// How it may be lost, if it may.
    fn loss(&self) -> Option<Loss> {
        match self.publication.as_ref()?.rule {
            OnSlow::Disconnect => None,
            OnSlow::DropOldest => Some(Loss::Oldest),
            OnSlow::Conflate(_) => Some(Loss::LatestState),
        }
    }
}
