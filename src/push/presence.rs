//! Who is in a topic, on all nodes: one document a topic, in which every node keeps its own sessions.
//!
//! A session that waits for its client is present; so is one whose node died, until it is known that nobody resumed it. Whoever changes the
//! document says who came and who went, once. Promise: whatever went wrong, the document agrees with the nodes within half a minute.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream;
use prost::Message as _;
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use tokio::time::sleep;

use super::hub::{Hub, store_failed, unavailable};
use super::topic::Topic;
use super::v1;
use crate::failure::Result;
use crate::store::{Batch, Document, Expect, Key, StoreError};

/// Attempts at one change. Each failure means that another node's change succeeded; after them it is tried again later.
const ATTEMPTS_MAX: u32 = 8;

/// Topics that are looked after at once.
const AT_ONCE: usize = 16;

/// The pause before the store is asked again that could not answer.
const RETRY: Duration = Duration::from_millis(500);

/// How long a document is kept that no node looks after, and from which age on it is written again.
const KEEP: Duration = Duration::from_secs(86_400);
const RENEW_MS: u64 = 3_600_000;

/// Every topic is looked at within so many sweeps.
const LOOKED_AT_WITHIN: u64 = 30;

/// Topics whose documents do not say what this node knows.
#[derive(Default)]
pub struct Dirty {
    topics: Mutex<HashSet<Arc<str>>>,
    dirt: Notify,
}

/// Who is in a topic.
#[derive(Default, Serialize, Deserialize)]
struct Present {
    written_ms: u64,
    members: Vec<Member>,
}

#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Member {
    user: String,
    session: String,
    node: String,
    since_ms: u64,
    connected: bool,
}

fn present_key(topic: &str) -> Key {
    Key::new("present", topic)
}

// === impl Dirty ===

impl Dirty {
    pub fn soil(&self, topic: &Topic) {
        if topic.rule.presence {
            self.put_back(Arc::clone(&topic.name));
        }
    }

    fn put_back(&self, topic: Arc<str>) {
        self.topics.lock().expect("nothing that holds the list panics").insert(topic);
        self.dirt.notify_one();
    }

    fn take(&self) -> HashSet<Arc<str>> {
        std::mem::take(&mut *self.topics.lock().expect("nothing that holds the list panics"))
    }
}

// === impl Hub ===

impl Hub {
    /// The members of a topic, oldest first. To be called on the back room.
    pub async fn members(&self, topic: &str) -> Result<Vec<v1::Member>> {
        let document = self.0.store.get(&present_key(topic)).await.map_err(store_failed)?;
        let mut present = Present::read(document.as_ref()).map_err(|error| unavailable(&error.to_string()))?;
        let gone = self.gone(&present.members).await?;
        present.members.retain(|member| !gone.contains(&member.node));
        Ok(present.members.iter().map(Member::shown).collect())
    }

    /// Those nodes of the members whose sessions are over, because they died and nobody came back in time.
    async fn gone(&self, members: &[Member]) -> Result<BTreeSet<String>> {
        self.0.sessions.gone_nodes(members.iter().map(|member| &*member.node)).await
    }

    /// Has the topics looked at whose turn it is.
    pub(super) fn look_at_some(&self, turn: u64) {
        for topic in self.topics_of_turn(turn, LOOKED_AT_WITHIN) {
            self.0.presence.soil(&topic);
        }
    }

    /// Makes the document of a topic say what this node knows.
    pub(super) async fn agree(&self, name: &Arc<str>) -> std::result::Result<(), StoreError> {
        let Some(topic) = self.opened_or_closed(name) else { return Ok(()) };
        for _ in 0..ATTEMPTS_MAX {
            let document = self.0.store.get(&present_key(name)).await?;
            let before = Present::read(document.as_ref())?;
            let gone = self.gone(&before.members).await.map_err(|failure| StoreError::Unavailable(failure.to_string()))?;
            let now_ms = self.0.sessions.now_ms();
            let after = self.seen_from_here(&topic, &before, &gone, now_ms);
            topic.members.store(u32::try_from(after.len()).unwrap_or(u32::MAX), Relaxed);
            if after == before.members && (after.is_empty() || now_ms.saturating_sub(before.written_ms) < RENEW_MS) {
                return Ok(());
            }
            let expect = Expect::unchanged(document.as_ref());
            let batch = match after.is_empty() {
                true => Batch::default().delete(present_key(name), expect),
                false => {
                    let present = Present { written_ms: now_ms, members: after.clone() };
                    let bytes = serde_json::to_vec(&present).expect("members are texts and numbers");
                    Batch::default().put(present_key(name), bytes, expect, Some(KEEP))
                }
            };
            match self.0.store.write(batch).await {
                Ok(_) => return self.tell(&topic, &before.members, &after).await,
                Err(StoreError::Conflict(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Err(StoreError::Unavailable("other nodes changed it again and again".to_owned()))
    }

    /// The members, as they are if what this node knows is added to what was written.
    fn seen_from_here(&self, topic: &Topic, before: &Present, gone: &BTreeSet<String>, now_ms: u64) -> Vec<Member> {
        let here: BTreeMap<Arc<str>, Member> = topic
            .hearers()
            .into_iter()
            .filter(|(_, session)| session.closed().is_none())
            .map(|(_, session)| (Arc::clone(&session.id), self.member(&session, now_ms)))
            .collect();
        let mut listed = HashSet::new();
        let mut after = Vec::new();
        for member in &before.members {
            listed.insert(&*member.session);
            match here.get(&*member.session) {
                Some(mine) => after.push(Member { since_ms: member.since_ms, ..mine.clone() }),
                None if *member.node == *self.0.sessions.node() || gone.contains(&member.node) => {}
                None => after.push(member.clone()),
            }
        }
        after.extend(here.iter().filter(|(id, _)| !listed.contains(&***id)).map(|(_, member)| member.clone()));
        after
    }

    fn member(&self, session: &crate::session::Session, now_ms: u64) -> Member {
        Member {
            user: session.user.to_string(),
            session: session.id.to_string(),
            node: self.0.sessions.node().to_owned(),
            since_ms: now_ms,
            connected: session.is_connected(),
        }
    }

    /// Tells the hearers who came and who went, if the topic does that.
    async fn tell(&self, topic: &Topic, before: &[Member], after: &[Member]) -> std::result::Result<(), StoreError> {
        let Some(number) = topic.rule.presence_events else { return Ok(()) };
        let not_in = |members: &[Member], others: &[Member]| -> Vec<v1::Member> {
            let others: HashSet<&str> = others.iter().map(|member| &*member.session).collect();
            members.iter().filter(|member| !others.contains(&*member.session)).map(Member::shown).collect()
        };
        let (joined, left) = (not_in(after, before), not_in(before, after));
        if joined.is_empty() && left.is_empty() {
            return Ok(());
        }
        let members = u32::try_from(after.len()).unwrap_or(u32::MAX);
        let event = v1::PresenceEvent { topic: topic.name.to_string(), joined, left, members };
        self.say(&topic.name, &topic.rule, number, event.encode_to_vec().into()).await.map(drop)
    }
}

/// Keeps the documents of this node's topics true.
pub async fn keep_present(hub: Hub) {
    loop {
        hub.0.presence.dirt.notified().await;
        let topics = hub.0.presence.take();
        let agreed = stream::iter(topics).map(|topic| {
            let hub = hub.clone();
            async move { hub.agree(&topic).await.map_err(|_| topic) }
        });
        let failed: Vec<Arc<str>> = agreed.buffer_unordered(AT_ONCE).filter_map(|agreed| async move { agreed.err() }).collect().await;
        if !failed.is_empty() {
            sleep(RETRY).await;
            failed.into_iter().for_each(|topic| hub.0.presence.put_back(topic));
        }
    }
}

// === impl Present ===

impl Present {
    fn read(document: Option<&Document>) -> std::result::Result<Present, StoreError> {
        let Some(document) = document else { return Ok(Present::default()) };
        serde_json::from_slice(&document.value).map_err(|_| StoreError::Unavailable("a list of members cannot be read".to_owned()))
    }
}

// === impl Member ===

impl Member {
    fn shown(&self) -> v1::Member {
        v1::Member {
            user: self.user.clone(),
            session: self.session.clone(),
            since_ms: i64::try_from(self.since_ms).unwrap_or(i64::MAX),
            connected: self.connected,
        }
    }
}
