//! What keeps the sessions of this node, the store and other nodes in agreement while nobody asks for anything.
//!
//! - A lease says that this node lives. One for all its sessions: they are over when it is, and the time they wait for their clients.
//! - The log of notices says which sessions ended elsewhere; it is followed by looking, and at once when somebody pokes.
//! - Letters of other nodes ask for what this one holds of a session.
//! - Sessions that have changed here are written to the store, again and again until it takes them.
//! - Sessions whose clients did not come back are over.
//!
//! Promise: whatever was missed, because the store was away, lost its memory, or a signal went astray, is found out and mended.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use futures_util::{StreamExt, stream};
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::time::{Instant, interval, sleep, timeout_at};
use tracing::{debug, info, warn};

use super::live::{Session, Wanted};
use super::revocation::{Notice, Revocation, session_key};
use super::roster::{Full, Roster};
use super::sessions::{Letter, Sessions, lease_key, mailbox, revocation_keys, ring_key, still_good};
use crate::drain::Tasks;
use crate::store::{Batch, Durability, Entries, Expect, Signal, StoreError};
use crate::wire::Close;

/// How long a node is believed to live that says nothing.
const LEASE: Duration = Duration::from_secs(10);

/// How often it says that it does. Three of these may fail.
const RENEWAL: Duration = Duration::from_millis(2500);

/// How long it is remembered when a node died.
const REMEMBERED: Duration = Duration::from_secs(2 * 86_400);

/// How often the log of notices is looked into though nobody poked. With the time it takes to close, this keeps revocation within 2 s.
const LOOK: Duration = Duration::from_millis(750);

/// Notices that are read at once.
const NOTICES_MAX: usize = 500;

/// Changes that are stored at the same time.
const STORED_AT_ONCE: usize = 64;

/// The pause after the store did not take a change.
const RETRY: Duration = Duration::from_millis(500);

/// How often it is looked for sessions whose clients did not come back.
const SWEEP: Duration = Duration::from_secs(1);

/// The background of a node. It remembers how far it has followed.
pub struct Node {
    sessions: Sessions,
    /// The last notice that was obeyed.
    position: u64,
    /// The version of the lease as it was last written.
    lease: Option<u64>,
}

// === impl Node ===

impl Node {
    /// Says that this node lives. From here on it knows of everything that ends elsewhere, so that sessions may be made.
    pub async fn join(sessions: Sessions) -> Result<Node, StoreError> {
        let log = sessions.0.store.read(&Notice::log(), u64::MAX, 0).await?;
        let mut node = Node { sessions, position: log.last, lease: None };
        node.renew().await?;
        Ok(node)
    }

    /// Starts everything, on the back room's runtime, until `tasks` end.
    pub fn start(self, tasks: &Tasks, runtime: &Handle) {
        let Node { sessions, position, lease } = self;
        let mut renewing = Node { sessions: sessions.clone(), position, lease };
        let mut following = Node { sessions: sessions.clone(), position, lease };
        tasks.spawn(runtime, async move { renewing.keep_renewing().await });
        tasks.spawn(runtime, async move { following.keep_following().await });
        let receiving = sessions.clone();
        tasks.spawn(runtime, async move { keep_receiving(&receiving).await });
        let storing = sessions.clone();
        tasks.spawn(runtime, async move { keep_storing(&storing).await });
        tasks.spawn(runtime, async move {
            let mut tick = interval(SWEEP);
            loop {
                tick.tick().await;
                sessions.sweep();
            }
        });
    }

    async fn keep_renewing(&mut self) {
        let mut tick = interval(RENEWAL);
        let mut said = false;
        loop {
            tick.tick().await;
            match self.renew().await {
                Ok(()) if said => {
                    info!("the store is back");
                    said = false;
                }
                Ok(()) => {}
                Err(error) if !said => {
                    warn!(%error, "this node cannot say that it lives; connected clients stay, new sessions are refused");
                    said = true;
                }
                Err(_) => {}
            }
        }
    }

    /// Says that this node lives. If the store has forgotten what it said before, it may have forgotten everything.
    async fn renew(&mut self) -> Result<(), StoreError> {
        let inner = &self.sessions.0;
        let until = super::sessions::later(&inner.clock, LEASE).to_string();
        let (key, ttl) = (lease_key(&inner.node), Some(LEASE + REMEMBERED));
        let expect = self.lease.map_or(Expect::Anything, Expect::Version);
        let batch = |expect| Batch::default().put(key.clone(), until.clone(), expect, ttl);
        let versions = match inner.store.write(batch(expect)).await {
            Err(StoreError::Conflict(_)) => {
                warn!("the store has lost what it knew; this node tells it again which sessions it has");
                let versions = inner.store.write(batch(Expect::Anything)).await?;
                self.sessions.soil_all();
                versions
            }
            written => written?,
        };
        self.lease = versions.first().copied();
        Ok(())
    }

    async fn keep_following(&mut self) {
        let mut pokes = None;
        loop {
            if pokes.is_none() {
                pokes = self.sessions.0.store.listen(Notice::CHANNEL).await.ok();
            }
            let looked = Instant::now();
            if let Err(error) = self.follow().await {
                debug!(%error, "the log of notices cannot be read");
            }
            match &mut pokes {
                Some(channel) => {
                    if let Ok(None) = timeout_at(looked + LOOK, channel.recv()).await {
                        pokes = None;
                    }
                }
                None => sleep(LOOK).await,
            }
        }
    }

    /// Obeys every notice since the last time.
    pub(super) async fn follow(&mut self) -> Result<(), StoreError> {
        loop {
            let read = self.sessions.0.store.read(&Notice::log(), self.position, NOTICES_MAX).await?;
            let Entries { entries, first, last } = read;
            if last < self.position || first > self.position + 1 {
                // The log began anew, or went on without us.
                warn!("notices were missed; every session of this node is looked at");
                self.sessions.soil_all();
                self.position = if last < self.position { 0 } else { first - 1 };
                continue;
            }
            for (offset, entry) in &entries {
                if let Some(notice) = Notice::read(entry) {
                    self.sessions.obey(&notice);
                }
                self.position = *offset;
            }
            if entries.len() < NOTICES_MAX {
                return Ok(());
            }
        }
    }
}

// === impl Sessions ===

impl Sessions {
    /// Ends what a notice says has ended.
    fn obey(&self, notice: &Notice) {
        match notice {
            Notice::Replaced { session, generation } => {
                self.get(session).iter().for_each(|session| self.finish(session, *generation, Close::Replaced));
            }
            Notice::Revoked(Revocation::Session(id)) => {
                self.get(id).iter().for_each(|session| self.finish(session, u64::MAX, Close::Revoked));
            }
            Notice::Revoked(Revocation::Token(id)) => {
                let with_token = |session: &Arc<Session>| session.identity().token_id.as_deref() == Some(id);
                let found = self.0.registry.all().into_iter().filter(with_token);
                found.for_each(|session| self.finish(&session, u64::MAX, Close::Revoked));
            }
            Notice::Revoked(Revocation::User { user, issued_before_ms }) => {
                let older = |session: &Arc<Session>| session.identity().issued_ms < *issued_before_ms;
                let found = self.of_user(user).into_iter().filter(older);
                found.for_each(|session| self.finish(&session, u64::MAX, Close::Revoked));
            }
        }
    }

    /// Ends a session here, and has the store know.
    fn finish(&self, session: &Arc<Session>, generation: u64, close: Close) {
        if session.end(generation, close) {
            self.0.registry.remove(session);
            self.soil(session);
        }
    }

    /// Ends the sessions whose clients did not come back.
    pub(super) fn sweep(&self) {
        let now = self.0.clock.now_ms();
        for session in self.0.registry.all() {
            if session.give_up(now) {
                self.0.registry.remove(&session);
                self.soil(&session);
            }
        }
    }

    fn soil_all(&self) {
        self.0.registry.all().iter().for_each(|session| self.soil(session));
    }

    /// A letter of another node.
    pub(super) async fn receive(&self, letter: Letter) {
        match letter {
            Letter::TakenOver { session: id, generation, by } => {
                let session = self.get(&id).filter(|session| session.generation() < generation);
                let ring = session.as_ref().and_then(|session| session.hand_over(generation));
                if let Some(session) = &session {
                    self.0.registry.remove(session);
                }
                let answer = Letter::Ring { session: id, ring };
                // If it does not arrive, the other node goes on without.
                let _ = self.0.store.publish(&mailbox(&by), answer.write().into()).await;
            }
            Letter::Push { session, number, payload } => {
                if let Ok(payload) = BASE64_STANDARD.decode(payload) {
                    self.push_here(&session, number, payload.into());
                }
            }
            Letter::Ring { session, ring } => {
                let awaited = self.0.awaited.lock().expect("nothing that holds the list panics").remove(&session);
                if let Some(awaited) = awaited {
                    // Whoever waited may have gone on.
                    let _ = awaited.send(ring);
                }
            }
        }
    }

    /// Stores what has changed, once each. What the store does not take stays for the next time.
    pub(super) async fn store_changes(&self) -> Result<(), StoreError> {
        loop {
            let batch: Vec<Arc<Session>> = {
                let mut dirty = self.0.dirty.lock().expect("nothing that holds the list panics");
                let count = dirty.len().min(STORED_AT_ONCE);
                dirty.drain(..count).collect()
            };
            if batch.is_empty() {
                return Ok(());
            }
            let stored = stream::iter(batch).map(|session| async move {
                session.set_dirty(false);
                let stored = self.store_change(&session).await;
                if stored.is_err() {
                    self.soil(&session);
                }
                stored
            });
            let stored: Vec<Result<(), StoreError>> = stored.buffer_unordered(STORED_AT_ONCE).collect().await;
            stored.into_iter().collect::<Result<(), StoreError>>()?;
        }
    }

    /// Makes the store agree with this node about one session, or this node with the store.
    async fn store_change(&self, session: &Arc<Session>) -> Result<(), StoreError> {
        let rules = self.rules();
        loop {
            let identity = session.identity();
            let mut keys = vec![Roster::key(&session.user), session_key(&session.id)];
            keys.extend(revocation_keys(&identity));
            let found = self.0.store.get_all(&keys).await?;
            let document = found[0].as_ref();
            let lost = |failure: crate::failure::Failure| StoreError::Unavailable(failure.cause().unwrap_or_default().to_owned());
            let mut roster = self.roster(document, &rules).await.map_err(lost)?;
            let changed = match session.wanted(&self.0.node) {
                Wanted::Over { generation: 0 } => roster.withdraw(&session.id),
                Wanted::Over { generation } => roster.remove(&session.id, generation),
                // Nobody has it yet; whoever makes it tells the store.
                Wanted::Alive(record) if record.generation == 0 => false,
                Wanted::Alive(record) => {
                    let generation = record.generation;
                    if found[1].is_some() || still_good(&identity, &keys[2..], &found[2..]).is_err() {
                        self.finish(session, generation, Close::Revoked);
                        continue;
                    }
                    match roster.find(&session.id).map(|stored| (stored.generation == generation, *stored == record)) {
                        Some((true, true)) => false,
                        Some((true, false)) => roster.change(&session.id, generation, |stored| *stored = record),
                        // It is on another connection by now; or the store lost it, and there is no room for it any more.
                        Some((false, _)) => {
                            self.finish(session, generation, Close::Replaced);
                            return Ok(());
                        }
                        None => match roster.restore(record, &rules) {
                            Ok(()) => true,
                            Err(Full) => {
                                self.finish(session, generation, Close::Replaced);
                                return Ok(());
                            }
                        },
                    }
                }
            };
            let parked = if self.is_draining() { session.park() } else { None };
            if !changed && parked.is_none() {
                return Ok(());
            }
            let mut batch = self.roster_batch(&session.user, &roster, document, &rules);
            if let Some(ring) = parked {
                let ring = serde_json::to_vec(&ring).expect("a ring is numbers and texts");
                batch = batch.put(ring_key(&session.id), ring, Expect::Anything, Some(Duration::from_millis(rules.resume_window_ms)));
            }
            match self.0.store.write(batch).await {
                Ok(_) => return Ok(()),
                Err(StoreError::Conflict(_)) => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// From now on sessions that lose their connection are handed to the store, for other nodes.
    pub fn begin_drain(&self) {
        self.0.draining.store(true, Ordering::Relaxed);
    }

    /// Stores what is still to be stored, within `patience`, and says that this node is gone.
    pub async fn finish_drain(&self, patience: Duration) {
        let deadline = Instant::now() + patience;
        // Also those that have waited for longer: nothing about them has changed, and their rings are to be parked.
        self.soil_all();
        // What cannot be stored in time is over when this node's lease is.
        let _ = timeout_at(deadline, self.store_changes()).await;
        let gone = self.0.clock.now_ms().to_string();
        let batch = Batch::new(Durability::Durable).put(lease_key(&self.0.node), gone, Expect::Anything, Some(REMEMBERED));
        let _ = timeout_at(deadline, self.0.store.write(batch)).await;
    }
}

/// Opens every letter of other nodes.
async fn keep_receiving(sessions: &Sessions) {
    let mut letters: Option<mpsc::Receiver<Signal>> = None;
    loop {
        match &mut letters {
            None => match sessions.0.store.listen(&mailbox(&sessions.0.node)).await {
                Ok(channel) => letters = Some(channel),
                Err(_) => sleep(RETRY).await,
            },
            Some(channel) => match channel.recv().await {
                Some(Signal::Message(bytes)) => {
                    if let Some(letter) = Letter::read(&bytes) {
                        sessions.receive(letter).await;
                    }
                }
                // Who wrote and got no answer goes on without one.
                Some(Signal::Gap) => {}
                None => letters = None,
            },
        }
    }
}

async fn keep_storing(sessions: &Sessions) {
    loop {
        sessions.0.dirt.notified().await;
        while let Err(error) = sessions.store_changes().await {
            debug!(%error, "sessions cannot be stored, and will be");
            sleep(RETRY).await;
        }
    }
}
