//! Tells a room's members what happened in it, by way of the gateway.
//!
//! A push that fails fails nothing else: what it says is in the store, and a client that misses a version asks for it. Promises: how many
//! were lost is counted, and the log has one line when that begins and one when it ends; a gateway that does not answer holds a room up
//! once, and from then on by [`DOUBTFUL_PATIENCE`].

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::timeout;
use tracing::{info, warn};

use super::room::topic;
use super::v1::GameEvent;
use crate::failure::{self, Failure, Reason};
use crate::push::v1::Member;
use crate::services::pusher::Pusher;

/// The protocol number of `GameEvent`.
pub const EVENT: u32 = 2101;

/// How long a push may take while pushes fail; otherwise it is for the pusher to say.
const DOUBTFUL_PATIENCE: Duration = Duration::from_millis(250);

/// The way to the members of rooms. Clones are the same way.
#[derive(Clone)]
pub struct Herald {
    pusher: Pusher,
    standing: Arc<Standing>,
}

#[derive(Default)]
struct Standing {
    failing: AtomicBool,
    lost: AtomicU64,
}

// === impl Herald ===

impl Herald {
    pub fn new(pusher: Pusher) -> Herald {
        Herald { pusher, standing: Arc::default() }
    }

    /// Tells a room's events, in their order.
    pub async fn tell(&self, room: &str, events: &[GameEvent]) {
        let topic = topic(room);
        for event in events {
            self.attempt(self.pusher.to_topic(&topic, EVENT, event)).await;
        }
    }

    /// From now on these users hear no more of a room.
    pub async fn silence(&self, room: &str, users: &[String], reason: &str) {
        if !users.is_empty() {
            self.attempt(self.pusher.unsubscribe(&topic(room), users, reason)).await;
        }
    }

    /// From now on nobody does.
    pub async fn disband(&self, room: &str) {
        self.attempt(self.pusher.unsubscribe(&topic(room), &[], "ROOM_CLOSED")).await;
    }

    /// Who hears rooms, in their order; at most a thousand of them.
    pub async fn present(&self, rooms: &[&str]) -> failure::Result<Vec<Vec<Member>>> {
        let topics = self.pusher.members(rooms.iter().map(|id| topic(id)).collect()).await?;
        if topics.len() != rooms.len() || topics.iter().zip(rooms).any(|(presence, room)| presence.topic != topic(room)) {
            return Err(Failure::gateway(Reason::BadReply, "the PushService does not answer what it was asked"));
        }
        Ok(topics.into_iter().map(|presence| presence.members).collect())
    }

    /// How much could not be told.
    #[cfg(test)]
    pub fn lost(&self) -> u64 {
        self.standing.lost.load(Ordering::Relaxed)
    }

    async fn attempt<T>(&self, telling: impl Future<Output = failure::Result<T>>) {
        let was_failing = self.standing.failing.load(Ordering::Relaxed);
        let told = if was_failing { timeout(DOUBTFUL_PATIENCE, telling).await } else { Ok(telling.await) };
        let failure = match told {
            Ok(Ok(_)) => {
                if self.standing.failing.swap(false, Ordering::Relaxed) {
                    info!(lost = self.standing.lost.load(Ordering::Relaxed), "rooms are heard again");
                }
                return;
            }
            Ok(Err(failure)) => Some(failure),
            Err(_) => None,
        };
        let lost = 1 + self.standing.lost.fetch_add(1, Ordering::Relaxed);
        if !self.standing.failing.swap(true, Ordering::Relaxed) {
            let (reason, message) = failure.as_ref().map_or(("TIMEOUT", ""), |failure| (failure.reason(), failure.message()));
            let cause = failure.as_ref().and_then(Failure::cause).unwrap_or_default();
            warn!(reason, message, cause, lost, "rooms are not heard: what happens in them is kept for whoever asks");
        }
    }
}
