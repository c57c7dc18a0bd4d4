//! One event per call, to the target `protogate::access`.
//!
//! Failures that somebody has to look into and slow calls are warnings, other failures and the sample of successes are information, all
//! other successes are for debugging: a level that is switched off costs one comparison. Promises: names come from the table, what comes
//! from a client or a backend is a field's value and has a bound, and fields are escaped by whoever formats them (`telemetry/line.rs`).

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use tracing::{Level, event};

use crate::failure::{Code, Failure};
use crate::id::{ConnectionId, Generation};
use crate::telemetry::mask::cut;

/// What a line holds of a text that clients or backends write, and of a name that they have.
const TEXT_BYTES_MAX: usize = 1 << 10;
const NAME_BYTES_MAX: usize = 256;

/// What is said about one call.
pub struct Entry<'a> {
    pub generation: Generation,
    pub connection: ConnectionId,
    pub protocol: u32,
    pub id: u32,
    /// The route's name; None if there is none of this number.
    pub route: Option<&'a str>,
    pub user: Option<&'a str>,
    pub outcome: Result<(), &'a Failure>,
    pub duration: Duration,
    /// From when on a call of this route is slow.
    pub slow: Option<Duration>,
    /// A success that is logged for all.
    pub sampled: bool,
    pub backend: Option<&'a str>,
    pub endpoint: Option<&'a str>,
    pub bytes_in: usize,
    pub bytes_out: usize,
    /// Of a stream: how many messages went in and out.
    pub messages: Option<(u64, u64)>,
    /// The limits in dry run that would have refused it.
    pub would_refuse: &'a [Arc<str>],
    /// The request as JSON, redacted by whoever made it.
    pub payload: Option<&'a str>,
}

// === impl Entry ===

impl Entry<'_> {
    /// Whether anybody listens at the level that this call has. Asked before a payload is made into JSON.
    pub fn is_wanted(&self) -> bool {
        match self.level() {
            Level::WARN => tracing::enabled!(target: "protogate::access", Level::WARN),
            Level::INFO => tracing::enabled!(target: "protogate::access", Level::INFO),
            _ => tracing::enabled!(target: "protogate::access", Level::DEBUG),
        }
    }

    /// Whether it is one of those that are logged at the usual levels.
    pub fn is_remarkable(&self) -> bool {
        self.level() != Level::DEBUG
    }

    pub fn write(&self) {
        let failure = self.outcome.err();
        let text = |text| cut(text, TEXT_BYTES_MAX);
        let (reason, user) = (failure.map(|failure| name(failure.reason())), self.user.map(name));
        let (message, cause) = (failure.map(|failure| text(failure.message())), failure.and_then(Failure::cause).map(text));
        /// A level has to be a constant where an event is made.
        macro_rules! write_at {
            ($level:expr) => {
                event!(
                    target: "protogate::access",
                    $level,
                    route = self.route,
                    protocol = self.protocol,
                    code = self.code().name(),
                    reason = reason.as_deref(),
                    source = failure.map(|failure| failure.source().name()),
                    failure = message.as_deref(),
                    cause = cause.as_deref(),
                    duration_ms = self.duration.as_micros() as f64 / 1000.0,
                    slow = self.is_slow().then_some(true),
                    sampled = self.sampled.then_some(true),
                    backend = self.backend,
                    endpoint = self.endpoint,
                    user = user.as_deref(),
                    connection = self.connection.0,
                    id = self.id,
                    bytes_in = self.bytes_in,
                    bytes_out = self.bytes_out,
                    messages_in = self.messages.map(|messages| messages.0),
                    messages_out = self.messages.map(|messages| messages.1),
                    generation = self.generation.0,
                    would_refuse = (!self.would_refuse.is_empty()).then(|| self.would_refuse.join(",")),
                    payload = self.payload,
                    "call"
                )
            };
        }
        match self.level() {
            Level::WARN => write_at!(Level::WARN),
            Level::INFO => write_at!(Level::INFO),
            _ => write_at!(Level::DEBUG),
        }
    }

    fn level(&self) -> Level {
        match self.code() {
            Code::Unknown | Code::DeadlineExceeded | Code::Internal | Code::Unavailable | Code::DataLoss => Level::WARN,
            _ if self.is_slow() => Level::WARN,
            Code::Ok if !self.sampled => Level::DEBUG,
            _ => Level::INFO,
        }
    }

    fn code(&self) -> Code {
        self.outcome.map_or_else(Failure::code, |()| Code::Ok)
    }

    fn is_slow(&self) -> bool {
        self.slow.is_some_and(|slow| self.duration > slow)
    }
}

fn name(text: &str) -> Cow<'_, str> {
    cut(text, NAME_BYTES_MAX)
}

#[cfg(test)]
mod tests {
    use serde_json::Value;
    use tracing::level_filters::LevelFilter;

    use super::*;
    use crate::failure::Reason;
    use crate::telemetry::log::Format;
    use crate::telemetry::log::tests::lines;

    fn entry<'a>(outcome: Result<(), &'a Failure>) -> Entry<'a> {
        Entry {
            generation: Generation(3),
            connection: ConnectionId(17),
            protocol: 9001,
            id: 7,
            route: Some("echo"),
            user: None,
            outcome,
            duration: Duration::from_micros(1500),
            slow: Some(Duration::from_millis(100)),
            sampled: false,
            backend: Some("echo"),
            endpoint: None,
            bytes_in: 4,
            bytes_out: 5,
            messages: None,
            would_refuse: &[],
            payload: None,
        }
    }

    fn logged(entry: &Entry<'_>, level: LevelFilter) -> Vec<Value> {
        let text = lines(Format::Json, level, || entry.write());
        text.iter().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[test]
    fn a_success_is_for_debugging_and_a_slow_one_is_a_warning() {
        let mut entry = entry(Ok(()));
        assert!(logged(&entry, LevelFilter::INFO).is_empty());
        let line = &logged(&entry, LevelFilter::DEBUG)[0];
        assert_eq!((&line["target"], &line["route"], &line["code"]), (&"protogate::access".into(), &"echo".into(), &"OK".into()));
        assert_eq!((&line["duration_ms"], &line["generation"], &line["bytes_in"]), (&1.5.into(), &3.into(), &4.into()));
        assert!(line.get("reason").is_none() && line.get("user").is_none());

        entry.duration = Duration::from_millis(101);
        let line = &logged(&entry, LevelFilter::WARN)[0];
        assert_eq!((&line["level"], &line["slow"]), (&"WARN".into(), &true.into()));
    }

    #[test]
    fn the_sample_of_successes_is_logged_at_the_usual_level() {
        let sampled = Entry { sampled: true, ..entry(Ok(())) };
        let line = &logged(&sampled, LevelFilter::INFO)[0];
        assert_eq!((&line["level"], &line["sampled"], &line["code"]), (&"INFO".into(), &true.into(), &"OK".into()));
        assert!(sampled.is_remarkable() && !entry(Ok(())).is_remarkable());
    }

    #[test]
    fn what_others_write_has_a_bound_and_hides_no_token() {
        let token = "eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiJhbGljZSJ9.c2ln";
        let text = format!("{token} {}", "x".repeat(1 << 20));
        let failure = Failure::backend(Code::NotFound, Some(text.clone()), text.clone(), vec![]).because(&text);
        let line = &logged(&Entry { user: Some(&text), ..entry(Err(&failure)) }, LevelFilter::INFO)[0];
        assert!(line.to_string().len() < 4 << 10, "{line}");
        for key in ["failure", "cause", "user", "reason"] {
            let shown = line[key].as_str().unwrap();
            assert!(shown.starts_with("eyJ*** xx") && shown.ends_with('…'), "{key}: {shown}");
        }
    }

    #[test]
    fn a_failure_is_logged_with_its_cause_and_whatever_the_client_wrote_stays_one_line() {
        let failure = Failure::gateway(Reason::InvalidToken, "no").because("line\n{\"level\":\"ERROR\"}\u{1b}[31m");
        let mut refused = entry(Err(&failure));
        refused.user = Some("eve\r\n\u{202e}");
        refused.payload = Some(r#"{"text":"hi"}"#);
        let lines = logged(&refused, LevelFilter::INFO);
        assert_eq!(lines.len(), 1);
        assert_eq!(
            (&lines[0]["level"], &lines[0]["reason"], &lines[0]["source"]),
            (&"INFO".into(), &"INVALID_TOKEN".into(), &"gateway".into())
        );
        assert_eq!(lines[0]["user"], "eve\r\n\u{202e}");
        assert_eq!(lines[0]["payload"], r#"{"text":"hi"}"#);

        let failure = Failure::gateway(Reason::Unavailable, "down");
        assert_eq!(logged(&entry(Err(&failure)), LevelFilter::WARN)[0]["level"], "WARN");
    }
}
