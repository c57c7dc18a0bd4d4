//! One worker's connections to one endpoint.
//!
//! Promises: a call takes the first connection with a free stream; when all are full another is opened, up to [`CONNECTIONS_MAX`],
//! and beyond that calls are shed, not queued. Waiting for a connection is bounded in time and in number. A connection that dies is
//! gone from here at once; the first attempt to replace it is made with the next call, and each that fails doubles the pause before
//! the one after.
//!
//! Calls of one reply and streams that stay open have lanes of their own (see `channel.rs`), which differ in nothing else.
//!
//! Everything here is made on the runtime of the worker whose lane it is, and stays there.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, timeout};

use super::channel::{self, Begin, Connection, Driver, Load, Purpose};
use super::dial::Target;
use crate::drain::Tasks;
use crate::failure::{Failure, Reason, Result};

/// The most connections of one worker to one endpoint. Peers that take a hundred streams a connection carry 800 calls this way.
const CONNECTIONS_MAX: usize = 8;

/// The most calls that wait for a connection at once. Each holds its request, of at most `request_bytes_max`.
const WAITING_MAX: usize = 4096;

/// The pause after an attempt to connect that failed: it doubles from the first to the last.
const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(1);

pub(super) struct Lane {
    target: Arc<Target>,
    purpose: Purpose,
    state: Mutex<State>,
    waiting: Semaphore,
    /// The attempts to connect, and the drivers of what came of them.
    tasks: Tasks,
}

struct State {
    connections: Vec<Connection>,
    /// Closed when the attempt under way is over, one way or the other.
    attempt: Option<watch::Receiver<()>>,
    /// Since when and why connecting fails; none once a connection has proved itself.
    trouble: Option<Trouble>,
}

struct Trouble {
    cause: String,
    /// The connection that ended without an answer; none when there was not even a connection.
    blamed: Option<Arc<Load>>,
    pause: Duration,
    until: Instant,
}

enum Step<T> {
    Begun(T),
    /// A connection is being made; look again when it is.
    Wait(watch::Receiver<()>),
}

// === impl Lane ===

impl Lane {
    pub(super) fn new(target: Arc<Target>, purpose: Purpose) -> Lane {
        let state = State { connections: Vec::new(), attempt: None, trouble: None };
        Lane { target, purpose, state: Mutex::new(state), waiting: Semaphore::new(WAITING_MAX), tasks: Tasks::new() }
    }

    /// Begins a call, which `begin` does with a connection, on a new one if it must. A failure is always one of a call that was not
    /// sent.
    pub(super) async fn begin<T>(self: &Arc<Self>, begin: impl Fn(&mut Connection, &Target) -> Begin<T>) -> Result<T> {
        match self.step(&begin)? {
            Step::Begun(call) => Ok(call),
            Step::Wait(attempt) => self.begin_later(attempt, &begin).await,
        }
    }

    async fn begin_later<T>(
        self: &Arc<Self>,
        mut attempt: watch::Receiver<()>,
        begin: &impl Fn(&mut Connection, &Target) -> Begin<T>,
    ) -> Result<T> {
        let Ok(_place) = self.waiting.try_acquire() else { return Err(overloaded("too many calls wait for a connection")) };
        let begun = async {
            loop {
                // Nothing is ever sent: it is the sender's end that is waited for.
                let _ = attempt.changed().await;
                match self.step(begin)? {
                    Step::Begun(call) => return Ok(call),
                    Step::Wait(another) => attempt = another,
                }
            }
        };
        let patience = self.target.connect_timeout;
        timeout(patience, begun).await.unwrap_or_else(|_| Err(unreachable(&no_connection_within(patience))))
    }

    fn step<T>(self: &Arc<Self>, begin: &impl Fn(&mut Connection, &Target) -> Begin<T>) -> Result<Step<T>> {
        let mut state = self.lock();
        if let Some(call) = state.begin(|connection| begin(connection, &self.target)) {
            return Ok(Step::Begun(call));
        }
        if let Some(attempt) = state.attempt_under_way() {
            return Ok(Step::Wait(attempt));
        }
        if state.connections.len() == CONNECTIONS_MAX {
            return Err(overloaded("every connection is full"));
        }
        match state.pausing() {
            Some(trouble) if state.connections.is_empty() => Err(trouble.failure()),
            Some(_) => Err(overloaded("every connection is full, and another cannot be made")),
            None => Ok(Step::Wait(self.attempt(&mut state))),
        }
    }

    /// Whether calls had better go elsewhere: there is no connection, and the last attempt to make one failed. When the next
    /// attempt is due it is begun, so that a lane nobody uses comes back by itself.
    pub(super) fn is_down(self: &Arc<Self>) -> bool {
        let mut state = self.lock();
        let down = state.connections.is_empty() && state.trouble.is_some();
        if down && state.pausing().is_none() && state.attempt_under_way().is_none() {
            self.attempt(&mut state);
        }
        down
    }

    /// Begins to connect, in a task of its own: the call that asked for it may be gone before it is done.
    fn attempt(self: &Arc<Self>, state: &mut State) -> watch::Receiver<()> {
        let (done, attempt) = watch::channel(());
        state.attempt = Some(attempt.clone());
        let lane = Arc::clone(self);
        let connecting = async move {
            lane.connect().await;
            drop(done);
        };
        self.tasks.spawn(&Handle::current(), connecting);
        attempt
    }

    async fn connect(self: &Arc<Self>) {
        let patience = self.target.connect_timeout;
        let connected = timeout(patience, channel::connect(&self.target, self.purpose)).await;
        match connected.unwrap_or_else(|_| Err(no_connection_within(patience))) {
            Ok((connection, driver)) => self.adopt(connection, driver),
            Err(cause) => {
                tracing::warn!(endpoint = %self.target.authority, cause, "cannot connect");
                self.lock().fail(cause, None);
            }
        }
    }

    fn adopt(self: &Arc<Self>, connection: Connection, driver: Driver) {
        tracing::debug!(endpoint = %self.target.authority, "connected");
        let load = Arc::clone(connection.load());
        self.lock().connections.push(connection);
        // Not an Arc: a lane whose backend is gone must not be kept by its own connections.
        let lane = Arc::downgrade(self);
        let driving = async move {
            let cause = driver.await;
            if let Some(lane) = lane.upgrade() {
                tracing::debug!(endpoint = %lane.target.authority, cause, "the connection has ended");
                lane.lock().lose(&load, cause);
            }
        };
        self.tasks.spawn(&Handle::current(), driving);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.acquit();
        state
    }
}

// === impl State ===

impl State {
    fn begin<T>(&mut self, begin: impl Fn(&mut Connection) -> Begin<T>) -> Option<T> {
        let mut index = 0;
        while let Some(connection) = self.connections.get_mut(index) {
            match begin(connection) {
                Begin::Begun(call) => return Some(call),
                Begin::Full => index += 1,
                Begin::Gone => self.remove(index, "the peer takes no more calls on this connection".to_owned()),
            }
        }
        None
    }

    fn attempt_under_way(&self) -> Option<watch::Receiver<()>> {
        self.attempt.as_ref().filter(|attempt| attempt.has_changed().is_ok()).cloned()
    }

    fn pausing(&self) -> Option<&Trouble> {
        self.trouble.as_ref().filter(|trouble| Instant::now() < trouble.until)
    }

    fn lose(&mut self, load: &Arc<Load>, cause: String) {
        if let Some(index) = self.connections.iter().position(|connection| Arc::ptr_eq(connection.load(), load)) {
            self.remove(index, cause);
        }
    }

    fn remove(&mut self, index: usize, cause: String) {
        let connection = self.connections.remove(index);
        self.fail(cause, Some(Arc::clone(connection.load())));
        self.acquit();
    }

    /// Pauses before the next attempt to connect, twice as long as the last time. One connection may end before its first answer
    /// without a pause, as when a service restarts.
    fn fail(&mut self, cause: String, blamed: Option<Arc<Load>>) {
        let pause = match &self.trouble {
            Some(trouble) => (trouble.pause * 2).clamp(PAUSE_MIN, PAUSE_MAX),
            None if blamed.is_some() => Duration::ZERO,
            None => PAUSE_MIN,
        };
        self.trouble = Some(Trouble { cause, blamed, pause, until: Instant::now() + pause });
    }

    /// Forgets the trouble with a connection that has been of use after all: the last answer may be read only after the end.
    fn acquit(&mut self) {
        self.trouble.take_if(|trouble| trouble.blamed.as_ref().is_some_and(|load| load.is_proved()));
    }
}

// === impl Trouble ===

impl Trouble {
    fn failure(&self) -> Failure {
        unreachable(&self.cause).retry_after(self.until.saturating_duration_since(Instant::now()))
    }
}

fn no_connection_within(patience: Duration) -> String {
    format!("no connection within {patience:?}")
}

fn unreachable(cause: &str) -> Failure {
    Failure::gateway(Reason::Unavailable, "the service cannot be reached; try again").because(cause).unsent()
}

fn overloaded(cause: &'static str) -> Failure {
    Failure::gateway(Reason::Overloaded, "the service has all the calls it takes; try again later").because(cause).unsent()
}
