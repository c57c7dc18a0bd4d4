//! A room in the store: `room:<id>`, with its state beside it in `roomstate:<id>`, because most of what happens leaves that alone.
//!
//! Promise: who sits in a room, in the order in which they came, is said here and nowhere else.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::v1;
use crate::store::Key;

/// A room in which nothing happens for so long is closed.
pub const IDLE_MAX: Duration = Duration::from_secs(24 * 3600);

/// When the store lets go of a room that nobody closed: a while after the sweep would have.
const TTL: Duration = Duration::from_secs(25 * 3600);

/// How long it is known of a room that it was closed.
const CLOSED_TTL: Duration = Duration::from_secs(600);

/// A room. Not to be printed: it holds a password's hash.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Room {
    pub id: String,
    pub name: String,
    pub capacity: u32,
    /// Argon2id, as a PHC string.
    pub password: Option<String>,
    pub metadata: BTreeMap<String, String>,
    pub host: String,
    /// By when they came.
    pub seats: Vec<Seat>,
    /// Of the last thing that happened.
    pub version: u64,
    /// When the state was last replaced; 0 when it never was.
    pub state_version: u64,
    pub created_ms: u64,
    /// When somebody last did something in it.
    pub touched_ms: u64,
    /// Which part of the index has it.
    pub shard: u32,
    pub closed: bool,
}

/// A member's.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seat {
    pub user: String,
    pub joined_ms: u64,
    /// When they last joined, be it again.
    pub came_ms: u64,
    /// How much they have done since they joined.
    pub operations: u64,
    /// No connection of theirs was there when the sweep last looked.
    pub away: bool,
    /// Since when they have not even had a session there.
    pub absent_ms: Option<u64>,
}

/// The key of a room.
pub fn key(id: &str) -> Key {
    Key::new("room", id)
}

pub fn state_key(id: &str) -> Key {
    Key::new("roomstate", id)
}

/// What its members hear.
pub fn topic(id: &str) -> String {
    format!("room/{id}")
}

// === impl Room ===

impl Room {
    pub fn seat(&self, user: &str) -> Option<&Seat> {
        self.seats.iter().find(|seat| seat.user == user)
    }

    pub fn seat_mut(&mut self, user: &str) -> Option<&mut Seat> {
        self.seats.iter_mut().find(|seat| seat.user == user)
    }

    pub fn is_full(&self) -> bool {
        self.seats.len() >= self.capacity as usize
    }

    pub fn is_idle(&self, now_ms: u64) -> bool {
        now_ms.saturating_sub(self.touched_ms) >= millis(IDLE_MAX)
    }

    /// How long the store is to keep it from now on.
    pub fn ttl(&self, now_ms: u64) -> Duration {
        if self.closed {
            return CLOSED_TTL;
        }
        let ends_ms = self.touched_ms.saturating_add(millis(TTL));
        Duration::from_millis(ends_ms.saturating_sub(now_ms).max(1))
    }

    /// As its members may see it.
    pub fn shown(&self) -> v1::Room {
        v1::Room {
            id: self.id.clone(),
            name: self.name.clone(),
            capacity: self.capacity,
            locked: self.password.is_some(),
            metadata: self.metadata.clone().into_iter().collect(),
            host: self.host.clone(),
            members: self.seats.iter().map(Seat::shown).collect(),
            version: self.version,
            state_version: self.state_version,
            created_ms: shown_ms(self.created_ms),
        }
    }

    /// As everybody may see it.
    pub fn summary(&self) -> v1::RoomSummary {
        v1::RoomSummary {
            id: self.id.clone(),
            name: self.name.clone(),
            capacity: self.capacity,
            members: u32::try_from(self.seats.len()).unwrap_or(u32::MAX),
            locked: self.password.is_some(),
            metadata: self.metadata.clone().into_iter().collect(),
            created_ms: shown_ms(self.created_ms),
        }
    }
}

// === impl Seat ===

impl Seat {
    fn shown(&self) -> v1::Member {
        v1::Member { user_id: self.user.clone(), joined_ms: shown_ms(self.joined_ms), away: self.away }
    }
}

pub fn shown_ms(ms: u64) -> i64 {
    i64::try_from(ms).unwrap_or(i64::MAX)
}

pub fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
