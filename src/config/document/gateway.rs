//! The grammar of `gateway.yaml`: the process.

use super::super::grammar::{List, Map, choice, section};
use super::super::value::{
    Address, ByteSize, Cidr, ClaimPath, Duration, FilePath, HostName, KeyHash, KeySetPlace, Line, Name, Origin, Secret, SocketUrl, UrlPath,
    Version, Workers,
};
use super::{Allowed, Otlp, Variable};

choice! {
    /// How tokens of an issuer are signed.
    pub enum Algorithm {
        /// HMAC with SHA-256 and a shared secret.
        Hs256 = "HS256",
        /// RSA with SHA-256.
        Rs256 = "RS256",
        /// ECDSA on P-256 with SHA-256.
        Es256 = "ES256",
        /// Ed25519.
        EdDsa = "EdDSA",
    }
}

choice! {
    /// How a mail server is spoken to.
    pub enum SmtpTls {
        /// In clear text until both sides change to TLS, which they must.
        StartTls = "starttls",
        /// Over TLS from the first byte.
        Tls = "tls",
        /// In clear text, for a server on this machine.
        None = "none",
    }
}

choice! {
    /// How log lines look.
    pub enum LogFormat {
        /// For people at a terminal.
        Human = "human",
        /// One JSON object a line.
        Json = "json",
    }
}

choice! {
    /// The least important log line that is written.
    pub enum LogLevel {
        /// Only what needs somebody.
        Error = "error",
        /// What may need somebody soon.
        Warn = "warn",
        /// What an operator wants to know.
        Info = "info",
        /// What a developer wants to know.
        Debug = "debug",
        /// Everything.
        Trace = "trace",
    }
}

section! {
    /// `gateway.yaml`: the process. Addresses, workers, the store, the push side, the admin token and the log's format are fixed; all else is hot.
    pub struct GatewayFile {
        /// The version of the language: 1.
        version: Version [required],
        /// Variables from the environment, used as `${var.name}` in scalars.
        vars: Map<Name, Variable>,
        /// Where clients connect.
        listen: Listen,
        /// The operator's door: health and reload.
        admin: Admin,
        /// Where services push from outside of this process. Off where nothing is said.
        push: PushListener,
        /// Where users, sessions and revocations are kept.
        store: StoreKind,
        /// The certificate clients see. Without it the edge speaks clear text.
        tls: EdgeTls,
        /// Web origins whose pages may connect. Empty: the gateway's own host, by `https` or by its address, and the operator's own page, and no other.
        origins: List<Origin>,
        /// Networks whose forwarding headers are believed.
        trusted_proxies: List<Cidr>,
        /// Expect the PROXY protocol, version 1 or 2, from trusted proxies.
        proxy_protocol: bool,
        /// Bounds on connections.
        connections: Connections,
        /// Bounds on memory, over all connections.
        memory: Memory,
        /// How many sessions a user may have, and how long one waits for its client.
        sessions: Sessions,
        /// Whose tokens are believed.
        auth: Auth,
        /// What the operator sees.
        telemetry: Telemetry,
        /// When files are read again.
        reload: Reload,
        /// How the gateway goes when it is asked to end.
        drain: Drain,
        /// Warnings about this file that are not given, each with a reason.
        allow: List<Allowed>,
    }
}

section! {
    /// Where clients connect.
    pub struct Listen {
        /// Address and port; port 0 takes any.
        address: Address,
        /// The path of the WebSocket.
        path: UrlPath,
        /// Threads that carry connections: a number, or `auto` for one a processor.
        workers: Workers,
        /// Where clients come back to after they were cut off, such as `wss://play.example/ws`; where nothing is said, to the same URL.
        public_url: SocketUrl,
    }
}

section! {
    /// The operator's door.
    pub struct Admin {
        /// Address and port; port 0 takes any.
        address: Address,
        /// The bearer token, at least 16 characters. In development one is made in the data folder.
        token: Secret,
    }
}

section! {
    /// Where services push from outside of this process, by gRPC. They show the token, or a certificate.
    pub struct PushListener {
        /// Address and port; 127.0.0.1:7082 where nothing is said. Port 0 takes any.
        address: Address,
        /// The bearer token, at least 16 bytes.
        token: Secret,
        /// The certificate that services see. Without it this side speaks clear text.
        tls: PushTls,
    }
}

section! {
    /// The certificate that services see, and who signs theirs. The files are read again when they change.
    pub struct PushTls {
        /// The certificate chain, as PEM.
        cert: FilePath,
        /// The private key, as PEM.
        key: FilePath,
        /// The authorities whose certificates services may show instead of the token, as PEM.
        client_ca: FilePath,
    }
}

section! {
    /// Where users, sessions and revocations are kept; give exactly one key.
    pub struct StoreKind {
        /// A file in the data folder, for a gateway that is alone. So it is where nothing is said.
        embedded: EmbeddedStore,
        /// A Redis, for gateways that are many.
        redis: RedisStore,
    }
}

section! {
    /// A file in the data folder; there is nothing to say about it.
    pub struct EmbeddedStore {}
}

section! {
    /// A Redis of version 6.2 or later.
    pub struct RedisStore {
        /// Where it is: `redis://user:password@host:port/database`, or `rediss://` for TLS.
        url: Secret [required],
        /// What the names of all its keys begin with; `protogate` where nothing is said. Gateways that share it say the same.
        prefix: Name,
    }
}

section! {
    /// The certificate clients see. Both files are read again when they change.
    pub struct EdgeTls {
        /// The certificate chain, as PEM.
        cert: FilePath,
        /// The private key, as PEM.
        key: FilePath,
    }
}

section! {
    /// Bounds on connections.
    pub struct Connections {
        /// The most connections at once.
        max: u32,
        /// The most connections at once from one address (IPv6: one /64).
        per_ip_max: u32,
        /// How long a connection may stay without a token or an accepted anonymous call.
        auth_timeout: Duration,
        /// How long a connection may stay without a token at all.
        anonymous_max_age: Duration,
        /// How often the gateway asks for a sign of life.
        heartbeat: Duration,
        /// How long it waits for one.
        heartbeat_grace: Duration,
        /// The largest message.
        message_bytes_max: ByteSize,
        /// The most calls in flight on one connection.
        inflight_max: u32,
        /// The most streams open on one connection.
        streams_max: u32,
        /// Messages that either side may send on a new stream before the other grants more.
        stream_credit: u32,
        /// The most bytes that may wait to be written to one connection.
        outbox_bytes_max: ByteSize,
    }
}

section! {
    /// Bounds on memory over all connections; beyond one, the largest holder is closed.
    pub struct Memory {
        /// Bytes waiting to be written.
        outboxes: ByteSize,
        /// Bytes of messages that have not fully arrived, or that services have not taken from streams yet.
        partial_messages: ByteSize,
    }
}

choice! {
    /// What happens to a user who has as many sessions as may be and makes another.
    pub enum WhenFull {
        /// The oldest session gives way.
        ReplaceOldest = "replace_oldest",
        /// The new one is refused.
        Refuse = "refuse",
    }
}

section! {
    /// How many sessions a user may have, and how long one waits for its client.
    pub struct Sessions {
        /// The most sessions of one user, over all nodes; 1 is a single login.
        per_user_max: u32,
        /// What happens to the next one.
        when_full: WhenFull,
        /// How long a session waits for its client after the connection was lost.
        resume_window: Duration,
        /// How many topics one session may hear; 128 where nothing is said.
        topics_max: u32,
        /// The most bytes of unacknowledged pushes that a session keeps for its client.
        ring_bytes_max: ByteSize,
    }
}

section! {
    /// Whose tokens are believed, and how the gateway signs its own.
    pub struct Auth {
        /// How tokens are signed that the gateway's own auth service gives.
        signing: Signing,
        /// Other issuers; one entry each.
        issuers: List<Issuer>,
        /// Keys of programs, shown where people show tokens; make one with `protogate token api-key`.
        api_keys: List<ApiKey>,
        /// Accounts of the built-in service `auth`.
        accounts: Accounts,
        /// How the built-in service `auth` sends mail.
        mail: Mail,
    }
}

section! {
    /// Accounts of the built-in service `auth`.
    pub struct Accounts {
        /// The roles of a new account; `player` where nothing is said.
        default_roles: List<Name>,
    }
}

section! {
    /// How the built-in service `auth` sends mail.
    pub struct Mail {
        /// Who it is from, such as `Game <game@example.com>`.
        from: Line [required],
        /// The server that takes it. In development mail goes into the folder `outbox` of the data folder where none is given.
        smtp: SmtpServer,
    }
}

section! {
    /// A mail server.
    pub struct SmtpServer {
        /// Its name, which is also the one on its certificate.
        host: HostName [required],
        /// Its port; 587 where nothing is said, 465 with `tls: tls`, 25 with `tls: none`.
        port: u32,
        /// Who the gateway is to it.
        user: Line,
        /// The user's password.
        password: Secret,
        /// How it is spoken to; `starttls` where nothing is said.
        tls: SmtpTls,
    }
}

section! {
    /// How the gateway's own tokens are signed. Their keys are published under `/.well-known/jwks.json`.
    pub struct Signing {
        /// The private key, as PEM: `openssl genpkey -algorithm ed25519`. In development one is made where none is given.
        key: FilePath,
        /// Other keys of ours that are believed and published, public or private: those before the last change, or the next one.
        previous: List<FilePath>,
        /// The `iss` of its tokens; `protogate` where nothing is said.
        issuer: Line,
        /// The `aud` of its tokens; `protogate` where nothing is said.
        audience: Line,
        /// How long an access token is good; 15m where nothing is said, at most 24h.
        access_ttl: Duration,
        /// How long refresh tokens prolong a login; 30d where nothing is said.
        refresh_ttl: Duration,
    }
}

section! {
    /// One API key.
    pub struct ApiKey {
        /// Its name, which is part of the key.
        name: Name [required],
        /// Who its bearer is, such as `service:ci`.
        user: Line [required],
        /// The hash of the key: `sha256:` and 64 hexadecimal digits.
        hash: KeyHash [required],
        /// The roles of its bearer.
        roles: List<Name>,
    }
}

section! {
    /// One issuer of tokens.
    pub struct Issuer {
        /// The `iss` of its tokens.
        issuer: Line [required],
        /// The `aud` that its tokens must carry one of.
        audience: List<Line> [required],
        /// How its tokens are signed; a token signed otherwise is refused.
        algorithm: Algorithm [required],
        /// The public key, as PEM; for RS256, ES256 and EdDSA.
        public_key: FilePath,
        /// The issuer's key set (JWKS), a file or an https URL that is kept fresh; instead of `public_key`.
        jwks: KeySetPlace,
        /// The shared secret of at least 32 bytes; for HS256.
        secret: Secret,
        /// The claim that lists the roles, such as `claims.roles`.
        roles: ClaimPath,
        /// The roles of a token that lists none.
        default_roles: List<Name>,
        /// How far clocks may differ; 30s where nothing is said.
        leeway: Duration,
    }
}

section! {
    /// What the operator sees.
    pub struct Telemetry {
        /// The log.
        log: Log,
        /// Where spans of calls are exported to. Nowhere where nothing is said.
        otlp: Otlp,
    }
}

section! {
    /// The log, on standard error.
    pub struct Log {
        /// How lines look.
        format: LogFormat,
        /// The least important line that is written.
        level: LogLevel,
    }
}

section! {
    /// When files are read again.
    pub struct Reload {
        /// Watch the files; true in development.
        watch: bool,
        /// How long files must be quiet before they are read.
        debounce: Duration,
        /// Take over what breaks clients, such as a route that is gone; true in development.
        allow_breaking: bool,
    }
}

section! {
    /// How the gateway goes when it is asked to end. Both together are at most 15s; in development both are 0s where nothing is said.
    pub struct Drain {
        /// How long it takes connections still when it is not ready any more, so that load balancers notice; 2s where nothing is said.
        grace: Duration,
        /// The time over which clients are asked to move, one after the other; 10s where nothing is said, 0s is all at once.
        over: Duration,
    }
}
