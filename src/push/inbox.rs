//! Durable pushes: a log for each user, out of which every session of the user takes what its client has not got.
//!
//! A push is in the store before anybody is told; sessions that are connected are told to look, and whoever logs in looks by itself. What
//! a client has acknowledged is behind the user's mark, and a later login begins there. Promises: what is in the inbox reaches the user's
//! next login, unless it is older than a month or more came behind it than an inbox holds; a session gets every entry once and in order.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use prost::Message;
use tokio::sync::mpsc;
use tokio::time::sleep;
use tracing::warn;

use super::entry::Entry;
use super::hub::{Hub, store_failed};
use crate::failure::Result;
use crate::session::{Place, Reached, Session, Sessions};
use crate::store::{Batch, Bounds, Durability, Expect, Key, Signal, StoreError};

/// How much an inbox holds.
const BOUNDS: Bounds = Bounds { count: 1000, bytes: Some(1 << 20), age: Duration::from_secs(30 * 86_400) };

/// Entries that are read at once.
const PAGE: usize = 64;

/// Lanes in which sessions look into their inboxes: each session has one, so that it looks once at a time.
const LANES: usize = 8;

/// Sessions that may wait in one lane.
const LANE_MAX: usize = 1024;

/// The pause before the store is asked again that could not answer.
const RETRY: Duration = Duration::from_millis(500);

/// Attempts at moving a user's mark. Each failure means that somebody else moved it.
const ATTEMPTS_MAX: u32 = 8;

/// Who looks into which inbox on this node.
pub struct Inboxes {
    lanes: Vec<mpsc::Sender<Arc<Session>>>,
    /// The other ends, until they are worked off.
    waiting: Mutex<Vec<mpsc::Receiver<Arc<Session>>>>,
    /// Sessions that have something of an inbox, and how far the store knows their clients to be.
    active: Mutex<HashMap<Arc<str>, Active>>,
}

struct Active {
    session: Arc<Session>,
    stored: u64,
    /// There is more than could be given to it at once.
    more: bool,
}

fn log(user: &str) -> Key {
    Key::new("inbox", user)
}

fn mark(user: &str) -> Key {
    Key::new("inbox-read", user)
}

fn channel(node: &str) -> String {
    format!("inbox:{node}")
}

// === impl Inboxes ===

impl Inboxes {
    pub fn new() -> Inboxes {
        let (lanes, waiting) = (0..LANES).map(|_| mpsc::channel(LANE_MAX)).unzip();
        Inboxes { lanes, waiting: Mutex::new(waiting), active: Mutex::default() }
    }

    fn lane(&self, session: &Session) -> &mpsc::Sender<Arc<Session>> {
        let place = session.turn() % self.lanes.len() as u64;
        &self.lanes[usize::try_from(place).expect("there are few lanes")]
    }

    fn active(&self) -> MutexGuard<'_, HashMap<Arc<str>, Active>> {
        self.active.lock().expect("nothing that holds the list panics")
    }
}

// === impl Hub ===

impl Hub {
    /// Puts a message into a user's inbox, and has the user's sessions look. Those that were told. To be called on the back
    /// room.
    pub(super) async fn deliver(&self, user: &str, number: u32, payload: Bytes) -> Result<Reached> {
        let entry = Entry { number, payload, ..Entry::default() };
        let batch = Batch::new(Durability::Durable).append(log(user), entry.encode_to_vec(), BOUNDS);
        let offsets = self.0.store.write(batch).await.map_err(store_failed)?;
        let place = Place(offsets.first().copied().unwrap_or(0));
        self.0.sessions.pushes().published.one();
        let mut told = Reached::default();
        for record in self.0.sessions.list(user).await? {
            if record.node == self.0.sessions.node() {
                if let Some(session) = self.0.sessions.get(&record.id) {
                    // Where too many wait, this one waits with them: whoever pushes is slowed down, and nobody is forgotten.
                    let _ = self.0.inboxes.lane(&session).send(Arc::clone(&session)).await;
                    told.here.push((session, place));
                }
            } else {
                // One that is not heard is made good when the session is next looked at.
                let heard = self.0.store.publish(&channel(&record.node), record.id.clone().into()).await.map_err(store_failed)?;
                if heard > 0 {
                    told.add_elsewhere(&record, place);
                }
            }
        }
        Ok(told)
    }

    /// A session has a connection from now on: what is in the user's inbox is sent to it.
    pub fn welcome(&self, session: &Arc<Session>) {
        if self.rules().has_durable && self.0.inboxes.lane(session).try_send(Arc::clone(session)).is_err() {
            warn!("too many sessions look into their inboxes at once; this one looks later");
            self.0.inboxes.active().entry(Arc::clone(&session.id)).or_insert_with(|| Active::new(session)).more = true;
        }
    }

    /// Gives a session what its client has not got, as much as can wait for an acknowledgement.
    pub(super) async fn look(&self, session: &Arc<Session>) -> std::result::Result<(), StoreError> {
        let bytes_max = self.0.sessions.settings().ring_bytes_max;
        loop {
            if !session.is_connected() {
                return Ok(());
            }
            let Some(seen) = session.inbox() else {
                let mark = self.0.store.get(&mark(&session.user)).await?;
                session.begin_inbox(mark.map_or(0, |document| number(&document.value)));
                continue;
            };
            let read = self.0.store.read(&log(&session.user), seen, PAGE).await?;
            let full = read.entries.len() == PAGE;
            let mut more = false;
            for (offset, bytes) in read.entries {
                // Entries that nobody can read have their places, too.
                let Ok(entry) = Entry::decode(bytes) else { continue };
                if !session.has_room(bytes_max) {
                    more = true;
                    break;
                }
                if !session.push_of_inbox(entry.number, entry.payload, offset, bytes_max) {
                    return Ok(());
                }
            }
            let has_any = session.inbox().is_some_and(|inbox| inbox > 0);
            if has_any || more {
                let mut active = self.0.inboxes.active();
                let active = active.entry(Arc::clone(&session.id)).or_insert_with(|| Active::new(session));
                (active.session, active.more) = (Arc::clone(session), more);
            }
            if more || !full {
                return Ok(());
            }
        }
    }

    /// Moves the marks of users whose clients have acknowledged something, and lets those go on looking that had no room.
    pub(super) async fn sweep_inboxes(&self) {
        let moved: Vec<(Arc<Session>, u64)> = {
            let mut active = self.0.inboxes.active();
            let moved = active.values_mut().filter_map(|active| {
                let acknowledged = active.session.inbox_acknowledged()?;
                (acknowledged > active.stored).then(|| (Arc::clone(&active.session), acknowledged))
            });
            moved.collect()
        };
        for (session, acknowledged) in moved {
            if self.move_mark(&session.user, acknowledged).await.is_err() {
                return;
            }
            if let Some(active) = self.0.inboxes.active().get_mut(&session.id) {
                active.stored = active.stored.max(acknowledged);
            }
        }
        let again: Vec<Arc<Session>> = {
            let mut active = self.0.inboxes.active();
            active.retain(|_, active| active.session.closed().is_none());
            let bytes_max = self.0.sessions.settings().ring_bytes_max;
            let again = active.values_mut().filter(|active| active.more && active.session.has_room(bytes_max));
            again.map(|active| Arc::clone(&active.session)).collect()
        };
        for session in again {
            let _ = self.0.inboxes.lane(&session).try_send(session);
        }
    }

    async fn move_mark(&self, user: &str, to: u64) -> std::result::Result<(), StoreError> {
        for _ in 0..ATTEMPTS_MAX {
            let document = self.0.store.get(&mark(user)).await?;
            if document.as_ref().is_some_and(|document| number(&document.value) >= to) {
                return Ok(());
            }
            // It has to outlive what it is a mark in.
            let put = Batch::default().put(mark(user), to.to_string(), Expect::unchanged(document.as_ref()), Some(BOUNDS.age * 2));
            match self.0.store.write(put).await {
                Err(StoreError::Conflict(_)) => {}
                done => return done.map(drop),
            }
        }
        Ok(())
    }
}

/// Has sessions of this node look into their inboxes when they are told to, and when they come.
pub async fn keep_looking(hub: Hub) {
    let lanes = std::mem::take(&mut *hub.0.inboxes.waiting.lock().expect("nothing that holds the lanes panics"));
    let working = lanes.into_iter().map(|mut lane| {
        let hub = hub.clone();
        async move {
            while let Some(session) = lane.recv().await {
                while hub.look(&session).await.is_err() && session.is_connected() {
                    sleep(RETRY).await;
                }
            }
        }
    });
    let told = hear_of_others(hub.clone(), hub.0.sessions.clone());
    tokio::join!(told, futures_util::future::join_all(working));
}

async fn hear_of_others(hub: Hub, sessions: Sessions) {
    let mut signals: Option<mpsc::Receiver<Signal>> = None;
    loop {
        match &mut signals {
            None => match hub.0.store.listen(&channel(sessions.node())).await {
                Ok(channel) => signals = Some(channel),
                Err(_) => sleep(RETRY).await,
            },
            Some(channel) => match channel.recv().await {
                Some(Signal::Message(id)) => {
                    if let Some(session) = std::str::from_utf8(&id).ok().and_then(|id| sessions.get(id)) {
                        let _ = hub.0.inboxes.lane(&session).send(session).await;
                    }
                }
                // Somebody was told something, and nobody knows who.
                Some(Signal::Gap) => {
                    for session in sessions.all() {
                        let _ = hub.0.inboxes.lane(&session).send(session).await;
                    }
                }
                None => signals = None,
            },
        }
    }
}

// === impl Active ===

impl Active {
    fn new(session: &Arc<Session>) -> Active {
        Active { session: Arc::clone(session), stored: 0, more: false }
    }
}

fn number(bytes: &[u8]) -> u64 {
    std::str::from_utf8(bytes).ok().and_then(|text| text.parse().ok()).unwrap_or(0)
}
