//! What backends are told about a caller, as header values.
//!
//! Making them is a fifth of what the gateway does for a call, and they are the same for every call of a connection: the caller keeps them
//! while it calls, and gives them back when it has been quiet. Promise: a value is ASCII, whatever the identity holds.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::sync::Arc;

use http::{HeaderName, HeaderValue};

use super::identity::Identity;
use crate::telemetry::trace::Traces;

pub const USER: HeaderName = HeaderName::from_static("protogate-user");
pub const ROLES: HeaderName = HeaderName::from_static("protogate-roles");
pub const PEER: HeaderName = HeaderName::from_static("protogate-peer");
pub const SESSION: HeaderName = HeaderName::from_static("protogate-session");
pub const ROUTE: HeaderName = HeaderName::from_static("protogate-route");
pub const GENERATION: HeaderName = HeaderName::from_static("protogate-generation");

/// The caller in the words of gRPC metadata.
pub struct Told {
    pub user: HeaderValue,
    /// Separated by commas; one inside a role is `%2C`, so that no role can pass for two.
    pub roles: HeaderValue,
    pub peer: HeaderValue,
    pub session: HeaderValue,
    /// Made for the first call that is traced.
    pub(super) traces: Option<Traces>,
}

/// A text as gRPC metadata, which is ASCII: what is not, and `%`, is percent-encoded.
pub fn told(text: &str) -> HeaderValue {
    HeaderValue::try_from(encoded(text)).expect("printable ASCII is a header's value")
}

fn encoded(text: &str) -> String {
    let mut value = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b' '..=b'~' if byte != b'%' => value.push(byte.into()),
            _ => write!(value, "%{byte:02X}").expect("a string takes everything"),
        }
    }
    value
}

fn list(roles: &[Arc<str>]) -> HeaderValue {
    let roles: Vec<String> = roles.iter().map(|role| encoded(role).replace(',', "%2C")).collect();
    HeaderValue::try_from(roles.join(",")).expect("printable ASCII is a header's value")
}

// === impl Told ===

impl Told {
    pub fn new(identity: Option<&Identity>, session: Option<&str>, peer: IpAddr) -> Told {
        let empty = || HeaderValue::from_static("");
        Told {
            user: identity.map_or_else(empty, |identity| told(&identity.user)),
            roles: identity.map_or_else(empty, |identity| list(&identity.roles)),
            peer: told(&peer.to_string()),
            session: session.map_or_else(empty, told),
            traces: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_ascii() {
        for (text, value) in [("", ""), ("a, b~", "a, b~"), ("50%", "50%25"), ("Zoë\n", "Zo%C3%AB%0A")] {
            assert_eq!(told(text), value);
        }
    }

    #[test]
    fn no_role_can_pass_for_two() {
        assert_eq!(list(&["x,admin".into(), "player".into()]), "x%2Cadmin,player");
    }
}
