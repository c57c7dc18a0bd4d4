//! One topic on this node: who hears it, and how far it has been heard.
//!
//! Whoever begins to hear a topic, or comes back to it, first catches up: what is said meanwhile is held back for it, until it has been told
//! what it missed. Promises: every hearer gets every entry behind the place where it began, once and in order; nobody hears a topic before
//! it was told that it does; what is held back is bounded, and what went beyond that is said to be missing.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard};

use slab::Slab;

use super::declared::TopicRule;
use super::entry::Position;
use crate::session::{Publication, Session};

/// Bytes that may be held back for one hearer.
const HELD_MAX: usize = 256 << 10;

/// A topic that somebody here hears.
pub struct Topic {
    pub name: Arc<str>,
    pub rule: Arc<TopicRule>,
    /// How many are in it on all nodes, as far as this one knows.
    pub members: AtomicU32,
    state: Mutex<State>,
}

struct State {
    /// The last entry that was said here. Nothing while that is not known, and in a topic without a history.
    at: Option<Position>,
    hearers: Slab<Hearer>,
}

struct Hearer {
    session: Arc<Session>,
    phase: Phase,
}

enum Phase {
    Hearing,
    CatchingUp {
        turn: Turn,
        /// From here on it gets what is held back whatever comes of the turn. Nothing: it was never told that it hears the topic.
        owed: Option<usize>,
        held: Vec<Arc<Publication>>,
        bytes: usize,
        /// More was said than could be held.
        lost: bool,
    },
}

/// Which catching up of a hearer it is; a later one takes the place of an earlier one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Turn(pub u64);

/// The place of a hearer in its topic.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Seat(usize);

/// What becomes of an entry.
#[derive(PartialEq, Eq, Debug)]
pub enum Next {
    /// It is to be said. In a history that is new to the hearers, that has to be said too.
    Say { new_epoch: bool },
    /// It was said already.
    Old,
    /// There are others before it, which have to be said first.
    Missing,
}

/// What a hearer gets when it has caught up.
pub struct CaughtUp {
    /// Nothing is missing behind the place that was asked for.
    pub recovered: bool,
    pub missed: Vec<Arc<Publication>>,
    /// From where on it hears everything.
    pub at: Option<Position>,
    /// How many hear it on this node.
    pub hearers: u32,
}

// === impl Topic ===

impl Topic {
    pub fn new(name: Arc<str>, rule: Arc<TopicRule>) -> Topic {
        Topic { name, rule, members: AtomicU32::new(0), state: Mutex::new(State { at: None, hearers: Slab::new() }) }
    }

    /// Gives a session a seat, or lets it keep the one it has; it catches up.
    pub fn seat(&self, session: &Arc<Session>, seat: Option<Seat>, turn: Turn) -> Seat {
        let mut state = self.lock();
        let catching_up = |owed, held: Vec<Arc<Publication>>, bytes, lost| Phase::CatchingUp { turn, owed, held, bytes, lost };
        if let Some(Seat(index)) = seat
            && let Some(hearer) = state.hearers.get_mut(index).filter(|hearer| Arc::ptr_eq(&hearer.session, session))
        {
            hearer.phase = match std::mem::replace(&mut hearer.phase, Phase::Hearing) {
                Phase::Hearing => catching_up(Some(0), Vec::new(), 0, false),
                // What is held back for the turn before is held back for this one, too: it is what follows upon more of the history.
                Phase::CatchingUp { owed, held, bytes, lost, .. } => catching_up(owed, held, bytes, lost),
            };
            return Seat(index);
        }
        Seat(state.hearers.insert(Hearer { session: Arc::clone(session), phase: catching_up(None, Vec::new(), 0, false) }))
    }

    /// Ends the catching up of a hearer: `tell` it first, then it is sent what it missed, then it hears. Where another turn has taken the
    /// place of this one, it hears from now on all the same, and that one goes on. False: the seat is given up.
    pub fn catch_up<E>(
        &self,
        Seat(index): Seat,
        session: &Arc<Session>,
        turn: Turn,
        asked: Asked,
        tell: impl FnOnce(&CaughtUp) -> Result<(), E>,
    ) -> Result<bool, E> {
        let mut state = self.lock();
        let State { at, hearers } = &mut *state;
        let count = u32::try_from(hearers.len()).unwrap_or(u32::MAX);
        let Some(hearer) = hearers.get_mut(index).filter(|hearer| Arc::ptr_eq(&hearer.session, session)) else { return Ok(false) };
        let is_current = hearer.is_of(turn);
        let missed = match asked {
            Asked::Behind { missed, whole: true, end } if is_current => hearer.missed(missed, &end, at.as_ref()),
            Asked::Behind { .. } | Asked::FromNow => None,
        };
        if missed.is_none() {
            hearer.say_owed();
        }
        let caught_up = CaughtUp { recovered: missed.is_some(), missed: missed.unwrap_or_default(), at: at.clone(), hearers: count };
        tell(&caught_up)?;
        for publication in &caught_up.missed {
            hearer.session.publish(publication);
        }
        match &mut hearer.phase {
            Phase::CatchingUp { owed, held, .. } if !is_current => *owed = Some(held.len()),
            phase => *phase = Phase::Hearing,
        }
        Ok(true)
    }

    /// Nothing comes of a turn: who heard before hears on, with what was said meanwhile. True: who did not has lost its seat.
    pub fn give_up(&self, Seat(index): Seat, turn: Turn) -> bool {
        let mut state = self.lock();
        let Some(hearer) = state.hearers.get_mut(index).filter(|hearer| hearer.is_of(turn)) else { return false };
        if matches!(hearer.phase, Phase::CatchingUp { owed: None, .. }) {
            state.hearers.remove(index);
            return true;
        }
        hearer.say_owed();
        hearer.phase = Phase::Hearing;
        false
    }

    /// Who had this seat does not hear the topic any more.
    pub fn leave(&self, Seat(index): Seat, session: &Arc<Session>) -> bool {
        let mut state = self.lock();
        let is_theirs = state.hearers.get(index).is_some_and(|hearer| Arc::ptr_eq(&hearer.session, session));
        if is_theirs {
            state.hearers.remove(index);
        }
        is_theirs
    }

    /// Where the topic is, once that is known.
    pub fn begin(&self, at: Position) {
        self.lock().at.get_or_insert(at);
    }

    /// How far the topic has been said here.
    pub fn at(&self) -> Option<Position> {
        self.lock().at.clone()
    }

    /// What is to be done about an entry.
    pub fn next(&self, epoch: &str, offset: u64) -> Next {
        match &self.lock().at {
            // Without a history there is no order to keep; where one was configured since, this node does not know it.
            _ if offset == 0 || self.rule.history.is_none() => Next::Say { new_epoch: false },
            None => Next::Missing,
            Some(at) if *at.epoch != *epoch => {
                if offset == 1 {
                    Next::Say { new_epoch: true }
                } else {
                    Next::Missing
                }
            }
            Some(at) if offset <= at.offset => Next::Old,
            Some(at) if offset == at.offset + 1 => Next::Say { new_epoch: false },
            Some(_) => Next::Missing,
        }
    }

    /// Says an entry to everybody, or holds it back. How many hear it.
    pub fn say(&self, publication: &Arc<Publication>, at: Option<Position>) -> usize {
        let mut state = self.lock();
        if at.is_some() {
            state.at = at;
        }
        for (_, hearer) in &mut state.hearers {
            hearer.hear(publication);
        }
        state.hearers.len()
    }

    /// An entry that cannot be said has its place all the same.
    pub fn pass(&self, at: Option<Position>) {
        if at.is_some() {
            self.lock().at = at;
        }
    }

    /// The sessions that hear it, whoever has not caught up yet included.
    pub fn hearers(&self) -> Vec<(Seat, Arc<Session>)> {
        self.lock().hearers.iter().map(|(index, hearer)| (Seat(index), Arc::clone(&hearer.session))).collect()
    }

    pub fn is_deserted(&self) -> bool {
        self.lock().hearers.is_empty()
    }

    pub fn members(&self) -> u32 {
        self.members.load(Relaxed)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nothing that holds a topic panics")
    }
}

// === impl Hearer ===

impl Hearer {
    fn is_of(&self, turn: Turn) -> bool {
        matches!(self.phase, Phase::CatchingUp { turn: current, .. } if current == turn)
    }

    fn hear(&mut self, publication: &Arc<Publication>) {
        let more = publication.payload.len() + size_of::<Publication>();
        let overrun = match &mut self.phase {
            Phase::CatchingUp { lost: false, held, bytes, .. } if *bytes + more <= HELD_MAX => {
                *bytes += more;
                return held.push(Arc::clone(publication));
            }
            Phase::CatchingUp { lost: false, .. } => true,
            Phase::CatchingUp { .. } | Phase::Hearing => false,
        };
        if overrun {
            // It is not caught up with any more; who heard before does not wait for that.
            self.say_owed();
            let Phase::CatchingUp { lost, held, .. } = &mut self.phase else { return };
            (*lost, *held) = (true, Vec::new());
        }
        // Who has lost something and was never told that it hears has no use for the rest.
        if !matches!(self.phase, Phase::CatchingUp { owed: None, .. }) {
            self.session.publish(publication);
        }
    }

    /// Says what is held back, as far as that is not to wait for anything.
    fn say_owed(&mut self) {
        let Phase::CatchingUp { owed: Some(owed), held, .. } = &mut self.phase else { return };
        for publication in held.iter().skip(*owed) {
            self.session.publish(publication);
        }
        *owed = held.len();
    }

    /// All that the hearer missed behind its place: what the history held up to `end`, and what was held back since. Nothing: that is not all.
    fn missed(&self, mut missed: Vec<Arc<Publication>>, end: &Position, at: Option<&Position>) -> Option<Vec<Arc<Publication>>> {
        let Phase::CatchingUp { lost: false, held, .. } = &self.phase else { return None };
        let at = at?;
        let is_anew = |publication: &&Arc<Publication>| !publication.epoch.is_empty() && publication.epoch != end.epoch;
        // What the history held beyond the place where the topic is here will be said.
        if at.epoch == end.epoch {
            missed.retain(|publication| publication.offset <= at.offset);
        } else if !held.iter().any(|publication| is_anew(&publication)) {
            return None;
        }
        let mut is_later = false;
        missed.extend(
            held.iter()
                .filter(|publication| {
                    is_later |= is_anew(publication) || publication.offset > end.offset;
                    is_later
                })
                .cloned(),
        );
        Some(missed)
    }
}

/// From where on a hearer wants to hear.
pub enum Asked {
    FromNow,
    Behind {
        /// What the history held behind the place.
        missed: Vec<Arc<Publication>>,
        /// That was all of it.
        whole: bool,
        /// Up to where the history was read.
        end: Position,
    },
}
