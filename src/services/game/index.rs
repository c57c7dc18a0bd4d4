//! Which rooms there are: ids in [`SHARDS`] documents, `roomindex:<shard>`, because a store has no way to look for keys.
//!
//! Promises: a room is in the index from the write that makes it on, and in no other part of it than it says; the index never holds more
//! than [`SHARDS`] times [`SHARD_ROOMS_MAX`] rooms. One that is gone may stay in it for a while: the sweep cleans it.

use crate::random;
use crate::services::documents::{self, Outcome, TRIES, outrun, written};
use crate::services::game::refused;
use crate::services::refusal::{Refusal, Result};
use crate::store::{Batch, Durability, Expect, Key, Store};

/// Rooms that are made at the same moment seldom meet in one of so many.
const SHARDS: u32 = 16;

/// A document of so many ids has 15 KiB.
const SHARD_ROOMS_MAX: usize = 512;

/// Where rooms are found. Clones are the same index.
#[derive(Clone)]
pub struct Index {
    store: Store,
}

/// A room in the index.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Place {
    pub shard: u32,
    pub id: String,
}

/// How far somebody has read.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Cursor {
    shard: u32,
    /// The last id that was read of it.
    after: String,
}

fn key(shard: u32) -> Key {
    Key::new("roomindex", shard)
}

// === impl Index ===

impl Index {
    pub fn new(store: Store) -> Index {
        Index { store }
    }

    /// Adds a room to a batch, and says which shard it is in.
    pub async fn add(&self, id: &str, batch: Batch) -> Result<(Batch, u32)> {
        let [first] = random::bytes::<1>();
        for step in 0..SHARDS {
            let shard = (u32::from(first) + step) % SHARDS;
            let read = documents::read::<Vec<String>>(&self.store, &key(shard)).await?;
            let expect = read.as_ref().map_or(Expect::Absent, documents::Read::unchanged);
            let mut ids = read.map(|read| read.value).unwrap_or_default();
            if ids.len() < SHARD_ROOMS_MAX {
                let at = ids.partition_point(|known| known.as_str() < id);
                ids.insert(at, id.to_owned());
                return Ok((batch.put(key(shard), written(&ids), expect, None), shard));
            }
        }
        Err(refused::too_many_rooms())
    }

    /// Takes rooms out of a shard.
    pub async fn remove(&self, shard: u32, gone: &[String]) -> Result<()> {
        for _ in 0..TRIES {
            let Some(mut read) = documents::read::<Vec<String>>(&self.store, &key(shard)).await? else { return Ok(()) };
            let before = read.value.len();
            read.value.retain(|id| !gone.contains(id));
            if read.value.len() == before {
                return Ok(());
            }
            let batch = Batch::new(Durability::Flushed).put(key(shard), written(&read.value), read.unchanged(), None);
            if let Outcome::Done = documents::outcome(self.store.write(batch).await)? {
                return Ok(());
            }
        }
        Err(outrun().into())
    }

    /// The next rooms, at most `limit` of them, and from where to go on if there may be more.
    pub async fn page(&self, from: &Cursor, limit: usize) -> Result<(Vec<Place>, Option<Cursor>)> {
        let mut places = Vec::new();
        let mut after = from.after.clone();
        for shard in from.shard..SHARDS {
            let ids = documents::read::<Vec<String>>(&self.store, &key(shard)).await?.map(|read| read.value).unwrap_or_default();
            let next = ids.into_iter().filter(|id| *id > after).take(limit - places.len());
            places.extend(next.map(|id| Place { shard, id }));
            if places.len() == limit {
                let cursor = places.last().map(|Place { shard, id }| Cursor { shard: *shard, after: id.clone() });
                return Ok((places, cursor));
            }
            after.clear();
        }
        Ok((places, None))
    }
}

// === impl Cursor ===

impl Cursor {
    /// What a client was given, or nothing.
    pub fn parse(token: &str) -> Result<Cursor> {
        if token.is_empty() {
            return Ok(Cursor::default());
        }
        let read = token.split_once('.').and_then(|(shard, after)| Some((shard.parse().ok()?, after)));
        match read {
            Some((shard, after)) => Ok(Cursor { shard, after: after.to_owned() }),
            None => Err(Refusal::invalid("page_token", "INVALID_PAGE_TOKEN", "this is no token of a page; begin with an empty one")),
        }
    }

    /// For a client to give back.
    pub fn token(&self) -> String {
        format!("{}.{}", self.shard, self.after)
    }
}
