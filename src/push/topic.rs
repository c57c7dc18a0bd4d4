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
        /// Nothing was said to it before.
        is_new: bool,
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
}

// === impl Topic ===

impl Topic {
    pub fn new(name: Arc<str>, rule: Arc<TopicRule>) -> Topic {
        Topic { name, rule, members: AtomicU32::new(0), state: Mutex::new(State { at: None, hearers: Slab::new() }) }
    }

    /// Gives a session a seat, or lets it keep the one it has; it catches up.
    pub fn seat(&self, session: &Arc<Session>, seat: Option<Seat>, turn: Turn) -> Seat {
        let mut state = self.lock();
        let catching_up = |is_new| Phase::CatchingUp { turn, is_new, held: Vec::new(), bytes: 0, lost: false };
        if let Some(Seat(index)) = seat
            && let Some(hearer) = state.hearers.get_mut(index).filter(|hearer| Arc::ptr_eq(&hearer.session, session))
        {
            let is_new = matches!(hearer.phase, Phase::CatchingUp { is_new: true, .. });
            hearer.phase = catching_up(is_new);
            return Seat(index);
        }
        Seat(state.hearers.insert(Hearer { session: Arc::clone(session), phase: catching_up(true) }))
    }

    /// Ends the catching up of a hearer: `tell` it first, then it is sent what it missed, then it hears. `missed` is what the history
    /// held, up to `end`. False: another turn has taken the place of this one, or the seat is given up.
    pub fn catch_up<E>(
        &self,
        Seat(index): Seat,
        turn: Turn,
        asked: Asked,
        tell: impl FnOnce(&CaughtUp) -> Result<(), E>,
    ) -> Result<bool, E> {
        let mut state = self.lock();
        let State { at, hearers } = &mut *state;
        let Some(hearer) = hearers.get_mut(index) else { return Ok(false) };
        let Phase::CatchingUp { turn: current, held, lost, .. } = &mut hearer.phase else { return Ok(false) };
        if *current != turn {
            return Ok(false);
        }
        let (held, lost) = (std::mem::take(held), *lost);
        let caught_up = match asked {
            Asked::FromNow => CaughtUp { recovered: false, missed: Vec::new(), at: at.clone() },
            Asked::Behind { .. } if lost => CaughtUp { recovered: false, missed: Vec::new(), at: at.clone() },
            Asked::Behind { whole: false, .. } => CaughtUp { recovered: false, missed: Vec::new(), at: at.clone() },
            Asked::Behind { mut missed, end, .. } => {
                let mut is_later = false;
                missed.extend(held.into_iter().filter(|publication| {
                    let is_anew = !publication.epoch.is_empty() && publication.epoch != end.epoch;
                    is_later |= is_anew || publication.offset > end.offset;
                    is_later
                }));
                CaughtUp { recovered: true, missed, at: at.clone() }
            }
        };
        tell(&caught_up)?;
        for publication in &caught_up.missed {
            hearer.session.publish(publication);
        }
        hearer.phase = Phase::Hearing;
        Ok(true)
    }

    /// Nothing comes of a turn: who heard before hears on, with what was said meanwhile. True: who did not has lost its seat.
    pub fn give_up(&self, Seat(index): Seat, turn: Turn) -> bool {
        let mut state = self.lock();
        let Some(hearer) = state.hearers.get_mut(index) else { return false };
        let Phase::CatchingUp { turn: current, is_new, held, .. } = &mut hearer.phase else { return false };
        if *current != turn {
            return false;
        }
        if *is_new {
            state.hearers.remove(index);
            return true;
        }
        for publication in std::mem::take(held) {
            hearer.session.publish(&publication);
        }
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
            // Without a history there is no order to keep.
            _ if offset == 0 => Next::Say { new_epoch: false },
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
            match &mut hearer.phase {
                Phase::Hearing => {
                    hearer.session.publish(publication);
                }
                // Who has lost something has no use for the rest.
                Phase::CatchingUp { lost: true, .. } => {}
                Phase::CatchingUp { held, bytes, lost, .. } => {
                    *bytes += publication.payload.len() + size_of::<Publication>();
                    match *bytes > HELD_MAX {
                        true => (*lost, *held) = (true, Vec::new()),
                        false => held.push(Arc::clone(publication)),
                    }
                }
            }
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

    /// Whether whoever has this seat was given all that was said up to this place.
    pub fn has_told(&self, Seat(index): Seat, session: &Session, place: Option<&Position>) -> bool {
        let state = self.lock();
        let is_said = |place: &Position| state.at.as_ref().is_some_and(|at| at.epoch == place.epoch && at.offset >= place.offset);
        let hearer = state.hearers.get(index).filter(|hearer| std::ptr::eq(&*hearer.session, session));
        place.is_none_or(is_said) && hearer.is_some_and(|hearer| matches!(hearer.phase, Phase::Hearing))
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
