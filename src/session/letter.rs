//! What nodes say to each other about sessions: where they went, what their clients have not got, and what is for them.
//!
//! A letter may be lost. Whoever wrote one and hears nothing goes on without an answer.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tokio::time::sleep;

use super::asking::Question;
use super::live::NotOlder;
use super::publication::{OnSlow, Publication};
use super::push::Place;
use super::receipt::{Counts, Keeping};
use super::ring::Parked;
use super::sessions::Sessions;
use crate::store::Signal;

/// The pause before listening is tried again.
const RETRY: Duration = Duration::from_millis(500);

/// What nodes say to each other.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Letter {
    /// Another node has the session from now on, as this generation; it asks for the ring.
    TakenOver { session: String, generation: u64, by: String },
    /// The answer.
    Ring { session: String, ring: Option<Parked> },
    /// A message for a session of the node that gets this, in base64.
    Push {
        session: String,
        number: u32,
        payload: String,
        /// It came to a node that had the session no longer, and is sent after it.
        #[serde(default)]
        sent_on: bool,
    },
    /// A message for the connection of a session of the node that gets this.
    Publish { session: String, message: Published },
    /// Whether what was sent before this was written to sessions of the node that gets it.
    Asked { question: Question, keeping: Keeping, sessions: Vec<(String, Place)> },
    /// The answer.
    Answer { id: u64, counts: Counts },
}

/// A publication on its way to another node: payload and key in base64.
#[derive(Serialize, Deserialize)]
pub struct Published {
    number: u32,
    payload: String,
    topic: String,
    epoch: String,
    offset: u64,
    on_slow: OnSlow<String>,
}

// === impl Letter ===

impl Letter {
    pub fn write(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a letter is texts and numbers")
    }

    /// A letter of another node. Nothing: a newer version of this program wrote it.
    pub fn read(bytes: &[u8]) -> Option<Letter> {
        serde_json::from_slice(bytes).ok()
    }
}

// === impl Published ===

impl Published {
    pub fn of(publication: &Publication) -> Published {
        Published {
            number: publication.number,
            payload: BASE64_STANDARD.encode(&publication.payload),
            topic: publication.topic.to_string(),
            epoch: publication.epoch.to_string(),
            offset: publication.offset,
            on_slow: match &publication.rule {
                OnSlow::Disconnect => OnSlow::Disconnect,
                OnSlow::DropOldest => OnSlow::DropOldest,
                OnSlow::Conflate(key) => OnSlow::Conflate(BASE64_STANDARD.encode(key)),
            },
        }
    }

    /// The publication again. Nothing: this is none of ours.
    pub fn read(self) -> Option<Publication> {
        let payload = BASE64_STANDARD.decode(self.payload).ok()?;
        let rule = match self.on_slow {
            OnSlow::Disconnect => OnSlow::Disconnect,
            OnSlow::DropOldest => OnSlow::DropOldest,
            OnSlow::Conflate(key) => OnSlow::Conflate(BASE64_STANDARD.decode(key).ok()?.into()),
        };
        Some(Publication::new(self.number, payload.into(), rule).at(self.topic.into(), self.epoch.into(), self.offset))
    }
}

/// The channel of a node's letters.
pub fn mailbox(node: &str) -> String {
    format!("node:{node}")
}

// === impl Sessions ===

impl Sessions {
    /// A letter of another node.
    pub(super) async fn receive(&self, letter: Letter) {
        match letter {
            Letter::TakenOver { session: id, generation, by } => {
                let session = self.get(&id);
                let ring = match session.as_ref().map(|session| session.hand_over(generation)) {
                    Some(Ok(ring)) => ring,
                    None | Some(Err(NotOlder)) => None,
                };
                if let Some(session) = session.filter(|session| session.is_over()) {
                    // Before it is gone from here, so that a push finds it in one place or the other.
                    self.0.moved.note(&id, &by);
                    self.0.registry.remove(&session);
                }
                let answer = Letter::Ring { session: id, ring };
                // If it does not arrive, the other node goes on without.
                let _ = self.0.store.publish(&mailbox(&by), answer.write().into()).await;
            }
            Letter::Push { session, number, payload, sent_on } => {
                let Ok(decoded) = BASE64_STANDARD.decode(&payload) else { return };
                if self.push_here(&session, number, decoded.into()).is_some() || sent_on {
                    return;
                }
                // It was written to this node before its session went.
                if let Some(node) = self.0.moved.find(&session) {
                    let letter = Letter::Push { session, number, payload, sent_on: true };
                    let _ = self.0.store.publish(&mailbox(&node), letter.write().into()).await;
                }
            }
            Letter::Publish { session, message } => {
                if let Some(publication) = message.read() {
                    self.publish_here(&session, &Arc::new(publication));
                }
            }
            Letter::Asked { question, keeping, sessions } => self.asked(question, keeping, sessions).await,
            Letter::Answer { id, counts } => self.0.questions.answered(id, counts),
            Letter::Ring { session, ring } => {
                let awaited = self.0.awaited.lock().expect("nothing that holds the list panics").remove(&session);
                if let Some(awaited) = awaited {
                    // Whoever waited may have gone on.
                    let _ = awaited.send(ring);
                }
            }
        }
    }
}

/// Opens every letter of other nodes.
pub async fn keep_receiving(sessions: &Sessions) {
    let mut letters: Option<mpsc::Receiver<Signal>> = None;
    loop {
        match &mut letters {
            None => match sessions.0.store.listen(&mailbox(&sessions.0.node)).await {
                Ok(channel) => letters = Some(channel),
                Err(_) => sleep(RETRY).await,
            },
            Some(channel) => match channel.recv().await {
                Some(Signal::Message(bytes)) => {
                    if let Some(letter) = Letter::read(&bytes) {
                        sessions.receive(letter).await;
                    }
                }
                // Who wrote and got no answer goes on without one.
                Some(Signal::Gap) => {}
                None => letters = None,
            },
        }
    }
}
