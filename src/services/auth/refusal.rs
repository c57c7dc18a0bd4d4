//! Every way in which the auth service says no, and how each is told.
//!
//! Promises: a reason never changes its meaning; who guesses learns nothing from a refusal that they did not know; what the log alone may
//! say stays in the log.

use std::collections::HashMap;
use std::time::Duration;

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};
use tracing::warn;

use crate::services::documents::Unread;
use crate::services::hasher::{OVERLOADED_WAIT, Unhashed};
use crate::store::StoreError;

/// What the reasons are unique within, as google.rpc.ErrorInfo wants to know.
const DOMAIN: &str = "auth.protogate";

/// The result of anything that a client asked for.
pub type Result<T> = std::result::Result<T, Refusal>;

/// Why not.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Refusal {
    InvalidUsername,
    InvalidEmail,
    /// The request's field, and what is wrong with the password in it.
    WeakPassword {
        field: &'static str,
        why: &'static str,
    },
    UsernameTaken,
    EmailTaken,
    InvalidCredentials,
    InvalidRefreshToken,
    InvalidCode,
    AccountDisabled,
    /// Whoever asks has no account here.
    UserNotFound,
    /// The request does not say who asks: the gateway did not write it.
    NotLoggedIn,
    TooManyAttempts {
        left: Duration,
    },
    Overloaded,
    MailNotConfigured,
    NoSigningKey,
    /// The store is; the text is for the log.
    Unavailable(String),
    /// Our mistake; the text is for the log.
    Internal(String),
}

// === impl Refusal ===

impl Refusal {
    /// A document in the store that this program cannot have written.
    pub fn broken(what: &str) -> Refusal {
        Refusal::Internal(format!("{what} in the store cannot be read"))
    }

    fn code(&self) -> Code {
        match self {
            Refusal::InvalidUsername | Refusal::InvalidEmail | Refusal::WeakPassword { .. } | Refusal::InvalidCode => Code::InvalidArgument,
            Refusal::UsernameTaken | Refusal::EmailTaken => Code::AlreadyExists,
            Refusal::InvalidCredentials | Refusal::InvalidRefreshToken | Refusal::NotLoggedIn => Code::Unauthenticated,
            Refusal::AccountDisabled => Code::PermissionDenied,
            Refusal::UserNotFound => Code::NotFound,
            Refusal::TooManyAttempts { .. } | Refusal::Overloaded => Code::ResourceExhausted,
            Refusal::MailNotConfigured => Code::Unimplemented,
            Refusal::NoSigningKey => Code::FailedPrecondition,
            Refusal::Unavailable(_) => Code::Unavailable,
            Refusal::Internal(_) => Code::Internal,
        }
    }

    /// The stable token clients may match on.
    pub fn reason(&self) -> &'static str {
        match self {
            Refusal::InvalidUsername => "INVALID_USERNAME",
            Refusal::InvalidEmail => "INVALID_EMAIL",
            Refusal::WeakPassword { .. } => "WEAK_PASSWORD",
            Refusal::UsernameTaken => "USERNAME_TAKEN",
            Refusal::EmailTaken => "EMAIL_TAKEN",
            Refusal::InvalidCredentials => "INVALID_CREDENTIALS",
            Refusal::InvalidRefreshToken => "INVALID_REFRESH_TOKEN",
            Refusal::InvalidCode => "INVALID_CODE",
            Refusal::AccountDisabled => "ACCOUNT_DISABLED",
            Refusal::UserNotFound => "USER_NOT_FOUND",
            Refusal::NotLoggedIn => "NOT_LOGGED_IN",
            Refusal::TooManyAttempts { .. } => "TOO_MANY_ATTEMPTS",
            Refusal::Overloaded => "OVERLOADED",
            Refusal::MailNotConfigured => "MAIL_NOT_CONFIGURED",
            Refusal::NoSigningKey => "NO_SIGNING_KEY",
            Refusal::Unavailable(_) => "UNAVAILABLE",
            Refusal::Internal(_) => "INTERNAL",
        }
    }

    /// For people: what is wrong, and what to do.
    fn message(&self) -> &'static str {
        match self {
            Refusal::InvalidUsername => "a username has 3 to 32 letters, digits, `_`, `-` and `.`; choose another",
            Refusal::InvalidEmail => "this is no mail address; write one like `name@example.com`",
            Refusal::WeakPassword { why, .. } => why,
            Refusal::UsernameTaken => "somebody has this username; choose another",
            Refusal::EmailTaken => "there is an account with this address; log in, or ask for a new password",
            Refusal::InvalidCredentials => "the username or the password is wrong",
            Refusal::InvalidRefreshToken => "the refresh token is not good; log in again",
            Refusal::InvalidCode => "the code is wrong, used or too old; ask for a new one",
            Refusal::AccountDisabled => "this account is disabled; ask whoever runs the service",
            Refusal::UserNotFound => "you have no account here",
            Refusal::NotLoggedIn => "log in first",
            Refusal::TooManyAttempts { .. } => "too many attempts; wait and try again",
            Refusal::Overloaded => "too many people are logging in; wait and try again",
            Refusal::MailNotConfigured => "this service sends no mail; ask whoever runs it for a new password",
            Refusal::NoSigningKey => "nobody can log in here yet: the operator has to configure `auth.signing`",
            Refusal::Unavailable(_) => "accounts cannot be reached right now; try again later",
            Refusal::Internal(_) => "the service made a mistake",
        }
    }

    /// The field of the request that is wrong.
    fn field(&self) -> Option<&'static str> {
        match self {
            Refusal::InvalidUsername | Refusal::UsernameTaken => Some("username"),
            Refusal::InvalidEmail | Refusal::EmailTaken => Some("email"),
            Refusal::WeakPassword { field, .. } => Some(field),
            Refusal::InvalidCode => Some("code"),
            _ => None,
        }
    }

    fn wait(&self) -> Option<Duration> {
        match self {
            Refusal::TooManyAttempts { left } => Some(*left),
            Refusal::Overloaded => Some(OVERLOADED_WAIT),
            _ => None,
        }
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Refusal {
        Refusal::Unavailable(error.to_string())
    }
}

impl From<Unread> for Refusal {
    fn from(unread: Unread) -> Refusal {
        match unread {
            Unread::Store(error) => error.into(),
            Unread::Broken(key) => Refusal::broken(&key),
        }
    }
}

impl From<Unhashed> for Refusal {
    fn from(unhashed: Unhashed) -> Refusal {
        match unhashed {
            Unhashed::Overloaded => Refusal::Overloaded,
            Unhashed::Failed(cause) => Refusal::Internal(cause),
        }
    }
}

impl From<Refusal> for Status {
    fn from(refusal: Refusal) -> Status {
        if let Refusal::Unavailable(cause) | Refusal::Internal(cause) = &refusal {
            warn!(reason = refusal.reason(), cause, "the auth service cannot answer");
        }
        let message = refusal.message();
        let mut details = ErrorDetails::with_error_info(refusal.reason(), DOMAIN, HashMap::new());
        if let Some(field) = refusal.field() {
            details.add_bad_request_violation(field, message);
        }
        if let Some(wait) = refusal.wait() {
            details.set_retry_info(Some(wait));
        }
        Status::with_error_details(refusal.code(), message, details)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_names_its_reason_its_field_and_how_long_to_wait() {
        let status = Status::from(Refusal::WeakPassword { field: "new_password", why: "too short" });
        let details = status.get_error_details();
        assert_eq!((status.code(), status.message()), (Code::InvalidArgument, "too short"));
        assert_eq!(details.error_info().unwrap().reason, "WEAK_PASSWORD");
        assert_eq!(details.bad_request().unwrap().field_violations[0].field, "new_password");

        let status = Status::from(Refusal::TooManyAttempts { left: Duration::from_secs(7) });
        assert_eq!(status.get_error_details().retry_info().unwrap().retry_delay, Some(Duration::from_secs(7)));
    }

    #[test]
    fn what_the_store_said_is_not_told() {
        let status = Status::from(Refusal::Unavailable("redis://user:secret@host".to_owned()));
        assert_eq!(status.code(), Code::Unavailable);
        assert!(!status.message().contains("secret") && !String::from_utf8_lossy(status.details()).contains("secret"));
    }
}
