//! What is about to happen in a room: the rules of the game service, without a store, a clock or a client.
//!
//! Promises: every event makes exactly one version; a room whose last member goes is closed in the same breath; as long as there is a
//! member, one of them is the host.

use std::time::Duration;

use bytes::Bytes;

use super::names::ACTION_BYTES_MAX;
use super::refused::{not_a_member, not_host, room_full, stale_version};
use super::room::{Room, Seat, millis, shown_ms};
use super::v1::game_event::Event;
use super::v1::{
    Action, CloseReason, GameEvent, HostChanged, LeaveReason, MemberAway, MemberBack, MemberJoined, MemberLeft, Operation, RoomClosed,
    StateReplaced,
};
use crate::push::v1::Member;
use crate::services::refusal::Result;

/// How long a seat is kept for a member who is not heard of.
pub const SEAT_WINDOW: Duration = Duration::from_secs(60);

/// How long after joining nobody is looked for: the gateway makes them hear the room only once the reply is on its way.
pub const SETTLE: Duration = Duration::from_secs(10);

/// A room as it would become, and what is to be told of it.
pub struct Draft {
    pub room: Room,
    now_ms: u64,
    before: Option<Room>,
    pub events: Vec<GameEvent>,
    /// Who took a seat.
    pub joined: Option<String>,
    /// The seats that were given back or taken, and why.
    pub left: Vec<(Seat, LeaveReason)>,
    /// What the state is replaced by.
    pub state: Option<Bytes>,
}

// === impl Draft ===

impl Draft {
    /// Of a room that is in the store.
    pub fn of(room: Room, now_ms: u64) -> Draft {
        Draft { before: Some(room.clone()), ..Draft::new(room, now_ms) }
    }

    /// Of a room that is not.
    pub fn new(room: Room, now_ms: u64) -> Draft {
        Draft { room, now_ms, before: None, events: Vec::new(), joined: None, left: Vec::new(), state: None }
    }

    /// Whether there is nothing to be written.
    pub fn is_unchanged(&self) -> bool {
        self.before.as_ref() == Some(&self.room)
    }

    /// Takes a seat, or shows that one is still wanted.
    pub fn join(&mut self, user: &str) -> Result<()> {
        let now_ms = self.now_ms;
        if let Some(seat) = self.room.seat_mut(user) {
            (seat.came_ms, seat.absent_ms) = (now_ms, None);
            self.note_back(user);
        } else {
            if self.room.is_full() {
                return Err(room_full());
            }
            let seat = Seat { user: user.to_owned(), joined_ms: now_ms, came_ms: now_ms, operations: 0, away: false, absent_ms: None };
            self.room.seats.push(seat);
            self.joined = Some(user.to_owned());
            self.happens(Event::Joined(MemberJoined { user_id: user.to_owned() }));
            if self.room.seats.len() == 1 {
                self.room.host = user.to_owned();
            }
        }
        self.room.touched_ms = now_ms;
        Ok(())
    }

    /// Gives a seat back, if there is one.
    pub fn leave(&mut self, user: &str) {
        if self.room.seat(user).is_some() {
            self.room.touched_ms = self.now_ms;
            self.take_seat(user, LeaveReason::Left);
        }
    }

    /// Does something in the room. The version it made.
    pub fn operate(&mut self, user: &str, expected: Option<u64>, action: &Action) -> Result<u64> {
        self.act(user, expected)?;
        let Action { kind, payload } = action.clone();
        self.happens(Event::Operation(Operation { user_id: user.to_owned(), kind, payload }));
        Ok(self.room.version)
    }

    /// Replaces the room's state. The version it made.
    pub fn replace_state(&mut self, user: &str, expected: Option<u64>, state: &Bytes) -> Result<u64> {
        self.act(user, expected)?;
        if self.room.host != user {
            return Err(not_host());
        }
        let told = Some(state).filter(|state| state.len() <= ACTION_BYTES_MAX).cloned();
        self.happens(Event::StateReplaced(StateReplaced { user_id: user.to_owned(), state: told }));
        self.room.state_version = self.room.version;
        self.state = Some(state.clone());
        Ok(self.room.version)
    }

    /// Closes the room, whoever is in it.
    pub fn close(&mut self, reason: CloseReason) {
        let left = std::mem::take(&mut self.room.seats);
        self.left.extend(left.into_iter().map(|seat| (seat, LeaveReason::Gone)));
        self.room.closed = true;
        self.happens(Event::Closed(RoomClosed { reason: reason.into() }));
    }

    /// Learns who hears the room at this moment, and takes the seats of those who have not for too long.
    pub fn heed(&mut self, present: &[Member]) {
        if self.room.is_idle(self.now_ms) {
            return self.close(CloseReason::Idle);
        }
        let settled = |seat: &&Seat| self.now_ms.saturating_sub(seat.came_ms) >= millis(SETTLE);
        let users: Vec<String> = self.room.seats.iter().filter(settled).map(|seat| seat.user.clone()).collect();
        for user in &users {
            let is_present = present.iter().any(|member| member.user == *user);
            self.note_presence(user, is_present);
            if present.iter().any(|member| member.user == *user && member.connected) { self.note_back(user) } else { self.note_away(user) }
        }
        let now_ms = self.now_ms;
        let is_gone = |seat: &&Seat| seat.absent_ms.is_some_and(|since| now_ms.saturating_sub(since) >= millis(SEAT_WINDOW));
        let gone: Vec<String> = self.room.seats.iter().filter(is_gone).map(|seat| seat.user.clone()).collect();
        gone.iter().for_each(|user| self.take_seat(user, LeaveReason::Gone));
        // A host without a session hands over to whoever has one, and keeps the seat for now.
        let is_absent = |user: &str| self.room.seat(user).is_some_and(|seat| seat.absent_ms.is_some());
        if is_absent(&self.room.host) && self.room.seats.iter().any(|seat| seat.absent_ms.is_none()) {
            self.hand_over();
        }
    }

    fn note_presence(&mut self, user: &str, is_present: bool) {
        let now_ms = self.now_ms;
        if let Some(seat) = self.room.seat_mut(user) {
            seat.absent_ms = if is_present { None } else { Some(seat.absent_ms.unwrap_or(now_ms)) };
        }
    }

    fn note_back(&mut self, user: &str) {
        if let Some(seat) = self.room.seat_mut(user).filter(|seat| seat.away) {
            seat.away = false;
            self.happens(Event::Back(MemberBack { user_id: user.to_owned() }));
        }
    }

    fn note_away(&mut self, user: &str) {
        if let Some(seat) = self.room.seat_mut(user).filter(|seat| !seat.away) {
            seat.away = true;
            self.happens(Event::Away(MemberAway { user_id: user.to_owned() }));
        }
    }

    /// That a member does something, whatever it is.
    fn act(&mut self, user: &str, expected: Option<u64>) -> Result<()> {
        let (now_ms, version) = (self.now_ms, self.room.version);
        let seat = self.room.seat_mut(user).ok_or_else(not_a_member)?;
        if expected.is_some_and(|expected| expected != version) {
            return Err(stale_version(version));
        }
        seat.operations += 1;
        self.room.touched_ms = now_ms;
        Ok(())
    }

    fn take_seat(&mut self, user: &str, reason: LeaveReason) {
        let Some(at) = self.room.seats.iter().position(|seat| seat.user == user) else { return };
        let seat = self.room.seats.remove(at);
        self.left.push((seat, reason));
        self.happens(Event::Left(MemberLeft { user_id: user.to_owned(), reason: reason.into() }));
        if self.room.seats.is_empty() {
            self.close(CloseReason::Empty);
        } else if self.room.host == user {
            self.hand_over();
        }
    }

    /// To whoever has been there longest, of those who are there.
    fn hand_over(&mut self) {
        let there = self.room.seats.iter().find(|seat| seat.absent_ms.is_none());
        let Some(next) = there.or(self.room.seats.first()).map(|seat| seat.user.clone()) else { return };
        if next != self.room.host {
            self.room.host.clone_from(&next);
            self.happens(Event::HostChanged(HostChanged { user_id: next }));
        }
    }

    fn happens(&mut self, event: Event) {
        self.room.version += 1;
        let (room_id, version) = (self.room.id.clone(), self.room.version);
        self.events.push(GameEvent { room_id, version, at_ms: shown_ms(self.now_ms), event: Some(event) });
    }
}
