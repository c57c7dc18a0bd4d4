//! What nodes say to each other about sessions: where they went, what their clients have not got, and what is for them.

use serde::{Deserialize, Serialize};

use super::ring::Parked;

/// What nodes say to each other.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Letter {
    /// Another node has the session from now on, as this generation; it asks for the ring.
    TakenOver { session: String, generation: u64, by: String },
    /// The answer.
    Ring { session: String, ring: Option<Parked> },
    /// A message for a session of the node that gets this, in base64.
    Push { session: String, number: u32, payload: String },
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

/// The channel of a node's letters.
pub fn mailbox(node: &str) -> String {
    format!("node:{node}")
}
