//! One message to be pushed, shared by everybody who gets it.
//!
//! Promises: its frame is made once for each codec, by whoever needs it first, and what a slow client misses by it was found out once. It
//! knows neither frames nor tables: the edge makes the one from the other.

use std::hash::{Hash, Hasher};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::wire::Codec;

/// What tells two states apart of which only the latest matters: the value of a field.
pub type Key = Box<[u8]>;

/// What becomes of a best-effort message for which a client has no room. `K` is where the key of a state comes from.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnSlow<K> {
    /// The client is closed, and may come back.
    #[default]
    Disconnect,
    /// The oldest that waits is dropped, and the client told how many were.
    DropOldest,
    /// Of what waits, only the latest with the same key stays; a client for which that is not enough loses the oldest.
    Conflate(K),
}

/// A message for everybody who gets it.
pub struct Publication {
    pub number: u32,
    /// In protobuf.
    pub payload: Bytes,
    /// Empty if it is of none.
    pub topic: Arc<str>,
    /// Whose offset it is. Sent whenever it is not empty.
    pub epoch: Arc<str>,
    pub offset: u64,
    pub rule: OnSlow<Key>,
    /// So many before it in its topic are lost for everybody.
    pub lost: u32,
    /// By codec.
    frames: [OnceLock<Bytes>; 2],
}

/// A publication as the state that it tells of: equal to whatever replaces it.
pub struct State(pub Arc<Publication>);

// === impl Publication ===

impl Publication {
    /// A message that is of no topic.
    pub fn new(number: u32, payload: Bytes, rule: OnSlow<Key>) -> Publication {
        let empty: Arc<str> = "".into();
        Publication { number, payload, topic: Arc::clone(&empty), epoch: empty, offset: 0, rule, lost: 0, frames: Default::default() }
    }

    /// The same at its place in a topic.
    #[must_use]
    pub fn at(self, topic: Arc<str>, epoch: Arc<str>, offset: u64) -> Publication {
        Publication { topic, epoch, offset, ..self }
    }

    /// The same behind so many of its topic that are lost for everybody.
    #[must_use]
    pub fn behind_lost(self, lost: u32) -> Publication {
        Publication { lost, ..self }
    }

    /// The same once more, for one who has lost so many before it.
    pub fn again_behind_lost(&self, lost: u32) -> Publication {
        let again = Publication::new(self.number, self.payload.clone(), self.rule.clone());
        again.at(Arc::clone(&self.topic), Arc::clone(&self.epoch), self.offset).behind_lost(self.lost.saturating_add(lost))
    }

    /// Its frame in a codec; `make` is asked at most once for each. It is the same for every connection.
    pub fn frame(&self, codec: Codec, make: impl FnOnce() -> Vec<u8>) -> &Bytes {
        self.frames[usize::from(codec == Codec::Json)].get_or_init(|| make().into())
    }

    /// By what replaces it while it waits, if anything does.
    fn key(&self) -> Option<&[u8]> {
        match &self.rule {
            OnSlow::Conflate(key) => Some(key),
            OnSlow::Disconnect | OnSlow::DropOldest => None,
        }
    }
}

// === impl State ===

impl PartialEq for State {
    fn eq(&self, other: &State) -> bool {
        let (one, other) = (&self.0, &other.0);
        one.number == other.number && one.key() == other.key() && one.topic == other.topic
    }
}

impl Eq for State {}

impl Hash for State {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.number.hash(state);
        self.0.topic.hash(state);
        self.0.key().hash(state);
    }
}
