//! How a connection ends, and who says so.

use std::borrow::Cow;
use std::time::Duration;

use super::pulse::STEP;
use crate::failure::{Failure, Reason};
use crate::jitter;
use crate::telemetry::labels::Closed;
use crate::wire::{Close, v1};

/// Over how long clients are asked to come back that were sent away together.
const RETURN_WITHIN: Duration = Duration::from_secs(5);

/// Why a connection does not go on.
#[derive(Debug)]
pub enum End {
    /// The stream ended; nobody is left to talk to.
    Gone,
    /// The client closed, with this code.
    Client(Option<u16>),
    /// The gateway closes. The client is asked to come back within so much time, at a moment of chance.
    Gateway { close: Close, what: Cow<'static, str>, back_within: Duration },
}

// === impl End ===

impl End {
    /// As metrics call it.
    pub fn label(&self) -> Closed {
        match self {
            End::Gone => Closed::Gone,
            End::Client(_) => Closed::Client,
            End::Gateway { close, .. } => label(*close),
        }
    }

    /// The gateway closes; `what` is public text for the developer who wonders why.
    pub fn close(close: Close, what: impl Into<Cow<'static, str>>) -> End {
        let back_within = match close {
            Close::GoingAway | Close::Restart | Close::Shutdown | Close::Rebalance | Close::Overloaded => RETURN_WITHIN,
            _ => Duration::ZERO,
        };
        End::Gateway { close, what: what.into(), back_within }
    }

    /// The gateway drains. Those who leave one after the other may come back as they left; only those of one step of the clock leave together.
    pub fn drained(close: Close, one_by_one: bool) -> End {
        let back_within = if one_by_one { STEP } else { RETURN_WITHIN };
        End::Gateway { close, what: "the gateway goes away; connect again".into(), back_within }
    }
}

impl From<Close> for End {
    /// A session that ended while the connection was about to enter it.
    fn from(close: Close) -> End {
        End::close(close, "the session ended")
    }
}

fn label(close: Close) -> Closed {
    match close {
        Close::GoingAway => Closed::GoingAway,
        Close::WebSocket => Closed::WebSocket,
        Close::Unsupported => Closed::Unsupported,
        Close::NotUtf8 => Closed::NotUtf8,
        Close::Policy => Closed::Policy,
        Close::TooLarge => Closed::TooLarge,
        Close::Internal => Closed::Internal,
        Close::Restart => Closed::Restart,
        Close::Shutdown => Closed::Shutdown,
        Close::Slow => Closed::Slow,
        Close::TokenExpired => Closed::TokenExpired,
        Close::Dead => Closed::Dead,
        Close::Rebalance => Closed::Rebalance,
        Close::Overloaded => Closed::Overloaded,
        Close::BadToken => Closed::BadToken,
        Close::Revoked => Closed::Revoked,
        Close::Replaced => Closed::Replaced,
        Close::Protocol => Closed::Protocol,
        Close::TooManyErrors => Closed::TooManyErrors,
        Close::Limit => Closed::Limit,
    }
}

/// What Goodbye says about a close.
///
/// `resumable`: the connection has a session that will wait for its client.
pub fn goodbye(close: Close, resumable: bool, back_within: Duration) -> v1::Goodbye {
    let retry_after = jitter::between(Duration::ZERO, back_within);
    v1::Goodbye {
        code: close.code().into(),
        reason: close.reason().to_owned(),
        reconnect: close.reconnect(),
        can_resume: resumable && close.reconnect(),
        retry_after_ms: u32::try_from(retry_after.as_millis()).unwrap_or(u32::MAX),
    }
}

/// How the calls end that are open when the gateway closes.
pub fn aborted(close: Close) -> Failure {
    match close {
        Close::Replaced => Failure::gateway(Reason::SessionReplaced, "the session went to another connection before the call ended"),
        Close::Revoked => Failure::gateway(Reason::Revoked, "the session was revoked before the call ended"),
        Close::TokenExpired => Failure::gateway(Reason::Expired, "the token expired before the call ended"),
        Close::GoingAway | Close::Restart | Close::Shutdown => {
            Failure::gateway(Reason::Shutdown, "the gateway stopped before the call ended")
        }
        _ => Failure::gateway(Reason::ConnectionClosed, "the connection was closed before the call ended"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::tally::Label;

    #[test]
    fn a_close_is_counted_by_its_code() {
        for close in Close::ALL {
            assert_eq!(label(close).name(), close.code().to_string());
        }
    }
}
