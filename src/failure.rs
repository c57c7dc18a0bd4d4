//! A call that did not succeed: where the failure arose, what the client may read, and what only we may.
//!
//! Promises: the private cause never reaches a client; a gateway's failure has a [`Reason`], and with it one code and one stable token.
//! How a failure looks on the wire is `wire/status.rs`.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use prost_types::Any;

/// The result of anything that is part of a call.
pub type Result<T> = std::result::Result<T, Failure>;

/// google.rpc.Code.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u32)]
pub enum Code {
    Ok = 0,
    Cancelled = 1,
    Unknown = 2,
    InvalidArgument = 3,
    DeadlineExceeded = 4,
    NotFound = 5,
    AlreadyExists = 6,
    PermissionDenied = 7,
    ResourceExhausted = 8,
    FailedPrecondition = 9,
    Aborted = 10,
    OutOfRange = 11,
    Unimplemented = 12,
    Internal = 13,
    Unavailable = 14,
    DataLoss = 15,
    Unauthenticated = 16,
}

/// Who said no.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Source {
    Gateway,
    Backend,
}

/// Every way in which the gateway itself refuses or fails a call. Each has one code and one token that clients may rely on.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Reason {
    InvalidMessage,
    ValidationFailed,
    UnknownProtocol,
    Unauthenticated,
    InvalidToken,
    PermissionDenied,
    GuardDenied,
    GuardUnavailable,
    RateLimited,
    TooLarge,
    ReplyTooLarge,
    TooManyCalls,
    TooManyStreams,
    CreditOverrun,
    StreamIdle,
    StreamTooOld,
    MetadataRefused,
    IdentityType,
    DeadlineExceeded,
    Unavailable,
    Overloaded,
    Cancelled,
    EffectFailed,
    SessionLimit,
    ResumeFailed,
    SessionReplaced,
    Revoked,
    Expired,
    Shutdown,
    ConnectionClosed,
    UnknownTopic,
    WrongTopic,
    TooManyTopics,
    UnknownPush,
    InvalidPayload,
    NoTarget,
    BadReply,
    Internal,
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

// === impl Code ===

impl Code {
    /// All of them, in the order of their numbers.
    pub const ALL: [Code; 17] = [
        Code::Ok,
        Code::Cancelled,
        Code::Unknown,
        Code::InvalidArgument,
        Code::DeadlineExceeded,
        Code::NotFound,
        Code::AlreadyExists,
        Code::PermissionDenied,
        Code::ResourceExhausted,
        Code::FailedPrecondition,
        Code::Aborted,
        Code::OutOfRange,
        Code::Unimplemented,
        Code::Internal,
        Code::Unavailable,
        Code::DataLoss,
        Code::Unauthenticated,
    ];

    /// The code's number as gRPC sends it; a number nobody defined is `Unknown`, as the gRPC specification says.
    pub fn from_number(number: u32) -> Code {
        Code::ALL.get(number as usize).copied().unwrap_or(Code::Unknown)
    }

    /// The number on the wire.
    pub fn number(self) -> u32 {
        self as u32
    }

    /// The name in google.rpc.Code, which is also the reason of a backend's failure that states none.
    pub fn name(self) -> &'static str {
        match self {
            Code::Ok => "OK",
            Code::Cancelled => "CANCELLED",
            Code::Unknown => "UNKNOWN",
            Code::InvalidArgument => "INVALID_ARGUMENT",
            Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
            Code::NotFound => "NOT_FOUND",
            Code::AlreadyExists => "ALREADY_EXISTS",
            Code::PermissionDenied => "PERMISSION_DENIED",
            Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
            Code::FailedPrecondition => "FAILED_PRECONDITION",
            Code::Aborted => "ABORTED",
            Code::OutOfRange => "OUT_OF_RANGE",
            Code::Unimplemented => "UNIMPLEMENTED",
            Code::Internal => "INTERNAL",
            Code::Unavailable => "UNAVAILABLE",
            Code::DataLoss => "DATA_LOSS",
            Code::Unauthenticated => "UNAUTHENTICATED",
        }
    }
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

// === impl Reason ===

impl Reason {
    /// All of them, in the order in which they are declared.
    pub const ALL: [Reason; 38] = [
        Reason::InvalidMessage,
        Reason::ValidationFailed,
        Reason::UnknownProtocol,
        Reason::Unauthenticated,
        Reason::InvalidToken,
        Reason::PermissionDenied,
        Reason::GuardDenied,
        Reason::GuardUnavailable,
        Reason::RateLimited,
        Reason::TooLarge,
        Reason::ReplyTooLarge,
        Reason::TooManyCalls,
        Reason::TooManyStreams,
        Reason::CreditOverrun,
        Reason::StreamIdle,
        Reason::StreamTooOld,
        Reason::MetadataRefused,
        Reason::IdentityType,
        Reason::DeadlineExceeded,
        Reason::Unavailable,
        Reason::Overloaded,
        Reason::Cancelled,
        Reason::EffectFailed,
        Reason::SessionLimit,
        Reason::ResumeFailed,
        Reason::SessionReplaced,
        Reason::Revoked,
        Reason::Expired,
        Reason::Shutdown,
        Reason::ConnectionClosed,
        Reason::UnknownTopic,
        Reason::WrongTopic,
        Reason::TooManyTopics,
        Reason::UnknownPush,
        Reason::InvalidPayload,
        Reason::NoTarget,
        Reason::BadReply,
        Reason::Internal,
    ];

    /// The code and the stable token, in one table.
    pub fn parts(self) -> (Code, &'static str) {
        match self {
            Reason::InvalidMessage => (Code::InvalidArgument, "INVALID_MESSAGE"),
            Reason::ValidationFailed => (Code::InvalidArgument, "VALIDATION_FAILED"),
            Reason::UnknownProtocol => (Code::Unimplemented, "UNKNOWN_PROTOCOL"),
            Reason::Unauthenticated => (Code::Unauthenticated, "UNAUTHENTICATED"),
            Reason::InvalidToken => (Code::Unauthenticated, "INVALID_TOKEN"),
            Reason::PermissionDenied => (Code::PermissionDenied, "PERMISSION_DENIED"),
            Reason::GuardDenied => (Code::PermissionDenied, "GUARD_DENIED"),
            Reason::GuardUnavailable => (Code::Unavailable, "GUARD_UNAVAILABLE"),
            Reason::RateLimited => (Code::ResourceExhausted, "RATE_LIMITED"),
            Reason::TooLarge => (Code::ResourceExhausted, "TOO_LARGE"),
            Reason::ReplyTooLarge => (Code::ResourceExhausted, "REPLY_TOO_LARGE"),
            Reason::TooManyCalls => (Code::ResourceExhausted, "TOO_MANY_CALLS"),
            Reason::TooManyStreams => (Code::ResourceExhausted, "TOO_MANY_STREAMS"),
            Reason::CreditOverrun => (Code::ResourceExhausted, "CREDIT_OVERRUN"),
            Reason::StreamIdle => (Code::DeadlineExceeded, "STREAM_IDLE"),
            Reason::StreamTooOld => (Code::DeadlineExceeded, "STREAM_TOO_OLD"),
            Reason::MetadataRefused => (Code::InvalidArgument, "METADATA_REFUSED"),
            Reason::IdentityType => (Code::FailedPrecondition, "IDENTITY_TYPE"),
            Reason::DeadlineExceeded => (Code::DeadlineExceeded, "DEADLINE_EXCEEDED"),
            Reason::Unavailable => (Code::Unavailable, "UNAVAILABLE"),
            Reason::Overloaded => (Code::Unavailable, "OVERLOADED"),
            Reason::Cancelled => (Code::Cancelled, "CANCELLED"),
            Reason::EffectFailed => (Code::Unavailable, "EFFECT_FAILED"),
            Reason::SessionLimit => (Code::ResourceExhausted, "SESSION_LIMIT"),
            Reason::ResumeFailed => (Code::NotFound, "RESUME_FAILED"),
            Reason::SessionReplaced => (Code::Aborted, "SESSION_REPLACED"),
            Reason::Revoked => (Code::Aborted, "REVOKED"),
            Reason::Expired => (Code::Aborted, "EXPIRED"),
            Reason::Shutdown => (Code::Aborted, "SHUTDOWN"),
            Reason::ConnectionClosed => (Code::Aborted, "CONNECTION_CLOSED"),
            Reason::UnknownTopic => (Code::NotFound, "UNKNOWN_TOPIC"),
            Reason::WrongTopic => (Code::InvalidArgument, "WRONG_TOPIC"),
            Reason::TooManyTopics => (Code::ResourceExhausted, "TOO_MANY_TOPICS"),
            Reason::UnknownPush => (Code::InvalidArgument, "UNKNOWN_PUSH"),
            Reason::InvalidPayload => (Code::InvalidArgument, "INVALID_PAYLOAD"),
            Reason::NoTarget => (Code::InvalidArgument, "NO_TARGET"),
            Reason::BadReply => (Code::Internal, "BAD_REPLY"),
            Reason::Internal => (Code::Internal, "INTERNAL"),
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
