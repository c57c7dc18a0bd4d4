//! What a client knows of its session: enough to acknowledge what came, and to resume.

use std::collections::BTreeMap;

use super::client::Heard;
use crate::wire::v1;

/// Topics whose positions are kept. Of those beyond, nothing is recovered.
const TOPICS_MAX: usize = 4096;

/// A client's side of its session.
#[derive(Default)]
pub struct Standing {
    session: String,
    user: String,
    resume_token: String,
    resume_url: String,
    last_seq: u32,
    acknowledged: u32,
    positions: BTreeMap<String, v1::Position>,
}

// === impl Standing ===

impl Standing {
    /// The connection is in a session; in another one everything begins anew.
    pub fn ready(&mut self, ready: &v1::Ready) {
        if ready.session_id != self.session {
            *self = Standing { session: ready.session_id.clone(), ..Standing::default() };
        }
        self.user.clone_from(&ready.user);
        // A refresh in place has none; the one before is good.
        if !ready.resume_token.is_empty() {
            self.resume_token.clone_from(&ready.resume_token);
            self.resume_url.clone_from(&ready.resume_url);
        }
    }

    /// Whose session it is; empty where there is none.
    pub fn user(&self) -> &str {
        &self.user
    }

    /// What came of resuming.
    pub fn resumed(&mut self, resumed: &v1::Resumed) {
        if let Some(ready) = &resumed.ready {
            self.ready(ready);
        }
        self.acknowledged = self.last_seq;
        if !resumed.recovered {
            // What comes next has whatever seq it has.
            (self.last_seq, self.acknowledged) = (0, 0);
        }
        for lost in &resumed.lost_topics {
            self.positions.remove(lost);
        }
    }

    /// Whether a push is one that was not there before. Its place is remembered.
    pub fn is_new(&mut self, push: &Heard) -> bool {
        if push.seq != 0 {
            if push.seq <= self.last_seq {
                return false;
            }
            self.last_seq = push.seq;
        }
        if !push.topic.is_empty() {
            let epoch = if push.epoch.is_empty() { None } else { Some(push.epoch.clone()) };
            self.move_to(&push.topic, epoch, push.offset);
        }
        true
    }

    pub fn subscribed(&mut self, subscribed: &v1::Subscribed) {
        let at = subscribed.at.clone().unwrap_or_default();
        self.move_to(&subscribed.topic, Some(at.epoch), at.offset);
    }

    pub fn unsubscribed(&mut self, topic: &str) {
        self.positions.remove(topic);
    }

    /// Whether the gateway keeps something for us that it need not.
    pub fn owes(&self) -> bool {
        self.acknowledged < self.last_seq
    }

    /// What the next message acknowledges; once it is sent nothing is owed.
    pub fn acknowledge(&mut self) -> u32 {
        self.acknowledged = self.last_seq;
        self.last_seq
    }

    /// How to go on with this session, if there is one: what to send, and where if not to the same place.
    pub fn resume(&self, token: Option<String>) -> Option<(v1::Resume, Option<&str>)> {
        let resume = v1::Resume {
            token: token.unwrap_or_default(),
            resume_token: self.resume_token.clone(),
            last_seq: self.last_seq,
            topics: self.positions.clone().into_iter().collect(),
        };
        let url = Some(&*self.resume_url).filter(|url| !url.is_empty());
        (!self.resume_token.is_empty()).then_some((resume, url))
    }

    fn move_to(&mut self, topic: &str, epoch: Option<String>, offset: u64) {
        if let Some(position) = self.positions.get_mut(topic) {
            position.offset = offset;
            position.epoch = epoch.unwrap_or_else(|| std::mem::take(&mut position.epoch));
        } else if self.positions.len() < TOPICS_MAX {
            self.positions.insert(topic.to_owned(), v1::Position { epoch: epoch.unwrap_or_default(), offset });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ready(session: &str, resume_token: &str) -> v1::Ready {
        v1::Ready { session_id: session.to_owned(), resume_token: resume_token.to_owned(), ..v1::Ready::default() }
    }

    fn push(seq: u32) -> Heard {
        Heard { seq, ..Heard::default() }
    }

    fn of_topic(topic: &str, epoch: &str, offset: u64) -> Heard {
        Heard { topic: topic.to_owned(), epoch: epoch.to_owned(), offset, ..Heard::default() }
    }

    #[test]
    fn what_came_is_acknowledged_once_and_what_comes_twice_is_not_new() {
        let mut standing = Standing::default();
        standing.ready(&ready("one", "token"));
        assert!(standing.is_new(&push(1)) && standing.is_new(&push(2)) && !standing.is_new(&push(2)));
        assert!(standing.is_new(&push(0)), "best effort is not counted");
        assert!(standing.owes());
        assert_eq!(standing.acknowledge(), 2);
        assert!(!standing.owes());
    }

    #[test]
    fn a_session_is_resumed_where_every_topic_was_left() {
        let mut standing = Standing::default();
        assert!(standing.resume(None).is_none(), "there is no session yet");
        standing.ready(&ready("one", "token"));
        standing.ready(&ready("one", ""));
        let at = Some(v1::Position { epoch: "e1".to_owned(), offset: 5 });
        standing.subscribed(&v1::Subscribed { topic: "chat/1".to_owned(), at, ..v1::Subscribed::default() });
        assert!(standing.is_new(&of_topic("chat/1", "", 6)));
        assert!(standing.is_new(&of_topic("chat/2", "e9", 1)));
        standing.unsubscribed("chat/2");
        assert!(standing.is_new(&push(3)));
        let (resume, url) = standing.resume(Some("fresh".to_owned())).unwrap();
        assert_eq!((&*resume.resume_token, &*resume.token, resume.last_seq, url), ("token", "fresh", 3, None));
        assert_eq!(resume.topics.len(), 1);
        assert_eq!(resume.topics["chat/1"], v1::Position { epoch: "e1".to_owned(), offset: 6 });
    }

    #[test]
    fn what_was_not_recovered_begins_anew() {
        let mut standing = Standing::default();
        standing.ready(&ready("one", "token"));
        assert!(standing.is_new(&push(9)));
        standing.resumed(&v1::Resumed { recovered: true, ready: Some(ready("one", "next")), ..v1::Resumed::default() });
        assert!(!standing.is_new(&push(9)) && standing.is_new(&push(10)));
        standing.resumed(&v1::Resumed { recovered: false, ready: Some(ready("one", "later")), ..v1::Resumed::default() });
        assert!(standing.is_new(&push(1)));
        standing.resumed(&v1::Resumed { recovered: false, ready: Some(ready("two", "other")), ..v1::Resumed::default() });
        assert_eq!(standing.resume(None).unwrap().0.last_seq, 0);
    }
}
