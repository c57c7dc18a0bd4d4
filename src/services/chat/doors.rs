//! Making rooms, coming and going.
//!
//! Promises: a room never has more members than [`MEMBERS_MAX`], nor a user more rooms than [`ROOMS_PER_USER_MAX`]; joining twice is
//! joining once; a room has an owner who is in it, until it ends with its last member. What was said in a room that has ended cannot be
//! reached any more, and goes when it is old enough.

use std::sync::Arc;

use tracing::debug;

use super::lanes::{Lanes, Letter, TRIES, topic};
use super::listing::Shelf;
use super::names::RoomName;
use super::rooms::{
    ENDED_TTL, MEMBERS_MAX, Members, ROOMS_PER_USER_MAX, Room, found_by, members_key, mine_key, one, or_new, room_key, seat,
};
use super::transcript::Transcript;
use super::v1::MemberChange;
use super::v1::member_change::Kind;
use super::{names, refusals, v1};
use crate::clock::Clock;
use crate::random;
use crate::services::documents::{self, Outcome, outrun, written};
use crate::services::pusher::Pusher;
use crate::services::refusal::Result;
use crate::store::{Batch, Durability, Expect, Store};

/// Users that a room may be made for.
const INVITED_MAX: usize = 100;

/// Members that are named to who joins: so many fit a reply, however long their ids are.
const SHOWN_MAX: usize = 500;

/// Where rooms begin and end.
pub struct Doors {
    pub store: Store,
    pub clock: Clock,
    pub lanes: Arc<Lanes>,
    pub pusher: Pusher,
}

/// What somebody wants to make.
pub struct Wish {
    pub name: RoomName,
    pub private: bool,
    /// Nobody twice, and not who makes it.
    invited: Vec<String>,
}

// === impl Wish ===

impl Wish {
    pub fn parse(owner: &str, name: &str, private: bool, invited: Vec<String>) -> Result<Wish> {
        if invited.len() > INVITED_MAX {
            return Err(refusals::too_many_invited());
        }
        let mut others: Vec<String> = Vec::with_capacity(invited.len());
        for user in invited {
            if !names::is_user(&user) {
                return Err(refusals::invalid_user("invited"));
            }
            if user != owner && !others.contains(&user) {
                others.push(user);
            }
        }
        Ok(Wish { name: RoomName::parse(name)?, private, invited: others })
    }
}

// === impl Doors ===

impl Doors {
    pub async fn create(&self, owner: &str, wish: Wish) -> Result<v1::Room> {
        // Nobody else knows the room yet: the turn is the owner's.
        let turn = self.lanes.enter(owner).await?;
        let Wish { name, private, invited } = wish;
        let room = Room {
            name: name.into_string(),
            private,
            owner: owner.to_owned(),
            created_ms: self.clock.now_ms(),
            members: 1,
            transcript: Transcript::default(),
            ended: false,
        };
        let mut allowed = vec![owner.to_owned()];
        allowed.extend(invited.iter().cloned());
        let members = Members { members: vec![owner.to_owned()], invited: if private { allowed } else { Vec::new() } };
        let mut crowded = false;
        for _ in 0..TRIES {
            let id = random::id();
            let (mut mine, unchanged) = or_new::<Vec<String>>(documents::read(&self.store, &mine_key(owner)).await?);
            if mine.len() >= ROOMS_PER_USER_MAX {
                return Err(refusals::too_many_rooms());
            }
            mine.push(id.clone());
            let batch = Batch::new(Durability::Durable)
                .put(room_key(&id), written(&room), Expect::Absent, None)
                .put(members_key(&id), written(&members), Expect::Absent, None)
                .put(mine_key(owner), written(&mine), unchanged, None);
            let batch = if private {
                batch
            } else {
                let mut shelf = Shelf::read(&self.store, &id).await?;
                crowded = !shelf.add(&id);
                if crowded {
                    // Another id, another shelf.
                    continue;
                }
                shelf.write(batch)
            };
            if let Outcome::Done = documents::outcome(self.store.write(batch).await)? {
                let shown = room.shown(&id);
                if !invited.is_empty() {
                    turn.tell(Letter::Invited(change(Kind::Invited, owner, shown.clone()), invited));
                }
                return Ok(shown);
            }
        }
        Err(if crowded { refusals::too_many_public_rooms() } else { outrun().into() })
    }

    /// The room, and who is in it.
    pub async fn join(&self, user: &str, id: &str) -> Result<(v1::Room, Vec<String>)> {
        if !names::is_room(id) {
            return Err(refusals::room_not_found());
        }
        let turn = self.lanes.enter(id).await?;
        for _ in 0..TRIES {
            let keys = [room_key(id), members_key(id), mine_key(user)];
            let found = self.store.get_all(&keys).await?;
            let (mut room, mut members) = found_by(user, one(&keys, &found, 0)?, one::<Members>(&keys, &found, 1)?)?;
            let (mut mine, mine_unchanged) = or_new::<Vec<String>>(one(&keys, &found, 2)?);
            let is_member = mine.iter().any(|mine| mine == id);
            if !is_member {
                if members.value.members.len() >= MEMBERS_MAX {
                    return Err(refusals::room_full());
                }
                if mine.len() >= ROOMS_PER_USER_MAX {
                    return Err(refusals::too_many_rooms());
                }
                mine.push(id.to_owned());
                members.value.members.push(user.to_owned());
                room.value.members = members.value.members.len();
                let batch = Batch::new(Durability::Durable)
                    .put(room_key(id), written(&room.value), room.unchanged(), None)
                    .put(members_key(id), written(&members.value), members.unchanged(), None)
                    .put(mine_key(user), written(&mine), mine_unchanged, None);
                if let Outcome::Outrun(_) = documents::outcome(self.store.write(batch).await)? {
                    continue;
                }
                turn.tell(Letter::Member(change(Kind::Joined, user, room.value.shown(id))));
            }
            members.value.members.truncate(SHOWN_MAX);
            return Ok((room.value.shown(id), members.value.members));
        }
        Err(outrun().into())
    }

    pub async fn leave(&self, user: &str, id: &str) -> Result<()> {
        let turn = self.lanes.enter(id).await?;
        for _ in 0..TRIES {
            let mut seat = seat(&self.store, user, id).await?;
            let (mut members, members_unchanged) = or_new::<Members>(documents::read(&self.store, &members_key(id)).await?);
            members.members.retain(|member| member != user);
            seat.mine.value.retain(|mine| mine != id);
            let room = &mut seat.room.value;
            room.members = members.members.len();
            room.ended = members.members.is_empty();
            if let Some(longest) = members.members.first().filter(|_| room.owner == user) {
                room.owner.clone_from(longest);
            }
            let unchanged = seat.room.unchanged();
            let room = &seat.room.value;
            let mine = written(&seat.mine.value);
            let batch = Batch::new(Durability::Durable).put(mine_key(user), mine, seat.mine.unchanged(), None);
            let batch = match (room.ended, room.private) {
                (false, _) => {
                    let batch = batch.put(room_key(id), written(room), unchanged, None);
                    batch.put(members_key(id), written(&members), members_unchanged, None)
                }
                (true, true) => batch.delete(room_key(id), unchanged).delete(members_key(id), members_unchanged),
                (true, false) => {
                    let mut shelf = Shelf::read(&self.store, id).await?;
                    shelf.remove(id);
                    let batch = batch.put(room_key(id), written(room), unchanged, Some(ENDED_TTL));
                    shelf.write(batch.delete(members_key(id), members_unchanged))
                }
            };
            if let Outcome::Outrun(_) = documents::outcome(self.store.write(batch).await)? {
                continue;
            }
            if !room.ended {
                turn.tell(Letter::Member(change(Kind::Left, user, room.shown(id))));
            }
            // A gateway that is slow to answer holds up nobody else.
            drop(turn);
            self.silence(id, if room.ended { None } else { Some(user) }).await;
            return Ok(());
        }
        Err(outrun().into())
    }

    /// Takes all sessions of a user out of the topic of a room; everybody, if the room has ended. If that fails they hear it until they
    /// connect again, which is no reason to refuse a leave that has happened.
    async fn silence(&self, room: &str, user: Option<&str>) {
        let (users, reason) = match user {
            Some(user) => (vec![user.to_owned()], "LEFT"),
            None => (Vec::new(), "ROOM_CLOSED"),
        };
        if let Err(failure) = self.pusher.unsubscribe(&topic(room), &users, reason).await {
            debug!(reason = %failure.reason(), room, "whoever left a room could not be taken out of its topic");
        }
    }
}

fn change(kind: Kind, user: &str, room: v1::Room) -> MemberChange {
    MemberChange { kind: kind.into(), user: user.to_owned(), room: Some(room) }
}
