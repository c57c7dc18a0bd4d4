//! What one session hears: how it begins to, how it stops, and how it goes on after its connection was lost.
//!
//! In three steps, as every effect: [`Hub::prepare`] seats the session in the topic and writes into the store that it is there; whoever
//! speaks for the session commits, by [`Prepared::commit`], in one step with telling the client; what is not committed takes itself back.
//! Promise: what a session hears on this node and what the store says of it agree in the end, and a topic is heard after a move to another
//! node only if it was granted before.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, MutexGuard};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream;
use tokio::sync::Semaphore;
use tokio::time::sleep;

use super::entry::{Leave, Position};
use super::hub::{Hub, store_failed, unavailable};
use super::topic::{Asked, Back, CaughtUp, Seat, Topic, Turn};
use crate::failure::{Failure, Reason, Result};
use crate::session::{Publication, Session};
use crate::store::{Batch, Durability, Expect, Key};
use crate::wire::{Close, v1};

/// How long the store knows what a session hears that nobody speaks for any more.
const KEEP: Duration = Duration::from_secs(7 * 86_400);

/// How often it is tried to write what a session hears; after that its next change writes it.
const WRITES_MAX: u32 = 10;

/// The pause before the store is asked again that could not answer.
const RETRY: Duration = Duration::from_millis(500);

/// Topics of one session that are looked at together when it comes back.
const RESUMED_AT_ONCE: usize = 16;

/// What one session hears on this node.
pub struct Heard {
    session: Arc<Session>,
    topics: HashMap<Arc<str>, (Arc<Topic>, Seat)>,
    /// Whose turn it is to write it into the store.
    writing: Arc<Semaphore>,
    /// At the last look a connection had the session.
    pub connected: bool,
    /// Nothing that the store says of it is missing here.
    whole: bool,
}

/// A topic that a session is about to hear.
pub struct Prepared {
    hub: Hub,
    session: Arc<Session>,
    topic: Arc<Topic>,
    seat: Seat,
    turn: Turn,
    asked: Option<Asked>,
}

/// The topics of a session that comes back.
#[derive(Default)]
pub struct Resumption {
    pub prepared: Vec<Prepared>,
    /// What the client thinks that it hears, and does not any more.
    pub lost: Vec<String>,
}

fn heard_key(session: &str) -> Key {
    Key::new("heard", session)
}

// === impl Hub ===

impl Hub {
    /// Seats a session in a topic, to hear it from now on or from where it stopped. To be called on the back room.
    pub async fn prepare(&self, session: &Arc<Session>, name: &str, from: Option<&Position>) -> Result<Prepared> {
        let prepared = self.seat(session, name, from, Back::No).await?;
        self.write_heard(session).await?;
        Ok(prepared)
    }

    async fn seat(&self, session: &Arc<Session>, name: &str, from: Option<&Position>, back: Back) -> Result<Prepared> {
        let topic = self.open(name).await?;
        let turn = self.next_turn();
        let seat = {
            let topics_max = self.rules().topics_max;
            let mut all = self.heard();
            let heard = all.entry(Arc::clone(&session.id)).or_insert_with(|| Heard::new(session, back));
            if !Arc::ptr_eq(&heard.session, session) {
                // It was here before, and came back from another node.
                std::mem::replace(heard, Heard::new(session, back)).leave_all();
            }
            let seat = heard.topics.get(name).filter(|(known, _)| Arc::ptr_eq(known, &topic)).map(|(_, seat)| *seat);
            if seat.is_none() && heard.topics.len() >= topics_max {
                let what = format!("you hear {topics_max} topics, which is as many as you may; leave one first");
                return Err(Failure::gateway(Reason::TooManyTopics, what));
            }
            let seat = topic.seat(session, seat, turn, back);
            heard.topics.insert(Arc::clone(&topic.name), (Arc::clone(&topic), seat));
            seat
        };
        // From here on it is given up where nothing comes of it.
        let mut prepared = Prepared { hub: self.clone(), session: Arc::clone(session), topic, seat, turn, asked: Some(Asked::FromNow) };
        if let Some(from) = from {
            prepared.asked = Some(self.behind(&prepared.topic, from).await?);
        }
        Ok(prepared)
    }

    /// What a topic's history holds behind a place, to be sent.
    async fn behind(&self, topic: &Topic, from: &Position) -> Result<Asked> {
        let Some(bounds) = topic.rule.history else {
            let end = Position { epoch: "".into(), offset: 0 };
            return Ok(Asked::Behind { missed: Vec::new(), whole: false, end, said: None });
        };
        let said = topic.at().map(|at| at.epoch);
        let since = self.0.histories.since(&topic.name, bounds, from).await.map_err(store_failed)?;
        let missed: Vec<Arc<Publication>> = match since.whole {
            true => since.entries.iter().filter_map(|(offset, entry)| self.publication(topic, "", *offset, entry, 0)).collect(),
            false => Vec::new(),
        };
        Ok(Asked::Behind { missed, whole: since.whole, end: since.end, said })
    }

    /// What a session hears that has come back, from where its client stopped. To be called on the back room.
    pub async fn resume(&self, session: &Arc<Session>, positions: HashMap<String, Position>) -> Result<Resumption> {
        let (mut names, whole) = match self.heard().get(&session.id).filter(|heard| Arc::ptr_eq(&heard.session, session)) {
            Some(heard) => (heard.topics.keys().map(|name| name.to_string()).collect::<BTreeSet<_>>(), heard.whole),
            None => (BTreeSet::new(), false),
        };
        if !whole && let Some(document) = self.0.store.get(&heard_key(&session.id)).await.map_err(store_failed)? {
            let stored: Vec<String> =
                serde_json::from_slice(&document.value).map_err(|_| unavailable("a list of topics cannot be read"))?;
            names.extend(stored);
        }
        let beginning = Position { epoch: "".into(), offset: 0 };
        let asked: Vec<(String, Position)> = names
            .into_iter()
            .map(|name| {
                let from = positions.get(&name).unwrap_or(&beginning).clone();
                (name, from)
            })
            .collect();
        let seated = stream::iter(asked).map(|(name, from)| {
            let (hub, session) = (self.clone(), Arc::clone(session));
            async move { (hub.seat(&session, &name, Some(&from), Back::Yes).await, name) }
        });
        let seated: Vec<(Result<Prepared>, String)> = seated.buffer_unordered(RESUMED_AT_ONCE).collect().await;
        let mut resumption = Resumption::default();
        for (seated, name) in seated {
            match seated {
                Ok(prepared) => resumption.prepared.push(prepared),
                // The store is away: the client comes again.
                Err(failure) if failure.is(Reason::Unavailable) => return Err(failure),
                // The topic does not exist any more. It may be heard here since it did.
                Err(_) => drop(self.leave(session, &name)),
            }
        }
        if let Some(heard) = self.heard().get_mut(&session.id).filter(|heard| Arc::ptr_eq(&heard.session, session)) {
            heard.whole = true;
        }
        let prepared = |name: &String| resumption.prepared.iter().any(|prepared| *prepared.topic.name == **name);
        resumption.lost = positions.into_keys().filter(|name| !prepared(name)).collect();
        Ok(resumption)
    }

    /// A session stops hearing a topic, at once; the store knows soon. False: it did not hear it.
    pub fn leave(&self, session: &Arc<Session>, name: &str) -> bool {
        let left = self.leave_here(session, name);
        left.is_some_and(|writing| {
            self.write_soon(session, writing);
            true
        })
    }

    /// Whose turn it then is to write that down.
    fn leave_here(&self, session: &Arc<Session>, name: &str) -> Option<Arc<Semaphore>> {
        let mut all = self.heard();
        let heard = all.get_mut(&session.id).filter(|heard| Arc::ptr_eq(&heard.session, session))?;
        let (topic, seat) = heard.topics.remove(name)?;
        topic.leave(seat, session);
        let writing = Arc::clone(&heard.writing);
        drop(all);
        self.0.presence.soil(&topic);
        Some(writing)
    }

    /// Those here who have to leave a topic do, and are told.
    pub(super) fn expelled(&self, topic: &Arc<Topic>, leave: &Leave) {
        for (_, session) in topic.hearers() {
            let meant = leave.users.is_empty() || leave.users.iter().any(|user| **user == *session.user);
            if meant && let Some(writing) = self.leave_here(&session, &topic.name) {
                session.expel(&topic.name, &leave.reason);
                self.write_soon(&session, writing);
            }
        }
    }

    /// Writes into the store what a session hears, some time soon.
    fn write_soon(&self, session: &Arc<Session>, writing: Arc<Semaphore>) {
        let (hub, session) = (self.clone(), Arc::clone(session));
        self.0.runtime.spawn(async move {
            // As long as somebody holds it, it is not forgotten that the session hears nothing any more.
            let _writing = writing;
            for _ in 0..WRITES_MAX {
                if hub.write_heard(&session).await.is_ok() {
                    return;
                }
                sleep(RETRY).await;
            }
        });
    }

    /// Writes into the store what a session hears, as it is when its turn comes.
    async fn write_heard(&self, session: &Arc<Session>) -> Result<()> {
        let Some(writing) = self.heard().get(&session.id).map(|heard| Arc::clone(&heard.writing)) else { return Ok(()) };
        let _turn = writing.acquire_owned().await.expect("nobody closes it");
        let names: Vec<Arc<str>> = match self.heard().get(&session.id) {
            Some(heard) if Arc::ptr_eq(&heard.session, session) && heard.whole => heard.topics.keys().cloned().collect(),
            // It is on another node, which writes it from now on; or the store knows more.
            _ => return Ok(()),
        };
        let batch = Batch::new(Durability::Flushed);
        let batch = match names.is_empty() {
            true => batch.delete(heard_key(&session.id), Expect::Anything),
            false => {
                let names: Vec<&str> = names.iter().map(|name| &**name).collect();
                let list = serde_json::to_vec(&names).expect("a list of texts");
                batch.put(heard_key(&session.id), list, Expect::Anything, Some(KEEP))
            }
        };
        self.0.store.write(batch).await.map(drop).map_err(store_failed)
    }

    /// Sees who is gone: sessions that are over hear nothing any more.
    pub(super) fn sweep(&self) {
        let mut gone = Vec::new();
        {
            let mut all = self.heard();
            for heard in all.values_mut() {
                let connected = heard.session.is_connected();
                if std::mem::replace(&mut heard.connected, connected) != connected {
                    heard.topics.values().for_each(|(topic, _)| self.0.presence.soil(topic));
                }
            }
            all.retain(|_, heard| {
                let closed = heard.session.closed();
                if let Some(close) = closed {
                    heard.leave_all();
                    heard.topics.values().for_each(|(topic, _)| self.0.presence.soil(topic));
                    // One that was replaced may live on elsewhere.
                    if close != Close::Replaced {
                        gone.push(heard_key(&heard.session.id));
                    }
                }
                closed.is_none() && !(heard.topics.is_empty() && Arc::strong_count(&heard.writing) == 1)
            });
        }
        if !gone.is_empty() {
            let store = self.0.store.clone();
            self.0.runtime.spawn(async move {
                for keys in gone.chunks(256) {
                    let batch = keys.iter().fold(Batch::default(), |batch, key| batch.delete(key.clone(), Expect::Anything));
                    // If it fails they go when their time is over.
                    let _ = store.write(batch).await;
                }
            });
        }
        self.close_deserted();
    }

    pub(super) fn heard(&self) -> MutexGuard<'_, HashMap<Arc<str>, Heard>> {
        self.0.heard.lock().expect("nothing that holds the list panics")
    }
}

// === impl Heard ===

impl Heard {
    fn new(session: &Arc<Session>, back: Back) -> Heard {
        let (writing, whole) = (Arc::new(Semaphore::new(1)), back == Back::No);
        Heard { session: Arc::clone(session), topics: HashMap::new(), writing, connected: true, whole }
    }

    /// The topics that it hears.
    pub(super) fn names(&self) -> impl ExactSizeIterator<Item = &Arc<str>> {
        self.topics.keys()
    }

    fn leave_all(&self) {
        self.topics.values().for_each(|(topic, seat)| _ = topic.leave(*seat, &self.session));
    }
}

// === impl Prepared ===

impl Prepared {
    pub fn topic(&self) -> &str {
        &self.topic.name
    }

    pub fn session(&self) -> &Arc<Session> {
        &self.session
    }

    /// Whether the history held all that was missed.
    pub fn is_whole(&self) -> bool {
        matches!(self.asked, Some(Asked::Behind { whole: true, .. }))
    }

    /// From here on the session hears the topic. `tell` says so to the client, before anything else of the topic is. False: it has left
    /// the topic meanwhile, and is told nothing.
    pub fn commit<E>(mut self, tell: impl FnOnce(v1::Subscribed) -> std::result::Result<(), E>) -> std::result::Result<bool, E> {
        let asked = self.asked.take().expect("only this takes it");
        let topic = &self.topic;
        let told = topic.catch_up(self.seat, self.turn, &self.session, asked, |caught_up| tell(subscribed(topic, caught_up)));
        if told.is_ok() {
            self.hub.0.presence.soil(topic);
        } else {
            self.asked = Some(Asked::FromNow);
        }
        told
    }
}

fn subscribed(topic: &Topic, caught_up: &CaughtUp) -> v1::Subscribed {
    v1::Subscribed {
        topic: topic.name.to_string(),
        at: caught_up.at.as_ref().map(|at| v1::Position { epoch: at.epoch.to_string(), offset: at.offset }),
        recovered: caught_up.recovered,
        replayed: u32::try_from(caught_up.missed.len()).unwrap_or(u32::MAX),
        // At least who hears it here: of others this node may not have heard yet.
        members: if topic.rule.presence { topic.members().max(caught_up.hearers) } else { 0 },
    }
}

impl Drop for Prepared {
    /// Nothing came of it.
    fn drop(&mut self) {
        if self.asked.is_none() || !self.topic.give_up(self.seat, self.turn) {
            return;
        }
        let writing = {
            let mut all = self.hub.heard();
            let Some(heard) = all.get_mut(&self.session.id).filter(|heard| Arc::ptr_eq(&heard.session, &self.session)) else { return };
            if heard.topics.get(&self.topic.name).is_some_and(|(_, seat)| *seat == self.seat) {
                heard.topics.remove(&self.topic.name);
            }
            Arc::clone(&heard.writing)
        };
        self.hub.write_soon(&self.session, writing);
    }
}
