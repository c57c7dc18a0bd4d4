//! Which of a client's metadata may travel on to the backend.
//!
//! Promises: what passes is on the route's list and is a plain gRPC header; nothing that a backend believes of the gateway or of gRPC can
//! come from a client, in any spelling. A key that may not pass is refused and not dropped, so that a client learns of it at once.

use std::borrow::Cow;
use std::fmt::Display;
use std::sync::Arc;

use crate::failure::{Failure, Reason, Result};
use crate::reserved::is_reserved;

/// The longest value; together with at most 64 entries it stays within what gRPC servers accept (8 to 16 KiB of headers) if used sanely.
const VALUE_BYTES_MAX: usize = 4 * 1024;

/// Lets metadata pass if all of it may.
pub fn admit(allowed: &[Arc<str>], metadata: &[(Cow<'_, str>, Cow<'_, str>)]) -> Result<()> {
    for (key, value) in metadata {
        if let Err(why) = check_key(key) {
            return Err(refused(key, why));
        }
        if !allowed.iter().any(|allowed| **allowed == **key) {
            return Err(refused(key, "is not among the keys that this route passes on; leave it out or ask for it to be added"));
        }
        if value.len() > VALUE_BYTES_MAX {
            return Err(refused(key, "has a value of more than 4096 bytes"));
        }
        if !value.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
            return Err(refused(key, "has a value with characters other than printable ASCII; encode it"));
        }
    }
    Ok(())
}

/// Why a key can never pass, whatever a route says.
fn check_key(key: &str) -> std::result::Result<(), &'static str> {
    if is_reserved(key) {
        return Err("is set by the gateway alone");
    }
    if key.replace('_', "-").to_ascii_lowercase().ends_with("-bin") {
        return Err("holds binary data, which metadata of clients cannot; put it into the request");
    }
    if key.is_empty() || !key.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.')) {
        return Err("is no key; use small letters, digits, `-` and `.`");
    }
    Ok(())
}

fn refused(key: &str, why: impl Display) -> Failure {
    let shown: String = key.chars().take(64).flat_map(char::escape_debug).collect();
    Failure::gateway(Reason::MetadataRefused, format!("metadata `{shown}` {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(key: &str, value: &str) -> std::result::Result<(), String> {
        let allowed = ["x-client", "x.trace", "authorization", "protogate-user", "a-bin"].map(Arc::from);
        admit(&allowed, &[(key.into(), value.into())]).map_err(|failure| {
            assert_eq!(failure.reason(), "METADATA_REFUSED");
            failure.message().to_owned()
        })
    }

    #[test]
    fn what_is_listed_passes() {
        assert_eq!(verdict("x-client", "ios 17; build=3"), Ok(()));
        assert_eq!(verdict("x.trace", ""), Ok(()));
        assert_eq!(admit(&[], &[]).err().map(|failure| failure.message().to_owned()), None);
    }

    #[test]
    fn what_is_not_listed_is_refused() {
        for key in ["x-other", "x-clien", "x-client2"] {
            assert!(verdict(key, "").unwrap_err().contains("not among"), "{key}");
        }
    }

    #[test]
    fn what_is_the_gateways_is_refused_in_every_spelling_even_if_listed() {
        for key in [
            "protogate-user",
            "protogate_user",
            "Protogate-User",
            "PROTOGATE_roles",
            "grpc-timeout",
            "grpc_timeout",
            "grpc-encoding",
            "authorization",
            "Authorization",
            "te",
            "TE",
            "host",
            "content-type",
            "content_type",
            "cookie",
            "x-forwarded-for",
            "x_forwarded_for",
            "transfer-encoding",
            "traceparent",
        ] {
            assert!(verdict(key, "").unwrap_err().contains("gateway alone"), "{key}");
        }
    }

    #[test]
    fn what_is_no_header_is_refused() {
        for key in ["", ":path", "x_client", "X-Client", "x client", "x-cli\rent", "x-cliënt", "x-client\0"] {
            assert!(verdict(key, "").unwrap_err().contains("is no key"), "{key:?}");
        }
        for key in ["a-bin", "a_bin", "A-BIN"] {
            assert!(verdict(key, "").unwrap_err().contains("binary"), "{key}");
        }
        for value in ["a\r\nb: c", "a\nb", "a\0", "\t", "é", "\u{7f}"] {
            assert!(verdict("x-client", value).unwrap_err().contains("printable ASCII"), "{value:?}");
        }
        assert!(verdict("x-client", &"a".repeat(4097)).unwrap_err().contains("4096"));
        assert!(!verdict(&"\r".repeat(100_000), "").unwrap_err().contains('\r'));
    }
}
