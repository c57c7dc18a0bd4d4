//! What a client says about topics, and what becomes of them when a call or an admission changes what its session hears.

use std::collections::HashMap;
use std::sync::Arc;

use super::calls::InFlight;
use super::control::{Refused, unreadable};
use super::conversation::{Batch, Conversation};
use super::end::End;
use crate::dispatch::{Answer, Effect};
use crate::failure::{Failure, Reason};
use crate::id::{CallId, Protocol};
use crate::push::{Position, Prepared};
use crate::session::PATIENCE;
use crate::table::{Join, Table};
use crate::wire::{Envelope, number, v1};

// === impl Conversation ===

impl Conversation {
    /// A client wants to hear a topic. It is answered when the back room has seen to it.
    pub(super) fn hear_subscribe(&mut self, envelope: &Envelope<'_>, batch: &Batch) -> Result<(), Refused> {
        let message: v1::Subscribe = self.speaker.read(envelope.payload).map_err(unreadable)?;
        let (protocol, id) = (Protocol(number::SUBSCRIBE), CallId(envelope.id));
        self.not_in_flight(id)?;
        let Some(held) = self.caller.held() else {
            return Err(
                Failure::gateway(Reason::Unauthenticated, "topics are heard by sessions; send Authenticate (protocol 2) first").into()
            );
        };
        self.may_join(&message.topic, batch)?;
        self.room_for_a_call(batch)?;
        self.count_topic(batch.tick)?;
        let topic = message.topic.as_str().into();
        let (hub, sessions) = (batch.table.hub.clone(), batch.table.sessions.clone());
        let running = Box::pin(async move {
            let from = message.from.map(position);
            let prepared = sessions.ask(PATIENCE, |_| async move { hub.prepare(&held.session, &message.topic, from.as_ref()).await }).await;
            match prepared {
                Ok(prepared) => Answer::by_effect(protocol, id, Effect::subscribe(prepared)),
                Err(failure) => Answer::refusal(protocol, id, &failure),
            }
        });
        self.calls.push(InFlight { protocol, id, topic: Some(topic), running });
        Ok(())
    }

    /// A client does not want to hear a topic any more. One that it did not hear is left all the same.
    pub(super) fn hear_unsubscribe(&mut self, envelope: &Envelope<'_>, batch: &Batch) -> Result<(), Refused> {
        let message: v1::Unsubscribe = self.speaker.read(envelope.payload).map_err(unreadable)?;
        self.count_topic(batch.tick)?;
        // What it asked before and was not answered yet is overtaken.
        for call in self.calls.cancel_topic(&message.topic) {
            let failure = Failure::gateway(Reason::Cancelled, "the topic was left before it was heard");
            self.speaker.refuse(call.protocol.0, call.id.0, &failure)?;
        }
        if let Some(held) = self.caller.held() {
            batch.table.hub.leave(&held.session, &message.topic);
        }
        Ok(self.speaker.say(envelope.id, &message)?)
    }

    /// Whether a client may hear a topic because it asks.
    fn may_join(&mut self, topic: &str, batch: &Batch) -> Result<(), Failure> {
        let table = &batch.table;
        let plan = table.topic(topic).ok_or_else(|| {
            Failure::gateway(Reason::UnknownTopic, "no such topic is declared; check its name, or ask the operator to add it")
        })?;
        let denied = |what: String| Err(Failure::gateway(Reason::PermissionDenied, what));
        match &plan.join {
            Join::Effect => denied("this topic is not joined by asking for it, but by the call that makes you a member".to_owned()),
            Join::Permission(bit, _) if self.caller.grants(table.generation, &table.permissions).permits(*bit) => Ok(()),
            Join::Permission(_, name) => denied(format!("this topic needs the permission `{name}`; none of your roles grants it")),
        }
    }

    /// What a success changes of what the session hears. Said before the reply is.
    pub(super) fn commit_topics(&mut self, effect: &mut Effect, table: &Table) -> Result<(), End> {
        let session = self.caller.held().map(|held| held.session);
        let speaker = &self.speaker;
        for topic in effect.unsubscribe.drain(..) {
            if session.as_ref().is_some_and(|session| table.hub.leave(session, &topic)) {
                speaker.say(0, &v1::Unsubscribe { topic })?;
            }
        }
        for prepared in effect.subscribe.drain(..) {
            let id = effect.asked.map_or(0, |id| id.0);
            let is_ours = session.as_ref().is_some_and(|session| Arc::ptr_eq(session, prepared.session()));
            let told = is_ours && prepared.commit(|subscribed| speaker.say(id, &subscribed))?;
            if !told && effect.asked.is_some() {
                let failure = match is_ours {
                    true => Failure::gateway(Reason::Cancelled, "the topic was left before it was heard"),
                    false => Failure::gateway(Reason::SessionReplaced, "the session that was to hear it is no longer this connection's"),
                };
                speaker.refuse(number::SUBSCRIBE, id, &failure)?;
            }
        }
        Ok(())
    }

    /// The topics of a session that came back are heard again. Those of which something is lost are said to begin anew.
    pub(super) fn hear_again(&mut self, topics: Vec<Prepared>) -> Result<(), End> {
        let speaker = &self.speaker;
        for prepared in topics {
            prepared.commit(|subscribed| if subscribed.recovered { Ok(()) } else { speaker.say(0, &subscribed) })?;
        }
        Ok(())
    }
}

/// Where a client says that it is, by topic.
pub fn positions(topics: HashMap<String, v1::Position>) -> HashMap<String, Position> {
    topics.into_iter().map(|(topic, at)| (topic, position(at))).collect()
}

fn position(at: v1::Position) -> Position {
    Position { epoch: at.epoch.into(), offset: at.offset }
}
