//! What operators who watch see of a call: one line of JSON.
//!
//! Promises: a line is one line and bounded, whatever client and service wrote; payloads are redacted, and texts hold no tokens.

use std::net::IpAddr;
use std::time::SystemTime;

use bytes::Bytes;
use serde::Serialize;
use serde_json::value::RawValue;

use super::{Ending, shown};
use crate::clock::to_millis;
use crate::failure::{Code, Failure};
use crate::telemetry::mask;
use crate::telemetry::taps::Subject;

/// Of a failure's reason and of its message, which a service may have chosen.
const REASON_BYTES_MAX: usize = 128;
const MESSAGE_BYTES_MAX: usize = 1 << 10;

#[derive(Serialize)]
struct Line<'a> {
    at_ms: u64,
    route: Option<&'a str>,
    protocol: u32,
    id: u32,
    user: Option<&'a str>,
    connection: u64,
    peer: IpAddr,
    code: &'static str,
    reason: Option<String>,
    message: Option<String>,
    limits: Limits<'a>,
    backend: Option<&'a str>,
    endpoint: Option<&'a str>,
    attempts: usize,
    duration_ms: f64,
    /// Of a stream.
    #[serde(skip_serializing_if = "Option::is_none")]
    messages: Option<Messages>,
    request: Option<Payload<'a>>,
    reply: Option<Payload<'a>>,
}

#[derive(Serialize)]
struct Limits<'a> {
    refused_by: Option<&'a str>,
    would_refuse: Vec<&'a str>,
}

#[derive(Serialize)]
struct Messages {
    r#in: u64,
    out: u64,
}

/// JSON as it is, or as a text what is none because it was cut off.
#[derive(Serialize)]
#[serde(untagged)]
enum Payload<'a> {
    Whole(&'a RawValue),
    Text(&'a str),
}

// === impl Ending ===

impl Ending<'_> {
    pub(super) fn tap(&self) {
        let taps = &self.observers.taps;
        if !taps.is_open() {
            return;
        }
        let subject = Subject {
            number: self.protocol,
            route: self.route.map(|route| &*route.name),
            user: self.identity.map(|identity| &*identity.user),
            began: self.began,
        };
        taps.tell(&subject, || self.line(&subject));
    }

    fn line(&self, subject: &Subject<'_>) -> Bytes {
        let failure = self.outcome.err();
        let shown = |message: Option<&[u8]>, show: fn(&_, &[u8]) -> Option<String>| show(self.route?, message?);
        let (request, reply) = (shown(self.sent, shown::request), shown(self.answered, shown::reply));
        let duration = self.ended.saturating_duration_since(self.began);
        let line = Line {
            at_ms: to_millis(SystemTime::now()),
            route: subject.route,
            protocol: self.protocol,
            id: self.id,
            user: subject.user,
            connection: self.connection.0,
            peer: self.peer,
            code: failure.map_or(Code::Ok, Failure::code).name(),
            reason: failure.map(|failure| mask::shown(failure.reason(), REASON_BYTES_MAX)),
            message: failure.map(|failure| mask::shown(failure.message(), MESSAGE_BYTES_MAX)),
            limits: Limits {
                refused_by: failure.and_then(Failure::limit),
                would_refuse: self.would_refuse.iter().map(|name| &**name).collect(),
            },
            backend: self.backend,
            endpoint: self.journey.endpoint().map(|endpoint| &**endpoint),
            attempts: self.journey.attempts().len(),
            // To the microsecond.
            duration_ms: (duration.as_secs_f64() * 1e6).round() / 1e3,
            messages: self.messages.map(|(r#in, out)| Messages { r#in, out }),
            request: request.as_deref().map(Payload::of),
            reply: reply.as_deref().map(Payload::of),
        };
        let mut line = serde_json::to_vec(&line).expect("texts and numbers are JSON");
        line.push(b'\n');
        line.into()
    }
}

// === impl Payload ===

impl Payload<'_> {
    fn of(shown: &str) -> Payload<'_> {
        match serde_json::from_str(shown) {
            Ok(whole) if !shown.contains('\n') => Payload::Whole(whole),
            _ => Payload::Text(shown),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_stands_in_a_line_as_json_or_as_a_text() {
        let written = |shown| serde_json::to_string(&Payload::of(shown)).unwrap();
        assert_eq!(written(r#"{"text":"a\nb"}"#), r#"{"text":"a\nb"}"#);
        assert_eq!(written(r#"{"text":"cut o…"#), r#""{\"text\":\"cut o…""#);
        assert_eq!(written("{\n}"), r#""{\n}""#);
    }
}
