//! The metadata keys that no client may set: one list, for whoever reads a route file and for whoever reads a message.
//!
//! Promise: what `check` lets a route pass on is what the data path lets a client send.

/// Headers that mean something to gRPC, HTTP or a proxy, or that assert an identity. `authorization` is `forward_token`'s,
/// `idempotency-key` the envelope's.
const KEYS: [&str; 18] = [
    "authorization",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "cookie",
    "forwarded",
    "host",
    "idempotency-key",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "traceparent",
    "transfer-encoding",
    "upgrade",
    "user-agent",
    "x-real-ip",
];

/// Families of headers that are the gateway's, gRPC's and the proxies'.
const PREFIXES: [&str; 3] = ["protogate-", "grpc-", "x-forwarded-"];

/// Whether a key is set by HTTP, gRPC or the gateway alone, in any spelling that a server may read as it.
pub fn is_reserved(key: &str) -> bool {
    // Many servers read `_` as `-`, so that a twin would be the same header to them.
    let twin = key.replace('_', "-").to_ascii_lowercase();
    KEYS.contains(&&*twin) || PREFIXES.iter().any(|prefix| twin.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_twin_is_the_same_key() {
        for key in ["keep-alive", "Keep_Alive", "idempotency_key", "grpc_timeout", "protogate-user", "user-agent"] {
            assert!(is_reserved(key), "{key}");
        }
        assert!(!is_reserved("x-client-version"));
    }
}
