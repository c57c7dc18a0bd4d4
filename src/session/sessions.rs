//! Making, resuming, refreshing and ending sessions: each is one change of a roster in the store, and what follows from it here.
//!
//! Promises:
//! - Whatever the way in, there is one way to a session: [`Sessions::bind`]. It fails closed: no store, no session.
//! - A revocation that is written before a session is made prevents it, whichever node makes it.
//! - What was promised to a connection that is gone by then is taken back.
//! - Work runs on the back room, at most [`ASKED_MAX`] at once and each within [`PATIENCE`], and goes on to its end whoever waits for it.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::runtime::Handle;
use tokio::sync::{Notify, Semaphore, oneshot};
use tokio::time::timeout;

use super::grant::{Admitted, Grant, Granted, Held};
use super::identity::Identity;
use super::live::{self, Session};
use super::registry::Registry;
use super::revocation::{Notice, Revocation, session_key, token_key, user_key};
use super::ring::{Parked, Ring};
use super::roster::{Full, Life, Record, Roster, Rules, WhenFull};
use super::secret::{ResumeToken, random_name};
use crate::clock::{Clock, from_millis, to_millis};
use crate::failure::{Failure, Reason, Result};
use crate::store::{Batch, Document, Durability, Expect, Key, Store, StoreError};
use crate::wire::Close;

/// How much may be asked of the back room at once. Beyond it one waits, and in the end is told that there is no room.
const ASKED_MAX: usize = 1024;

/// How long somebody waits for a session, key sets and store included.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// How long another node may take to hand over what it holds of a session.
const HAND_OVER_WAIT: Duration = Duration::from_millis(300);

/// Attempts at one change of a roster. Each failure means that somebody else's change succeeded.
const ATTEMPTS_MAX: u32 = 32;

/// How long a revocation is kept of a token whose end is not known.
const REVOKED_KEEP: Duration = Duration::from_secs(31 * 86_400);

/// What sessions there may be, as configured.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SessionSettings {
    pub per_user_max: usize,
    pub when_full: WhenFull,
    pub resume_window: Duration,
    pub ring_bytes_max: usize,
}

/// The sessions of this node, and through the store those of all. Clones are the same.
#[derive(Clone)]
pub struct Sessions(pub(super) Arc<Inner>);

pub(super) struct Inner {
    pub store: Store,
    pub clock: Clock,
    /// This process, to other nodes. Never used again by another.
    pub node: String,
    pub registry: Registry,
    runtime: Handle,
    room: Arc<Semaphore>,
    settings: Mutex<SessionSettings>,
    /// What has changed here and not in the store yet, each once.
    pub dirty: Mutex<VecDeque<Arc<Session>>>,
    pub dirt: Notify,
    /// Who waits for which session's ring from another node.
    pub awaited: Mutex<HashMap<String, oneshot::Sender<Option<Parked>>>>,
    /// The process is about to end: rings are parked in the store.
    pub draining: AtomicBool,
}

/// A session that is about to be this node's. It is taken off the list again if that comes to nothing.
struct Expected {
    sessions: Sessions,
    session: Arc<Session>,
    /// It was not listed before.
    is_new: bool,
}

/// What nodes say to each other.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Letter {
    /// Another node has the session from now on, as this generation; it asks for the ring.
    TakenOver { session: String, generation: u64, by: String },
    /// The answer.
    Ring { session: String, ring: Option<Parked> },
    /// A message for a session of the node that gets this, in base64.
    Push { session: String, number: u32, payload: String },
}

// === impl Sessions ===

impl Sessions {
    /// No sessions yet. What waits runs on `runtime`; `node` names this process to others.
    pub fn new(store: Store, clock: Clock, runtime: Handle) -> Sessions {
        Sessions(Arc::new(Inner {
            store,
            clock,
            node: random_name(),
            registry: Registry::default(),
            runtime,
            room: Arc::new(Semaphore::new(ASKED_MAX)),
            settings: Mutex::new(SessionSettings::default()),
            dirty: Mutex::default(),
            dirt: Notify::new(),
            awaited: Mutex::default(),
            draining: AtomicBool::new(false),
        }))
    }

    pub fn settings(&self) -> SessionSettings {
        *self.0.settings.lock().expect("nothing that holds the settings panics")
    }

    /// From now on these settings hold. Sessions that are too many by them stay until their users make another.
    pub fn set_settings(&self, settings: SessionSettings) {
        *self.0.settings.lock().expect("nothing that holds the settings panics") = settings;
    }

    /// Sessions over a store in memory that nobody else has, for tests of the rooms above.
    #[cfg(test)]
    pub fn for_tests() -> Sessions {
        static RUNTIME: std::sync::LazyLock<tokio::runtime::Runtime> = std::sync::LazyLock::new(|| tokio::runtime::Runtime::new().unwrap());
        let store = Store::new(crate::store::memory::Memory::new(Clock::system()));
        Sessions::new(store, Clock::system(), RUNTIME.handle().clone())
    }

    /// How many sessions this node has, those that wait for their clients included.
    pub fn len(&self) -> usize {
        self.0.registry.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A session of this node.
    pub fn get(&self, id: &str) -> Option<Arc<Session>> {
        self.0.registry.get(id)
    }

    /// The sessions that a user has on this node.
    pub fn of_user(&self, user: &str) -> Vec<Arc<Session>> {
        self.0.registry.of_user(user)
    }

    /// Runs work that waits on the back room, whoever asks. It is not stopped when nobody waits for it any more: what it began in the
    /// store it brings to an end, and what it yields is then dropped there.
    pub async fn ask<T, W>(&self, patience: Duration, work: impl FnOnce(Sessions) -> W) -> Result<T>
    where
        T: Send + 'static,
        W: Future<Output = Result<T>> + Send + 'static,
    {
        let asked = async {
            let room = Arc::clone(&self.0.room).acquire_owned().await.expect("nobody closes the room");
            let (done, wait) = oneshot::channel();
            let work = work(self.clone());
            self.0.runtime.spawn(async move {
                let answer = work.await;
                drop(room);
                // If nobody waits any more, what was granted is dropped here, and takes itself back.
                drop(done.send(answer));
            });
            wait.await.unwrap_or_else(|_| Err(Failure::gateway(Reason::Shutdown, "the gateway is about to stop; connect again")))
        };
        timeout(patience, asked).await.unwrap_or_else(|_| Err(unavailable("it took too long")))
    }

    /// The session of somebody whose identity was verified, for a connection that is in the session `held`, or in none: in one of the same
    /// user it stays, with the later identity. To be called on the back room.
    pub async fn admit(&self, held: Option<Held>, identity: Identity) -> Result<Admitted> {
        match held {
            Some(held) if held.session.user == identity.user => {
                self.refresh(&held, &identity).await?;
                Ok(Admitted::Refreshed(Arc::new(identity)))
            }
            _ => self.bind(identity).await.map(Admitted::Granted),
        }
    }

    /// A new session for this identity. To be called on the back room.
    pub async fn bind(&self, identity: Identity) -> Result<Grant> {
        self.make(identity, false).await
    }

    /// The same for a client whose session could not be resumed, and which has to know.
    pub async fn bind_anew(&self, identity: Identity) -> Result<Grant> {
        self.make(identity, true).await
    }

    async fn make(&self, identity: Identity, instead: bool) -> Result<Grant> {
        let identity = Arc::new(identity);
        let token = ResumeToken::make(&identity.user, &random_name());
        let session = Session::new(&token.session, Arc::clone(&identity), token.hash(), Some(Ring::default()));
        // Listed before the store knows of it: whoever is told to end it will find it.
        self.0.registry.insert(&session);
        let mut grant = Grant::new(self.clone(), session, identity, Granted::New { resume_token: token.reveal(), instead });
        let rules = self.rules();
        let record = live::record(&token.session, 0, &self.0.node, grant.identity(), token.hash());
        let (generation, replaced) = self
            .change_roster(grant.identity(), &rules, |roster| {
                roster.add(record.clone(), &rules).map_err(|Full| {
                    let what = format!("you have {} sessions, which is as many as you may; end one first", rules.per_user_max);
                    Failure::gateway(Reason::SessionLimit, what)
                })
            })
            .await?;
        grant.promise(generation);
        if !replaced.is_empty() {
            self.poke().await;
        }
        Ok(grant)
    }

    /// The session that a resume token names, for the connection that shows it. With an identity that is fresh, or else with its own.
    /// To be called on the back room.
    pub async fn resume(&self, token: &ResumeToken, fresh: Option<Identity>, last_seq: u32) -> Result<Grant> {
        if fresh.as_ref().is_some_and(|identity| *identity.user != *token.user) {
            return Err(Failure::gateway(Reason::ResumeFailed, "the session is another user's; authenticate instead"));
        }
        let ring_key = ring_key(&token.session);
        let (roster_key, rules) = (Roster::key(&token.user), self.rules());
        for _ in 0..ATTEMPTS_MAX {
            let keys = [roster_key.clone(), ring_key.clone(), session_key(&token.session)];
            let found = self.0.store.get_all(&keys).await.map_err(store_failed)?;
            let [document, parked, revoked] = &found[..] else { return Err(unavailable("the store answered something else")) };
            let mut roster = self.roster(document.as_ref(), &rules).await?;
            let Some(record) = roster.find(&token.session).filter(|record| revoked.is_none() && token.fits(&record.resume)) else {
                return Err(not_resumable());
            };
            let identity = match &fresh {
                Some(identity) => identity.clone(),
                None if from_millis(record.expires_ms) <= self.0.clock.now() => return Err(not_resumable()),
                None => identity_of(&token.user, record),
            };
            let keys = revocation_keys(&identity);
            let checks = still_good(&identity, &keys, &self.0.store.get_all(&keys).await.map_err(store_failed)?)?;
            let resume = record.resume.clone();
            let (generation, before) = roster.take_over(&token.session, &self.0.node).expect("it was found just now");
            roster.change(&token.session, generation, |record| {
                *record = live::record(&token.session, generation, &self.0.node, &identity, resume.clone());
            });
            let mut batch = self.roster_batch(&token.user, &roster, document.as_ref(), &rules);
            batch.changes.extend(checks.changes);
            if parked.is_some() {
                batch = batch.delete(ring_key.clone(), Expect::unchanged(parked.as_ref()));
            }
            let identity = Arc::new(identity);
            let expected = self.expect(&before, &identity);
            match self.0.store.write(batch).await {
                Ok(_) => {}
                Err(StoreError::Conflict(_)) => continue,
                Err(error) => return Err(store_failed(error)),
            }
            let session = Arc::clone(&expected.session);
            session.promise(generation);
            if expected.is_new {
                self.fill(&session, &before, generation, parked.as_ref()).await?;
            }
            expected.has_come();
            let mut grant = Grant::new(self.clone(), session, identity, Granted::Resumed { resume_token: token.reveal(), last_seq });
            grant.promise(generation);
            return Ok(grant);
        }
        Err(unavailable("others changed the roster again and again"))
    }

    /// The same session with another identity of the same user. To be called on the back room.
    pub async fn refresh(&self, held: &Held, identity: &Identity) -> Result<()> {
        let (Held { session, generation }, rules) = (held.clone(), self.rules());
        self.change_roster(identity, &rules, |roster| {
            let refreshed = roster.change(&session.id, generation, |record| {
                *record = live::record(&session.id, generation, &self.0.node, identity, record.resume.clone());
            });
            if refreshed { Ok((generation, Vec::new())) } else { Err(replaced()) }
        })
        .await
        .map(drop)
    }

    /// Ends a session that its own connection asks to leave, and revokes its token for every other. When this returns, nobody can come
    /// back to it; the connection itself knows best how it goes on. To be called on the back room.
    pub async fn leave(&self, held: &Held) -> Result<()> {
        let Held { session, generation } = held;
        let (identity, rules) = (session.identity(), self.rules());
        session.set_leaving(true);
        let left = self.leave_roster(session, *generation, &identity, &rules).await;
        match &left {
            Ok(()) => {
                session.leave();
                self.0.registry.remove(session);
                self.poke().await;
            }
            Err(_) => session.set_leaving(false),
        }
        left
    }

    async fn leave_roster(&self, session: &Arc<Session>, generation: u64, identity: &Identity, rules: &Rules) -> Result<()> {
        for _ in 0..ATTEMPTS_MAX {
            let document = self.0.store.get(&Roster::key(&session.user)).await.map_err(store_failed)?;
            let mut roster = self.roster(document.as_ref(), rules).await?;
            roster.remove(&session.id, generation);
            let mut batch = self.roster_batch(&session.user, &roster, document.as_ref(), rules);
            batch.durability = Durability::Durable;
            if let Some(token_id) = &identity.token_id {
                let left = identity.expires.duration_since(self.0.clock.now()).unwrap_or_default();
                // A moment longer than the token, for clocks that differ.
                batch = Revocation::Token(token_id.to_string()).write(batch, (left + Duration::from_secs(300)).min(REVOKED_KEEP));
            }
            match self.0.store.write(batch).await {
                Ok(_) => return Ok(()),
                Err(StoreError::Conflict(_)) => {}
                Err(error) => return Err(store_failed(error)),
            }
        }
        Err(unavailable("others changed the roster again and again"))
    }

    /// Revokes, on every node, what `revocation` says. To be called on the back room.
    pub async fn revoke(&self, revocation: &Revocation) -> Result<()> {
        let batch = revocation.write(Batch::new(Durability::Durable), REVOKED_KEEP);
        self.0.store.write(batch).await.map_err(store_failed)?;
        self.poke().await;
        Ok(())
    }

    /// What the store should know of a session and does not yet. It will, as soon as it can.
    pub(super) fn soil(&self, session: &Arc<Session>) {
        if session.set_dirty(true) {
            return;
        }
        self.0.dirty.lock().expect("nothing that holds the list panics").push_back(Arc::clone(session));
        self.0.dirt.notify_one();
    }

    pub(super) fn rules(&self) -> Rules {
        let settings = self.settings();
        Rules {
            per_user_max: settings.per_user_max,
            when_full: settings.when_full,
            resume_window_ms: u64::try_from(settings.resume_window.as_millis()).unwrap_or(u64::MAX),
        }
    }

    /// Changes the roster of somebody whose identity is good, and tells those who had to give way.
    async fn change_roster(
        &self,
        identity: &Identity,
        rules: &Rules,
        change: impl Fn(&mut Roster) -> Result<(u64, Vec<Record>)>,
    ) -> Result<(u64, Vec<Record>)> {
        let mut keys = vec![Roster::key(&identity.user)];
        keys.extend(revocation_keys(identity));
        for _ in 0..ATTEMPTS_MAX {
            let found = self.0.store.get_all(&keys).await.map_err(store_failed)?;
            let document = found[0].as_ref();
            let checks = still_good(identity, &keys[1..], &found[1..])?;
            let mut roster = self.roster(document, rules).await?;
            let (generation, replaced) = change(&mut roster)?;
            let mut batch = self.roster_batch(&identity.user, &roster, document, rules);
            batch.changes.extend(checks.changes);
            for record in &replaced {
                batch = Notice::Replaced { session: record.id.clone(), generation: record.generation }.write(batch);
            }
            match self.0.store.write(batch).await {
                Ok(_) => return Ok((generation, replaced)),
                Err(StoreError::Conflict(_)) => {}
                Err(error) => return Err(store_failed(error)),
            }
        }
        Err(unavailable("others changed the roster again and again"))
    }

    /// The roster in a document, without what is over.
    pub(super) async fn roster(&self, document: Option<&Document>, rules: &Rules) -> Result<Roster> {
        let mut roster = Roster::read(document).map_err(|error| unavailable(&format!("a roster cannot be read: {error}")))?;
        let lives = self.lives(roster.records()).await?;
        roster.prune(self.0.clock.now_ms(), rules, |node| lives.get(node).copied().unwrap_or(Life::Forgotten));
        Ok(roster)
    }

    /// Which nodes of these sessions live.
    async fn lives(&self, records: &[Record]) -> Result<HashMap<String, Life>> {
        let mut lives = HashMap::from([(self.0.node.clone(), Life::Alive)]);
        let others: BTreeSet<&str> = records.iter().map(|record| &*record.node).filter(|node| **node != *self.0.node).collect();
        if others.is_empty() {
            return Ok(lives);
        }
        let keys: Vec<Key> = others.iter().map(|node| lease_key(node)).collect();
        let found = self.0.store.get_all(&keys).await.map_err(store_failed)?;
        let now = self.0.clock.now_ms();
        for (node, document) in others.into_iter().zip(found) {
            let life = match document.map(|document| issued_before(&document)) {
                None => Life::Forgotten,
                Some(until) if until <= now => Life::DeadSince(until),
                Some(_) => Life::Alive,
            };
            lives.insert(node.to_owned(), life);
        }
        Ok(lives)
    }

    pub(super) fn roster_batch(&self, user: &str, roster: &Roster, document: Option<&Document>, rules: &Rules) -> Batch {
        let ttl = Duration::from_millis(roster.ttl_ms(self.0.clock.now_ms(), rules));
        Batch::new(Durability::Flushed).put(Roster::key(user), roster.write(), Expect::unchanged(document), Some(ttl))
    }

    /// The session on this node, where it may not have been until now. It is listed before the store gives it to this node: whoever is
    /// told to end it, or to push to it, will find it.
    fn expect(&self, before: &Record, identity: &Arc<Identity>) -> Expected {
        let listed = self.0.registry.get(&before.id);
        if let Some(session) = listed.as_ref().filter(|_| before.node == self.0.node) {
            return Expected { sessions: self.clone(), session: Arc::clone(session), is_new: false };
        }
        let session = Session::expected(&before.id, Arc::clone(identity), before.resume.clone(), before.generation);
        if let Some(stale) = self.0.registry.insert(&session) {
            // Another node has it, or had; nobody has told this one.
            stale.end(before.generation - 1, Close::Replaced);
        }
        Expected { sessions: self.clone(), session, is_new: true }
    }

    /// Fetches what a session's client has not got from wherever that is, and sees to it that no other node holds on to the session.
    async fn fill(&self, session: &Arc<Session>, before: &Record, generation: u64, parked: Option<&Document>) -> Result<()> {
        let ring = match parked.and_then(|document| serde_json::from_slice(&document.value).ok()) {
            Some(parked) => Some(parked),
            // It was given to this node, which did not hear of that or lost it. Which node had it before, nobody knows any more.
            None if before.node == self.0.node => None,
            None => self.ask_for_ring(before, generation).await,
        };
        match ring.and_then(Parked::unpark) {
            Some(ring) => session.adopt(generation, ring, self.settings().ring_bytes_max),
            None => {
                // Should another node have it after all, it learns from the log that it has the session no longer.
                let notice = Notice::Replaced { session: before.id.clone(), generation: before.generation };
                self.0.store.write(notice.write(Batch::default())).await.map_err(store_failed)?;
            }
        }
        // What was revoked while it was on its way, this node has heard of; by the store it is found out whether that was so before.
        self.soil(session);
        Ok(())
    }

    /// Asks the node that had a session for its ring, and has it send its connection away.
    async fn ask_for_ring(&self, before: &Record, generation: u64) -> Option<Parked> {
        let (send, receive) = oneshot::channel();
        self.0.awaited.lock().expect("nothing that holds the list panics").insert(before.id.clone(), send);
        let letter = Letter::TakenOver { session: before.id.clone(), generation, by: self.0.node.clone() };
        let listeners = self.0.store.publish(&mailbox(&before.node), letter.write().into()).await.unwrap_or(0);
        let ring = if listeners == 0 { None } else { timeout(HAND_OVER_WAIT, receive).await.ok().and_then(|ring| ring.ok()).flatten() };
        self.0.awaited.lock().expect("nothing that holds the list panics").remove(&before.id);
        ring
    }

    /// Has every node look into the log of notices at once. If that fails they look within a second by themselves.
    async fn poke(&self) {
        let _ = self.0.store.publish(Notice::CHANNEL, bytes::Bytes::new()).await;
    }

    /// Whether rings are to be parked when their clients go.
    pub(super) fn is_draining(&self) -> bool {
        self.0.draining.load(Ordering::Relaxed)
    }
}

// === impl Expected ===

impl Expected {
    fn has_come(mut self) {
        self.is_new = false;
    }
}

impl Drop for Expected {
    fn drop(&mut self) {
        if self.is_new {
            self.sessions.0.registry.remove(&self.session);
        }
    }
}

// === impl SessionSettings ===

impl Default for SessionSettings {
    /// The built-in values, as `gateway.yaml` shows them.
    fn default() -> SessionSettings {
        SessionSettings {
            per_user_max: 8,
            when_full: WhenFull::ReplaceOldest,
            resume_window: Duration::from_secs(120),
            ring_bytes_max: 64 << 10,
        }
    }
}

// === impl Letter ===

impl Letter {
    pub fn write(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a letter is texts and numbers")
    }

    /// A letter of another node. Nothing: a newer version of this program wrote it.
    pub fn read(bytes: &[u8]) -> Option<Letter> {
        serde_json::from_slice(bytes).ok()
    }
}

/// The channel of a node's letters.
pub(super) fn mailbox(node: &str) -> String {
    format!("node:{node}")
}

/// Where it stands until when a node lives.
pub(super) fn lease_key(node: &str) -> Key {
    Key::new("node", node)
}

/// Where a ring waits whose node is gone.
pub(super) fn ring_key(session: &str) -> Key {
    Key::new("ring", session)
}

/// A moment that is all that a document says. One that cannot be read is as late as can be: then everything is revoked.
fn issued_before(document: &Document) -> u64 {
    std::str::from_utf8(&document.value).ok().and_then(|text| text.parse().ok()).unwrap_or(u64::MAX)
}

/// Where it would stand that an identity is revoked.
pub(super) fn revocation_keys(identity: &Identity) -> Vec<Key> {
    std::iter::once(user_key(&identity.user)).chain(identity.token_id.as_deref().map(token_key)).collect()
}

/// Refuses an identity that was revoked by what was found under its [`revocation_keys`]. What it yields makes a batch fail if it is
/// revoked before that happens.
pub(super) fn still_good(identity: &Identity, keys: &[Key], found: &[Option<Document>]) -> Result<Batch> {
    let user = found.first().and_then(Option::as_ref).map(issued_before);
    let token = found.get(1).and_then(Option::as_ref);
    if token.is_some() || user.is_some_and(|moment| identity.issued_ms < moment) {
        let failure = Failure::gateway(Reason::InvalidToken, "the token was refused; get a new one and authenticate with it");
        return Err(failure.because("token refused: it was revoked"));
    }
    let check = |batch: Batch, (key, document): (&Key, &Option<Document>)| batch.check(key.clone(), Expect::unchanged(document.as_ref()));
    Ok(keys.iter().zip(found).fold(Batch::default(), check))
}

fn identity_of(user: &str, record: &Record) -> Identity {
    Identity {
        user: user.into(),
        roles: record.roles.iter().map(|role| role.as_str().into()).collect(),
        token_id: record.token_id.as_deref().map(Into::into),
        issued_ms: record.issued_ms,
        expires: from_millis(record.expires_ms),
        token: None,
        api_key: None,
    }
}

fn not_resumable() -> Failure {
    Failure::gateway(Reason::ResumeFailed, "there is no such session any more; authenticate, and begin anew")
}

fn replaced() -> Failure {
    Failure::gateway(Reason::SessionReplaced, "the session is on another connection now")
}

pub(super) fn store_failed(error: StoreError) -> Failure {
    unavailable(&error.to_string())
}

fn unavailable(cause: &str) -> Failure {
    Failure::gateway(Reason::Unavailable, "sessions cannot be looked after at the moment; try again")
        .retry_after(Duration::from_secs(1))
        .because(cause)
}

/// Milliseconds since 1970 so much after `now`.
pub(super) fn later(clock: &Clock, by: Duration) -> u64 {
    to_millis(clock.now()).saturating_add(u64::try_from(by.as_millis()).unwrap_or(u64::MAX))
}
