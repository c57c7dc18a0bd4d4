//! Whether a call is tried again, by the rules of gRPC's A6.
//!
//! What never left is tried elsewhere. What a service has left undone is tried again once, whatever it is. All else only if the route
//! allows it, for the codes that it names, within the backend's budget, as the service itself says, and never once a service has begun to
//! answer. Promise: [`decide`] is all there is to it, and depends on nothing but [`Facts`].

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, HeaderValue};
use smallvec::SmallVec;

use super::Request;
use super::endpoint::Endpoint;
use super::traffic::{Place, Traffic};
use crate::failure::{Code, Failure, Pushback, Reach};
use crate::jitter::roughly;

/// The most attempts that are made at a call, those included that never left.
const ATTEMPTS_MAX: usize = 64;

const PREVIOUS_ATTEMPTS: HeaderName = HeaderName::from_static("grpc-previous-rpc-attempts");

/// How a call may be repeated that a service may have acted upon.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RetryPolicy {
    /// Attempts at most, the first included; those that no service acted upon are not counted.
    pub attempts: u32,
    /// The failures that may be repeated.
    pub codes: Vec<Code>,
    /// The wait before the first repetition; it doubles up to the last. A fifth more or less.
    pub backoff_min: Duration,
    pub backoff_max: Duration,
}

/// Endpoints that a call has been to.
pub(super) type Tried = SmallVec<[Arc<Endpoint>; 2]>;

/// What a call has been through.
#[derive(Default)]
pub(super) struct Attempts {
    pub(super) tried: Tried,
    made: usize,
    /// Those that a service may have acted upon.
    seen: u32,
    /// One was left undone, and made again for nothing.
    left_undone: bool,
    /// This one's place in the budget.
    repeat: Option<Place>,
}

/// All that counts for whether a call that has failed is tried again.
#[derive(Clone, Copy)]
pub(super) struct Facts<'p> {
    /// How far the last attempt came.
    pub(super) reach: Reach,
    pub(super) code: Code,
    pub(super) pushback: Option<Pushback>,
    /// Attempts made, the last included, and those among them that a service may have acted upon.
    pub(super) made: usize,
    pub(super) seen: u32,
    /// An earlier attempt was left undone and made again for nothing.
    pub(super) left_undone: bool,
    /// Nothing unless the route allows repetitions of this call.
    pub(super) policy: Option<&'p RetryPolicy>,
    /// There is an endpoint that takes calls and that the call has not been to.
    pub(super) elsewhere: bool,
    /// The budget has room.
    pub(super) budget: bool,
    /// The wait that the policy asks for.
    pub(super) backoff: Duration,
    pub(super) time_left: Duration,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Decision {
    /// The failure is the answer.
    Answer,
    /// Another attempt, now, that the budget does not count.
    AtOnce,
    /// Another attempt after this wait, within the budget.
    After(Duration),
}

/// The rules.
pub(super) fn decide(facts: &Facts<'_>) -> Decision {
    if facts.time_left.is_zero() || facts.made >= ATTEMPTS_MAX {
        return Decision::Answer;
    }
    match facts.reach {
        Reach::Unsent if facts.elsewhere => Decision::AtOnce,
        // Every endpoint has been asked. To wait for one to come back is the client's to decide: it is told how long.
        Reach::Unsent => Decision::Answer,
        Reach::Unprocessed if !facts.left_undone => Decision::AtOnce,
        Reach::Unprocessed | Reach::Sent => by_policy(facts),
        Reach::Answered => Decision::Answer,
    }
}

fn by_policy(facts: &Facts<'_>) -> Decision {
    let Some(policy) = facts.policy else { return Decision::Answer };
    if !policy.codes.contains(&facts.code) || facts.seen >= policy.attempts || !facts.budget {
        return Decision::Answer;
    }
    let wait = match facts.pushback {
        None => facts.backoff,
        Some(Pushback::After(wait)) => wait,
        Some(Pushback::Never) => return Decision::Answer,
    };
    if wait < facts.time_left { Decision::After(wait) } else { Decision::Answer }
}

// === impl RetryPolicy ===

impl Default for RetryPolicy {
    fn default() -> RetryPolicy {
        RetryPolicy {
            attempts: 3,
            codes: vec![Code::Unavailable],
            backoff_min: Duration::from_millis(25),
            backoff_max: Duration::from_secs(1),
        }
    }
}

impl RetryPolicy {
    /// The wait after so many attempts, before it is spread.
    fn backoff(&self, seen: u32) -> Duration {
        let doubled = 1_u32.checked_shl(seen.saturating_sub(1)).unwrap_or(u32::MAX);
        self.backoff_min.saturating_mul(doubled).min(self.backoff_max)
    }
}

// === impl Attempts ===

impl Attempts {
    /// Decides after an attempt at this endpoint, and prepares the next one.
    pub(super) fn after(
        &mut self,
        endpoint: &Arc<Endpoint>,
        failure: &Failure,
        request: &mut Request,
        traffic: &Arc<Traffic>,
        elsewhere: impl FnOnce(&[Arc<Endpoint>]) -> bool,
    ) -> Decision {
        let reach = failure.reach();
        self.made += 1;
        self.tried.push(Arc::clone(endpoint));
        if reach == Reach::Sent || reach == Reach::Answered || (reach == Reach::Unprocessed && self.left_undone) {
            self.seen += 1;
        }
        self.repeat = None;
        let policy = request.retry.as_deref();
        let repeat = policy.and_then(|_| traffic.repeat());
        let decision = decide(&Facts {
            reach,
            code: failure.code(),
            pushback: failure.pushback(),
            made: self.made,
            seen: self.seen,
            left_undone: self.left_undone,
            policy,
            elsewhere: reach == Reach::Unsent && elsewhere(&self.tried),
            budget: repeat.is_some(),
            backoff: policy.map_or(Duration::ZERO, |policy| roughly(policy.backoff(self.seen))),
            time_left: request.time_left(),
        });
        match decision {
            Decision::Answer => {}
            Decision::AtOnce => self.left_undone |= reach == Reach::Unprocessed,
            Decision::After(_) => {
                self.repeat = repeat;
                traffic.count_retry();
                request.metadata.push((PREVIOUS_ATTEMPTS, HeaderValue::from(self.seen)));
            }
        }
        decision
    }
}

#[cfg(test)]
mod tests;
