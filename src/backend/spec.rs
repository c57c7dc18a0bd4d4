//! A backend as the table means it: plain and comparable, so that a reload can adopt what has not changed.

use std::sync::Arc;
use std::time::Duration;

/// A named group of endpoints of one service, or a service of this process.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Spec {
    pub name: Arc<str>,
    pub kind: SpecKind,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum SpecKind {
    /// A service that lives in this process, by its name among the [`Builtins`](super::Builtins).
    Builtin(Arc<str>),
    /// A gRPC service somewhere on the network.
    Grpc {
        /// At least one.
        endpoints: Vec<EndpointSpec>,
        /// How certificates are checked, for the endpoints that have one; nothing said means the system's roots and the endpoint's host.
        tls: Option<TlsSpec>,
        /// How long a call may wait for a connection.
        connect_timeout: Duration,
    },
}

/// One address.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EndpointSpec {
    /// A name or an IP address; an IPv6 address with or without brackets.
    pub host: String,
    pub port: u16,
    pub tls: bool,
}

/// How a backend's certificate is checked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TlsSpec {
    /// The authorities to trust, as PEM; the system's when there are none.
    pub roots_pem: Option<Vec<u8>>,
    /// The name on the certificate, when it is not the endpoint's host.
    pub server_name: Option<String>,
}
