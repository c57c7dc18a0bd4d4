//! Whether an endpoint is left alone because of what it has answered.
//!
//! Closed, until there are too many failures in a row or too few successes in a window of time. Then open: left alone, for a while that
//! doubles each time. Then exactly one call is let through to see; if it succeeds the breaker closes, if it fails it opens for longer, and
//! if it never comes to anything the next one is let through.
//!
//! Promises: an answer to a call from before the breaker opened or closed changes nothing any more; never more endpoints are open than
//! the backend's share; while all is well a call costs a few atomics, and no lock.
//!
//! - `window` — how many of the last answers were successes
//! - `ejections` — how many endpoints of a backend are open

mod ejections;
mod window;

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

pub(super) use ejections::Ejections;

use ejections::Ejected;
use window::Window;

use super::spec::BreakerSpec;
use crate::failure::{Code, Failure, Reach, Source};
use crate::jitter::about;

/// How long the one call may take. A stream that is open for hours must not keep an endpoint from being tried.
const PROBE_MAX: Duration = Duration::from_secs(30);

/// What an answer says about the endpoint that gave it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Verdict {
    Success,
    Failure,
    /// Nothing: the call was shed here, never sent, or given up by its caller.
    Silent,
}

pub(super) struct Breaker {
    spec: BreakerSpec,
    ejections: Arc<Ejections>,
    /// Grows whenever the state changes, under its lock; odd unless the breaker is closed.
    era: AtomicU32,
    /// Failures in a row while it is closed.
    failures: AtomicU32,
    /// Where a share of successes is asked for.
    window: Option<Window>,
    state: Mutex<State>,
    /// How often it has opened.
    opened: AtomicU64,
}

enum State {
    Closed,
    Open {
        until: Instant,
        left_alone: LeftAlone,
    },
    /// One call is under way. It has had its time at `until`.
    Probing {
        until: Instant,
        left_alone: LeftAlone,
    },
}

/// Kept as long as the breaker is not closed.
struct LeftAlone {
    /// For how long, give or take a tenth.
    pause: Duration,
    _ejected: Ejected,
}

/// That a call may go to the endpoint, and in which era.
#[derive(Clone, Copy)]
pub(super) struct Admission {
    era: u32,
}

// === impl Admission ===

impl Admission {
    /// Whether it is the one call that an open breaker has let through.
    pub(super) fn is_probe(self) -> bool {
        !is_closed(self.era)
    }
}

// === impl Verdict ===

impl Verdict {
    /// What a failure says about the endpoint. A caller in a hurry, who gave it less time than the route does, cannot blame it for that.
    pub(super) fn of(failure: &Failure, spec: &BreakerSpec, hurried: bool) -> Verdict {
        let ours = failure.source() == Source::Gateway;
        match failure.code() {
            _ if failure.reach() <= Reach::Unprocessed => Verdict::Silent,
            // A transport that was lost leaves the picker by itself.
            Code::Unavailable if ours => Verdict::Silent,
            Code::DeadlineExceeded if hurried => Verdict::Silent,
            code if spec.failures.contains(&code) => Verdict::Failure,
            // It is there, and says no.
            _ => Verdict::Success,
        }
    }
}

// === impl Breaker ===

impl Breaker {
    pub(super) fn new(spec: &BreakerSpec, ejections: &Arc<Ejections>) -> Breaker {
        Breaker {
            spec: spec.clone(),
            ejections: Arc::clone(ejections),
            era: AtomicU32::new(0),
            failures: AtomicU32::new(0),
            window: spec.success_percent.map(|_| Window::new(spec.window)),
            state: Mutex::new(State::Closed),
            opened: AtomicU64::new(0),
        }
    }

    pub(super) fn spec(&self) -> &BreakerSpec {
        &self.spec
    }

    /// Whether the endpoint is left alone, or only tried.
    pub(super) fn is_open(&self) -> bool {
        !is_closed(self.era.load(Ordering::Acquire))
    }

    /// Whether a call may go there. Changes nothing.
    pub(super) fn takes(&self, now: Instant) -> bool {
        !self.is_open() || self.lock().takes(now)
    }

    /// Lets a call through, if one may go there. While the breaker is open that is one at a time, and its end must be recorded.
    pub(super) fn admit(&self, now: Instant) -> Option<Admission> {
        let era = self.era.load(Ordering::Acquire);
        if is_closed(era) {
            return Some(Admission { era });
        }
        let mut state = self.lock();
        if !state.takes(now) {
            return None;
        }
        *state = match std::mem::replace(&mut *state, State::Closed) {
            State::Closed => State::Closed,
            State::Open { left_alone, .. } | State::Probing { left_alone, .. } => {
                self.turn(IsOpen::Yes);
                State::Probing { until: now + PROBE_MAX, left_alone }
            }
        };
        Some(Admission { era: self.era.load(Ordering::Acquire) })
    }

    /// What came of a call that was let through. Of several things that are said about one the first counts.
    pub(super) fn record(&self, admission: Admission, verdict: Verdict, now: Instant) {
        if self.era.load(Ordering::Acquire) != admission.era {
            return;
        }
        if !is_closed(admission.era) {
            return self.end_probe(admission, verdict, now);
        }
        match verdict {
            Verdict::Silent => {}
            Verdict::Success => {
                if self.failures.load(Ordering::Relaxed) != 0 {
                    self.failures.store(0, Ordering::Relaxed);
                }
                self.window.iter().for_each(|window| window.count(true, now));
            }
            Verdict::Failure => {
                let failures = self.failures.fetch_add(1, Ordering::Relaxed).saturating_add(1);
                self.window.iter().for_each(|window| window.count(false, now));
                if failures >= self.spec.consecutive_failures || self.has_too_few_successes(now) {
                    self.open(admission, now);
                }
            }
        }
    }

    /// That nothing more will come of a call that was let through, whatever was recorded.
    pub(super) fn give_up(&self, admission: Admission) {
        if !is_closed(admission.era) {
            self.record(admission, Verdict::Silent, Instant::now());
        }
    }

    /// How long it is left alone yet, as far as that can be said: a call that is let through soon tells.
    pub(super) fn wait(&self, now: Instant) -> Option<Duration> {
        match &*self.lock() {
            State::Closed => None,
            State::Open { until, .. } => Some(until.saturating_duration_since(now)),
            State::Probing { .. } => Some(self.spec.open_min),
        }
    }

    /// Closes it whatever was: too few other endpoints are left.
    pub(super) fn pardon(&self) {
        let mut state = self.lock();
        if !matches!(*state, State::Closed) {
            self.close(&mut state);
        }
    }

    /// How often it has opened.
    pub(super) fn opened(&self) -> u64 {
        self.opened.load(Ordering::Relaxed)
    }

    fn has_too_few_successes(&self, now: Instant) -> bool {
        let (Some(window), Some(percent)) = (&self.window, self.spec.success_percent) else { return false };
        let seen = window.seen(now);
        let requests = seen.successes + seen.failures;
        requests >= u64::from(self.spec.requests_min) && seen.successes * 100 < requests * u64::from(percent)
    }

    fn open(&self, admission: Admission, now: Instant) {
        let mut state = self.lock();
        if self.era.load(Ordering::Acquire) != admission.era {
            return;
        }
        // Beyond the share it stays closed, and the next failure asks again.
        let Some(ejected) = self.ejections.eject() else { return };
        let pause = self.spec.open_min;
        *state = State::Open { until: now + about(pause), left_alone: LeftAlone { pause, _ejected: ejected } };
        self.opened.fetch_add(1, Ordering::Relaxed);
        self.turn(IsOpen::Yes);
    }

    fn end_probe(&self, admission: Admission, verdict: Verdict, now: Instant) {
        let mut state = self.lock();
        if self.era.load(Ordering::Acquire) != admission.era {
            return;
        }
        if verdict == Verdict::Success {
            return self.close(&mut state);
        }
        let State::Probing { mut left_alone, .. } = std::mem::replace(&mut *state, State::Closed) else {
            unreachable!("the era is that of a probe")
        };
        let until = match verdict {
            Verdict::Failure => {
                left_alone.pause = (left_alone.pause * 2).min(self.spec.open_max);
                self.opened.fetch_add(1, Ordering::Relaxed);
                now + about(left_alone.pause)
            }
            Verdict::Success | Verdict::Silent => now,
        };
        *state = State::Open { until, left_alone };
        self.turn(IsOpen::Yes);
    }

    fn close(&self, state: &mut State) {
        *state = State::Closed;
        self.failures.store(0, Ordering::Relaxed);
        self.window.iter().for_each(Window::clear);
        self.turn(IsOpen::No);
    }

    /// Begins another era. Only under the lock.
    fn turn(&self, is_open: IsOpen) {
        let era = self.era.load(Ordering::Relaxed);
        let next = match (is_open, is_closed(era)) {
            (IsOpen::Yes, true) | (IsOpen::No, false) => era.wrapping_add(1),
            (IsOpen::Yes, false) | (IsOpen::No, true) => era.wrapping_add(2),
        };
        self.era.store(next, Ordering::Release);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Clone, Copy)]
enum IsOpen {
    Yes,
    No,
}

fn is_closed(era: u32) -> bool {
    era.is_multiple_of(2)
}

// === impl State ===

impl State {
    fn takes(&self, now: Instant) -> bool {
        match self {
            State::Closed => true,
            State::Open { until, .. } | State::Probing { until, .. } => now >= *until,
        }
    }
}

#[cfg(test)]
mod tests;
