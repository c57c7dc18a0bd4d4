//! Which public rooms there are: `chatlist:<letter>` in the store, one shelf for each letter that an id may begin with.
//!
//! Promises: no listing reads more than it shows and the shelves that stand between; a room is listed as long as it lives, for a shelf
//! changes in one batch with its room; a page begins after the id with which the last one ended, so that what comes and goes meanwhile
//! neither repeats nor hides others.

use std::collections::BTreeSet;
use std::ops::Bound;

use super::rooms::{Room, mine_key, one, or_new, room_key};
use super::transcript::limit;
use super::{names, refusals, v1};
use crate::services::documents::{self, written};
use crate::services::refusal::Result;
use crate::store::{Batch, Expect, Key, Store};

/// The letters that ids begin with, in their order; so the order of shelves is that of ids.
const LETTERS: &str = "234567abcdefghijklmnopqrstuvwxyz";

/// Rooms of one shelf: 16,384 public rooms in all.
pub const SHELF_MAX: usize = 512;

/// Shelves that are read at once.
const SHELVES: usize = 8;

/// The public rooms whose ids begin with one letter.
pub struct Shelf {
    key: Key,
    ids: BTreeSet<String>,
    unchanged: Expect,
}

/// Some rooms, and where to go on.
pub struct Listing {
    pub rooms: Vec<v1::Room>,
    pub next_page: String,
}

pub fn shelf_key(letter: &str) -> Key {
    Key::new("chatlist", letter)
}

/// The rooms of a user, in the order of joining.
pub async fn mine(store: &Store, user: &str) -> Result<Listing> {
    let (ids, _) = or_new::<Vec<String>>(documents::read(store, &mine_key(user)).await?);
    Ok(Listing { rooms: shown(store, &ids).await?, next_page: String::new() })
}

/// Public rooms after the end of another page.
pub async fn public(store: &Store, page: &str, asked: u32) -> Result<Listing> {
    if !page.is_empty() && !names::is_room(page) {
        return Err(refusals::invalid_page("page", "this is no page; take `next_page` of the last answer, or nothing"));
    }
    let limit = limit(asked);
    // One more than is shown says whether there are more.
    let mut ids: Vec<String> = Vec::with_capacity(limit + 1);
    let from = page.chars().next().unwrap_or('0');
    let keys: Vec<Key> =
        LETTERS.chars().filter(|letter| *letter >= from).map(|letter| shelf_key(letter.encode_utf8(&mut [0; 4]))).collect();
    for keys in keys.chunks(SHELVES) {
        let found = store.get_all(keys).await?;
        for which in 0..keys.len() {
            let (shelf, _) = or_new::<BTreeSet<String>>(one(keys, &found, which)?);
            let after = (Bound::Excluded(page), Bound::Unbounded);
            ids.extend(shelf.range::<str, _>(after).take(limit + 1 - ids.len()).cloned());
        }
        if ids.len() > limit {
            break;
        }
    }
    let more = ids.len() > limit;
    ids.truncate(limit);
    let next_page = ids.last().filter(|_| more).cloned().unwrap_or_default();
    Ok(Listing { rooms: shown(store, &ids).await?, next_page })
}

/// Those of these rooms that are there still.
async fn shown(store: &Store, ids: &[String]) -> Result<Vec<v1::Room>> {
    let keys: Vec<Key> = ids.iter().map(|id| room_key(id)).collect();
    let found = store.get_all(&keys).await?;
    let mut rooms = Vec::with_capacity(ids.len());
    for (which, id) in ids.iter().enumerate() {
        if let Some(room) = one::<Room>(&keys, &found, which)?.filter(|room| !room.value.ended) {
            rooms.push(room.value.shown(id));
        }
    }
    Ok(rooms)
}

// === impl Shelf ===

impl Shelf {
    /// The shelf on which a room stands, or would.
    pub async fn read(store: &Store, room: &str) -> Result<Shelf> {
        let key = shelf_key(&room[..1]);
        let (ids, unchanged) = or_new(documents::read(store, &key).await?);
        Ok(Shelf { key, ids, unchanged })
    }

    /// Whether there was space for it.
    pub fn add(&mut self, room: &str) -> bool {
        self.ids.len() < SHELF_MAX && self.ids.insert(room.to_owned())
    }

    pub fn remove(&mut self, room: &str) {
        self.ids.remove(room);
    }

    pub fn write(&self, batch: Batch) -> Batch {
        batch.put(self.key.clone(), written(&self.ids), self.unchanged, None)
    }
}
