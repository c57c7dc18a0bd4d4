//! A player: where they sit, and what they have done in all rooms there ever were: `player:<user>` in the store, for good.
//!
//! What somebody does in a room is counted in their seat, and comes here when the seat ends: nothing is written twice for an operation.

use serde::{Deserialize, Serialize};

use super::room::Seat;
use super::v1::GetStatisticsResponse;
use super::{refused, room};
use crate::services::refusal::Result;
use crate::store::Key;

/// Seats a player may have at once.
pub const SEATS_MAX: usize = 8;

#[derive(Clone, Default, Serialize, Deserialize)]
pub struct Player {
    /// The rooms in which they have a seat; or had one, of a room that the store has let go of.
    pub rooms: Vec<String>,
    joined: u64,
    created: u64,
    operations: u64,
    played_ms: u64,
    first_joined_ms: u64,
    last_joined_ms: u64,
}

/// How somebody came by a seat.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Entry {
    Created,
    Joined,
}

/// The key of a player.
pub fn key(user: &str) -> Key {
    Key::new("player", user)
}

// === impl Player ===

impl Player {
    /// Whether another seat is one too many.
    pub fn is_full(&self) -> bool {
        self.rooms.len() >= SEATS_MAX
    }

    pub fn enter(&mut self, room: &str, entry: Entry, now_ms: u64) -> Result<()> {
        if self.is_full() {
            return Err(refused::too_many_rooms_of_yours());
        }
        self.rooms.push(room.to_owned());
        self.joined += 1;
        self.created += u64::from(entry == Entry::Created);
        self.last_joined_ms = now_ms;
        if self.first_joined_ms == 0 {
            self.first_joined_ms = now_ms;
        }
        Ok(())
    }

    pub fn leave(&mut self, room: &str, seat: &Seat, now_ms: u64) {
        self.rooms.retain(|known| known != room);
        self.add(seat, now_ms);
    }

    /// Counts what was done in a seat.
    pub fn add(&mut self, seat: &Seat, now_ms: u64) {
        self.operations += seat.operations;
        self.played_ms += now_ms.saturating_sub(seat.joined_ms);
    }

    /// Without the rooms they sit in.
    pub fn shown(&self, user: &str) -> GetStatisticsResponse {
        GetStatisticsResponse {
            player_id: user.to_owned(),
            rooms_joined: self.joined,
            rooms_created: self.created,
            operations: self.operations,
            played_ms: self.played_ms,
            first_joined_ms: room::shown_ms(self.first_joined_ms),
            last_joined_ms: room::shown_ms(self.last_joined_ms),
            rooms: Vec::new(),
        }
    }
}
