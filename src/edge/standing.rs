//! How long a connection may stay as who it is: unknown until it authenticates, known until its token expires.

use std::time::{Duration, SystemTime};

use super::pulse::{STEP, Tick};
use crate::table::Settings;

/// How long before its end a token's holder is told: enough to fetch another one over a bad network.
const WARNING: Duration = Duration::from_secs(60);

/// Where a connection stands.
pub enum Standing {
    /// Nobody has said who it is.
    Anonymous {
        /// By then it must say so, or make another anonymous call.
        act_by: Tick,
        /// By then it must say so.
        leave_by: Tick,
    },
    /// A token said who it is.
    Known {
        /// When to say that the token expires; never again once it was said.
        warn_at: Tick,
        expires: Tick,
    },
}

/// What is due.
#[derive(PartialEq, Eq, Debug)]
pub enum Verdict {
    /// Nothing.
    Fine,
    /// The client is to be told that its token expires.
    Warn,
    /// No token came in time.
    Unknown,
    /// The token's time is over.
    Expired,
}

// === impl Standing ===

impl Standing {
    /// A connection that begins without a token.
    pub fn anonymous(now: Tick, settings: &Settings) -> Standing {
        Standing::Anonymous { act_by: now.after(settings.auth_timeout), leave_by: now.after(settings.anonymous_max_age) }
    }

    /// A connection whose token expires at `expires`. One that lives shortly is announced half-way.
    pub fn known(now: Tick, clock: SystemTime, expires: SystemTime) -> Standing {
        let left = expires.duration_since(clock).unwrap_or(Duration::ZERO);
        // The coarse clock is up to a step behind. Sent away too early, a client would come back with a token that is still good, and be
        // sent away again.
        let expires = if left.is_zero() { now } else { now.after(left + STEP) };
        Standing::Known { warn_at: now.after(left - WARNING.min(left / 2)), expires }
    }

    /// An anonymous call was accepted: the client is at work, and has as long again.
    pub fn extend(&mut self, now: Tick, settings: &Settings) {
        if let Standing::Anonymous { act_by, .. } = self {
            *act_by = now.after(settings.auth_timeout);
        }
    }

    /// When to ask what is due. It may come sooner or later after whatever the client does.
    pub fn due(&self) -> Tick {
        match *self {
            Standing::Anonymous { act_by, leave_by } => act_by.min(leave_by),
            Standing::Known { warn_at, expires } => warn_at.min(expires),
        }
    }

    /// What is due at `now`. A warning counts as given.
    pub fn check(&mut self, now: Tick) -> Verdict {
        if now < self.due() {
            return Verdict::Fine;
        }
        match self {
            Standing::Anonymous { .. } => Verdict::Unknown,
            Standing::Known { expires, .. } if now >= *expires => Verdict::Expired,
            Standing::Known { warn_at, .. } => {
                *warn_at = Tick::NEVER;
                Verdict::Warn
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Tick {
        Tick::ZERO.after(Duration::from_secs(seconds))
    }

    #[test]
    fn an_anonymous_call_buys_time_but_not_for_ever() {
        let settings = Settings::default();
        let mut standing = Standing::anonymous(at(0), &settings);
        assert_eq!((standing.check(at(29)), standing.due()), (Verdict::Fine, at(30)));
        standing.extend(at(29), &settings);
        assert_eq!((standing.check(at(58)), standing.due()), (Verdict::Fine, at(59)));
        assert_eq!(standing.check(at(59)), Verdict::Unknown);
        standing.extend(at(595), &settings);
        assert_eq!((standing.check(at(599)), standing.due()), (Verdict::Fine, at(600)));
        assert_eq!(standing.check(at(600)), Verdict::Unknown);
    }

    #[test]
    fn a_token_is_announced_once_and_then_expires() {
        let clock = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        let mut standing = Standing::known(at(10), clock, clock + Duration::from_secs(900));
        assert_eq!((standing.check(at(10)), standing.due()), (Verdict::Fine, at(850)));
        assert_eq!(standing.check(at(850)), Verdict::Warn);
        assert_eq!((standing.check(at(850)), standing.due()), (Verdict::Fine, at(910).after(STEP)));
        assert_eq!(standing.check(at(910)), Verdict::Fine, "never too early");
        assert_eq!(standing.check(at(910).after(STEP)), Verdict::Expired);
        let mut short = Standing::known(at(0), clock, clock + Duration::from_secs(20));
        assert_eq!((short.check(at(0)), short.due()), (Verdict::Fine, at(10)));
        assert_eq!(Standing::known(at(0), clock, clock).check(at(0)), Verdict::Expired);
    }
}
