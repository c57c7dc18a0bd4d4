//! What is said in rooms.
//!
//! Promises: a message is stored before its sender is answered and before anybody hears it; in one process a room's messages are pushed in
//! the order of their numbers.

use std::sync::Arc;

use super::lanes::{Lanes, Letter, TRIES};
use super::names::{ClientKey, Text};
use super::rooms::{Seat, mine_key, room_key, seat};
use super::sent::{Memory, Sent};
use super::transcript::{Ask, Log, Page};
use super::v1::RoomMessage;
use super::{flood, shown_ms};
use crate::clock::Clock;
use crate::services::documents::{self, Outcome, outrun, written};
use crate::services::refusal::Result;
use crate::store::{Batch, Durability, Store};

/// Where members talk and read.
pub struct Talk {
    pub store: Store,
    pub clock: Clock,
    pub lanes: Arc<Lanes>,
}

// === impl Talk ===

impl Talk {
    pub async fn send(&self, user: &str, room_id: &str, text: &Text, client_key: &ClientKey) -> Result<Sent> {
        flood::count(&self.store, user).await?;
        let memory = Memory::of(room_id, user, client_key);
        let turn = self.lanes.enter(room_id).await?;
        for _ in 0..TRIES {
            let Seat { mut room, mine } = seat(&self.store, user, room_id).await?;
            if let Some(sent) = memory.find(&self.store).await? {
                return Ok(sent);
            }
            let unchanged = room.unchanged();
            let transcript = &mut room.value.transcript;
            transcript.advance(self.clock.now_ms());
            let sent = Sent { number: transcript.last, sent_ms: transcript.last_ms };
            let message = RoomMessage {
                room_id: room_id.to_owned(),
                number: sent.number,
                sender: user.to_owned(),
                text: text.as_str().to_owned(),
                sent_ms: shown_ms(sent.sent_ms),
                client_key: client_key.as_str().to_owned(),
            };
            let batch = Batch::new(Durability::Durable)
                .put(room_key(room_id), written(&room.value), unchanged, None)
                .check(mine_key(user), mine.unchanged());
            let batch = room.value.transcript.append(Log::of_room(room_id), &message, memory.keep(sent, batch));
            if let Outcome::Done = documents::outcome(self.store.write(batch).await)? {
                turn.tell(Letter::Said(message));
                return Ok(sent);
            }
        }
        Err(outrun().into())
    }

    pub async fn history(&self, user: &str, room_id: &str, ask: &Ask) -> Result<Page<RoomMessage>> {
        let seat = seat(&self.store, user, room_id).await?;
        seat.room.value.transcript.page(&self.store, Log::of_room(room_id), ask).await
    }
}
