//! Taking turns: what changes a room happens one after the other, and clients are told in that order.
//!
//! Rooms, and conversations of two, are dealt to [`LANES`] lanes. Whoever has the turn of a lane changes the store and leaves a [`Letter`]
//! for clients, which the lane delivers while others have theirs.
//!
//! Promises:
//! - Letters of a lane are delivered in the order of its turns. Several processes have lanes of their own: there the numbers of messages
//!   are right, and pushes may arrive in another order.
//! - What waits is bounded: a turn is waited for as long as [`PATIENCE`], and of letters a lane holds [`LETTERS_MAX`].
//! - Nobody waits for a letter, and none is tried twice. One that is lost leaves a gap in the numbers that a client hears, by which it
//!   knows what to ask the history for. So do those that wait when the process ends, and those of a call that was broken off while the
//!   store was writing.

use std::hash::BuildHasher as _;
use std::time::Duration;

use foldhash::fast::FixedState;
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, SemaphorePermit, mpsc};
use tokio::time::timeout;
use tracing::{debug, warn};

use super::refusals;
use super::v1::{MemberChange, PrivateMessage, RoomMessage};
use crate::drain::Tasks;
use crate::failure;
use crate::services::pusher::Pusher;
use crate::services::refusal::Result;

/// Rooms that share a lane wait for one another, so there are several times as many as calls that truly run at once.
const LANES: usize = 32;

/// Letters that wait in one lane while the gateway is slow. At most about 8 KiB each.
const LETTERS_MAX: usize = 128;

/// How often a change is tried again that another process's came before. Within a process there is nobody to come before whoever has the
/// turn; of eight processes that all want the same room, one is outrun so often once in 5,000 times.
pub const TRIES: usize = 64;

/// How long a turn is waited for: less than the gateway waits for the answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// The protocol numbers of the pushes, as `routes/chat.yaml` declares them.
pub const MESSAGE: u32 = 3101;
pub const MEMBER: u32 = 3102;
pub const PRIVATE: u32 = 3103;

/// All lanes.
pub struct Lanes {
    lanes: Vec<Lane>,
    /// Those who deliver. They end with this.
    _tasks: Tasks,
}

struct Lane {
    turn: Semaphore,
    letters: mpsc::Sender<Letter>,
}

/// A lane's turn, until it is dropped.
pub struct Turn<'a> {
    letters: &'a mpsc::Sender<Letter>,
    _permit: SemaphorePermit<'a>,
}

/// What clients are to hear.
pub enum Letter {
    /// To whoever hears the room.
    Said(RoomMessage),
    /// To whoever hears the room.
    Member(MemberChange),
    /// To these users, who are invited to the room.
    Invited(MemberChange, Vec<String>),
    /// To both of them.
    Private(PrivateMessage),
    /// To a test: all letters before this one are delivered.
    #[cfg(test)]
    Mark(tokio::sync::oneshot::Sender<()>),
}

/// The topic of a room.
pub fn topic(room: &str) -> String {
    format!("chat/{room}")
}

// === impl Lanes ===

impl Lanes {
    /// Lanes that deliver to `pusher`, on `runtime`.
    pub fn new(pusher: &Pusher, runtime: &Handle) -> Lanes {
        let tasks = Tasks::new();
        let lane = |_| {
            let (letters, waiting) = mpsc::channel(LETTERS_MAX);
            tasks.spawn(runtime, deliver_all(pusher.clone(), waiting));
            Lane { turn: Semaphore::new(1), letters }
        };
        Lanes { lanes: (0..LANES).map(lane).collect(), _tasks: tasks }
    }

    /// The turn of what has this name, once those who came before have had theirs.
    pub async fn enter(&self, name: &str) -> Result<Turn<'_>> {
        let lane = &self.lanes[FixedState::default().hash_one(name) as usize % LANES];
        let permit = timeout(PATIENCE, lane.turn.acquire()).await.map_err(|_| refusals::overloaded())?;
        let permit = permit.expect("no lane is ever closed");
        Ok(Turn { letters: &lane.letters, _permit: permit })
    }

    /// Waits until what was said until now is delivered.
    #[cfg(test)]
    pub async fn delivered(&self) {
        for lane in &self.lanes {
            let (mark, passed) = tokio::sync::oneshot::channel();
            lane.letters.send(Letter::Mark(mark)).await.expect("the lane runs");
            passed.await.expect("the lane runs");
        }
    }
}

// === impl Turn ===

impl Turn<'_> {
    /// Leaves something for clients to hear.
    pub fn tell(&self, letter: Letter) {
        if self.letters.try_send(letter).is_err() {
            debug!("a push was let go: as many as may wait are waiting");
        }
    }
}

async fn deliver_all(pusher: Pusher, mut waiting: mpsc::Receiver<Letter>) {
    let mut reached = true;
    while let Some(letter) = waiting.recv().await {
        let failed = letter.deliver(&pusher).await.err();
        // Said once, and not for every message until it is over.
        if let Some(failure) = &failed
            && reached
        {
            let (reason, message, cause) = (failure.reason(), failure.message(), failure.cause().unwrap_or_default());
            warn!(%reason, message, cause, "chat cannot reach clients, who find what they miss in the history");
        }
        reached = failed.is_none();
    }
}

// === impl Letter ===

impl Letter {
    async fn deliver(self, pusher: &Pusher) -> failure::Result<()> {
        match self {
            Letter::Said(message) => pusher.to_topic(&topic(&message.room_id), MESSAGE, &message).await.map(drop),
            Letter::Member(change) => {
                let topic = topic(&change.room.as_ref().map(|room| room.id.clone()).unwrap_or_default());
                pusher.to_topic(&topic, MEMBER, &change).await.map(drop)
            }
            Letter::Invited(change, users) => pusher.to_users(&users, MEMBER, &change).await,
            Letter::Private(message) => {
                let both = [message.receiver.clone(), message.sender.clone()];
                pusher.to_users(&both, PRIVATE, &message).await
            }
            #[cfg(test)]
            Letter::Mark(mark) => {
                let _ = mark.send(());
                Ok(())
            }
        }
    }
}
