//! The topics of this node, and what its sessions hear of them.
//!
//! A topic is open here as long as somebody here hears it: one task listens to its channel, says its entries in order, and fetches from its
//! history what it missed. What a session hears is in the store as well, for the node that it comes back to. Promises: only nodes with a
//! hearer receive; a signal that went astray is found out and made good; topics, hearers and what they hold back are bounded.

use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{sleep, timeout};
use tokio_util::task::AbortOnDropHandle;

use super::declared::{Rules, TopicRule};
use super::entry::{Entry, Leave, Position};
use super::heard::Heard;
use super::history::{Histories, channel, unkept};
use super::inbox::Inboxes;
use super::topic::{Topic, Turn};
use super::{listen, presence};
use crate::clock::Clock;
use crate::failure::{Failure, Reason, Result};
use crate::session::{Publication, Sessions};
use crate::store::{Store, StoreError};
use crate::topic;

/// Topics that are open on one node.
const TOPICS_MAX: usize = 200_000;

/// How long it may take until a topic is heard.
const OPEN_PATIENCE: Duration = Duration::from_secs(3);

/// Effects that wait to be published; what comes beyond is lost, and said to be in the log.
const PUBLISHING_MAX: usize = 4096;

/// How often, and after which pause, an effect is published again where the store had no room to be asked.
const PUBLISHED_AGAIN_MAX: u32 = 20;
const PUBLISHED_AGAIN_AFTER: Duration = Duration::from_millis(100);

/// All of it. Clones are the same.
#[derive(Clone)]
pub struct Hub(pub(super) Arc<Inner>);

pub(super) struct Inner {
    pub sessions: Sessions,
    pub store: Store,
    pub clock: Clock,
    pub runtime: Handle,
    pub histories: Histories,
    pub presence: presence::Dirty,
    pub inboxes: Inboxes,
    rules: Mutex<Arc<Rules>>,
    open: Mutex<HashMap<Arc<str>, Open>>,
    /// What sessions hear, by their ids.
    pub heard: Mutex<HashMap<Arc<str>, Heard>>,
    turns: AtomicU64,
    publishing: Arc<Semaphore>,
    /// What effects publish, by topic. As long as a topic is in it, somebody publishes what waits there.
    later: Mutex<HashMap<String, VecDeque<Later>>>,
}

/// A message of an effect that waits to be published.
struct Later {
    number: u32,
    payload: Bytes,
    _room: OwnedSemaphorePermit,
}

/// A topic that is open.
struct Open {
    topic: Arc<Topic>,
    ready: watch::Receiver<bool>,
    /// At the last look nobody heard it.
    deserted: bool,
    _task: AbortOnDropHandle<()>,
}

// === impl Hub ===

impl Hub {
    /// No topics yet. What waits runs on `runtime`.
    pub fn new(sessions: Sessions, store: Store, clock: Clock, runtime: Handle) -> Hub {
        Hub(Arc::new(Inner {
            sessions,
            histories: Histories::new(store.clone(), clock.clone()),
            store,
            clock,
            runtime,
            presence: presence::Dirty::default(),
            inboxes: Inboxes::new(),
            rules: Mutex::default(),
            open: Mutex::default(),
            heard: Mutex::default(),
            turns: AtomicU64::new(0),
            publishing: Arc::new(Semaphore::new(PUBLISHING_MAX)),
            later: Mutex::default(),
        }))
    }

    /// A hub over a store in memory that nobody else has, for tests of the rooms above.
    #[cfg(test)]
    pub fn for_tests(sessions: &Sessions) -> Hub {
        let clock = Clock::system();
        let store = Store::new(crate::store::memory::Memory::new(clock.clone()));
        Hub::new(sessions.clone(), store, clock, sessions.runtime().clone())
    }

    pub fn rules(&self) -> Arc<Rules> {
        Arc::clone(&self.0.rules.lock().expect("nothing that holds the rules panics"))
    }

    /// From now on these rules hold. Topics that are open stay as they are until nobody hears them.
    pub fn set_rules(&self, rules: Rules) {
        *self.0.rules.lock().expect("nothing that holds the rules panics") = Arc::new(rules);
    }

    /// Sends a message to whoever hears a topic, on any node. Where it stands in the topic's history. To be called on the back room.
    pub async fn publish(&self, topic: &str, number: u32, payload: Bytes) -> Result<Option<Position>> {
        let rule = self.rule(topic)?;
        if !rule.pushes.contains(&number) {
            let what = format!("the pattern `{}` does not list {number} under `pushes`", rule.pattern.as_str());
            return Err(Failure::gateway(Reason::WrongTopic, what));
        }
        self.say(&topic.into(), &rule, number, payload).await.map_err(store_failed)
    }

    pub(super) async fn say(
        &self,
        topic: &Arc<str>,
        rule: &TopicRule,
        number: u32,
        payload: Bytes,
    ) -> std::result::Result<Option<Position>, StoreError> {
        let at = match rule.history {
            Some(bounds) => {
                let seen = self.opened(topic).and_then(|topic| topic.at());
                Some(self.0.histories.append(topic, bounds, number, payload, seen.as_ref()).await?)
            }
            None => {
                let entry = Entry { number, payload, said_ms: self.0.clock.now_ms(), ..Entry::default() };
                self.0.store.publish(&channel(topic), unkept(&entry)).await?;
                None
            }
        };
        self.0.sessions.pushes().published.one();
        Ok(at)
    }

    /// A message was heard here that some node has said: how long it took.
    pub(super) fn note_lag(&self, entry: &Entry) {
        if entry.said_ms > 0 {
            let lag = self.0.clock.now_ms().saturating_sub(entry.said_ms);
            self.0.sessions.pushes().lag.record(Duration::from_millis(lag));
        }
    }

    /// The same for an effect, which nobody waits for. What is published to one topic goes out in this order, one after the other.
    pub fn publish_later(&self, topic: String, number: u32, payload: Bytes) {
        let Ok(room) = Arc::clone(&self.0.publishing).try_acquire_owned() else {
            self.0.sessions.pushes().unpublished.one();
            return tracing::warn!(topic, number, "too much waits to be published, this is lost");
        };
        let later = Later { number, payload, _room: room };
        let is_first = {
            let mut all = self.later();
            let is_first = !all.contains_key(&topic);
            all.entry(topic.clone()).or_default().push_back(later);
            is_first
        };
        if is_first {
            self.0.runtime.spawn(self.clone().publish_all(topic));
        }
    }

    /// Publishes what waits for a topic, until nothing does.
    async fn publish_all(self, topic: String) {
        while let Some(Later { number, payload, _room }) = self.next_later(&topic) {
            let mut published = self.publish(&topic, number, payload.clone()).await;
            for _ in 0..PUBLISHED_AGAIN_MAX {
                // What may have happened is not done twice.
                if !published.as_ref().is_err_and(Failure::is_unsent) {
                    break;
                }
                sleep(PUBLISHED_AGAIN_AFTER).await;
                published = self.publish(&topic, number, payload.clone()).await;
            }
            if let Err(failure) = published {
                self.0.sessions.pushes().unpublished.one();
                let (reason, cause) = (failure.reason(), failure.cause());
                tracing::warn!(topic, number, reason, cause, "could not be published: {}", failure.message());
            }
        }
    }

    fn next_later(&self, topic: &str) -> Option<Later> {
        let mut all = self.later();
        let next = all.get_mut(topic).and_then(VecDeque::pop_front);
        if next.is_none() {
            // Who comes next is the first again.
            all.remove(topic);
        }
        next
    }

    fn later(&self) -> MutexGuard<'_, HashMap<String, VecDeque<Later>>> {
        self.0.later.lock().expect("nothing that holds the list panics")
    }

    /// Takes users out of a topic, or everybody, on every node.
    pub async fn expel(&self, topic: &str, users: Vec<String>, reason: String) -> Result<()> {
        self.rule(topic)?;
        let entry = Entry { leave: Some(Leave { users, reason }), ..Entry::default() };
        self.0.store.publish(&channel(topic), unkept(&entry)).await.map(drop).map_err(store_failed)
    }

    /// What holds for a topic.
    pub fn rule(&self, topic: &str) -> Result<Arc<TopicRule>> {
        let rule = if topic::is_name(topic) { self.rules().topic(topic).cloned() } else { None };
        rule.ok_or_else(|| Failure::gateway(Reason::UnknownTopic, "no pattern declares this topic"))
    }

    /// A topic that is heard here, from now on if it was not.
    pub(super) async fn open(&self, name: &str) -> Result<Arc<Topic>> {
        let rule = self.rule(name)?;
        let (topic, mut ready) = {
            let mut open = self.lock();
            let full = open.len() >= TOPICS_MAX;
            match open.get_mut(name) {
                Some(open) => {
                    open.deserted = false;
                    (Arc::clone(&open.topic), open.ready.clone())
                }
                None if full => {
                    return Err(Failure::gateway(Reason::Overloaded, "the gateway has all the topics that it takes; try again later"));
                }
                None => {
                    let topic = Arc::new(Topic::new(name.into(), rule));
                    let (tell, ready) = watch::channel(false);
                    let listening = listen::keep_listening(self.clone(), Arc::clone(&topic), tell);
                    let task = AbortOnDropHandle::new(self.0.runtime.spawn(listening));
                    let opened = Open { topic: Arc::clone(&topic), ready: ready.clone(), deserted: false, _task: task };
                    open.insert(Arc::clone(&topic.name), opened);
                    (topic, ready)
                }
            }
        };
        match timeout(OPEN_PATIENCE, ready.wait_for(|ready| *ready)).await {
            Ok(Ok(_)) => Ok(topic),
            _ => Err(unavailable("a topic could not be listened to")),
        }
    }

    /// Closes the topics that nobody has heard since the last time.
    pub(super) fn close_deserted(&self) {
        self.lock().retain(|_, open| {
            let deserted = open.topic.is_deserted();
            let close = deserted && open.deserted;
            open.deserted = deserted;
            !close
        });
    }

    /// The topic, if it is open here.
    pub(super) fn opened(&self, name: &str) -> Option<Arc<Topic>> {
        self.lock().get(name).map(|open| Arc::clone(&open.topic))
    }

    /// The same, or one that nobody here hears any more.
    pub(super) fn opened_or_closed(&self, name: &Arc<str>) -> Option<Arc<Topic>> {
        self.opened(name).or_else(|| Some(Arc::new(Topic::new(Arc::clone(name), self.rule(name).ok()?))))
    }

    /// Some of the topics; in so many turns all of them.
    pub(super) fn topics_of_turn(&self, turn: u64, turns: u64) -> Vec<Arc<Topic>> {
        let number = |name: &str| name.bytes().fold(0u64, |number, byte| number.wrapping_mul(31).wrapping_add(byte.into()));
        let open = self.lock();
        open.values().filter(|open| number(&open.topic.name) % turns == turn % turns).map(|open| Arc::clone(&open.topic)).collect()
    }

    /// The first names of open topics behind this one, of which this is a part; at most so many, in order.
    pub(super) fn names_behind(&self, after: &str, search: &str, count_max: usize) -> Vec<Arc<str>> {
        let mut first: BinaryHeap<Arc<str>> = BinaryHeap::with_capacity(count_max + 1);
        for name in self.lock().keys().filter(|name| ***name > *after && name.contains(search)) {
            first.push(Arc::clone(name));
            if first.len() > count_max {
                first.pop();
            }
        }
        first.into_sorted_vec()
    }

    /// How many topics are open here.
    pub fn len(&self) -> usize {
        self.lock().len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What the histories of these topics hold in bytes, as far as it can be told from what was heard.
    pub fn history_bytes(&self) -> u64 {
        self.lock().values().map(|open| open.topic.history_bytes()).sum()
    }

    pub(super) fn next_turn(&self) -> Turn {
        Turn(self.0.turns.fetch_add(1, Relaxed))
    }

    /// One entry of a topic, to be sent to many. Nothing: nobody knows the number any more.
    pub(super) fn publication(&self, topic: &Topic, epoch: &str, offset: u64, entry: &Entry, dropped: u32) -> Option<Arc<Publication>> {
        let publication = self.rules().push(entry.number)?.publication(entry.payload.clone()).ok()?;
        Some(Arc::new(publication.at(Arc::clone(&topic.name), epoch.into(), offset).behind_lost(dropped)))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Arc<str>, Open>> {
        self.0.open.lock().expect("nothing that holds the list panics")
    }
}

pub(super) fn store_failed(error: StoreError) -> Failure {
    let failure = unavailable(&error.to_string());
    if let StoreError::Busy(_) = error { failure.unsent() } else { failure }
}

pub(super) fn unavailable(cause: &str) -> Failure {
    Failure::gateway(Reason::Unavailable, "topics cannot be looked after at the moment; try again")
        .retry_after(Duration::from_secs(1))
        .because(cause)
}
