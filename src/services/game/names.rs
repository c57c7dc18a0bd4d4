//! What may be said of a room, of what is done in it and of which page of a list.
//!
//! Promise: nothing is kept that has no bound, and no id reaches a key of the store that could not be one.

use std::collections::{BTreeMap, HashMap};

use super::v1::{Action, CreateRoomRequest};
use crate::services::refusal::{Refusal, Result};

/// Everybody in a room is told everything, and asked after by the sweep.
pub const CAPACITY_MAX: u32 = 64;

pub const ACTION_BYTES_MAX: usize = 4 << 10;
pub const STATE_BYTES_MAX: usize = 64 << 10;

const NAME_CHARACTERS_MAX: usize = 64;
const PASSWORD_BYTES_MAX: usize = 128;
const KIND_BYTES_MAX: usize = 64;
const METADATA_ENTRIES_MAX: usize = 16;
const METADATA_KEY_BYTES_MAX: usize = 64;
const METADATA_VALUE_BYTES_MAX: usize = 256;

/// As long as `random::id` makes them.
const ROOM_ID_BYTES: usize = 26;

/// What gateways call users is short; whoever asks after one may write anything.
const PLAYER_ID_BYTES_MAX: usize = 256;

/// A room as somebody wants it. Not to be printed: it holds a password.
pub struct Wish {
    pub name: String,
    pub capacity: u32,
    pub password: Option<String>,
    pub metadata: BTreeMap<String, String>,
}

// === impl Wish ===

impl Wish {
    pub fn parse(request: CreateRoomRequest) -> Result<Wish> {
        let CreateRoomRequest { name, capacity, password, metadata, user_id: _ } = request;
        let name = name.trim();
        if name.is_empty() || name.chars().count() > NAME_CHARACTERS_MAX || name.chars().any(char::is_control) {
            return Err(Refusal::invalid("name", "INVALID_NAME", "a room's name has 1 to 64 characters and no control characters"));
        }
        if !(1..=CAPACITY_MAX).contains(&capacity) {
            return Err(Refusal::invalid("capacity", "INVALID_CAPACITY", "a room has 1 to 64 seats"));
        }
        if password.len() > PASSWORD_BYTES_MAX {
            return Err(Refusal::invalid("password", "INVALID_PASSWORD", "a room's password has at most 128 bytes"));
        }
        let password = Some(password).filter(|password| !password.is_empty());
        Ok(Wish { name: name.to_owned(), capacity, password, metadata: parse_metadata(metadata)? })
    }
}

fn parse_metadata(metadata: HashMap<String, String>) -> Result<BTreeMap<String, String>> {
    let fits =
        |(key, value): (&String, &String)| (1..=METADATA_KEY_BYTES_MAX).contains(&key.len()) && value.len() <= METADATA_VALUE_BYTES_MAX;
    if metadata.len() > METADATA_ENTRIES_MAX || !metadata.iter().all(fits) {
        let message = "a room's metadata has at most 16 entries, each with a key of 1 to 64 bytes and a value of at most 256";
        return Err(Refusal::invalid("metadata", "INVALID_METADATA", message));
    }
    Ok(metadata.into_iter().collect())
}

/// Whether a room may have this id.
pub fn is_room_id(id: &str) -> bool {
    id.len() == ROOM_ID_BYTES && id.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
}

/// Whether a room may have this password.
pub fn is_password(password: &str) -> bool {
    (1..=PASSWORD_BYTES_MAX).contains(&password.len())
}

pub fn check_action(action: &Action) -> Result<()> {
    if action.kind.len() > KIND_BYTES_MAX {
        return Err(Refusal::invalid("action.kind", "INVALID_OPERATION", "the kind of an operation has at most 64 bytes"));
    }
    if action.payload.len() > ACTION_BYTES_MAX {
        return Err(Refusal::invalid("action.payload", "INVALID_OPERATION", "an operation has at most 4096 bytes"));
    }
    Ok(())
}

pub fn check_state(state: &[u8]) -> Result<()> {
    if state.len() > STATE_BYTES_MAX {
        return Err(Refusal::invalid("state", "STATE_TOO_LARGE", "the state of a room has at most 65536 bytes"));
    }
    Ok(())
}

pub fn check_player(id: &str) -> Result<()> {
    if id.len() > PLAYER_ID_BYTES_MAX {
        return Err(Refusal::invalid("player_id", "INVALID_PLAYER", "a player's id has at most 256 bytes"));
    }
    Ok(())
}
