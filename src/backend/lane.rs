//! One worker's connections to one endpoint.
//!
//! Promises: a call takes the first connection with a free stream; when all are full another is opened, up to as many as the spec says,
//! and beyond that calls are shed, not queued. Waiting for a connection is bounded in time and in number. A connection that dies is
//! gone from here at once; a lane that has lost its last one, or could not get any, connects again by itself, and each attempt that fails
//! doubles the pause before the one after. A connection that has come of age is replaced before it is let go, so that no call waits.
//!
//! The first and not the least loaded, because calls that share a connection share its reads and writes, and because the connections that a
//! burst has opened are idle when it is over, and can be let go.
//!
//! Calls of one reply and streams that stay open have lanes of their own (see `channel.rs`), which differ in nothing else.
//!
//! Everything here is made on the runtime of the worker whose lane it is, and stays there.

use std::convert::Infallible;
use std::future::pending;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::channel::{self, Begin, Connection, Driver, Load, Purpose};
use super::dial::Target;
use super::spec::ConnectionsSpec;
use super::traffic::{Traffic, overloaded};
use crate::drain::Tasks;
use crate::failure::{Failure, Reason, Result};
use crate::jitter;

/// The pause after an attempt to connect that failed: it doubles from the first to the last.
const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(1);

pub(super) struct Lane {
    target: Arc<Target>,
    purpose: Purpose,
    spec: ConnectionsSpec,
    state: Mutex<State>,
    /// Where calls that wait for a connection are counted, with those of the backend's other lanes.
    traffic: Arc<Traffic>,
    /// The attempts to connect, and the drivers of what came of them.
    tasks: Tasks,
}

struct State {
    connections: Vec<Connection>,
    /// Closed when the attempt under way is over, one way or the other.
    attempt: Option<watch::Receiver<()>>,
    /// Since when and why connecting fails; none once a connection has proved itself.
    trouble: Option<Trouble>,
    /// There was a connection, and none has taken its place yet.
    bereft: bool,
    /// A task waits until the next attempt is due.
    returning: bool,
}

struct Trouble {
    cause: String,
    /// The connection that ended without an answer; none when there was not even a connection.
    blamed: Option<Arc<Load>>,
    pause: Duration,
    until: Instant,
}

/// How a lane does, for operators.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Condition {
    Connected,
    /// Nobody has asked it to connect, or it is just doing so.
    Idle,
    /// It could not connect.
    Failing,
}

enum Step<T> {
    Begun(T),
    /// A connection is being made; look again when it is.
    Wait(watch::Receiver<()>),
}

// === impl Lane ===

impl Lane {
    pub(super) fn new(target: Arc<Target>, purpose: Purpose, spec: ConnectionsSpec, traffic: Arc<Traffic>) -> Lane {
        let state = State { connections: Vec::new(), attempt: None, trouble: None, bereft: false, returning: false };
        Lane { target, purpose, spec, state: Mutex::new(state), traffic, tasks: Tasks::new() }
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
        let _place = self.traffic.wait()?;
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
        if state.connections.len() >= self.spec.max {
            return Err(overloaded("every connection is full"));
        }
        let failure = match state.pausing() {
            Some(trouble) if state.connections.is_empty() => trouble.failure(),
            Some(_) => overloaded("every connection is full, and another cannot be made"),
            None => return Ok(Step::Wait(self.attempt(&mut state))),
        };
        self.come_back(&mut state);
        Err(failure)
    }

    /// Whether calls had better go elsewhere: there is no connection, because it was lost or could not be made.
    pub(super) fn is_down(&self) -> bool {
        self.lock().is_down()
    }

    /// Sees to it that a lane that is down connects again when the next attempt is due, whether anybody calls or not.
    fn come_back(self: &Arc<Self>, state: &mut State) {
        if !state.is_down() || state.returning || state.attempt_under_way().is_some() {
            return;
        }
        state.returning = true;
        let due = state.trouble.as_ref().map_or_else(Instant::now, |trouble| trouble.until);
        let lane = Arc::downgrade(self);
        let returning = async move {
            sleep_until(due).await;
            let Some(lane) = lane.upgrade() else { return };
            let mut state = lane.lock();
            state.returning = false;
            match state.pausing() {
                None if state.is_down() && state.attempt_under_way().is_none() => drop(lane.attempt(&mut state)),
                // A call was faster.
                _ => lane.come_back(&mut state),
            }
        };
        self.tasks.spawn(&Handle::current(), returning);
    }

    /// How it does. Changes nothing.
    pub(super) fn condition(&self) -> Condition {
        let state = self.lock();
        match () {
            () if !state.connections.is_empty() => Condition::Connected,
            () if state.trouble.is_some() => Condition::Failing,
            () => Condition::Idle,
        }
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
        match self.dial().await {
            Ok((connection, driver)) => self.adopt(connection, driver, None),
            Err(cause) => {
                let mut state = self.lock();
                // Said once, not at each attempt: an endpoint that is away for a day is asked each second.
                if state.trouble.as_ref().is_none_or(|trouble| trouble.blamed.is_some()) {
                    tracing::warn!(endpoint = %self.target.authority, cause, "cannot connect");
                } else {
                    tracing::debug!(endpoint = %self.target.authority, cause, "still cannot connect");
                }
                state.attempt = None;
                state.fail(cause, None);
                self.come_back(&mut state);
            }
        }
    }

    async fn dial(&self) -> std::result::Result<(Connection, Driver), String> {
        let patience = self.target.connect_timeout;
        let connected = timeout(patience, channel::connect(&self.target, self.purpose)).await;
        connected.unwrap_or_else(|_| Err(no_connection_within(patience)))
    }

    /// Takes a connection in, in the place of `old` if that is still there.
    fn adopt(self: &Arc<Self>, connection: Connection, driver: Driver, old: Option<&Arc<Load>>) {
        tracing::debug!(endpoint = %self.target.authority, "connected");
        let load = Arc::clone(connection.load());
        self.lock().take(connection, old, self.spec.max);
        // Not an Arc: a lane whose backend is gone must not be kept by its own connections.
        let lane = Arc::downgrade(self);
        let retiring = retire(Weak::clone(&lane), Arc::clone(&load), self.spec.age_max);
        let driving = async move {
            let cause = tokio::select! {
                biased;
                cause = driver => cause,
                never = retiring => match never {},
            };
            if let Some(lane) = lane.upgrade() {
                tracing::debug!(endpoint = %lane.target.authority, cause, "the connection has ended");
                let mut state = lane.lock();
                state.lose(&load, cause);
                lane.come_back(&mut state);
            }
        };
        self.tasks.spawn(&Handle::current(), driving);
    }

    /// Lets a connection that is of age go; true when that is done. What calls it has may finish, and it closes after the last.
    async fn replace(self: &Arc<Self>, old: &Arc<Load>) -> bool {
        if self.lock().let_go_if_spare(old) {
            return true;
        }
        match self.dial().await {
            Ok((connection, driver)) => {
                self.adopt(connection, driver, Some(old));
                true
            }
            Err(cause) => {
                tracing::warn!(endpoint = %self.target.authority, cause, "cannot connect; an old connection goes on");
                false
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.acquit();
        state
    }
}

/// Replaces a connection when it is of age. Ends with it, not before.
fn retire(lane: Weak<Lane>, load: Arc<Load>, age_max: Option<Duration>) -> Pin<Box<dyn Future<Output = Infallible> + Send>> {
    Box::pin(async move {
        if let Some(age) = age_max {
            sleep(jitter::about(age)).await;
            while let Some(lane) = lane.upgrade()
                && !lane.replace(&load).await
            {
                drop(lane);
                sleep(PAUSE_MAX).await;
            }
        }
        pending().await
    })
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

    fn is_down(&self) -> bool {
        self.connections.is_empty() && (self.bereft || self.trouble.is_some())
    }

    fn take(&mut self, connection: Connection, old: Option<&Arc<Load>>, max: usize) {
        self.bereft = false;
        match old.and_then(|old| self.place_of(old)) {
            Some(place) => self.connections[place] = connection,
            None if self.connections.len() < max => self.connections.push(connection),
            // What it was to replace was lost meanwhile, and has been replaced already.
            None => {}
        }
    }

    /// Lets a connection go that has no calls while there are others.
    fn let_go_if_spare(&mut self, load: &Arc<Load>) -> bool {
        let spare = if load.is_idle() && self.connections.len() > 1 { self.place_of(load) } else { None };
        spare.map(|place| self.connections.remove(place)).is_some()
    }

    fn place_of(&self, load: &Arc<Load>) -> Option<usize> {
        self.connections.iter().position(|connection| Arc::ptr_eq(connection.load(), load))
    }

    fn attempt_under_way(&self) -> Option<watch::Receiver<()>> {
        self.attempt.as_ref().filter(|attempt| attempt.has_changed().is_ok()).cloned()
    }

    fn pausing(&self) -> Option<&Trouble> {
        self.trouble.as_ref().filter(|trouble| Instant::now() < trouble.until)
    }

    fn lose(&mut self, load: &Arc<Load>, cause: String) {
        if let Some(place) = self.place_of(load) {
            self.remove(place, cause);
        }
    }

    fn remove(&mut self, index: usize, cause: String) {
        let connection = self.connections.remove(index);
        self.bereft = self.connections.is_empty();
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
