//! A backend as the table means it: plain and comparable, so that a reload can adopt what has not changed.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

use super::tls::TlsSpec;
use crate::failure::Code;

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
    Grpc(Box<GrpcSpec>),
}

/// A gRPC service somewhere on the network.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct GrpcSpec {
    pub source: Source,
    /// How certificates are checked, for the endpoints that have one; nothing said means the system's roots and the endpoint's host.
    pub tls: Option<TlsSpec>,
    /// How long a call may wait for a connection.
    pub connect_timeout: Duration,
    pub connections: ConnectionsSpec,
    pub balance: BalancePolicy,
    /// Without it endpoints are believed to be well until calls show otherwise.
    pub health: Option<HealthSpec>,
    pub breaker: BreakerSpec,
    pub limits: LimitsSpec,
    pub retry_budget: BudgetSpec,
}

/// Where endpoints come from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Source {
    /// These; at least one.
    Static(Vec<EndpointSpec>),
    /// Every address that a name has.
    Dns { host: String, port: u16, tls: bool, refresh: Duration },
    /// A file that lists them, followed.
    File(PathBuf),
    /// Whoever registers, from these networks.
    Registry { allow: Vec<IpNet> },
}

/// One address.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EndpointSpec {
    /// A name or an IP address; an IPv6 address with or without brackets.
    pub host: String,
    pub port: u16,
    pub tls: bool,
    /// Its share of the calls, compared with the others'; at least 1.
    pub weight: u32,
    /// Where it is and what it runs, for people.
    pub zone: Option<String>,
    pub version: Option<String>,
}

/// The connections of one worker to one endpoint.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConnectionsSpec {
    /// The most of them; each is opened when the others are full.
    pub max: usize,
    /// How old one may get, a tenth more or less; then it takes no more calls, and those it has may finish.
    pub age_max: Option<Duration>,
}

/// How calls are shared among the endpoints.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BalancePolicy {
    RoundRobin,
    /// Of two at random, the one with fewer calls in flight for its weight.
    LeastRequest,
    /// Calls with the same key go to the same endpoint, unless it has far more than its share.
    ConsistentHash,
}

/// Asking endpoints how they are, with grpc.health.v1.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HealthSpec {
    /// The service that is asked about; empty: the server as a whole.
    pub service: String,
    pub interval: Duration,
    pub timeout: Duration,
    /// So many answers in a row make an endpoint well, or ill.
    pub healthy: u32,
    pub unhealthy: u32,
}

/// When an endpoint is left alone because of what it answers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BreakerSpec {
    /// So many failures in a row.
    pub consecutive_failures: u32,
    /// Or fewer successes than this share within `window`, if there were `requests_min` answers in it.
    pub success_percent: Option<u32>,
    pub window: Duration,
    pub requests_min: u32,
    /// How long it is left alone: from the first, twice as long each time, to the last.
    pub open_min: Duration,
    pub open_max: Duration,
    /// The share of the endpoints that may be left alone at once; always at least one of them.
    pub ejected_percent: u32,
    /// Which answers are failures.
    pub failures: Vec<Code>,
}

/// What a backend takes at once, over all workers. More is refused at once.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LimitsSpec {
    pub in_flight_max: usize,
    /// Calls that wait for a connection.
    pub pending_max: usize,
}

/// How many of the calls in flight may be repetitions.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BudgetSpec {
    pub percent: u32,
    /// So many may be, however few calls there are.
    pub min_concurrent: u32,
}

// === impl GrpcSpec ===

impl GrpcSpec {
    /// A service at these addresses, with all else as it is where nothing is said.
    pub fn at(endpoints: Vec<EndpointSpec>) -> GrpcSpec {
        GrpcSpec {
            source: Source::Static(endpoints),
            tls: None,
            // Three times the longest sensible round trip within a region, for TCP and TLS.
            connect_timeout: Duration::from_secs(1),
            connections: ConnectionsSpec::default(),
            balance: BalancePolicy::LeastRequest,
            health: None,
            breaker: BreakerSpec::default(),
            limits: LimitsSpec::default(),
            retry_budget: BudgetSpec::default(),
        }
    }
}

// === impl EndpointSpec ===

impl EndpointSpec {
    pub fn new(host: impl Into<String>, port: u16, tls: bool) -> EndpointSpec {
        EndpointSpec { host: host.into(), port, tls, weight: 1, zone: None, version: None }
    }

    pub fn of_ip(ip: IpAddr, port: u16, tls: bool) -> EndpointSpec {
        EndpointSpec::new(ip.to_string(), port, tls)
    }

    /// `host:port`, for people.
    pub fn name(&self) -> String {
        let host = self.host.trim_start_matches('[').trim_end_matches(']');
        if host.contains(':') { format!("[{host}]:{}", self.port) } else { format!("{host}:{}", self.port) }
    }

    /// Whether both are the same place, whatever is said about it.
    pub fn is_same_place(&self, other: &EndpointSpec) -> bool {
        (&self.host, self.port, self.tls) == (&other.host, other.port, other.tls)
    }
}

// === impl Default ===

impl Default for ConnectionsSpec {
    fn default() -> ConnectionsSpec {
        // Peers that take a hundred streams a connection carry 800 calls of a worker this way.
        ConnectionsSpec { max: 8, age_max: None }
    }
}

impl Default for HealthSpec {
    fn default() -> HealthSpec {
        HealthSpec { service: String::new(), interval: Duration::from_secs(5), timeout: Duration::from_secs(1), healthy: 2, unhealthy: 3 }
    }
}

impl Default for BreakerSpec {
    fn default() -> BreakerSpec {
        BreakerSpec {
            consecutive_failures: 7,
            success_percent: None,
            window: Duration::from_secs(30),
            requests_min: 50,
            open_min: Duration::from_secs(1),
            open_max: Duration::from_secs(60),
            ejected_percent: 50,
            failures: vec![Code::Unavailable, Code::Internal, Code::DataLoss, Code::DeadlineExceeded],
        }
    }
}

impl Default for LimitsSpec {
    fn default() -> LimitsSpec {
        LimitsSpec { in_flight_max: 16_384, pending_max: 4_096 }
    }
}

impl Default for BudgetSpec {
    fn default() -> BudgetSpec {
        BudgetSpec { percent: 20, min_concurrent: 3 }
    }
}
