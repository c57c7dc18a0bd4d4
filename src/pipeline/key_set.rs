//! The key set that an issuer publishes under a URL, kept fresh in the back room.
//!
//! Promises:
//! - Only the configuration says what is fetched, and only a task of the back room fetches it; whoever verifies reads one pointer.
//! - One attempt is under way at a time, whatever is asked of it. A token with an unknown `kid` brings the next one forward, at most once
//!   in [`COOL_DOWN`].
//! - What was read once is used until something better was: an issuer that is down, or talks nonsense, locks nobody out.
//! - The task ends with the last table that holds the set.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use tokio::runtime::Handle;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::task::AbortOnDropHandle;
use tracing::{info, warn};

use super::cause::Cause;
use super::fetch::{Answer, Freshness};
use super::issuer::{Algorithm, KeySource};
use super::keys::Keys;
use super::refused::Checked;

/// How long whoever shows a token may wait for keys that are being fetched.
pub const PATIENCE: Duration = Duration::from_secs(2);

/// Between two attempts that tokens with unknown keys bring about.
pub const COOL_DOWN: Duration = Duration::from_secs(30);

/// One attempt: resolving, connecting, and at most 256 KiB.
const ATTEMPT: Duration = Duration::from_secs(5);

/// How soon after a failure the next attempt is, at first and at last. Each failure doubles it.
const RETRY: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(300));

/// Which key set. Two tables that say the same have the same.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct KeySetSpec {
    pub url: Arc<str>,
    pub algorithm: Algorithm,
}

/// Where key sets come from: the issuer's server, or a script of a test.
pub trait Source: Send + 'static {
    /// Asks once. `tag` is that of the last answer that was used.
    fn get(&mut self, tag: Option<&str>) -> impl Future<Output = Result<Answer, String>> + Send;
}

/// A key set that is alive.
pub struct KeySet {
    spec: KeySetSpec,
    shared: Arc<Shared>,
    /// Ends with this. Nothing: nobody fetches.
    task: Option<AbortOnDropHandle<()>>,
}

/// An attempt that is under way.
pub struct Refresh(watch::Receiver<u64>);

/// What those who verify and the task have in common.
struct Shared {
    keys: ArcSwapOption<Keys>,
    turn: Mutex<Turn>,
    /// Somebody took the turn.
    asked: Notify,
    /// How many attempts have ended.
    ended: watch::Sender<u64>,
}

/// Whose turn it is.
struct Turn {
    /// An attempt was asked for or has begun, and has not ended.
    under_way: bool,
    /// From when on an unknown key may bring about another.
    may_be_asked: Instant,
}

/// The task's own.
struct Keeper<S> {
    spec: KeySetSpec,
    source: S,
    tag: Option<String>,
    failures: u32,
    /// Whether the last attempt failed, once there was one.
    down: Option<bool>,
}

// === impl KeySet ===

impl KeySet {
    /// Begins to keep the set, on `runtime`.
    pub fn open(spec: KeySetSpec, source: impl Source, runtime: &Handle) -> KeySet {
        let shared = Arc::new(Shared::new(true));
        let keeper = Keeper { spec: spec.clone(), source, tag: None, failures: 0, down: None };
        let task = runtime.spawn(keeper.keep(Arc::clone(&shared)));
        KeySet { spec, shared, task: Some(AbortOnDropHandle::new(task)) }
    }

    /// One that stays empty: enough to see whether a configuration makes sense.
    pub fn never_fetched(spec: KeySetSpec) -> KeySet {
        KeySet { spec, shared: Arc::new(Shared::new(false)), task: None }
    }

    pub fn spec(&self) -> &KeySetSpec {
        &self.spec
    }

    /// [`Keys::verify`], with a cure for keys that are not known yet.
    pub(super) fn verify(&self, key_id: Option<&str>, message: &[u8], signature: &str) -> Checked<()> {
        let Some(keys) = self.shared.keys.load_full() else {
            let mut flaw = Cause::NoKeys.because("its issuer's keys have not been fetched yet");
            flaw.cure = self.shared.under_way();
            return Err(flaw);
        };
        keys.verify(key_id, message, signature).map_err(|mut flaw| {
            // A token that names no key cannot name a new one.
            if flaw.cause == Cause::UnknownKey && key_id.is_some() && self.task.is_some() {
                flaw.cure = self.shared.ask();
            }
            flaw
        })
    }
}

// === impl Refresh ===

impl Refresh {
    /// Waits for its end, at most [`PATIENCE`]. True when it has ended, well or not.
    pub async fn done(mut self) -> bool {
        matches!(timeout(PATIENCE, self.0.changed()).await, Ok(Ok(())))
    }
}

// === impl Shared ===

impl Shared {
    fn new(under_way: bool) -> Shared {
        let turn = Mutex::new(Turn { under_way, may_be_asked: Instant::now() });
        Shared { keys: ArcSwapOption::empty(), turn, asked: Notify::new(), ended: watch::Sender::new(0) }
    }

    /// The attempt that is under way, if one is.
    fn under_way(&self) -> Option<Refresh> {
        let turn = self.turn();
        turn.under_way.then(|| Refresh(self.ended.subscribe()))
    }

    /// The attempt that is under way, or one that begins now, unless it is too early for that.
    fn ask(&self) -> Option<Refresh> {
        let mut turn = self.turn();
        if !turn.under_way {
            let now = Instant::now();
            if now < turn.may_be_asked {
                return None;
            }
            turn.may_be_asked = now + COOL_DOWN;
            turn.under_way = true;
            self.asked.notify_one();
        }
        // Whoever subscribes under the lock is told, because an attempt ends under it.
        Some(Refresh(self.ended.subscribe()))
    }

    fn begin(&self) {
        self.turn().under_way = true;
    }

    fn end(&self) {
        let mut turn = self.turn();
        turn.under_way = false;
        self.ended.send_modify(|ended| *ended += 1);
    }

    /// Until `due`, or until somebody asks.
    async fn rest(&self, due: Instant) {
        loop {
            tokio::select! {
                biased;
                () = self.asked.notified() => {
                    // What asked may have been served by an attempt whose time had come anyway.
                    if self.turn().under_way {
                        return;
                    }
                }
                () = sleep_until(due) => return,
            }
        }
    }

    fn turn(&self) -> MutexGuard<'_, Turn> {
        self.turn.lock().expect("nothing panics under this lock")
    }
}

// === impl Keeper ===

impl<S: Source> Keeper<S> {
    async fn keep(mut self, shared: Arc<Shared>) {
        loop {
            shared.begin();
            let outcome = self.attempt(&shared).await;
            let pause = self.learn(outcome, shared.keys.load().is_some());
            shared.end();
            shared.rest(Instant::now() + pause).await;
        }
    }

    /// Asks once, and puts what came in force.
    async fn attempt(&mut self, shared: &Shared) -> Result<Freshness, String> {
        let answer = timeout(ATTEMPT, self.source.get(self.tag.as_deref())).await;
        match answer.unwrap_or_else(|_| Err(format!("no answer within {ATTEMPT:?}")))? {
            Answer::Same(freshness) => Ok(freshness),
            Answer::New { body, tag, freshness } => {
                let keys = Keys::read(self.spec.algorithm, &KeySource::Jwks(body))?;
                shared.keys.store(Some(Arc::new(keys)));
                self.tag = tag;
                Ok(freshness)
            }
        }
    }

    /// When to ask again. Says what has changed, once.
    fn learn(&mut self, outcome: Result<Freshness, String>, has_keys: bool) -> Duration {
        let was_down = self.down.replace(outcome.is_err());
        let url = &*self.spec.url;
        match outcome {
            Ok(freshness) => {
                self.failures = 0;
                if was_down == Some(true) {
                    info!(url, "the key set can be fetched again");
                }
                freshness.lasts()
            }
            Err(error) => {
                if was_down != Some(true) {
                    let meanwhile = if has_keys { "the keys it had stay in force" } else { "no token of its issuer is believed" };
                    warn!(url, error, "the key set cannot be fetched, {meanwhile}");
                }
                let pause = RETRY.0.saturating_mul(1 << self.failures.min(16)).min(RETRY.1);
                self.failures += 1;
                pause
            }
        }
    }
}

#[cfg(test)]
mod tests;
