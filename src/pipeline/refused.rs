//! A token that was not believed: what the client may read, and what only we may.
//!
//! Promises: every refusal says the same to the client; it is counted by its cause once, when it becomes an answer; no text of it holds
//! the token.

use std::fmt;
use std::sync::Arc;

use tracing::debug;

use super::cause::{Cause, Refusals};
use super::identity::REFUSED;
use super::key_set::Refresh;
use crate::failure::{Failure, Reason};

/// What is wrong with a token, for the log.
pub struct Flaw {
    pub cause: Cause,
    pub what: String,
    /// The fetching of keys that is under way and may cure it.
    pub cure: Option<Refresh>,
}

/// The result of a look at a token.
pub type Checked<T> = Result<T, Flaw>;

/// A refusal that is not an answer yet: either it becomes one by [`Refused::finally`], or the keys that are being fetched cure it.
#[must_use = "a refusal is counted when it becomes an answer"]
pub struct Refused {
    flaw: Flaw,
    refusals: Arc<Refusals>,
}

// === impl Cause ===

impl Cause {
    /// With what the log says about it.
    pub fn because(self, what: impl Into<String>) -> Flaw {
        Flaw { cause: self, what: what.into(), cure: None }
    }
}

// === impl Refused ===

impl Refused {
    pub(super) fn new(flaw: Flaw, refusals: &Arc<Refusals>) -> Refused {
        Refused { flaw, refusals: Arc::clone(refusals) }
    }

    /// Why. Nothing that a client may know.
    pub fn cause(&self) -> Cause {
        self.flaw.cause
    }

    /// Whether keys are being fetched that may make the token good, so that [`Refused::refreshed`] is worth waiting for.
    pub fn is_curable(&self) -> bool {
        self.flaw.cure.is_some()
    }

    /// Waits until the keys that are being fetched are there, at most [`PATIENCE`](super::key_set::PATIENCE). True: verify once more.
    ///
    /// At once false if none are. Cancel-safe, and good on any runtime.
    pub async fn refreshed(&mut self) -> bool {
        match self.flaw.cure.take() {
            Some(refresh) => refresh.done().await,
            None => false,
        }
    }

    /// The answer. Counts it, and tells the log why.
    pub fn finally(self) -> Failure {
        let Flaw { cause, what, .. } = self.flaw;
        self.refusals.count(cause);
        debug!(cause = cause.name(), why = what, "token refused");
        Failure::gateway(Reason::InvalidToken, REFUSED).because(format_args!("token refused: {what}"))
    }
}

impl fmt::Debug for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Refused({})", self.flaw.cause.name())
    }
}
