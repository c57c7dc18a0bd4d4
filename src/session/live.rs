//! One session on the node that has it: who it is, which connection speaks for it, and what waits for its client.
//!
//! Promises: at most one connection has a session, and the newest does; what is pushed is kept for a client that comes back, whether it
//! could be written or not; a session that is over takes no connection any more.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;

use super::identity::Identity;
use super::line::Line;
use super::publication::Publication;
use super::ring::{Entry, Parked, Ring};
use super::roster::Record;
use crate::wire::Close;

/// A session of this node.
pub struct Session {
    pub id: Arc<str>,
    pub user: Arc<str>,
    /// Whether it waits for its change to be stored. Set by who changes it, cleared by who stores it.
    dirty: AtomicBool,
    state: Mutex<State>,
}

/// What a session is to the store.
pub enum Wanted {
    /// A connection has it or is about to, or it waits for its client.
    Alive(Record),
    Over {
        generation: u64,
    },
}

/// What a client that comes back gets.
pub struct Replay<'a> {
    /// Whether nothing was lost.
    pub recovered: bool,
    /// What it has not got yet; nothing unless all of it is there.
    pub missed: Vec<&'a Entry>,
}

/// Somebody acts for a generation that is not later than the one here.
#[derive(PartialEq, Eq, Debug)]
pub struct NotOlder;

struct State {
    generation: u64,
    identity: Arc<Identity>,
    /// Of the resume token, as the store has it.
    resume: Box<str>,
    line: Option<Arc<dyn Line>>,
    /// While no connection has it, in milliseconds since 1970.
    detached_until_ms: Option<u64>,
    over: Option<Close>,
    /// Its own connection is saying farewell to it: what others are told of its end is nothing to it, unless the farewell fails.
    leaving: bool,
    /// What it was told meanwhile.
    told_while_leaving: Option<Close>,
    ring: Ring,
    /// Pushes were lost with another node.
    lost: bool,
    /// What its client has not got is in the store, for another node: nothing can be added here.
    parked: bool,
    /// What is said of older generations is of the time when other nodes had it.
    oldest: u64,
}

// === impl Session ===

impl Session {
    /// A session that no connection has yet.
    pub fn new(id: &str, identity: Arc<Identity>, resume: String, ring: Option<Ring>) -> Arc<Session> {
        let lost = ring.is_none();
        Arc::new(Session {
            id: id.into(),
            user: Arc::clone(&identity.user),
            dirty: AtomicBool::new(false),
            state: Mutex::new(State {
                generation: 0,
                identity,
                resume: resume.into(),
                line: None,
                detached_until_ms: None,
                over: None,
                leaving: false,
                told_while_leaving: None,
                ring: ring.unwrap_or_default(),
                lost,
                parked: false,
                oldest: 0,
            }),
        })
    }

    /// A session that another node has as this generation, and this one is about to take over. It takes pushes already, for
    /// [`Session::adopt`].
    pub fn expected(id: &str, identity: Arc<Identity>, resume: String, generation: u64) -> Arc<Session> {
        let session = Session::new(id, identity, resume, None);
        session.lock().oldest = generation + 1;
        session
    }

    /// What its client had not got when another node had it; what was pushed meanwhile is behind that. If nothing can be had, what was
    /// pushed meanwhile does not matter any more either.
    pub fn adopt(&self, generation: u64, ring: Ring, ring_bytes_max: usize) {
        let mut state = self.lock();
        if !state.lost || state.line.is_some() || state.generation != generation {
            return;
        }
        let meanwhile = std::mem::replace(&mut state.ring, ring);
        let numbered = meanwhile.entries().all(|entry| state.ring.push(entry.number, entry.payload.clone(), ring_bytes_max).is_some());
        // Otherwise its numbers are used up, and its client will be told that something is missing.
        state.lost = !numbered;
    }

    /// Notes whether it waits to be stored, and says whether it did before.
    pub fn set_dirty(&self, dirty: bool) -> bool {
        self.dirty.swap(dirty, Ordering::AcqRel)
    }

    /// When it is compared with the store: a number that is another for most sessions, and always the same for one.
    pub fn turn(&self) -> u64 {
        self.id.bytes().fold(0, |turn, byte| turn.wrapping_mul(31).wrapping_add(byte.into()))
    }

    pub fn generation(&self) -> u64 {
        self.lock().generation
    }

    pub fn identity(&self) -> Arc<Identity> {
        Arc::clone(&self.lock().identity)
    }

    /// The session belongs to whoever was given this generation, who is about to come: nobody is waited for any more, as the store has it.
    /// Older ones have no say.
    pub fn promise(&self, generation: u64) {
        let mut state = self.lock();
        if state.generation < generation {
            state.generation = generation;
            state.detached_until_ms = None;
        }
    }

    /// Gives the session to a connection, if it is still promised to it. `greet` says the first words before any push can, told what the
    /// client missed behind `last_seq`; `None` is a client that cannot have missed anything. Whoever had the session is sent away.
    pub fn attach<E: From<Close>>(
        &self,
        generation: u64,
        line: Arc<dyn Line>,
        identity: Arc<Identity>,
        last_seq: Option<u32>,
        greet: impl FnOnce(Replay<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut state = self.lock();
        if let Some(close) = state.over {
            return Err(close.into());
        }
        if state.generation != generation {
            return Err(Close::Replaced.into());
        }
        if let Some(last_seq) = last_seq {
            let lost = std::mem::take(&mut state.lost);
            if lost || state.ring.behind_of(last_seq).is_none() {
                let last = state.ring.last().max(last_seq);
                state.ring = Ring::behind(last);
                greet(Replay { recovered: false, missed: Vec::new() })?;
            } else {
                state.ring.acknowledge(last_seq);
                let missed = state.ring.behind_of(last_seq).into_iter().flatten().collect();
                greet(Replay { recovered: true, missed })?;
            }
        } else {
            state.lost = false;
            greet(Replay { recovered: true, missed: Vec::new() })?;
        }
        state.identity = identity;
        state.detached_until_ms = None;
        state.parked = false;
        let before = state.line.replace(line);
        drop(state);
        if let Some(before) = before {
            before.close(Close::Replaced);
        }
        Ok(())
    }

    /// The identity was refreshed in place, by the connection that has it as this generation.
    pub fn refresh(&self, generation: u64, identity: Arc<Identity>) {
        let mut state = self.lock();
        if state.generation == generation {
            state.identity = identity;
        }
    }

    /// Its connection is gone; it waits for its client until then. False: it is another connection's by now, or over.
    pub fn detach(&self, generation: u64, until_ms: u64) -> bool {
        let mut state = self.lock();
        if state.generation != generation || state.over.is_some() {
            return false;
        }
        let line = state.line.take();
        state.detached_until_ms = Some(until_ms);
        drop(state);
        // Its own connection is leaving anyway; another one was promised away and has no session any more.
        if let Some(line) = line {
            line.close(Close::Replaced);
        }
        true
    }

    /// It is over, if it is of no later generation than this. Its connection is asked to end. False: it is not, or was already.
    pub fn end(&self, generation: u64, close: Close) -> bool {
        let mut state = self.lock();
        if state.over.is_some() || state.generation > generation || state.oldest > generation {
            return false;
        }
        if state.leaving {
            state.told_while_leaving = Some(close);
            return false;
        }
        state.over = Some(close);
        let line = state.line.take();
        drop(state);
        if let Some(line) = line {
            line.close(close);
        }
        true
    }

    /// It is over if it waited for longer than until now. False: it does not wait, or longer.
    pub fn give_up(&self, now_ms: u64) -> bool {
        let mut state = self.lock();
        let waited = state.over.is_none() && state.detached_until_ms.is_some_and(|until| until <= now_ms);
        if waited {
            state.over = Some(Close::GoingAway);
        }
        waited
    }

    /// Its own connection is about to take leave of it.
    pub fn begin_leaving(&self) {
        self.lock().leaving = true;
    }

    /// It does not after all, and hears what it was told meanwhile. True: that it is over.
    pub fn stay(&self) -> bool {
        let mut state = self.lock();
        state.leaving = false;
        let Some(close) = state.told_while_leaving.take().filter(|_| state.over.is_none()) else { return false };
        state.over = Some(close);
        let line = state.line.take();
        drop(state);
        if let Some(line) = line {
            line.close(close);
        }
        true
    }

    /// Its own connection took leave of it, and goes on without.
    pub fn leave(&self) {
        let mut state = self.lock();
        state.over = Some(Close::GoingAway);
        state.line = None;
    }

    /// Hands the ring over to the node that has the session from now on, as this generation; nothing if it is not all here. The session
    /// is over here. Nothing is pushed to it any more, or that would be lost.
    pub fn hand_over(&self, generation: u64) -> Result<Option<Parked>, NotOlder> {
        let mut state = self.lock();
        if state.generation >= generation || state.oldest > generation {
            return Err(NotOlder);
        }
        let parked = (!state.lost).then(|| state.ring.park());
        if state.leaving {
            return Ok(parked);
        }
        state.over = state.over.or(Some(Close::Replaced));
        let line = state.line.take();
        drop(state);
        if let Some(line) = line {
            line.close(Close::Replaced);
        }
        Ok(parked)
    }

    /// The ring of a session that waits for its client, for the store; an empty one too, for it says that nothing was missed. From here on
    /// nothing is pushed to it, or that would be lost.
    pub fn park(&self) -> Option<Parked> {
        let mut state = self.lock();
        if state.line.is_some() || state.over.is_some() || state.lost || state.generation == 0 {
            return None;
        }
        state.parked = true;
        Some(state.ring.park())
    }

    /// Sends a message and keeps it until the client has it. A client that has no room is sent away and may come back for it. False: the
    /// session is over, or about to go to another node.
    pub fn push(&self, number: u32, payload: Bytes, ring_bytes_max: usize) -> bool {
        self.push_of_inbox(number, payload, 0, ring_bytes_max)
    }

    /// The same for what has a place in the user's inbox, other than 0.
    pub fn push_of_inbox(&self, number: u32, payload: Bytes, inbox: u64, ring_bytes_max: usize) -> bool {
        let mut state = self.lock();
        if state.over.is_some() || state.parked {
            return false;
        }
        let State { ring, line, .. } = &mut *state;
        match ring.push_of_inbox(number, payload, inbox, ring_bytes_max) {
            Some(entry) => {
                if let Some(line) = line.take_if(|line| !line.push(entry)) {
                    line.close(Close::Slow);
                }
                true
            }
            // It has used up its numbers; the client gets a new session.
            None => {
                state.over = Some(Close::Internal);
                if let Some(line) = state.line.take() {
                    line.close(Close::Internal);
                }
                false
            }
        }
    }

    /// Sends a message that nobody keeps. A client whose rule it is that it goes when it is slow is sent away. False: no connection has the
    /// session, and it misses the message.
    pub fn publish(&self, publication: &Arc<Publication>) -> bool {
        let mut state = self.lock();
        if state.over.is_some() {
            return false;
        }
        let reached = state.line.is_some();
        if let Some(line) = state.line.take_if(|line| !line.publish(publication)) {
            line.close(Close::Slow);
        }
        reached
    }

    /// Its client does not hear a topic any more, and is told.
    pub fn expel(&self, topic: &str, reason: &str) {
        let mut state = self.lock();
        if let Some(line) = state.line.take_if(|line| !line.expel(topic, reason)) {
            line.close(Close::Slow);
        }
    }

    /// The way to the connection that has it, if one does.
    pub fn line(&self) -> Option<Arc<dyn Line>> {
        self.lock().line.clone()
    }

    /// How far into the user's inbox it has got; nothing while that is not known.
    pub fn inbox(&self) -> Option<u64> {
        self.lock().ring.inbox()
    }

    /// It begins behind this place of the inbox, if that was not known.
    pub fn begin_inbox(&self, read: u64) {
        self.lock().ring.begin_inbox(read);
    }

    /// What its client has of the inbox.
    pub fn inbox_acknowledged(&self) -> Option<u64> {
        self.lock().ring.inbox_acknowledged()
    }

    /// Whether what can wait elsewhere need not.
    pub fn has_room(&self, ring_bytes_max: usize) -> bool {
        !self.lock().ring.is_half_full(ring_bytes_max)
    }

    /// Whether a connection has it.
    pub fn is_connected(&self) -> bool {
        self.lock().line.is_some()
    }

    /// With which code it ended, if it is over.
    pub fn closed(&self) -> Option<Close> {
        self.lock().over
    }

    /// The client has every push up to this one.
    pub fn acknowledge(&self, seq: u32) {
        self.lock().ring.acknowledge(seq);
    }

    /// Whether it is alive and of this generation.
    pub fn is_of(&self, generation: u64) -> bool {
        let state = self.lock();
        state.over.is_none() && state.generation == generation
    }

    pub fn is_over(&self) -> bool {
        self.lock().over.is_some()
    }

    /// What the store should hold of it.
    pub fn wanted(&self, node: &str) -> Wanted {
        let state = self.lock();
        let generation = state.generation;
        if state.over.is_some() {
            return Wanted::Over { generation };
        }
        let record = Record::of(&self.id, generation, node, &state.identity, state.resume.to_string());
        Wanted::Alive(Record { detached_until_ms: state.detached_until_ms, ..record })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nothing that holds a session panics")
    }
}
