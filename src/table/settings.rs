//! The hot part of `gateway.yaml`, as meant: every default applied.
//!
//! The fixed part, which only a restart changes, is [`Fixed`].

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

use crate::pipeline::public_key::NO_KEYS;
use crate::push::door::Token;
use crate::services::auth;
use crate::session::SessionSettings;
use crate::store::StoreSpec;
use crate::telemetry::tracer::Collector;
use crate::tls::{Certificate, Place};

/// An envelope is at most this much larger than its payload.
pub const ENVELOPE_BYTES: usize = 1024;

/// What holds for every connection until the next reload.
#[derive(Clone)]
pub struct Settings {
    /// The path of the WebSocket, `/ws`.
    pub path: String,
    /// Web origins that may connect. Empty: no `Origin` at all, the gateway's own host and port (by `https`, or an address), or the operator's own page.
    pub origins: Vec<String>,
    /// Networks whose forwarding headers and PROXY protocol are believed.
    pub trusted_proxies: Vec<IpNet>,
    pub proxy_protocol: bool,
    pub connections_max: u32,
    pub per_ip_max: u32,
    pub auth_timeout: Duration,
    pub anonymous_max_age: Duration,
    pub heartbeat: Duration,
    pub heartbeat_grace: Duration,
    pub message_bytes_max: usize,
    pub inflight_max: usize,
    pub streams_max: usize,
    /// Messages that either side may send on a new stream before the other grants more.
    pub stream_credit: u32,
    pub outbox_bytes_max: usize,
    /// Bytes waiting to be written, over all connections.
    pub memory_outboxes: usize,
    /// Bytes of incomplete messages, over all connections.
    pub memory_partial: usize,
    /// Where clients come back to resume, if it is another URL than the one they used first.
    pub public_url: Option<String>,
    pub sessions: SessionSettings,
    /// The certificate clients see; none: clear text.
    pub tls: Option<Certificate>,
    /// The certificate that services see where they push; there if and only if the fixed part says that there is one.
    pub push_tls: Option<Certificate>,
    /// The public keys of the gateway's own tokens, as a key set (JWKS), for whoever wants to verify them.
    pub jwks: Arc<str>,
    /// How long access and refresh tokens of our own are good; zero where none are signed.
    pub token_ttls: (Duration, Duration),
    /// What the built-in auth service is told.
    pub accounts: Arc<auth::Settings>,
    /// Development shortcuts are in force: every listener is on loopback and nothing here is production.
    pub shortcuts: bool,
    /// The least important line that is written.
    pub log_level: tracing::Level,
    /// Where spans are exported to; nothing: nowhere.
    pub otlp: Option<Arc<Collector>>,
    pub watch: bool,
    pub debounce: Duration,
    /// A reload may break clients.
    pub allow_breaking: bool,
    pub drain: DrainSettings,
}

/// Grace and slots together are at most so long: of the half minute that a supervisor waits, the rest is for what ends behind them.
pub const DRAIN_MAX: Duration = Duration::from_secs(15);

/// How the gateway goes when it is asked to end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DrainSettings {
    /// From not being ready any more until the listener closes.
    pub grace: Duration,
    /// The time over which clients leave, one after the other.
    pub over: Duration,
}

/// What only a restart changes.
#[derive(Clone, PartialEq, Eq)]
pub struct Fixed {
    pub listen: SocketAddr,
    pub admin: SocketAddr,
    pub workers: usize,
    /// The operator's token from `gateway.yaml`; without one the development token of the data folder serves.
    pub admin_token: Option<AdminToken>,
    /// Where users, sessions and revocations are kept.
    pub store: StoreSpec,
    /// Where services push from outside; nothing: nowhere.
    pub push: Option<PushSide>,
    /// Log lines are JSON.
    pub log_json: bool,
}

/// The listener of the PushService.
#[derive(Clone, PartialEq, Eq)]
pub struct PushSide {
    pub address: SocketAddr,
    /// What services show that have no certificate.
    pub token: Option<Token>,
    /// Where the certificate is read; nothing: clear text.
    pub tls: Option<Place>,
}

/// The operator's bearer token. It cannot be printed.
#[derive(Clone, PartialEq, Eq)]
pub struct AdminToken(pub Arc<str>);

// === impl Settings ===

impl Settings {
    /// Bytes that may wait in one outbox: the payload that `outbox_bytes_max` promises room for, and its envelope.
    pub fn outbox_room(&self) -> usize {
        self.outbox_bytes_max + ENVELOPE_BYTES
    }
}

impl Default for Settings {
    /// The built-in values, as `gateway.yaml` shows them.
    fn default() -> Settings {
        Settings {
            path: "/ws".to_owned(),
            origins: Vec::new(),
            trusted_proxies: Vec::new(),
            proxy_protocol: false,
            connections_max: 20_000,
            per_ip_max: 256,
            auth_timeout: Duration::from_secs(30),
            anonymous_max_age: Duration::from_secs(600),
            heartbeat: Duration::from_secs(30),
            heartbeat_grace: Duration::from_secs(5),
            message_bytes_max: 256 << 10,
            inflight_max: 32,
            streams_max: 16,
            stream_credit: 32,
            outbox_bytes_max: 256 << 10,
            memory_outboxes: 256 << 20,
            memory_partial: 64 << 20,
            public_url: None,
            sessions: SessionSettings::default(),
            tls: None,
            push_tls: None,
            jwks: NO_KEYS.into(),
            token_ttls: (Duration::ZERO, Duration::ZERO),
            accounts: Arc::default(),
            shortcuts: false,
            log_level: tracing::Level::INFO,
            otlp: None,
            watch: false,
            debounce: Duration::from_millis(500),
            allow_breaking: false,
            drain: DrainSettings::default(),
        }
    }
}

// === impl DrainSettings ===

impl DrainSettings {
    /// Nobody balances any load, and nobody is told to move.
    pub const AT_ONCE: DrainSettings = DrainSettings { grace: Duration::ZERO, over: Duration::ZERO };
}

impl Default for DrainSettings {
    /// The built-in values outside of development.
    fn default() -> DrainSettings {
        DrainSettings { grace: Duration::from_secs(2), over: Duration::from_secs(10) }
    }
}

// === impl Fixed ===

impl Fixed {
    /// Where it listens: the edge, the admin side, and where services push if they do.
    pub fn addresses(&self) -> impl Iterator<Item = SocketAddr> {
        [self.listen, self.admin].into_iter().chain(self.push.as_ref().map(|push| push.address))
    }
}
