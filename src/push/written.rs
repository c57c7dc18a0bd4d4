//! Whether what was said to a topic, or to everyone, was written to the sockets of those who hear it.
//!
//! The question travels on the channel of the push, behind it or with it, and every node that listens there answers. Promise: a hearer
//! counts as having it written only once the topic is as far as the push here, and the hearer has caught up.

use std::sync::Arc;

use prost::Message;

use super::entry::{Entry, Position};
use super::history::{channel, unkept};
use super::hub::Hub;
use super::topic::{Seat, Topic};
use crate::session::{Asking, Counts, Handed, Keeping, Pending, Question, Session};

/// A question to all who listen to a channel.
#[derive(Clone, PartialEq, Message)]
pub struct Asked {
    #[prost(uint64, tag = "1")]
    pub id: u64,
    /// Which node.
    #[prost(string, tag = "2")]
    pub by: String,
    /// Where the push stands in the topic's history; nothing where there is none.
    #[prost(string, tag = "3")]
    pub epoch: String,
    #[prost(uint64, tag = "4")]
    pub offset: u64,
}

/// How a topic's entry comes to a hearer.
struct Hearing {
    topic: Arc<Topic>,
    seat: Seat,
    at: Option<Position>,
}

// === impl Hub ===

impl Hub {
    /// Asks all nodes whether what was last said to a topic, at this place, was written.
    pub(super) async fn written_to_topic(&self, asking: Asking, topic: &str, at: Option<&Position>) -> Counts {
        let (epoch, offset) = at.map_or(("", 0), |at| (&*at.epoch, at.offset));
        let asked = Asked { epoch: epoch.to_owned(), offset, ..Asked::from(asking.question()) };
        let entry = Entry { asked: Some(asked), ..Entry::default() };
        // What cannot be asked is not known. The push is on its way all the same.
        let listening = self.0.store.publish(&channel(topic), unkept(&entry)).await.unwrap_or(0);
        asking.answers(listening).await
    }

    /// Another node asks, or this one, about what was said to a topic.
    pub(super) async fn asked_of_topic(&self, topic: &Arc<Topic>, asked: Asked) {
        let at = (asked.offset > 0).then(|| Position { epoch: asked.epoch.as_str().into(), offset: asked.offset });
        let hearing = topic.hearers().into_iter().map(|(seat, session)| {
            let way = Hearing { topic: Arc::clone(topic), seat, at: at.clone() };
            (session, way)
        });
        let pending = Pending::new(Keeping::Passing, hearing);
        self.0.sessions.answer(asked.question(), pending).await;
    }
}

// === impl Asked ===

impl From<Question> for Asked {
    fn from(Question { id, by }: Question) -> Asked {
        Asked { id, by, ..Asked::default() }
    }
}

impl Asked {
    pub fn question(self) -> Question {
        Question { id: self.id, by: self.by }
    }
}

// === impl Hearing ===

impl Handed for Hearing {
    fn is_handed(&self, session: &Session) -> bool {
        self.topic.has_told(self.seat, session, self.at.as_ref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::push::declared::TopicRule;
    use crate::push::topic::{self, Turn};
    use crate::session::{Identity, OnSlow, Publication};
    use crate::topic::Pattern;

    fn session() -> Arc<Session> {
        let identity = Identity {
            user: "alice".into(),
            roles: Vec::new(),
            token_id: None,
            issued_ms: 0,
            expires: std::time::UNIX_EPOCH,
            token: None,
            api_key: None,
        };
        Session::new("a session", Arc::new(identity), String::new(), None)
    }

    #[test]
    fn a_hearer_has_it_once_the_topic_is_so_far_and_it_has_caught_up() {
        let pattern = Pattern::parse("room/{id}").unwrap();
        let rule = TopicRule { pattern, history: None, presence: false, presence_events: None, pushes: vec![2101] };
        let topic = Arc::new(Topic::new("room/hall".into(), Arc::new(rule)));
        let place = |epoch: &str, offset| Some(Position { epoch: epoch.into(), offset });
        let say = |offset| topic.say(&Arc::new(Publication::new(2101, "news".into(), OnSlow::DropOldest)), place("e", offset));
        let session = session();
        let seat = topic.seat(&session, None, Turn(1), topic::Back::No);
        let hears = |epoch, offset| Hearing { topic: Arc::clone(&topic), seat, at: place(epoch, offset) }.is_handed(&session);

        say(1);
        assert!(!hears("e", 1), "it is held back for it");
        topic.catch_up(seat, Turn(1), &session, topic::Asked::FromNow, |_| Ok::<_, ()>(())).unwrap();
        assert!(hears("e", 1));
        assert!(!hears("e", 2), "it is not here yet");
        say(2);
        assert!(hears("e", 2) && hears("e", 1));
        assert!(!hears("another", 1), "that is of another history");

        topic.leave(seat, &session);
        assert!(!hears("e", 2), "it left");
    }
}
