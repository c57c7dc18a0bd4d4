//! How a service says no: a code, a reason that never changes its meaning, and what a person can do.
//!
//! Promise: what the log alone may say stays in the log.

use std::borrow::Cow;
use std::collections::HashMap;
use std::time::Duration;

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};
use tracing::warn;

use super::documents::Unread;
use super::hasher::{OVERLOADED_WAIT, Unhashed};
use crate::failure::Failure;
use crate::store::StoreError;

/// The result of anything that a client asked for.
pub type Result<T> = std::result::Result<T, Refusal>;

/// Why not. One pointer wide.
#[derive(Debug)]
pub struct Refusal(Box<Inner>);

#[derive(Debug)]
struct Inner {
    code: Code,
    reason: &'static str,
    message: Cow<'static, str>,
    /// The fields of the request that are wrong, and why.
    fields: Vec<(Cow<'static, str>, Cow<'static, str>)>,
    wait: Option<Duration>,
    /// What a program needs to know of the reason.
    metadata: HashMap<String, String>,
    /// For the log.
    cause: Option<String>,
}

/// What the reasons are unique within, as google.rpc.ErrorInfo wants to know.
const DOMAIN: &str = "services.protogate";

// === impl Refusal ===

impl Refusal {
    /// `reason` is a stable token, such as `ROOM_FULL`; `message` says what is wrong and what to do.
    pub fn new(code: Code, reason: &'static str, message: impl Into<Cow<'static, str>>) -> Refusal {
        Refusal(Box::new(Inner {
            code,
            reason,
            message: message.into(),
            fields: Vec::new(),
            wait: None,
            metadata: HashMap::new(),
            cause: None,
        }))
    }

    /// A field of the request that cannot be taken as it is.
    pub fn invalid(field: &'static str, reason: &'static str, message: impl Into<Cow<'static, str>>) -> Refusal {
        let message = message.into();
        let mut refusal = Refusal::new(Code::InvalidArgument, reason, message.clone());
        refusal.0.fields = vec![(field.into(), message)];
        refusal
    }

    /// Several fields that cannot be taken as they are, each with what is wrong with it. The message says it all again, for people.
    pub fn all_invalid(reason: &'static str, fields: Vec<(String, String)>) -> Refusal {
        let said: Vec<String> = fields.iter().map(|(field, what)| format!("`{field}` {what}")).collect();
        let mut refusal = Refusal::new(Code::InvalidArgument, reason, said.join("; "));
        refusal.0.fields = fields.into_iter().map(|(field, what)| (field.into(), what.into())).collect();
        refusal
    }

    #[must_use]
    pub fn retry_after(mut self, wait: Duration) -> Refusal {
        self.0.wait = Some(wait);
        self
    }

    /// Something that a program needs to know of the reason, such as the current version of what was stale.
    #[must_use]
    pub fn with(mut self, what: &'static str, value: impl ToString) -> Refusal {
        self.0.metadata.insert(what.to_owned(), value.to_string());
        self
    }

    pub fn reason(&self) -> &'static str {
        self.0.reason
    }

    pub fn code(&self) -> Code {
        self.0.code
    }

    /// For the log.
    pub fn cause(&self) -> &str {
        self.0.cause.as_deref().unwrap_or_default()
    }

    fn because(mut self, cause: String) -> Refusal {
        self.0.cause = Some(cause);
        self
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Refusal {
        Refusal::new(Code::Unavailable, "UNAVAILABLE", "the service cannot reach what it keeps right now; try again later")
            .because(error.to_string())
    }
}

impl From<Unread> for Refusal {
    fn from(unread: Unread) -> Refusal {
        let key = match unread {
            Unread::Store(error) => return error.into(),
            Unread::Broken(key) => key,
        };
        Refusal::new(Code::Internal, "INTERNAL", "the service made a mistake").because(format!("`{key}` in the store cannot be read"))
    }
}

impl From<Unhashed> for Refusal {
    fn from(unhashed: Unhashed) -> Refusal {
        match unhashed {
            Unhashed::Overloaded => {
                let refusal =
                    Refusal::new(Code::ResourceExhausted, "OVERLOADED", "too many passwords are being looked at; wait and try again");
                refusal.retry_after(OVERLOADED_WAIT)
            }
            Unhashed::Failed(cause) => Refusal::new(Code::Internal, "INTERNAL", "the service made a mistake").because(cause),
        }
    }
}

impl From<Failure> for Refusal {
    /// The gateway could not be asked to push.
    fn from(failure: Failure) -> Refusal {
        let cause = failure.cause().unwrap_or_default().to_owned();
        Refusal::new(Code::Unavailable, "UNAVAILABLE", "the service cannot reach its clients right now; try again later").because(format!(
            "{}: {} {cause}",
            failure.reason(),
            failure.message()
        ))
    }
}

impl From<Refusal> for Status {
    fn from(Refusal(inner): Refusal) -> Status {
        let Inner { code, reason, message, fields, wait, metadata, cause } = *inner;
        if let Some(cause) = cause {
            warn!(reason, cause, "a service cannot answer");
        }
        let mut details = ErrorDetails::with_error_info(reason, DOMAIN, metadata);
        for (field, what) in fields {
            details.add_bad_request_violation(field, what);
        }
        if wait.is_some() {
            details.set_retry_info(wait);
        }
        Status::with_error_details(code, message, details)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_names_its_reason_its_field_and_how_long_to_wait() {
        let status = Status::from(Refusal::invalid("name", "INVALID_NAME", "too long").retry_after(Duration::from_secs(7)));
        let details = status.get_error_details();
        assert_eq!((status.code(), status.message()), (Code::InvalidArgument, "too long"));
        assert_eq!(details.error_info().unwrap().reason, "INVALID_NAME");
        assert_eq!(details.bad_request().unwrap().field_violations[0].field, "name");
        assert_eq!(details.retry_info().unwrap().retry_delay, Some(Duration::from_secs(7)));
    }

    #[test]
    fn everything_that_is_wrong_is_said_at_once() {
        let fields = [("name", "is too long"), ("age", "is no number")].map(|(field, what)| (field.to_owned(), what.to_owned()));
        let status = Status::from(Refusal::all_invalid("INVALID_PERSON", fields.into()));
        assert_eq!(status.message(), "`name` is too long; `age` is no number");
        let violations = status.get_error_details().bad_request().unwrap().field_violations.clone();
        assert_eq!(violations.iter().map(|violation| &*violation.field).collect::<Vec<_>>(), ["name", "age"]);
    }

    #[test]
    fn what_the_store_said_is_not_told() {
        let status = Status::from(Refusal::from(StoreError::Unavailable("redis://user:secret@host".to_owned())));
        assert_eq!(status.code(), Code::Unavailable);
        assert!(!status.message().contains("secret") && !String::from_utf8_lossy(status.details()).contains("secret"));
    }
}
