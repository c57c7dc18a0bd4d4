//! What is declared of a push: its type, how surely it is delivered, and what a slow client misses of it.
//!
//! From a rule comes a [`Publication`], which carries all that a session needs to know of it, on whatever node. Promise: what a rule reads
//! of a message is read once, however many get it.

use std::sync::Arc;

use bytes::Bytes;

use crate::failure::{Failure, Reason, Result};
use crate::id::Protocol;
use crate::proto::{FieldPath, MessageType, Value, Values, Walk, WalkOptions, WalkProblem};
use crate::session::publication::{Key, OnSlow, Publication};
use crate::session::{Keeping, Reached, Sessions};

/// A message that nobody asked for.
#[derive(Clone)]
pub struct PushPlan {
    pub number: Protocol,
    pub name: Arc<str>,
    pub message: MessageType,
    pub delivery: Delivery,
}

/// How surely it arrives.
#[derive(Clone)]
pub enum Delivery {
    /// At most once, to clients that are connected and have room.
    BestEffort(OnSlow<Conflation>),
    /// A session keeps it until its client has acknowledged it.
    Session,
    /// The store keeps it until then, also for a user without a session.
    Durable,
}

/// Which states replace each other: those with the same value in a field.
#[derive(Clone)]
pub struct Conflation {
    field: FieldPath,
    walk: Walk,
}

// === impl PushPlan ===

impl PushPlan {
    /// The message as it is pushed to whoever is connected. The error is the message's: it is not of its type, and the rule reads it.
    pub fn publication(&self, payload: Bytes) -> std::result::Result<Publication, WalkProblem> {
        let rule = match &self.delivery {
            Delivery::BestEffort(OnSlow::DropOldest) => OnSlow::DropOldest,
            Delivery::BestEffort(OnSlow::Conflate(conflation)) => OnSlow::Conflate(conflation.key(&payload)?),
            Delivery::BestEffort(OnSlow::Disconnect) | Delivery::Session | Delivery::Durable => OnSlow::Disconnect,
        };
        Ok(Publication::new(self.number.0, payload, rule))
    }

    /// Sends it to every session of a user, or to one of them, as it is declared. Those that were reached, or sent a letter. To be
    /// called on the back room.
    pub async fn send(&self, sessions: &Sessions, user: &str, session: Option<&str>, payload: Bytes) -> Result<Reached> {
        match self.delivery {
            Delivery::BestEffort(_) => {
                let publication = self.publication(payload).map_err(|problem| {
                    Failure::gateway(Reason::InvalidMessage, format!("the payload is no `{}`: {problem}", self.message.name()))
                })?;
                sessions.publish(user, session, &Arc::new(publication)).await
            }
            Delivery::Session | Delivery::Durable => sessions.push(user, session, self.number.0, payload).await,
        }
    }
}

// === impl Delivery ===

impl Delivery {
    /// Whether a session keeps it.
    pub fn keeping(&self) -> Keeping {
        match self {
            Delivery::BestEffort(_) => Keeping::Passing,
            Delivery::Session | Delivery::Durable => Keeping::Kept,
        }
    }

    /// As it is written in a route file.
    pub fn name(&self) -> &'static str {
        match self {
            Delivery::BestEffort(_) => "best_effort",
            Delivery::Session => "session",
            Delivery::Durable => "durable",
        }
    }
}

// === impl Conflation ===

impl Conflation {
    /// By a field of `message`. Nothing: it has more than one value, or is a message.
    pub fn compile(message: &MessageType, field: FieldPath) -> Option<Conflation> {
        let walk = Walk::compile(message, std::slice::from_ref(&field), WalkOptions::default());
        field.is_scalar().then_some(Conflation { field, walk })
    }

    /// The value of the field; one that is absent is the default, as its reader sees it.
    fn key(&self, payload: &[u8]) -> std::result::Result<Key, WalkProblem> {
        let mut values = Values::new();
        self.walk.run(payload, &mut values)?;
        Ok(match values.get(0).or(self.field.default_value()) {
            Value::Absent => Key::default(),
            Value::Bool(value) => [value.into()].into(),
            Value::Int(value) => value.to_le_bytes().into(),
            Value::Uint(value) => value.to_le_bytes().into(),
            Value::Float(value) => value.to_le_bytes().into(),
            Value::Str(text) => text.as_bytes().into(),
            Value::Bytes(bytes) => bytes.into(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::Pool;

    /// Of the gateway's own messages, because they are at hand.
    fn rule(field: &str) -> PushPlan {
        let message = Pool::own().message("protogate.wire.v1.Position").unwrap();
        let field = FieldPath::resolve(&message, field).unwrap();
        let conflation = Conflation::compile(&message, field).unwrap();
        PushPlan {
            number: Protocol(2101),
            name: "game.position".into(),
            message,
            delivery: Delivery::BestEffort(OnSlow::Conflate(conflation)),
        }
    }

    fn key(rule: &PushPlan, payload: &'static [u8]) -> Key {
        match rule.publication(Bytes::from_static(payload)).unwrap().rule {
            OnSlow::Conflate(key) => key,
            _ => panic!("the rule is to conflate"),
        }
    }

    #[test]
    fn states_are_told_apart_by_the_value_and_not_by_its_bytes() {
        let by_offset = rule("offset");
        assert_eq!(key(&by_offset, b"\x10\x05"), key(&by_offset, b"\x0a\x01e\x10\x85\x00"));
        assert_eq!(key(&by_offset, b""), key(&by_offset, b"\x10\x00"));
        assert_ne!(key(&by_offset, b"\x10\x05"), key(&by_offset, b"\x10\x06"));
        assert_eq!(*key(&rule("epoch"), b"\x0a\x01x\x0a\x01e"), *b"e", "the last one counts");
    }

    #[test]
    fn what_is_not_of_its_type_has_no_key() {
        assert!(rule("offset").publication(Bytes::from_static(b"\x10")).is_err());
    }
}
