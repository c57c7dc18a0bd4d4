//! What travels on a topic's channel and lies in its history, and where in the history that is.

use std::sync::Arc;

use bytes::Bytes;
use prost::Message;

use super::written::Asked;

/// A place in the history of a topic.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Position {
    /// Which history. One that was lost is followed by another.
    pub epoch: Arc<str>,
    /// The offset of the last entry before this place; 0 at the beginning.
    pub offset: u64,
}

/// One message of a topic, or a word to its hearers.
#[derive(Clone, PartialEq, Message)]
pub struct Entry {
    /// The history that it is in; empty for a topic without.
    #[prost(string, tag = "1")]
    pub epoch: String,
    /// Its protocol number.
    #[prost(uint32, tag = "2")]
    pub number: u32,
    /// Its message, in protobuf.
    #[prost(bytes = "bytes", tag = "3")]
    pub payload: Bytes,
    /// Instead of a message: who has to leave.
    #[prost(message, optional, tag = "4")]
    pub leave: Option<Leave>,
    /// Whoever hears this says whether the message was written: this one, or the last one of a topic.
    #[prost(message, optional, tag = "5")]
    pub asked: Option<Asked>,
    /// When it was said, in milliseconds since 1970; 0 where that does not matter.
    #[prost(uint64, tag = "6")]
    pub said_ms: u64,
}

/// Who has to leave a topic.
#[derive(Clone, PartialEq, Message)]
pub struct Leave {
    /// These, or everybody.
    #[prost(string, repeated, tag = "1")]
    pub users: Vec<String>,
    /// What their clients are told.
    #[prost(string, tag = "2")]
    pub reason: String,
}
