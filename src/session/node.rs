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
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use tokio::runtime::Handle;
use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, interval, sleep, timeout_at};
use tracing::{debug, info, warn};

use super::letter::{Letter, mailbox};
use super::live::{NotOlder, Session};
use super::revocation::{Notice, Revocation};
use super::rosters::lease_key;
use super::sessions::{Sessions, later};
use super::storing::keep_storing;
use crate::drain::Tasks;
use crate::store::{Batch, Entries, Expect, Signal, StoreError};
use crate::wire::Close;

/// How long a node is believed to live that says nothing.
const LEASE: Duration = Duration::from_secs(10);

/// How often it says that it does. Three of these may fail.
const RENEWAL: Duration = Duration::from_millis(2500);

/// How long it is remembered when a node died.
pub(super) const REMEMBERED: Duration = Duration::from_secs(2 * 86_400);

/// How often the log of notices is looked into though nobody poked. With the time it takes to close, this keeps revocation within 2 s.
const LOOK: Duration = Duration::from_millis(750);

/// Notices that are read at once.
const NOTICES_MAX: usize = 500;

/// The pause before listening is tried again.
const RETRY: Duration = Duration::from_millis(500);

/// How often it is looked for sessions whose clients did not come back.
const SWEEP: Duration = Duration::from_secs(1);

/// Within so many sweeps every session is compared with the store: five minutes.
const COMPARED_WITHIN: u64 = 300;

/// The background of a node. It remembers how far it has followed.
pub struct Node {
    sessions: Sessions,
    /// The last notice that was obeyed.
    position: u64,
    /// The lease as it was last written: its version, and until when it is.
    lease: Option<(u64, u64)>,
    /// The store was out of reach, and may have lost what it knew.
    doubt: Arc<Notify>,
}

// === impl Node ===

impl Node {
    /// Says that this node lives. From here on it knows of everything that ends elsewhere, so that sessions may be made.
    pub async fn join(sessions: Sessions) -> Result<Node, StoreError> {
        let log = sessions.0.store.read(&Notice::log(), u64::MAX, 0).await?;
        let mut node = Node { sessions, position: log.last, lease: None, doubt: Arc::default() };
        node.renew().await?;
        Ok(node)
    }

    /// Starts everything, on the back room's runtime, until `tasks` end.
    pub fn start(self, tasks: &Tasks, runtime: &Handle) {
        let Node { sessions, position, lease, doubt } = self;
        let mut renewing = Node { sessions: sessions.clone(), position, lease, doubt: Arc::clone(&doubt) };
        let mut following = Node { sessions: sessions.clone(), position, lease, doubt };
        tasks.spawn(runtime, async move { renewing.keep_renewing().await });
        tasks.spawn(runtime, async move { following.keep_following().await });
        let receiving = sessions.clone();
        tasks.spawn(runtime, async move { keep_receiving(&receiving).await });
        let storing = sessions.clone();
        tasks.spawn(runtime, async move { keep_storing(&storing).await });
        tasks.spawn(runtime, async move {
            let mut tick = interval(SWEEP);
            for turn in 0.. {
                tick.tick().await;
                sessions.sweep(turn);
            }
        });
    }

    async fn keep_renewing(&mut self) {
        let mut tick = interval(RENEWAL);
        let mut said = false;
        loop {
            let doubt = Arc::clone(&self.doubt);
            tokio::select! {
                biased;
                () = doubt.notified() => {}
                _ = tick.tick() => {}
            }
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

    /// Says that this node lives. If the store has forgotten what it said before, it may have forgotten everything; if it said nothing for
    /// so long that others took it for dead, they may have given its sessions up. Either way they are told again.
    pub(super) async fn renew(&mut self) -> Result<(), StoreError> {
        let inner = &self.sessions.0;
        let (now, until) = (inner.clock.now_ms(), later(&inner.clock, LEASE));
        let (key, ttl) = (lease_key(&inner.node), Some(LEASE + REMEMBERED));
        let batch = |expect| Batch::default().put(key.clone(), until.to_string(), expect, ttl);
        let expect = self.lease.map_or(Expect::Anything, |(version, _)| Expect::Version(version));
        let lapsed = self.lease.is_some_and(|(_, until)| until <= now);
        let (versions, forgotten) = match inner.store.write(batch(expect)).await {
            Err(StoreError::Conflict(_)) => (inner.store.write(batch(Expect::Anything)).await?, true),
            written => (written?, false),
        };
        self.lease = versions.first().map(|version| (*version, until));
        if lapsed || forgotten {
            warn!(forgotten, "this node was taken for dead; it tells the store again which sessions it has");
            self.sessions.soil_all();
        }
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
                Some(channel) => match timeout_at(looked + LOOK, channel.recv()).await {
                    Ok(None) => pokes = None,
                    Ok(Some(Signal::Gap)) => self.doubt.notify_one(),
                    Ok(Some(Signal::Message(_))) | Err(_) => {}
                },
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
    pub(super) fn finish(&self, session: &Arc<Session>, generation: u64, close: Close) {
        if session.end(generation, close) {
            self.0.registry.remove(session);
            self.soil(session);
        }
    }

    /// Ends the sessions whose clients did not come back, and has some of the others compared with the store, all of them in turn: whatever
    /// went astray, such as the word of a node that died while it took a session over, is found out then.
    pub(super) fn sweep(&self, turn: u64) {
        let now = self.0.clock.now_ms();
        for session in self.0.registry.all() {
            if session.give_up(now) {
                self.0.registry.remove(&session);
                self.soil(&session);
            } else if session.turn() % COMPARED_WITHIN == turn % COMPARED_WITHIN {
                self.soil(&session);
            }
        }
    }

    pub(super) fn soil_all(&self) {
        self.0.registry.all().iter().for_each(|session| self.soil(session));
    }

    /// A letter of another node.
    pub(super) async fn receive(&self, letter: Letter) {
        match letter {
            Letter::TakenOver { session: id, generation, by } => {
                let session = self.get(&id);
                let ring = match session.as_ref().map(|session| session.hand_over(generation)) {
                    Some(Ok(ring)) => ring,
                    None | Some(Err(NotOlder)) => None,
                };
                if let Some(session) = session.filter(|session| session.is_over()) {
                    self.0.registry.remove(&session);
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
}

/// Opens every letter of other nodes.
pub(super) async fn keep_receiving(sessions: &Sessions) {
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
