//! A call that did not succeed: where the failure arose, what the client may read, and what only we may.
//!
//! Promises: the private cause never reaches a client; a gateway's failure has a [`Reason`], and with it one code and one stable token.
//! How a failure looks on the wire is `wire/status.rs`.
//!
//! - `code`, `reason`: what it is called, to programs

mod code;
mod reason;

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use prost_types::Any;

pub use code::Code;
pub use reason::Reason;

/// The result of anything that is part of a call.
pub type Result<T> = std::result::Result<T, Failure>;

/// Who said no.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Source {
    Gateway,
    Backend,
}

/// How far a call came before it failed. It decides whether another attempt could repeat an effect.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Reach {
    /// It never left the gateway.
    Unsent,
    /// It did, and the service has said that it did nothing with it.
    Unprocessed,
    /// A service may have acted upon it.
    Sent,
    /// A service had begun to answer it.
    Answered,
}

/// What a service says about when it may be asked again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Pushback {
    /// After exactly so long.
    After(Duration),
    /// Not by us.
    Never,
}

/// A call that did not succeed. One pointer wide, so that `Result<T, Failure>` stays small.
pub struct Failure(Box<Inner>);

struct Inner {
    code: Code,
    reason: Cow<'static, str>,
    message: Cow<'static, str>,
    /// The gateway's own reason; nothing where a backend has failed it.
    ours: Option<Reason>,
    retry_after: Option<Duration>,
    details: Vec<Any>,
    cause: Option<String>,
    reach: Reach,
    pushback: Option<Pushback>,
    limit: Option<Arc<str>>,
}

// === impl Source ===

impl Source {
    /// The name in logs.
    pub fn name(self) -> &'static str {
        match self {
            Source::Gateway => "gateway",
            Source::Backend => "backend",
        }
    }
}

// === impl Failure ===

impl Failure {
    /// A failure of the gateway's own. `message` is for people: what is wrong and what to do about it.
    pub fn gateway(reason: Reason, message: impl Into<Cow<'static, str>>) -> Failure {
        let (code, token) = reason.parts();
        Failure::new(code, Cow::Borrowed(token), message.into(), Some(reason))
    }

    /// A failure that a backend answered. `reason` is its ErrorInfo's, else the code's name.
    pub fn backend(code: Code, reason: Option<String>, message: String, details: Vec<Any>) -> Failure {
        let reason = reason.map_or(Cow::Borrowed(code.name()), Cow::Owned);
        let mut failure = Failure::new(code, reason, Cow::Owned(message), None);
        failure.0.details = details;
        failure
    }

    fn new(code: Code, reason: Cow<'static, str>, message: Cow<'static, str>, ours: Option<Reason>) -> Failure {
        Failure(Box::new(Inner {
            code,
            reason,
            message,
            ours,
            retry_after: None,
            details: Vec::new(),
            cause: None,
            reach: Reach::Sent,
            pushback: None,
            limit: None,
        }))
    }

    /// Adds what only the log may say.
    #[must_use]
    pub fn because(mut self, cause: impl fmt::Display) -> Failure {
        self.0.cause = Some(cause.to_string());
        self
    }

    /// Adds what is made for programs to read.
    #[must_use]
    pub fn detailed(mut self, details: Vec<Any>) -> Failure {
        self.0.details = details;
        self
    }

    /// Adds how long the client should wait before it tries again.
    #[must_use]
    pub fn retry_after(mut self, wait: Duration) -> Failure {
        self.0.retry_after = Some(wait);
        self
    }

    /// States that the request never left the gateway, so that another attempt cannot repeat an effect.
    #[must_use]
    pub fn unsent(self) -> Failure {
        self.reached(Reach::Unsent)
    }

    /// States how far the call came; where nothing is said, a service may have acted upon it.
    #[must_use]
    pub fn reached(mut self, reach: Reach) -> Failure {
        self.0.reach = reach;
        self
    }

    /// Adds which limit refused the call.
    #[must_use]
    pub fn by_limit(mut self, name: &Arc<str>) -> Failure {
        self.0.limit = Some(Arc::clone(name));
        self
    }

    /// Adds what the service says about another attempt.
    #[must_use]
    pub fn pushed_back(mut self, pushback: Option<Pushback>) -> Failure {
        self.0.pushback = pushback;
        self
    }

    /// Replaces a backend's text by a neutral one; the original stays as the private cause.
    #[must_use]
    pub fn with_message_hidden(mut self, neutral: &'static str) -> Failure {
        let original = std::mem::replace(&mut self.0.message, Cow::Borrowed(neutral));
        self.0.cause = Some(original.into_owned());
        self
    }

    pub fn code(&self) -> Code {
        self.0.code
    }

    /// The stable token clients may match on.
    pub fn reason(&self) -> &str {
        &self.0.reason
    }

    /// Whether the gateway says so, for this reason. A backend may use the same token for something else.
    pub fn is(&self, reason: Reason) -> bool {
        self.0.ours == Some(reason)
    }

    /// The token, if it is one of ours: a backend may use any text.
    pub fn own_reason(&self) -> Option<&'static str> {
        self.0.ours.map(|reason| reason.parts().1)
    }

    /// The public text.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    pub fn source(&self) -> Source {
        if self.0.ours.is_some() { Source::Gateway } else { Source::Backend }
    }

    /// Why the gateway refused or failed the call; nothing where a backend did.
    pub fn gateway_reason(&self) -> Option<Reason> {
        self.0.ours
    }

    pub fn wait(&self) -> Option<Duration> {
        self.0.retry_after
    }

    pub fn details(&self) -> &[Any] {
        &self.0.details
    }

    /// The private cause, for the log alone.
    pub fn cause(&self) -> Option<&str> {
        self.0.cause.as_deref()
    }

    /// The limit that refused the call, if one did.
    pub fn limit(&self) -> Option<&str> {
        self.0.limit.as_deref()
    }

    /// Whether nobody can have acted upon the call.
    pub fn is_unsent(&self) -> bool {
        self.0.reach <= Reach::Unprocessed
    }

    pub fn reach(&self) -> Reach {
        self.0.reach
    }

    pub fn pushback(&self) -> Option<Pushback> {
        self.0.pushback
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.code().name(), self.reason(), self.message())
    }
}

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Failure({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_and_every_reason_stands_at_its_number() {
        assert!(Code::ALL.iter().enumerate().all(|(number, code)| *code as usize == number));
        assert!(Reason::ALL.iter().enumerate().all(|(number, reason)| *reason as usize == number));
    }
}
