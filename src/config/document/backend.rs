//! The grammar of `backends:`: who answers, where, and what is done when they do not.

use super::super::grammar::{List, WordOr, choice, section};
use super::super::value::{Cidr, Duration, EndpointUrl, FailureCode, FilePath, HostName, Line, Name, Secret, Share};
use super::Allowed;

choice! {
    /// How a backend's endpoints share the calls.
    pub enum BalancePolicy {
        /// One after the other.
        RoundRobin = "round_robin",
        /// Of two at random, the one with fewer calls in flight.
        LeastRequest = "least_request",
        /// Calls with the same `hash` go to the same endpoint.
        ConsistentHash = "consistent_hash",
    }
}

section! {
    /// A named group of endpoints of one service; give `grpc` or `builtin`.
    pub struct Backend {
        /// A service in this process, such as `echo`.
        builtin: Name,
        /// A gRPC service.
        grpc: Grpc,
        /// Has its endpoints asked how they are, with grpc.health.v1; `{}` for the built-in values, and where nothing is said nobody asks.
        health: Health,
        /// How calls are shared among the endpoints.
        balance: Balance,
        /// When an endpoint is left alone because of what it answers.
        breaker: Breaker,
        /// How many calls there may be at once, over all workers; more are refused with OVERLOADED.
        limits: BackendLimits,
        /// How many of the calls in flight may be repetitions.
        retry_budget: RetryBudget,
        /// Warnings about it that are not given, each with a reason.
        allow: List<Allowed>,
    }
}

section! {
    /// When an endpoint is left alone because of what it answers.
    pub struct Breaker {
        /// So many failures in a row; 7 where nothing is said.
        consecutive_failures: u32,
        /// Or fewer successes than this share of the answers within `window`; where nothing is said, whatever the share.
        success_min: Share,
        /// The time in which answers are counted; 30s where nothing is said.
        window: Duration,
        /// Fewer answers than this within `window` are too few to judge by their share; 50 where nothing is said.
        requests_min: u32,
        /// For how long it is left alone: the shortest and the longest time.
        open_for: OpenFor,
        /// The share of the endpoints that may be left alone at once, always at least one of them; `50%` where nothing is said.
        ejected_max: Share,
        /// The codes that are failures; UNAVAILABLE, INTERNAL, DATA_LOSS and DEADLINE_EXCEEDED where nothing is said.
        failures: List<FailureCode>,
    }
}

section! {
    /// For how long an endpoint is left alone; twice as long each time.
    pub struct OpenFor {
        /// The first time; 1s where nothing is said.
        min: Duration,
        /// At most; 60s where nothing is said.
        max: Duration,
    }
}

section! {
    /// How many calls of a backend there may be at once, over all workers.
    pub struct BackendLimits {
        /// Calls in flight; 16384 where nothing is said.
        in_flight_max: u32,
        /// Calls among them that wait for a connection; 4096 where nothing is said.
        pending_max: u32,
    }
}

section! {
    /// How many of the calls in flight may be repetitions.
    pub struct RetryBudget {
        /// So many of a hundred; 20 where nothing is said.
        percent: u32,
        /// So many may be, however few calls there are; 3 where nothing is said.
        min_concurrent: u32,
    }
}

section! {
    /// A gRPC service. Its endpoints come from exactly one of `endpoints`, `dns`, `file` and `registry`.
    pub struct Grpc {
        /// Where it listens: `http://host:port` in clear text, `https://host:port` over TLS; or `{ url, weight, zone, version }`.
        endpoints: List<WordOr<EndpointUrl, Endpoint>>,
        /// It listens at every address that a name has.
        dns: DnsSource,
        /// A YAML file that lists its endpoints, each a URL or `{ url, weight, zone, version }`. A change of it is in force within a second.
        file: FilePath,
        /// Its endpoints register themselves, by `protogate register` or the Registry service.
        registry: RegistrySource,
        /// How its certificate is checked, for `https` endpoints.
        tls: BackendTls,
        /// How long to wait for a connection; 1s where nothing is said.
        connect_timeout: Duration,
        /// How many connections there are, and how old they get.
        connections: BackendConnections,
    }
}

section! {
    /// An endpoint, and more about it than where it is.
    pub struct Endpoint {
        /// Where it listens.
        url: EndpointUrl [required],
        /// Its share of the calls, compared with the others', from 1 to 1000; 1 where nothing is said.
        weight: u32,
        /// Where it stands, for people.
        zone: Line,
        /// What it runs, for people.
        version: Line,
    }
}

section! {
    /// A name whose addresses are endpoints.
    pub struct DnsSource {
        /// The name and the port: `http://game.svc:50051`, or `https://` over TLS.
        url: EndpointUrl [required],
        /// How often it is looked up, from 1s to 1h; 10s where nothing is said.
        refresh: Duration,
    }
}

section! {
    /// Who may register as an endpoint.
    pub struct RegistrySource {
        /// The bearer token of those that register for this backend, at least 16 bytes.
        token: Secret [required],
        /// The networks that endpoints are in. Link-local, multicast and unspecified addresses are refused nevertheless.
        allow: List<Cidr> [required],
    }
}

section! {
    /// How a backend's certificate is checked, and which one it is shown; new connections use the files as soon as they are renewed.
    pub struct BackendTls {
        /// The authorities to trust, as PEM; the system's where nothing is said.
        ca: FilePath,
        /// The certificate that the service is shown, with its chain, as PEM.
        cert: FilePath,
        /// The private key of `cert`, as PEM.
        key: FilePath,
        /// The name on the certificate, where it is not the endpoint's host.
        server_name: HostName,
    }
}

section! {
    /// The connections of one worker to one endpoint.
    pub struct BackendConnections {
        /// The most of them; another is opened when the others have no free stream; 8 where nothing is said.
        max: u32,
        /// Older ones, a tenth more or less, are replaced without a call noticing; where nothing is said, they get as old as they may.
        max_age: Duration,
    }
}

section! {
    /// How endpoints are asked how they are; those that are ill are not called.
    pub struct Health {
        /// The service that is asked about; the server as a whole where nothing is said.
        service: Line,
        /// How often, a tenth more or less; 5s where nothing is said. Ill endpoints are asked each second at least.
        interval: Duration,
        /// How long an answer may take; 1s where nothing is said.
        timeout: Duration,
        /// So many good answers in a row make an ill endpoint well; 2 where nothing is said.
        healthy: u32,
        /// So many bad ones in a row, or no answers, make it ill; 3 where nothing is said. The first of all decides alone.
        unhealthy: u32,
    }
}

section! {
    /// How calls are shared among endpoints.
    pub struct Balance {
        /// The policy; `least_request` where nothing is said.
        policy: BalancePolicy,
    }
}
