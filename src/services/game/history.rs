//! What happened in a room: the log `roomlog:<id>` in the store, bounded by count and by age.
//!
//! An entry says its own version, because offsets begin anew in a log that was forgotten for its age. Promise: between two entries that are
//! kept no version is missing.

use std::time::Duration;

use prost::Message as _;

use super::room::Room;
use super::v1::{GameEvent, GetHistoryResponse};
use crate::services::documents::Unread;
use crate::services::refusal::Result;
use crate::store::{Batch, Bounds, Key, Store};

/// With the largest operations that is a MiB a room.
const BOUNDS: Bounds = Bounds { count: 256, bytes: None, age: Duration::from_secs(3600) };

pub const PAGE_MAX: usize = 100;

/// What a page may have before it ends early; one event more fits into what the route lets through.
const PAGE_BYTES_MAX: usize = 192 << 10;

fn key(id: &str) -> Key {
    Key::new("roomlog", id)
}

/// Adds events to a batch.
pub fn append(id: &str, events: &[GameEvent], batch: Batch) -> Batch {
    events.iter().fold(batch, |batch, event| batch.append(key(id), event.encode_to_vec(), BOUNDS))
}

/// At most `size` events of a room after a version.
pub async fn read(store: &Store, room: &Room, after: u64, size: usize) -> Result<GetHistoryResponse> {
    let log = key(&room.id);
    let after = after.min(room.version);
    let oldest = store.read(&log, 0, 1).await?.entries.into_iter().next();
    let Some((offset, oldest)) = oldest else {
        return Ok(GetHistoryResponse { events: Vec::new(), version: room.version, beginning_is_gone: after < room.version });
    };
    let oldest = decode(&room.id, &oldest)?.version;
    let offset = offset + (after + 1).saturating_sub(oldest) - 1;
    let mut events = Vec::new();
    let mut bytes = 0;
    for (_, entry) in store.read(&log, offset, size).await?.entries {
        bytes += entry.len();
        if bytes > PAGE_BYTES_MAX && !events.is_empty() {
            break;
        }
        events.push(decode(&room.id, &entry)?);
    }
    // Others may have come since the room was read.
    let version = events.last().map_or(0, |event| event.version).max(room.version);
    let first = events.first().map_or(version + 1, |event| event.version);
    Ok(GetHistoryResponse { beginning_is_gone: after + 1 < first, events, version })
}

fn decode(id: &str, entry: &[u8]) -> Result<GameEvent> {
    Ok(GameEvent::decode(entry).map_err(|_| Unread::Broken(key(id).as_str().to_owned()))?)
}
