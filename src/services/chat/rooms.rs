//! Rooms in the store: `chatroom:<id>` is what changes with every message, `chatmembers:<id>` what changes when somebody comes or goes, and
//! `chatrooms:<user>` says where a user is a member.
//!
//! Promises: the three agree, for they change in one batch; a member is one, connected or not, until they leave; nobody but members and the
//! invited learns that a private room exists, neither from an answer nor from how many questions to the store it took.

use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::refusals;
use super::transcript::Transcript;
use super::{names, v1};
use crate::services::documents::{self, Read};
use crate::services::refusal::Result;
use crate::store::{Document, Expect, Key, Store};

pub const MEMBERS_MAX: usize = 1000;

/// Rooms that one user may be in.
pub const ROOMS_PER_USER_MAX: usize = 100;

/// How long a public room that has ended says so.
pub const ENDED_TTL: Duration = Duration::from_secs(3600);

/// A room, without those who are in it.
#[derive(Serialize, Deserialize)]
pub struct Room {
    pub name: String,
    pub private: bool,
    pub owner: String,
    pub created_ms: u64,
    pub members: usize,
    pub transcript: Transcript,
    /// Its last member has left. Only a public room says so, and not for long.
    #[serde(default)]
    pub ended: bool,
}

/// Who is in a room, and who may be.
#[derive(Default, Serialize, Deserialize)]
pub struct Members {
    /// The longest first.
    pub members: Vec<String>,
    /// Of a private room: who may join it, whether or not they are in it. The first is who made it.
    pub invited: Vec<String>,
}

/// What a member finds.
pub struct Seat {
    pub room: Read<Room>,
    /// Where the member is one.
    pub mine: Read<Vec<String>>,
}

pub fn room_key(room: &str) -> Key {
    Key::new("chatroom", room)
}

pub fn members_key(room: &str) -> Key {
    Key::new("chatmembers", room)
}

/// The key of the rooms of a user.
pub fn mine_key(user: &str) -> Key {
    Key::new("chatrooms", user)
}

/// What a member of a room finds there; the refusal is right for everybody else.
pub async fn seat(store: &Store, user: &str, id: &str) -> Result<Seat> {
    if !names::is_room(id) {
        return Err(refusals::room_not_found());
    }
    let keys = [room_key(id), mine_key(user)];
    let found = store.get_all(&keys).await?;
    let room: Option<Read<Room>> = one(&keys, &found, 0)?;
    let mine: Option<Read<Vec<String>>> = one(&keys, &found, 1)?;
    match (room, mine) {
        (Some(room), Some(mine)) if mine.value.iter().any(|mine| mine == id) => Ok(Seat { room, mine }),
        (room, _) => {
            // Asked also where there is no such room, so that one question more does not tell.
            let members: Option<Read<Members>> = documents::read(store, &members_key(id)).await?;
            found_by(user, room, members)?;
            Err(refusals::not_a_member())
        }
    }
}

/// A room as somebody may know of it who is no member.
pub fn found_by(user: &str, room: Option<Read<Room>>, members: Option<Read<Members>>) -> Result<(Read<Room>, Read<Members>)> {
    match (room, members) {
        (Some(room), _) if room.value.ended => Err(refusals::room_closed()),
        (Some(room), Some(members)) if !room.value.private || members.value.may_join(user) => Ok((room, members)),
        _ => Err(refusals::room_not_found()),
    }
}

/// One of several documents that were asked for together.
pub fn one<T: DeserializeOwned>(keys: &[Key], found: &[Option<Document>], which: usize) -> Result<Option<Read<T>>> {
    Ok(documents::parsed(&keys[which], found[which].as_ref())?)
}

/// What a document says, or nothing yet; and that nobody writes it meanwhile.
pub fn or_new<T: Default>(read: Option<Read<T>>) -> (T, Expect) {
    match read {
        None => (T::default(), Expect::Absent),
        Some(read) => {
            let unchanged = read.unchanged();
            (read.value, unchanged)
        }
    }
}

// === impl Room ===

impl Room {
    /// As clients see it.
    pub fn shown(&self, id: &str) -> v1::Room {
        v1::Room {
            id: id.to_owned(),
            name: self.name.clone(),
            private: self.private,
            owner: self.owner.clone(),
            members: u32::try_from(self.members).unwrap_or(u32::MAX),
            created_ms: super::shown_ms(self.created_ms),
            last: self.transcript.last,
            last_ms: super::shown_ms(self.transcript.last_ms),
        }
    }
}

// === impl Members ===

impl Members {
    fn may_join(&self, user: &str) -> bool {
        self.invited.iter().chain(&self.members).any(|known| known == user)
    }
}
