//! What a gRPC service says about a call in its trailers: `grpc-status`, `grpc-message`, `grpc-status-details-bin`,
//! `grpc-retry-pushback-ms`.
//!
//! Promise: nothing a service writes here makes reading fail. What is broken is read as far as it goes, as the gRPC specification asks.

use std::time::Duration;

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use http::{HeaderMap, HeaderName};
use prost::Message as _;
use prost_types::Any;

use crate::failure::{Code, Failure, Pushback};

/// Implementations differ in whether they pad; the specification says to accept both.
const BASE64: GeneralPurpose =
    GeneralPurpose::new(&STANDARD, GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent));

const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
const GRPC_RETRY_PUSHBACK: HeaderName = HeaderName::from_static("grpc-retry-pushback-ms");
const GRPC_STATUS_DETAILS: HeaderName = HeaderName::from_static("grpc-status-details-bin");

/// The longest wait that is passed on to a client; a service that asks for more means never, and a client should ask again some day.
const RETRY_DELAY_MAX: Duration = Duration::from_secs(24 * 3600);

/// What the service said about the call.
pub(super) enum Verdict {
    /// `grpc-status: 0`.
    Ok,
    /// Any other status.
    Failed(Failure),
    /// No `grpc-status` at all.
    Silent,
}

/// google.rpc.Status, of which only the details are ours to read: the other two are in trailers of their own.
#[derive(Clone, PartialEq, prost::Message)]
struct Status {
    #[prost(message, repeated, tag = "3")]
    details: Vec<Any>,
}

/// google.rpc.ErrorInfo, of which only the reason is ours to read.
#[derive(Clone, PartialEq, prost::Message)]
struct ErrorInfo {
    #[prost(string, tag = "1")]
    reason: String,
}

/// google.rpc.RetryInfo.
#[derive(Clone, PartialEq, prost::Message)]
struct RetryInfo {
    #[prost(message, optional, tag = "1")]
    retry_delay: Option<prost_types::Duration>,
}

/// Reads the trailers, or the headers of an answer that has nothing else.
pub(super) fn verdict(trailers: &HeaderMap) -> Verdict {
    let Some(status) = trailers.get(GRPC_STATUS) else { return Verdict::Silent };
    let number = status.to_str().ok().and_then(|text| text.parse().ok());
    let code = number.map_or(Code::Unknown, Code::from_number);
    if code == Code::Ok {
        return Verdict::Ok;
    }
    let message = trailers.get(GRPC_MESSAGE).map(|text| percent_decoded(text.as_bytes())).unwrap_or_default();
    let details = trailers.get(GRPC_STATUS_DETAILS).map(|text| details(text.as_bytes())).unwrap_or_default();
    let wait = retry_delay(&details);
    let failure = Failure::backend(code, reason(&details), message, details).pushed_back(pushback(trailers));
    Verdict::Failed(match wait {
        Some(wait) => failure.retry_after(wait),
        None => failure,
    })
}

/// When the service may be asked again. What is no number of milliseconds, or a negative one, means never, as gRPC's A6 says.
fn pushback(trailers: &HeaderMap) -> Option<Pushback> {
    let text = trailers.get(GRPC_RETRY_PUSHBACK)?;
    let milliseconds = text.to_str().ok().and_then(|text| text.parse::<u32>().ok());
    Some(milliseconds.map_or(Pushback::Never, |milliseconds| Pushback::After(Duration::from_millis(milliseconds.into()))))
}

fn details(text: &[u8]) -> Vec<Any> {
    let Ok(bytes) = BASE64.decode(text) else { return Vec::new() };
    Status::decode(bytes.as_slice()).map(|status| status.details).unwrap_or_default()
}

/// The reason in the first ErrorInfo that states one.
fn reason(details: &[Any]) -> Option<String> {
    details
        .iter()
        .filter(|any| any.type_url.ends_with("/google.rpc.ErrorInfo"))
        .filter_map(|any| ErrorInfo::decode(any.value.as_slice()).ok())
        .map(|info| info.reason)
        .find(|reason| !reason.is_empty())
}

/// How long to wait, as the first RetryInfo says. What is negative or no duration says nothing.
fn retry_delay(details: &[Any]) -> Option<Duration> {
    let info = details.iter().find(|any| any.type_url.ends_with("/google.rpc.RetryInfo"))?;
    let delay = RetryInfo::decode(info.value.as_slice()).ok()?.retry_delay?;
    let (seconds, nanos) = (u64::try_from(delay.seconds).ok()?, u32::try_from(delay.nanos).ok()?);
    (nanos < 1_000_000_000).then(|| Duration::new(seconds, nanos).min(RETRY_DELAY_MAX))
}

/// Undoes `%XX`; what is not an escape stays as it is, and what is not UTF-8 is replaced.
fn percent_decoded(text: &[u8]) -> String {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [first, after @ ..] = rest {
        match rest {
            [b'%', high, low, after @ ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                decoded.push(hex(*high) << 4 | hex(*low));
                rest = after;
            }
            _ => {
                decoded.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8(decoded).unwrap_or_else(|broken| String::from_utf8_lossy(broken.as_bytes()).into_owned())
}

fn hex(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        _ => (digit | 0x20) - b'a' + 10,
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn failed(entries: &[(&'static str, &[u8])]) -> Failure {
        let entries = entries.iter().map(|(name, value)| {
            (http::HeaderName::from_static(name), HeaderValue::from_bytes(value).expect("a value that HTTP can carry"))
        });
        match verdict(&entries.collect()) {
            Verdict::Failed(failure) => failure,
            Verdict::Ok | Verdict::Silent => panic!("not a failure"),
        }
    }

    #[test]
    fn a_status_is_read_as_far_as_it_goes() {
        for (status, code) in [
            (&b"5"[..], Code::NotFound),
            (b"16", Code::Unauthenticated),
            (b"17", Code::Unknown),
            (b"4294967296", Code::Unknown),
            (b"-1", Code::Unknown),
            (b"", Code::Unknown),
            (b"\xff", Code::Unknown),
        ] {
            let failure = failed(&[("grpc-status", status)]);
            assert_eq!((failure.code(), failure.message()), (code, ""));
            assert_eq!(failure.reason(), code.name());
        }
        assert!(matches!(verdict(&HeaderMap::new()), Verdict::Silent));
        let ok = HeaderMap::from_iter([(http::HeaderName::from_static("grpc-status"), HeaderValue::from_static("0"))]);
        assert!(matches!(verdict(&ok), Verdict::Ok));
    }

    #[test]
    fn a_message_is_percent_decoded_and_never_refused() {
        for (text, expected) in [
            (&b"no such room"[..], "no such room"),
            (b"100%25 of %C3%a9t%C3%A9%0a", "100% of \u{e9}t\u{e9}\n"),
            (b"50% of %zz and %4", "50% of %zz and %4"),
            (b"%", "%"),
            (b"%%41", "%A"),
            (b"%ff", "\u{fffd}"),
            (b"\xc3\xa9 unescaped", "\u{e9} unescaped"),
        ] {
            assert_eq!(failed(&[("grpc-status", b"5"), ("grpc-message", text)]).message(), expected);
        }
    }

    #[test]
    fn details_are_read_padded_or_not_and_left_out_when_broken() {
        let info = Any {
            type_url: "type.googleapis.com/google.rpc.ErrorInfo".into(),
            value: ErrorInfo { reason: "ROOM_FULL".into() }.encode_to_vec(),
        };
        let other = Any { type_url: "type.googleapis.com/x.Y".into(), value: vec![1, 2, 3] };
        for details in [vec![info.clone()], vec![other.clone(), info.clone()], vec![other.clone(), other.clone(), info.clone()]] {
            let bytes = Status { details: details.clone() }.encode_to_vec();
            let padded = base64::engine::general_purpose::STANDARD.encode(&bytes);
            for text in [padded.as_str(), padded.trim_end_matches('=')] {
                let failure = failed(&[("grpc-status", b"8"), ("grpc-status-details-bin", text.as_bytes())]);
                assert_eq!((failure.reason(), failure.details()), ("ROOM_FULL", details.as_slice()));
            }
        }
        for broken in [&b"!"[..], b"AAAA", b"GgM"] {
            let failure = failed(&[("grpc-status", b"8"), ("grpc-status-details-bin", broken)]);
            assert_eq!((failure.reason(), failure.details().len()), ("RESOURCE_EXHAUSTED", 0));
        }
    }

    #[test]
    fn a_service_says_when_it_may_be_asked_again() {
        let pushback = |text: &'static [u8]| failed(&[("grpc-status", b"14"), ("grpc-retry-pushback-ms", text)]).pushback();
        assert_eq!(failed(&[("grpc-status", b"14")]).pushback(), None);
        assert_eq!(pushback(b"0"), Some(Pushback::After(Duration::ZERO)));
        assert_eq!(pushback(b"1500"), Some(Pushback::After(Duration::from_millis(1_500))));
        for never in [&b"-1"[..], b"", b"soon", b"1.5", b"4294967296", b"\xff"] {
            assert_eq!(pushback(never), Some(Pushback::Never));
        }
    }

    #[test]
    fn how_long_to_wait_is_read_where_it_makes_sense() {
        let wait = |seconds, nanos| {
            let info = RetryInfo { retry_delay: Some(prost_types::Duration { seconds, nanos }) };
            let details = vec![Any { type_url: "type.googleapis.com/google.rpc.RetryInfo".into(), value: info.encode_to_vec() }];
            let text = base64::engine::general_purpose::STANDARD.encode(Status { details }.encode_to_vec());
            failed(&[("grpc-status", b"8"), ("grpc-status-details-bin", text.as_bytes())]).wait()
        };
        assert_eq!(wait(1, 500_000_000), Some(Duration::from_millis(1_500)));
        assert_eq!(wait(i64::MAX, 999_999_999), Some(RETRY_DELAY_MAX));
        for (seconds, nanos) in [(-1, 0), (0, -1), (1, 1_000_000_000), (i64::MIN, i32::MIN)] {
            assert_eq!(wait(seconds, nanos), None, "{seconds} {nanos}");
        }
        assert_eq!(failed(&[("grpc-status", b"8")]).wait(), None);
    }
}
