//! One topic on this node: who hears it, and how far it has been heard.
//!
//! Whoever begins to hear a topic, or comes back to it, first catches up: what is said meanwhile is held back for it, until it has been told
//! what it missed. Promises: every hearer gets every entry behind the place where it began, once and in order; nobody hears a topic before
//! it was told that it does; what is held back is bounded, and what went beyond that is said to be missing.

#[cfg(test)]
mod tests;

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
    /// What was said here: how many messages, and bytes of them.
    said: (u64, u64),
}

struct Hearer {
    session: Arc<Session>,
    phase: Phase,
    /// What it has of the topic before that is said here.
    ahead: Option<Ahead>,
    /// So many were said that it did not get, and was not told of.
    lost: u32,
}

enum Phase {
    Hearing,
    CatchingUp {
        turn: Turn,
        /// Nothing was said to it before.
        is_new: bool,
        /// It heard the topic on this node before, and goes on from there if it asks for nothing else.
        told: bool,
        held: Vec<(Option<Position>, Arc<Publication>)>,
        bytes: usize,
        /// More was said than could be held: so many are gone.
        lost: u32,
    },
}

/// How far a hearer has read in the history, which may be further than the topic has been said here.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Ahead {
    end: Position,
    /// The history that was said here when it was read.
    said: Option<Arc<str>>,
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
        Topic { name, rule, members: AtomicU32::new(0), state: Mutex::new(State { at: None, hearers: Slab::new(), said: (0, 0) }) }
    }

    /// Gives a session a seat, or lets it keep the one it has; it catches up. Who heard the topic on another node keeps the seat whatever
    /// comes of that.
    pub fn seat(&self, session: &Arc<Session>, seat: Option<Seat>, turn: Turn, back: Back) -> Seat {
        let mut state = self.lock();
        if let Some(Seat(index)) = seat
            && let Some(hearer) = state.hearers.get_mut(index).filter(|hearer| Arc::ptr_eq(&hearer.session, session))
        {
            match &mut hearer.phase {
                // What is held back already is for whoever is last.
                Phase::CatchingUp { turn: current, .. } => *current = turn,
                phase @ Phase::Hearing => *phase = Phase::catching_up(turn, false, true),
            }
            return Seat(index);
        }
        let phase = Phase::catching_up(turn, back == Back::No, false);
        Seat(state.hearers.insert(Hearer { session: Arc::clone(session), phase, ahead: None, lost: 0 }))
    }

    /// Ends the catching up of a hearer: `tell` it first, then it is sent what it missed, then it hears. If a later turn has taken the
    /// place of this one, it catches up once more. False: the seat is given up.
    pub fn catch_up<E>(
        &self,
        Seat(index): Seat,
        turn: Turn,
        session: &Arc<Session>,
        asked: Asked,
        tell: impl FnOnce(&CaughtUp) -> Result<(), E>,
    ) -> Result<bool, E> {
        let mut state = self.lock();
        let State { at, hearers, .. } = &mut *state;
        let count = u32::try_from(hearers.len()).unwrap_or(u32::MAX);
        let Some(hearer) = hearers.get_mut(index).filter(|hearer| Arc::ptr_eq(&hearer.session, session)) else { return Ok(false) };
        let is_from_now = matches!(asked, Asked::FromNow);
        if is_from_now {
            hearer.say_held();
        }
        let anew = || CaughtUp { recovered: false, missed: Vec::new(), at: at.clone(), hearers: count };
        let (caught_up, ahead) = match (asked, &hearer.phase) {
            (Asked::Behind { mut missed, whole: true, end, said }, Phase::CatchingUp { held, lost: 0, .. }) => {
                let ahead = Ahead { end, said };
                missed.extend(held.iter().filter(|(place, _)| ahead.lacks(place.as_ref())).map(|(_, publication)| Arc::clone(publication)));
                let at = at.clone().filter(|at| ahead.lacks(Some(at))).unwrap_or_else(|| ahead.end.clone());
                (CaughtUp { recovered: true, missed, at: Some(at), hearers: count }, Some(ahead))
            }
            _ => (anew(), None),
        };
        tell(&caught_up)?;
        for publication in &caught_up.missed {
            hearer.session.publish(publication);
        }
        match &mut hearer.phase {
            Phase::CatchingUp { turn: current, is_new, told, .. } if *current != turn => {
                (*is_new, *told) = (false, true);
                // Of what is held back it has all, should nothing come of the later turn.
                hearer.ahead = caught_up.at.map(|end| Ahead { end, said: at.as_ref().map(|at| Arc::clone(&at.epoch)) });
            }
            phase => {
                *phase = Phase::Hearing;
                hearer.ahead = ahead;
            }
        }
        if !is_from_now {
            hearer.lost = 0;
        }
        Ok(true)
    }

    /// Nothing comes of a turn: who heard before hears on, with what was said meanwhile. True: who did not has lost its seat.
    pub fn give_up(&self, Seat(index): Seat, turn: Turn) -> bool {
        let mut state = self.lock();
        let Some(hearer) = state.hearers.get_mut(index) else { return false };
        let Phase::CatchingUp { turn: current, is_new, held, lost, .. } = &mut hearer.phase else { return false };
        if *current != turn {
            return false;
        }
        if *is_new {
            state.hearers.remove(index);
            return true;
        }
        let held = std::mem::take(held);
        hearer.lost += *lost;
        hearer.phase = Phase::Hearing;
        held.iter().for_each(|(place, publication)| hearer.hear(place.as_ref(), publication));
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
        let is_placed = at.is_some();
        if is_placed {
            state.at = at;
        }
        state.said.0 += 1;
        state.said.1 += publication.payload.len() as u64;
        let State { at: said, hearers, .. } = &mut *state;
        let place = if is_placed { said.as_ref() } else { None };
        hearers.iter_mut().for_each(|(_, hearer)| hearer.hear(place, publication));
        state.hearers.len()
    }

    /// An entry that cannot be said has its place all the same.
    pub fn pass(&self, at: Option<Position>) {
        if at.is_some() {
            self.lock().at = at;
        }
    }

    /// What its history holds in bytes: as many messages as it may, or as there were, of the size that those had which were heard here.
    pub fn history_bytes(&self) -> u64 {
        let Some(bounds) = self.rule.history else { return 0 };
        let state = self.lock();
        let (messages, bytes) = state.said;
        let kept = state.at.as_ref().map_or(0, |at| at.offset.min(bounds.count.into()));
        let estimated = bytes.checked_div(messages).unwrap_or(0) * kept;
        bounds.bytes.map_or(estimated, |most| estimated.min(most))
    }

    /// The sessions that hear it, whoever has not caught up yet included.
    pub fn hearers(&self) -> Vec<(Seat, Arc<Session>)> {
        self.lock().hearers.iter().map(|(index, hearer)| (Seat(index), Arc::clone(&hearer.session))).collect()
    }

    /// How many that are.
    pub fn count(&self) -> usize {
        self.lock().hearers.len()
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
        /// Which history was said here before it was read.
        said: Option<Arc<str>>,
    },
}

/// Whether a session comes back to a topic that it heard on another node.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Back {
    Yes,
    No,
}

// === impl Hearer ===

impl Hearer {
    /// Sends it an entry that it lacks, or holds that back.
    fn hear(&mut self, place: Option<&Position>, publication: &Arc<Publication>) {
        match &mut self.phase {
            Phase::Hearing => self.send(place, publication),
            // Who has lost something has no use for the rest.
            Phase::CatchingUp { lost, .. } if *lost > 0 => *lost += 1,
            Phase::CatchingUp { held, bytes, lost, .. } => {
                *bytes += publication.payload.len() + size_of::<Publication>();
                held.push((place.cloned(), Arc::clone(publication)));
                if *bytes > HELD_MAX {
                    *lost = u32::try_from(std::mem::take(held).len()).unwrap_or(u32::MAX);
                }
            }
        }
    }

    /// Sends it an entry, unless it has that already.
    fn send(&mut self, place: Option<&Position>, publication: &Arc<Publication>) {
        if self.ahead.as_ref().is_some_and(|ahead| !ahead.lacks(place)) {
            return;
        }
        self.ahead = None;
        match std::mem::take(&mut self.lost) {
            0 => self.session.publish(publication),
            lost => self.session.publish(&Arc::new(publication.again_behind_lost(lost))),
        };
    }

    /// Sends what is held back for it to one that heard before.
    fn say_held(&mut self) {
        let Phase::CatchingUp { told: true, held, bytes, lost, .. } = &mut self.phase else { return };
        let held = std::mem::take(held);
        *bytes = 0;
        self.lost += std::mem::take(lost);
        held.iter().for_each(|(place, publication)| self.send(place.as_ref(), publication));
    }
}

// === impl Phase ===

impl Phase {
    fn catching_up(turn: Turn, is_new: bool, told: bool) -> Phase {
        Phase::CatchingUp { turn, is_new, told, held: Vec::new(), bytes: 0, lost: 0 }
    }
}

// === impl Ahead ===

impl Ahead {
    /// Whether what is said here now is behind what was read.
    fn lacks(&self, place: Option<&Position>) -> bool {
        let Some(place) = place else { return true };
        match place.epoch == self.end.epoch {
            true => place.offset > self.end.offset,
            // One that ended before it was read, or began after it.
            false => self.said.as_ref() != Some(&place.epoch),
        }
    }
}
