//! What waits to be written to one connection.
//!
//! Anyone may append encoded WebSocket frames, from any worker; the connection's own task takes all of them at once and writes them with
//! one call. Promises:
//! - Nobody waits for a slow client: an append succeeds or is refused at once, and a refused append leaves nothing behind.
//! - The bytes that wait are bounded, in each outbox and over all of them ([`Budget`]). Bytes that the task has taken count as waiting
//!   until it says that they are written, so that a client which stops reading cannot hold the bound twice.
//! - There are two lanes, in each of which order is kept: what the gateway itself says and replies first, then pushes. A push that is
//!   about to be written anyway, because nothing is in its way, goes with the first lane at once.
//! - What may be dropped gives way to everything else, be it for the bound of this outbox or for that of all; see `room`, and `lane` for
//!   what is dropped, and how the client hears of it. A session's own pushes never are.
//! - An empty outbox owns no buffer; an idle connection pays about 140 bytes.
//! - Anyone may ask the connection to end. The first to ask is heard, once.

use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;

use super::bell::Bell;
use super::budget::Budget;
use super::publication::{OnSlow, Publication};
use crate::telemetry::labels::Dropped;
use crate::wire::Close;
use lane::Lane;
pub use mark::{Fate, Mark};

mod lane;
mod mark;
mod room;

/// The most bytes that the task takes at once, if pushes are among them: what it has taken can be neither dropped nor replaced. One write
/// of this size is as much as loopback gives.
const TAKE_BYTES_MAX: usize = 64 << 10;

/// The same as a share of what may wait, so that most of it can be dropped where the bound is small.
const TAKE_SHARE: usize = 4;

/// The outbox of one connection, shared by all who have something for it.
pub struct Outbox {
    state: Mutex<State>,
    budget: Arc<Budget>,
    /// Of the worker that the connection's task lives on. Without one the task is woken at once.
    bell: Option<Arc<Bell>>,
}

/// There is no room.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Full {
    /// In this outbox: its client reads too slowly, or was told more at once than it may be.
    Own,
    /// In all together. It need not be this client's doing: the largest outboxes are closed, and what must wait should wait for that.
    All,
}

/// What the connection's task has to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ready {
    /// Say goodbye and end. Said once, before anything else.
    Close(Close),
    /// Take what waits and write it.
    Frames,
}

#[derive(Default)]
struct State {
    /// What waits in the first lane, as whole frames.
    frames: Vec<u8>,
    /// How much of `frames` is complete and counted; all of it, unless an append panicked half way.
    appended: usize,
    /// What the task has taken and not yet written.
    taken: usize,
    /// The second lane, while something waits in it or has to be told.
    lane: Option<Box<Lane>>,
    end: End,
    /// How often all that waited was written, and how often something was dropped or replaced; both wrap.
    emptied: u32,
    losses: u32,
    /// The connection's task, while it sleeps on this outbox.
    sleeper: Option<Waker>,
    /// The same, wherever it sleeps.
    owner: Option<Waker>,
}

#[derive(Clone, Copy, Default)]
enum End {
    #[default]
    NotAsked,
    Asked(Close),
    Heard(Close),
}

// === impl Outbox ===

impl Outbox {
    pub fn new(budget: Arc<Budget>) -> Arc<Outbox> {
        Arc::new(Outbox { state: Mutex::default(), budget, bell: None })
    }

    /// One whose task is woken by its worker, for whoever adds something on another thread.
    pub fn with_bell(budget: Arc<Budget>, bell: Arc<Bell>) -> Arc<Outbox> {
        Arc::new(Outbox { state: Mutex::default(), budget, bell: Some(bell) })
    }

    /// Appends what `write` appends to its vector, which may already hold other frames. For the connection's own task: it is awake, and looks
    /// in here before it sleeps.
    pub fn try_append_awake(&self, write: impl FnOnce(&mut Vec<u8>)) -> Result<(), Full> {
        self.append(&mut self.lock(), write)
    }

    /// The same for a test, which wakes the task.
    #[cfg(test)]
    pub fn try_append(&self, write: impl FnOnce(&mut Vec<u8>)) -> Result<(), Full> {
        let sleeper = {
            let mut state = self.lock();
            self.append(&mut state, write)?;
            state.sleeper.take()
        };
        self.wake(sleeper);
        Ok(())
    }

    /// The same for few bytes that the gateway owes: they may overdraw the bound on all outboxes, for which the largest of them pays.
    pub fn try_append_owed(&self, write: impl FnOnce(&mut Vec<u8>)) -> Result<(), Full> {
        let mut state = self.lock();
        let added = self.write(&mut state, write)?;
        self.budget.take(added);
        state.commit();
        Ok(())
    }

    /// Adds a push of the session's own, which is never dropped, and wakes the connection's task.
    pub fn try_push(&self, write: impl FnOnce(&mut Vec<u8>)) -> Result<(), Full> {
        let sleeper = {
            let mut state = self.lock();
            if state.is_clear() {
                self.append(&mut state, write)?;
            } else {
                let mut frame = Vec::new();
                write(&mut frame);
                self.make_room(&mut state, frame.len())?;
                state.lane().push(frame.into());
            }
            state.sleeper.take()
        };
        self.budget.pushes.delivered.one();
        self.wake(sleeper);
        Ok(())
    }

    /// Adds a best-effort message, whose frame everybody shares, and wakes the connection's task. An error: its rule is that the client be
    /// closed, or nothing can be dropped to keep the rule that it has.
    pub fn publish(&self, publication: &Arc<Publication>, frame: &Bytes) -> Result<(), Full> {
        let sleeper = {
            let mut state = self.lock();
            match self.add(&mut state, publication, frame) {
                Ok(()) => self.budget.pushes.delivered.one(),
                Err(_) if publication.rule == OnSlow::DropOldest && state.lane().lose(publication, 1) => {
                    state.count_loss();
                    self.budget.pushes.dropped.count(Dropped::DropOldest);
                }
                Err(full) => {
                    self.budget.pushes.dropped.count(Dropped::Disconnect);
                    return Err(full);
                }
            }
            state.sleeper.take()
        };
        self.wake(sleeper);
        Ok(())
    }

    /// Appends the last words of a connection (answers to the calls it had open, Goodbye, the close frame) whether they fit or not: a
    /// client that is closed because its outbox is full should still be told so. They come behind everything that waits. Only the connection's own task says them, once.
    pub fn append_farewell(&self, write: impl FnOnce(&mut Vec<u8>)) {
        let mut state = self.lock();
        if let Some(lane) = &mut state.lane {
            let mut farewell = Vec::new();
            write(&mut farewell);
            self.budget.take(farewell.len());
            lane.push(farewell.into());
            return;
        }
        write(&mut state.frames);
        let added = state.added();
        self.budget.take(added);
        state.commit();
    }

    /// Says whose outbox this is, so that it can be asked to end wherever it sleeps.
    pub fn set_owner(&self, owner: &Waker) {
        self.lock().owner = Some(owner.clone());
    }

    /// Asks the connection to end with this code. Only the first to ask is heard.
    pub fn close(&self, close: Close) {
        let owner = {
            let mut state = self.lock();
            let End::NotAsked = state.end else { return };
            state.end = End::Asked(close);
            // A client that does not read keeps its task asleep on the socket, not in here.
            state.sleeper.take().or_else(|| state.owner.clone())
        };
        self.wake(owner);
    }

    /// With which code the connection was asked to end, if it was.
    pub fn closing(&self) -> Option<Close> {
        match self.lock().end {
            End::NotAsked => None,
            End::Asked(close) | End::Heard(close) => Some(close),
        }
    }

    /// What there is to do. One task at a time may wait here; the last one to ask is woken. Cancel-safe.
    pub fn poll_ready(&self, context: &mut Context<'_>) -> Poll<Ready> {
        let mut state = self.lock();
        if let End::Asked(close) = state.end {
            state.end = End::Heard(close);
            return Poll::Ready(Ready::Close(close));
        }
        if !state.frames.is_empty() || state.lane.as_ref().is_some_and(|lane| !lane.is_empty()) {
            return Poll::Ready(Ready::Frames);
        }
        match &mut state.sleeper {
            Some(sleeper) => sleeper.clone_from(context.waker()),
            none => *none = Some(context.waker().clone()),
        }
        Poll::Pending
    }

    /// [`Outbox::poll_ready`] as a future.
    pub async fn ready(&self) -> Ready {
        poll_fn(|context| self.poll_ready(context)).await
    }

    /// Takes what waits, or of pushes so many as are worth a write; nothing when nothing waits. `tell` appends a frame that says how many
    /// pushes were lost before it. Whoever takes owes [`Outbox::written`] for every byte.
    pub fn take(&self, tell: impl FnMut(&[u8], u32, &mut Vec<u8>)) -> Vec<u8> {
        let mut state = self.lock();
        let mut taken = std::mem::take(&mut state.frames);
        let mut counted = std::mem::take(&mut state.appended);
        if let Some(lane) = &mut state.lane {
            counted += lane.take(self.take_bytes_max(), &mut taken, tell);
            if lane.is_spent() {
                state.lane = None;
            }
        }
        // A frame that tells of losses is longer by a few bytes than what had waited.
        self.budget.take(taken.len() - counted);
        state.taken += taken.len();
        taken
    }

    /// So many of the taken bytes are written and wait no longer.
    pub fn written(&self, bytes: usize) {
        let mut state = self.lock();
        let written = bytes.min(state.taken);
        state.taken -= written;
        self.budget.give_back(written);
        if written > 0 && state.waiting() == 0 {
            state.emptied = state.emptied.wrapping_add(1);
        }
    }

    /// The bytes that wait: in here, and in the hands of the connection's task.
    pub fn len(&self) -> usize {
        self.lock().waiting()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether the connection should stop reading: whoever does not listen should not ask for more.
    pub fn is_more_than_half_full(&self) -> bool {
        self.len() > self.budget.outbox_bytes_max() / 2
    }

    /// Whether so much waits that what can wait elsewhere should.
    pub fn is_more_than_a_quarter_full(&self) -> bool {
        self.len() > self.budget.outbox_bytes_max() / 4
    }

    fn append(&self, state: &mut State, write: impl FnOnce(&mut Vec<u8>)) -> Result<(), Full> {
        let added = self.write(state, write)?;
        self.take_room(state, added).inspect_err(|_| state.roll_back())?;
        state.commit();
        Ok(())
    }

    /// Writes without committing to it, and says how much it was.
    fn write(&self, state: &mut State, write: impl FnOnce(&mut Vec<u8>)) -> Result<usize, Full> {
        write(&mut state.frames);
        let added = state.added();
        self.make_own_room(state, added).inspect_err(|_| state.roll_back())?;
        Ok(added)
    }

    fn add(&self, state: &mut State, publication: &Arc<Publication>, frame: &Bytes) -> Result<(), Full> {
        let goes_at_once = match publication.rule {
            OnSlow::Disconnect => state.is_clear(),
            OnSlow::DropOldest => state.is_clear() && state.appended + frame.len() <= self.take_bytes_max(),
            OnSlow::Conflate(_) => state.is_clear() && state.appended == 0,
        };
        if goes_at_once {
            return self.append(state, |out| out.extend_from_slice(frame));
        }
        let mut replaced = 0;
        if let OnSlow::Conflate(_) = publication.rule
            && let Some((bytes, count)) = state.lane().replace(publication)
        {
            self.budget.give_back(bytes);
            state.count_loss();
            self.budget.pushes.dropped.count(Dropped::Conflate);
            replaced = count;
        }
        self.make_room(state, frame.len())?;
        state.lane().publish(publication, frame.clone(), replaced);
        Ok(())
    }

    /// Outside the lock, because the task that wakes up wants it first thing.
    fn wake(&self, sleeper: Option<Waker>) {
        match (sleeper, &self.bell) {
            (None, _) => {}
            (Some(waker), Some(bell)) => bell.ring(waker),
            (Some(waker), None) => waker.wake(),
        }
    }

    fn take_bytes_max(&self) -> usize {
        TAKE_BYTES_MAX.min(self.budget.outbox_bytes_max() / TAKE_SHARE)
    }

    /// A writer that panicked left half a frame behind; it was never counted, and goes.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|poisoned| {
            self.state.clear_poison();
            let mut state = poisoned.into_inner();
            state.roll_back();
            state
        })
    }
}

impl Drop for Outbox {
    /// Gives back what was never written.
    fn drop(&mut self) {
        let waiting = self.len();
        self.budget.give_back(waiting);
    }
}

// === impl State ===

impl State {
    fn waiting(&self) -> usize {
        self.appended + self.taken + self.lane.as_ref().map_or(0, |lane| lane.bytes())
    }

    /// Whether what is added to the first lane is written next, with nothing before it but what is there.
    fn is_clear(&self) -> bool {
        self.lane.is_none() && self.taken == 0
    }

    /// The second lane, for what has to wait in it.
    fn lane(&mut self) -> &mut Lane {
        self.lane.get_or_insert_default()
    }

    fn count_loss(&mut self) {
        self.losses = self.losses.wrapping_add(1);
    }

    /// What was appended and not accepted yet.
    fn added(&self) -> usize {
        self.frames.len() - self.appended
    }

    /// Accepts what was appended.
    fn commit(&mut self) {
        self.appended = self.frames.len();
    }

    /// Forgets what was appended and not accepted.
    fn roll_back(&mut self) {
        self.frames.truncate(self.appended);
        if self.frames.is_empty() {
            self.frames = Vec::new();
        }
    }
}

#[cfg(test)]
mod tests;
