//! What became of a call: an answer of HTTP and gRPC, or of neither, becomes a message or a [`Failure`].
//!
//! Promises: total, whatever a service sends. Only what nobody can have acted upon is marked as unsent.
//! It is told of HTTP/2 only as much as a [`Fault`] says, so that a service in this process is judged by the same rules.

use bytes::Bytes;
use http::{HeaderMap, StatusCode, header};

use super::message::Assembly;
use super::trailers::{Verdict, verdict};
use crate::failure::{Code, Failure, Reason, Result};

/// What follows the head of an answer.
pub(super) trait Answer: Send {
    /// The next part of the body; nothing once it has ended.
    fn chunk(&mut self) -> impl Future<Output = Option<std::result::Result<Bytes, Fault>>> + Send;

    /// What stands after the body.
    fn trailers(&mut self) -> impl Future<Output = std::result::Result<Option<HeaderMap>, Fault>> + Send;
}

/// Why there is no answer, or only a part of one. Each holds what the log may say.
#[derive(PartialEq, Eq, Debug)]
pub(super) enum Fault {
    /// The peer says that it did nothing: its GOAWAY left the call out, or it refused the stream.
    Unprocessed(String),
    /// The peer reset the call, with this error code of HTTP/2.
    Reset(u32),
    /// The connection ended.
    Lost(String),
    /// The peer broke the rules of HTTP/2, or a bound of ours.
    Broken(String),
}

/// What the head of an answer announces.
#[derive(PartialEq, Eq, Debug)]
pub(super) enum Announced {
    /// A body, and trailers.
    Messages,
    /// Nothing more: the service has said OK already.
    Nothing,
}

/// Reads the answer of a unary call to its end. An error leaves the rest of it unread.
pub(super) async fn read(status: StatusCode, headers: &HeaderMap, answer: &mut impl Answer, bytes_max: usize) -> Result<Bytes> {
    if head(status, headers)? == Announced::Nothing {
        return Err(bad_reply("the reply says OK and holds no message"));
    }
    let mut assembly = Assembly::new(bytes_max);
    let mut message = None;
    while let Some(chunk) = answer.chunk().await {
        assembly.push(chunk?);
        if message.is_none() {
            message = assembly.take()?;
        }
        if message.is_some() && !assembly.is_empty() {
            return Err(bad_reply("the reply holds more than its one message"));
        }
    }
    end(answer.trailers().await?.as_ref(), &assembly)?;
    message.ok_or_else(|| bad_reply("the reply says OK and holds no message"))
}

/// Judges the head of an answer.
pub(super) fn head(status: StatusCode, headers: &HeaderMap) -> Result<Announced> {
    match verdict(headers) {
        Verdict::Failed(failure) => return Err(failure),
        Verdict::Ok => return Ok(Announced::Nothing),
        Verdict::Silent => {}
    }
    if status != StatusCode::OK {
        return Err(Failure::backend(
            code_of_http(status),
            None,
            format!("the service answered with HTTP {}", status.as_u16()),
            Vec::new(),
        ));
    }
    if is_grpc(headers) { Ok(Announced::Messages) } else { Err(bad_reply("the service answered, but not in gRPC")) }
}

/// Judges the end of an answer: what stands behind its last message, and what is left of one that did not come whole.
pub(super) fn end(trailers: Option<&HeaderMap>, rest: &Assembly) -> Result<()> {
    match trailers.map_or(Verdict::Silent, verdict) {
        Verdict::Ok if rest.is_empty() => Ok(()),
        Verdict::Ok => Err(bad_reply("the reply ended within its message")),
        Verdict::Failed(failure) => Err(failure),
        Verdict::Silent => Err(bad_reply("the reply ended without a grpc-status")),
    }
}

fn is_grpc(headers: &HeaderMap) -> bool {
    headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"))
}

fn bad_reply(cause: &'static str) -> Failure {
    Failure::gateway(Reason::BadReply, "the service gave a reply that cannot be read").because(cause)
}

/// The table in gRPC's `http-grpc-status-mapping.md`, for answers of what stands between us and the service.
fn code_of_http(status: StatusCode) -> Code {
    match status.as_u16() {
        400 => Code::Internal,
        401 => Code::Unauthenticated,
        403 => Code::PermissionDenied,
        404 => Code::Unimplemented,
        429 | 502 | 503 | 504 => Code::Unavailable,
        _ => Code::Unknown,
    }
}

/// The table under "Errors" in gRPC's `PROTOCOL-HTTP2.md`.
fn code_of_reset(reset: u32) -> Code {
    match reset {
        0..=4 | 6 | 9 | 10 => Code::Internal,
        7 => Code::Unavailable,
        8 => Code::Cancelled,
        11 => Code::ResourceExhausted,
        12 => Code::PermissionDenied,
        _ => Code::Unknown,
    }
}

// === impl Fault ===

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Failure {
        match fault {
            Fault::Unprocessed(cause) => {
                Failure::gateway(Reason::Unavailable, "the service did not take the call; try again").because(cause).unsent()
            }
            Fault::Reset(number) => {
                let message = format!("the service broke off the call (HTTP/2 error {number})");
                Failure::backend(code_of_reset(number), None, message, Vec::new())
            }
            Fault::Lost(cause) => {
                Failure::gateway(Reason::Unavailable, "the connection to the service was lost before it replied").because(cause)
            }
            Fault::Broken(cause) => Failure::gateway(Reason::BadReply, "the service gave a reply that cannot be read").because(cause),
        }
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;
    use crate::backend::message::frame;
    use crate::failure::Source;

    struct Scripted {
        chunks: Vec<Bytes>,
        trailers: Option<HeaderMap>,
    }

    impl Answer for Scripted {
        async fn chunk(&mut self) -> Option<std::result::Result<Bytes, Fault>> {
            if self.chunks.is_empty() { None } else { Some(Ok(self.chunks.remove(0))) }
        }

        async fn trailers(&mut self) -> std::result::Result<Option<HeaderMap>, Fault> {
            Ok(self.trailers.take())
        }
    }

    const GRPC: (&str, &str) = ("content-type", "application/grpc");

    fn headers(entries: &[(&'static str, &'static str)]) -> HeaderMap {
        entries.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))).collect()
    }

    async fn outcome(
        status: u16,
        head: &[(&'static str, &'static str)],
        message: Option<&[u8]>,
        trailers: &[(&'static str, &'static str)],
    ) -> String {
        let chunks = message.map(|message| Bytes::from([&frame(message.len()), message].concat())).into_iter().collect();
        let trailers = (!trailers.is_empty()).then(|| headers(trailers));
        let status = StatusCode::from_u16(status).expect("a status");
        match read(status, &headers(head), &mut Scripted { chunks, trailers }, 10).await {
            Ok(message) => format!("{message:?}"),
            Err(failure) => failure.to_string(),
        }
    }

    #[tokio::test]
    async fn an_answer_is_a_message_or_a_failure() {
        let ok = [("grpc-status", "0")];
        let missing = [("grpc-status", "5"), ("grpc-message", "no such room")];
        let unreadable = "INTERNAL BAD_REPLY: the service gave a reply that cannot be read";

        assert_eq!(outcome(200, &[GRPC], Some(b"hi"), &ok).await, "b\"hi\"");
        assert_eq!(outcome(200, &[GRPC], Some(b"hi"), &missing).await, "NOT_FOUND NOT_FOUND: no such room", "the status prevails");
        assert_eq!(outcome(200, &[GRPC], None, &missing).await, "NOT_FOUND NOT_FOUND: no such room");
        assert_eq!(outcome(200, &[GRPC, missing[0]], None, &[]).await, "NOT_FOUND NOT_FOUND: ", "nothing but headers");
        assert_eq!(outcome(503, &[missing[0]], None, &[]).await, "NOT_FOUND NOT_FOUND: ", "gRPC's status prevails over HTTP's");

        assert_eq!(outcome(200, &[GRPC], None, &ok).await, unreadable, "no message");
        assert_eq!(outcome(200, &[GRPC, ok[0]], None, &[]).await, unreadable, "no message, and nothing but headers");
        assert_eq!(outcome(200, &[GRPC], Some(b"hi"), &[]).await, unreadable, "no trailers");
        assert_eq!(outcome(200, &[GRPC], Some(b"hi"), &[("x", "y")]).await, unreadable, "trailers without a status");
        assert_eq!(outcome(200, &[("content-type", "text/html")], Some(b"hi"), &ok).await, unreadable, "not gRPC");
        assert!(outcome(200, &[GRPC], Some(b"eleven byte"), &ok).await.starts_with("RESOURCE_EXHAUSTED REPLY_TOO_LARGE"));

        for (status, expected) in [
            (400, "INTERNAL"),
            (401, "UNAUTHENTICATED"),
            (403, "PERMISSION_DENIED"),
            (404, "UNIMPLEMENTED"),
            (429, "UNAVAILABLE"),
            (500, "UNKNOWN"),
            (502, "UNAVAILABLE"),
            (503, "UNAVAILABLE"),
            (504, "UNAVAILABLE"),
            (204, "UNKNOWN"),
        ] {
            let said = outcome(status, &[], None, &[]).await;
            assert_eq!(said, format!("{expected} {expected}: the service answered with HTTP {status}"));
        }
    }

    #[test]
    fn only_what_nobody_acted_upon_may_be_tried_again() {
        let table = [
            (Fault::Unprocessed(String::new()), Code::Unavailable, Source::Gateway, true),
            (Fault::Lost(String::new()), Code::Unavailable, Source::Gateway, false),
            (Fault::Broken(String::new()), Code::Internal, Source::Gateway, false),
            (Fault::Reset(2), Code::Internal, Source::Backend, false),
            (Fault::Reset(5), Code::Unknown, Source::Backend, false),
            (Fault::Reset(7), Code::Unavailable, Source::Backend, false),
            (Fault::Reset(8), Code::Cancelled, Source::Backend, false),
            (Fault::Reset(11), Code::ResourceExhausted, Source::Backend, false),
            (Fault::Reset(12), Code::PermissionDenied, Source::Backend, false),
            (Fault::Reset(99), Code::Unknown, Source::Backend, false),
        ];
        for (fault, code, source, unsent) in table {
            let what = format!("{fault:?}");
            let failure = Failure::from(fault);
            assert_eq!((failure.code(), failure.source(), failure.is_unsent()), (code, source, unsent), "{what}");
        }
    }
}
