//! Making, refreshing and ending sessions: each is one change of a roster in the store, and what follows from it here. (Coming back to one
//! is in `resume`.)
//!
//! Promises:
//! - Whatever the way in, there is one way to a new session: [`Sessions::bind`]. It fails closed: no store, no session.
//! - A revocation that is written before a session is made prevents it, whichever node makes it.
//! - What was promised to a connection that is gone by then is taken back.
//! - Work runs on the back room, at most [`ASKED_MAX`] at once. Whoever asks waits for as long as it likes; what was begun goes on to its end.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::{Notify, Semaphore, oneshot};
use tokio::time::timeout;

use super::asking::Questions;
use super::grant::{Admitted, Grant, Granted, Held, Leaving};
use super::identity::Identity;
use super::live::Session;
use super::moved::Moved;
use super::registry::Registry;
use super::revocation::{Notice, Revocation};
use super::ring::{Parked, Ring};
use super::roster::{Full, Record, Rules, WhenFull};
use super::secret::ResumeToken;
use crate::clock::{Clock, to_millis};
use crate::failure::{Failure, Reason, Result};
use crate::random;
use crate::store::{Batch, Durability, Store, StoreError};
use crate::telemetry::push_counters::PushCounters;

/// How much may be asked of the back room at once. Beyond it one waits, and in the end is told that there is no room.
const ASKED_MAX: usize = 1024;

/// How long somebody waits for a session, key sets and store included.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// How long a revocation is kept of a token whose end is not known.
pub(super) const REVOKED_KEEP: Duration = Duration::from_secs(31 * 86_400);

/// The same of everything that a user had: refresh tokens are among it.
const REVOKED_USER_KEEP: Duration = Duration::from_secs(366 * 86_400);

/// What sessions there may be, as configured.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SessionSettings {
    pub per_user_max: usize,
    pub when_full: WhenFull,
    pub resume_window: Duration,
    pub ring_bytes_max: usize,
    /// Topics that one session may hear.
    pub topics_max: usize,
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
    /// Where sessions went that were here.
    pub(super) moved: Moved,
    /// What is asked about pushes.
    pub(super) questions: Questions,
    /// Whose turn it is to resume which session here; one at a time.
    pub turns: Mutex<HashMap<String, Arc<Semaphore>>>,
    /// The process is about to end: rings are parked in the store.
    pub draining: AtomicBool,
    /// What is counted of pushes.
    pub pushes: PushCounters,
}

// === impl Sessions ===

impl Sessions {
    /// No sessions yet. What waits runs on `runtime`; `node` names this process to others.
    pub fn new(store: Store, clock: Clock, runtime: Handle) -> Sessions {
        Sessions(Arc::new(Inner {
            store,
            clock,
            node: random::name(),
            registry: Registry::default(),
            runtime,
            room: Arc::new(Semaphore::new(ASKED_MAX)),
            settings: Mutex::new(SessionSettings::default()),
            dirty: Mutex::default(),
            dirt: Notify::new(),
            awaited: Mutex::default(),
            moved: Moved::default(),
            questions: Questions::new(),
            turns: Mutex::default(),
            draining: AtomicBool::new(false),
            pushes: PushCounters::default(),
        }))
    }

    /// What is counted of pushes, to sessions and to topics.
    pub fn pushes(&self) -> &PushCounters {
        &self.0.pushes
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

    /// This process, to other nodes.
    pub fn node(&self) -> &str {
        &self.0.node
    }

    /// Where what waits runs.
    pub fn runtime(&self) -> &Handle {
        &self.0.runtime
    }

    pub fn now_ms(&self) -> u64 {
        self.0.clock.now_ms()
    }

    /// All sessions of this node.
    pub fn all(&self) -> Vec<Arc<Session>> {
        self.0.registry.all()
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
        let token = ResumeToken::make(&identity.user, &random::name());
        let session = Session::new(&token.session, Arc::clone(&identity), token.hash(), Some(Ring::default()));
        // Listed before the store knows of it: whoever is told to end it will find it.
        self.0.registry.insert(&session);
        let mut grant = Grant::new(self.clone(), session, identity, Granted::New { resume_token: token.reveal(), instead });
        let rules = self.rules();
        let record = Record::of(&token.session, 0, &self.0.node, grant.identity(), token.hash());
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

    /// The same session with another identity of the same user. To be called on the back room.
    pub(super) async fn refresh(&self, held: &Held, identity: &Identity) -> Result<()> {
        let (Held { session, generation }, rules) = (held.clone(), self.rules());
        self.change_roster(identity, &rules, |roster| {
            let refreshed = roster.change(&session.id, generation, |record| {
                *record = Record::of(&session.id, generation, &self.0.node, identity, record.resume.clone());
            });
            if refreshed { Ok((generation, Vec::new())) } else { Err(replaced()) }
        })
        .await
        .map(drop)
    }

    /// Begins to leave a session: from here on until it has left, or has not, a connection is not ended by what it brings about itself.
    pub fn leaving(&self, held: Held) -> Leaving {
        Leaving::new(self.clone(), held)
    }

    /// Ends a session that its own connection asks to leave, and revokes its token for every other. When this returns, nobody can come
    /// back to it; the connection itself knows best how it goes on. To be called on the back room.
    pub async fn leave(&self, leaving: Leaving) -> Result<Held> {
        let Held { session, generation } = leaving.held();
        self.leave_roster(session, *generation, &session.identity(), &self.rules()).await?;
        let left = leaving.leave();
        self.poke().await;
        Ok(left)
    }

    /// Revokes, on every node, what `revocation` says. To be called on the back room.
    pub async fn revoke(&self, revocation: &Revocation) -> Result<()> {
        let keep = if matches!(revocation, Revocation::User { .. }) { REVOKED_USER_KEEP } else { REVOKED_KEEP };
        let batch = revocation.write(Batch::new(Durability::Durable), keep);
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

    /// Until when a session waits that loses its connection now.
    pub(super) fn until_given_up(&self) -> u64 {
        later(&self.0.clock, self.settings().resume_window)
    }

    pub(super) fn rules(&self) -> Rules {
        let settings = self.settings();
        Rules {
            per_user_max: settings.per_user_max,
            when_full: settings.when_full,
            resume_window_ms: u64::try_from(settings.resume_window.as_millis()).unwrap_or(u64::MAX),
        }
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

// === impl SessionSettings ===

impl Default for SessionSettings {
    /// The built-in values, as `gateway.yaml` shows them.
    fn default() -> SessionSettings {
        SessionSettings {
            per_user_max: 8,
            when_full: WhenFull::ReplaceOldest,
            resume_window: Duration::from_secs(120),
            ring_bytes_max: 64 << 10,
            topics_max: 128,
        }
    }
}

fn replaced() -> Failure {
    Failure::gateway(Reason::SessionReplaced, "the session is on another connection now")
}

pub(super) fn store_failed(error: StoreError) -> Failure {
    unavailable(&error.to_string())
}

pub(super) fn unavailable(cause: &str) -> Failure {
    Failure::gateway(Reason::Unavailable, "sessions cannot be looked after at the moment; try again")
        .retry_after(Duration::from_secs(1))
        .because(cause)
}

/// Milliseconds since 1970 so much after `now`.
pub(super) fn later(clock: &Clock, by: Duration) -> u64 {
    to_millis(clock.now()).saturating_add(u64::try_from(by.as_millis()).unwrap_or(u64::MAX))
}
