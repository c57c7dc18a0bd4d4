//! All rooms: how they are found, made and changed.
//!
//! Promises: a change is in the store, whole, before anybody is told of it; whoever changes a room at the same moment, in whatever
//! process, does so before it or after it; a player has at most [`SEATS_MAX`](super::player::SEATS_MAX) seats.

use bytes::Bytes;
use tracing::warn;

use super::draft::Draft;
use super::herald::Herald;
use super::index::{Cursor, Index, Place};
use super::names::{Wish, is_room_id};
use super::player::{Entry, Player};
use super::room::{self, Room};
use super::turns::Turns;
use super::v1::{LeaveReason, ListRoomsResponse};
use super::{history, player, refused};
use crate::clock::Clock;
use crate::random;
use crate::services::documents::{self, Outcome, Read, Unread, outrun, written};
use crate::services::refusal::Result;
use crate::store::{Batch, Durability, Expect, Key, Store};

/// With as much metadata as they may have these are 220 KiB.
pub const PAGE_MAX: usize = 40;

/// How often a page of rooms with a free seat is looked for among those that have none.
const PAGE_TRIES: usize = 8;

/// How often a change is tried that one of another process came before.
const TRIES: usize = 32;

/// Clones are the same rooms.
#[derive(Clone)]
pub struct Rooms {
    pub store: Store,
    pub clock: Clock,
    pub index: Index,
    pub herald: Herald,
    turns: Turns,
}

// === impl Rooms ===

impl Rooms {
    pub fn new(store: Store, clock: Clock, herald: Herald, turns: Turns) -> Rooms {
        Rooms { index: Index::new(store.clone()), store, clock, herald, turns }
    }

    /// A room that is open.
    pub async fn open(&self, id: &str) -> Result<Room> {
        Ok(self.read(id).await?.value)
    }

    /// A room that is open, for a member; and its state, both as they were at one moment.
    pub async fn open_with_state(&self, id: &str, user: &str) -> Result<(Room, Bytes)> {
        if !is_room_id(id) {
            return Err(refused::room_not_found());
        }
        let documents = self.store.get_all(&[room::key(id), room::state_key(id)]).await?;
        let [Some(room), state] = documents.as_slice() else { return Err(refused::room_not_found()) };
        let broken = |_| Unread::Broken(room::key(id).as_str().to_owned());
        let room: Room = serde_json::from_slice(&room.value).map_err(broken)?;
        if room.closed {
            return Err(refused::room_closed());
        }
        room.seat(user).ok_or_else(refused::not_a_member)?;
        Ok((room, state.as_ref().map(|state| state.value.clone()).unwrap_or_default()))
    }

    /// Those of some rooms that are there, in their order.
    pub async fn known(&self, ids: &[&str]) -> Result<Vec<Option<Room>>> {
        let keys: Vec<Key> = ids.iter().map(|id| room::key(id)).collect();
        let documents = self.store.get_all(&keys).await?;
        Ok(documents.into_iter().map(|document| serde_json::from_slice(&document?.value).ok()).collect())
    }

    /// Rooms with a free seat.
    pub async fn page(&self, token: &str, size: usize) -> Result<ListRoomsResponse> {
        let mut cursor = Some(Cursor::parse(token)?);
        let mut rooms = Vec::new();
        for _ in 0..PAGE_TRIES {
            let Some(from) = cursor.take_if(|_| rooms.len() < size) else { break };
            let (places, next) = self.index.page(&from, size - rooms.len()).await?;
            let ids: Vec<&str> = places.iter().map(|place| place.id.as_str()).collect();
            let known = self.known(&ids).await?.into_iter().flatten();
            rooms.extend(known.filter(|room| !room.closed && !room.is_full()).map(|room| room.summary()));
            cursor = next;
        }
        Ok(ListRoomsResponse { rooms, next_page_token: cursor.map(|cursor| cursor.token()).unwrap_or_default() })
    }

    /// Makes a room, with its first member. `password` is a hash.
    pub async fn create(&self, user: &str, wish: &Wish, password: Option<String>) -> Result<Room> {
        let id = random::id();
        let turn = self.turns.take(&id).await?;
        for _ in 0..TRIES {
            turn.ready().await;
            let now_ms = self.clock.now_ms();
            let (batch, shard) = self.index.add(&id, Batch::new(Durability::Durable)).await?;
            let room = Room {
                id: id.clone(),
                name: wish.name.clone(),
                capacity: wish.capacity,
                password: password.clone(),
                metadata: wish.metadata.clone(),
                host: user.to_owned(),
                seats: Vec::new(),
                version: 0,
                state_version: 0,
                created_ms: now_ms,
                touched_ms: now_ms,
                shard,
                closed: false,
            };
            let mut draft = Draft::new(room, now_ms);
            draft.join(user)?;
            if let Outcome::Done = self.write(&draft, Expect::Absent, Entry::Created, now_ms, batch).await? {
                return Ok(self.tell(draft).await);
            }
            turn.outrun();
        }
        Err(outrun().into())
    }

    /// Does to a room what `decide` decides, which may be asked again about a newer one. What it said, and the room as it is then.
    pub async fn change<T>(&self, id: &str, decide: impl Fn(&mut Draft) -> Result<T>) -> Result<(T, Room)> {
        let turn = self.turns.take(id).await?;
        for _ in 0..TRIES {
            turn.ready().await;
            let read = self.read(id).await?;
            let unchanged = read.unchanged();
            let now_ms = self.clock.now_ms();
            let mut draft = Draft::of(read.value, now_ms);
            let said = decide(&mut draft)?;
            if draft.is_unchanged() {
                return Ok((said, draft.room));
            }
            // What players have done is for good; of the rest the last second may be lost with the machine.
            let durability = if draft.joined.is_some() || !draft.left.is_empty() { Durability::Durable } else { Durability::Flushed };
            if let Outcome::Done = self.write(&draft, unchanged, Entry::Joined, now_ms, Batch::new(durability)).await? {
                return Ok((said, self.tell(draft).await));
            }
            turn.outrun();
        }
        Err(outrun().into())
    }

    async fn read(&self, id: &str) -> Result<Read<Room>> {
        if !is_room_id(id) {
            return Err(refused::room_not_found());
        }
        let read: Read<Room> = documents::read(&self.store, &room::key(id)).await?.ok_or_else(refused::room_not_found)?;
        if read.value.closed { Err(refused::room_closed()) } else { Ok(read) }
    }

    /// Writes what a draft says, of the room and of its players, together with what `batch` holds.
    async fn write(&self, draft: &Draft, expect: Expect, entry: Entry, now_ms: u64, batch: Batch) -> Result<Outcome> {
        let Draft { room, events, state, .. } = draft;
        let mut batch = batch.put(room::key(&room.id), written(room), expect, Some(room.ttl(now_ms)));
        batch = history::append(&room.id, events, batch);
        match state {
            // It lives as long as its room, which the sweep sees to.
            _ if room.closed => batch = batch.delete(room::state_key(&room.id), Expect::Anything),
            Some(state) => batch = batch.put(room::state_key(&room.id), state.clone(), Expect::Anything, None),
            None => {}
        }
        if let Some(user) = &draft.joined {
            let (mut player, expect) = self.player(user).await?;
            if player.is_full() {
                self.forget_lost_rooms(user, &mut player).await?;
            }
            player.enter(&room.id, entry, now_ms)?;
            batch = batch.put(player::key(user), written(&player), expect, None);
        }
        for (seat, _) in &draft.left {
            let (mut player, expect) = self.player(&seat.user).await?;
            player.leave(&room.id, seat, now_ms);
            batch = batch.put(player::key(&seat.user), written(&player), expect, None);
        }
        Ok(documents::outcome(self.store.write(batch).await)?)
    }

    /// Tells what happened. The room as it is now.
    async fn tell(&self, draft: Draft) -> Room {
        let Draft { room, events, left, .. } = draft;
        self.herald.tell(&room.id, &events).await;
        if room.closed {
            self.herald.disband(&room.id).await;
            if self.index.remove(room.shard, std::slice::from_ref(&room.id)).await.is_err() {
                warn!(room = room.id, "a closed room stays in the index until the sweep comes by");
            }
        } else {
            for (wanted, token) in [(LeaveReason::Left, "ROOM_LEFT"), (LeaveReason::Gone, "SEAT_LOST")] {
                let users: Vec<String> = left.iter().filter(|(_, reason)| *reason == wanted).map(|(seat, _)| seat.user.clone()).collect();
                self.herald.silence(&room.id, &users, token).await;
            }
        }
        room
    }

    /// What is known of a player, and that it is still so when something is written.
    pub async fn player(&self, user: &str) -> Result<(Player, Expect)> {
        let read = documents::read::<Player>(&self.store, &player::key(user)).await?;
        let expect = read.as_ref().map_or(Expect::Absent, Read::unchanged);
        Ok((read.map(|read| read.value).unwrap_or_default(), expect))
    }

    /// The rooms in which a player has a seat.
    pub async fn seated(&self, user: &str, player: &Player) -> Result<Vec<Room>> {
        let ids: Vec<&str> = player.rooms.iter().map(String::as_str).collect();
        let known = self.known(&ids).await?.into_iter().flatten();
        Ok(known.filter(|room| room.seat(user).is_some()).collect())
    }

    /// Rooms that the store let go of are nobody's seat.
    async fn forget_lost_rooms(&self, user: &str, player: &mut Player) -> Result<()> {
        player.rooms = self.seated(user, player).await?.into_iter().map(|room| room.id).collect();
        Ok(())
    }

    /// Forgets a room of the index that the store let go of.
    pub async fn forget(&self, Place { shard, id }: &Place) -> Result<()> {
        let batch = Batch::new(Durability::Flushed)
            .delete(room::state_key(id), Expect::Anything)
            // One that cannot be read is there nevertheless, perhaps for a newer program.
            .check(room::key(id), Expect::Absent);
        if let Outcome::Done = documents::outcome(self.store.write(batch).await)? {
            self.index.remove(*shard, std::slice::from_ref(id)).await?;
            self.herald.disband(id).await;
        }
        Ok(())
    }
}
