//! The whole grammar of the configuration: every section, every key, what each means.
//!
//! This is the only list. The reader, the files in `schemas/` and the reference page are derived from it by `section!`
//! (see `grammar.rs`), and the first sentence over a key is what an editor shows. Promises: every field is optional here, no default is
//! applied, everything remembers where it stands, and a key marked `[required]` that is not there was reported.
//!
//! To add a key: write it here with its sentence, give it a value type from `value/`, and read it in `table/compile`.

use super::grammar::{Edit, List, Map, Several, WordOr, choice, section};
use super::value::{
    Address, ByteSize, CallMessage, Cidr, Duration, EndpointUrl, FailureCode, FieldPathText, FilePath, HashKey, Idempotent, Join, KeyHash,
    KeySetPlace, LimitKey, MessageName, MessagePath, MetadataKey, MethodName, Name, NumberRange, Origin, PermissionName, PermissionPattern,
    ProtocolNumber, Rate, ResponsePath, RouteName, Secret, ServiceName, Share, SocketUrl, Text, TopicPattern, TopicTemplate, UrlPath,
    VarValue, Version, Workers,
};

choice! {
    /// Who may call a route.
    pub enum Access {
        /// Anyone who is connected, with or without a token.
        Anonymous = "anonymous",
        /// Whoever has shown a valid token.
        Authenticated = "authenticated",
    }
}

choice! {
    /// When a call is answered.
    pub enum ReplyMode {
        /// Always.
        Always = "always",
        /// Only when it failed.
        OnFailure = "on_failure",
    }
}

choice! {
    /// What happens to fields that the request's type does not have.
    pub enum UnknownFields {
        /// They reach the backend unchanged, at most 64 in a message.
        Pass = "pass",
        /// The call is refused.
        Reject = "reject",
    }
}

choice! {
    /// How surely a push arrives.
    pub enum Delivery {
        /// At most once, to clients that are connected and have room.
        BestEffort = "best_effort",
        /// A session keeps it until its client has acknowledged it, or the session ends.
        Session = "session",
        /// The store keeps it until a client has acknowledged it, also for a user without a session.
        Durable = "durable",
    }
}

choice! {
    /// What becomes of a best-effort push for which a client has no room.
    pub enum SlowRule {
        /// The client is closed, and may come back.
        Disconnect = "disconnect",
        /// The oldest that waits is dropped, and the client told how many were.
        DropOldest = "drop_oldest",
    }
}

choice! {
    /// What happens to a call whose guard does not decide in time, or at all.
    pub enum WhenUnavailable {
        /// It is refused.
        Deny = "deny",
        /// It goes on as if the guard had allowed it.
        Allow = "allow",
    }
}

choice! {
    /// What an exhausted limit does.
    pub enum LimitMode {
        /// Refuses the call.
        Enforce = "enforce",
        /// Counts and logs what it would have refused.
        DryRun = "dry_run",
    }
}

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
    /// The type of a variable.
    pub enum VarType {
        /// Any text.
        String = "string",
        /// A whole number.
        Integer = "integer",
        /// true or false.
        Bool = "bool",
    }
}

choice! {
    /// Which payloads the access log holds.
    pub enum LogPayload {
        /// None.
        None = "none",
        /// The request of a call that failed, redacted.
        Failures = "failures",
        /// Every request, redacted.
        All = "all",
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

choice! {
    /// What the gateway itself knows about a caller.
    pub enum SessionPath {
        /// The user that the token names.
        User = "session.user",
        /// The session's own id.
        Id = "session.id",
        /// The token's own id.
        TokenId = "session.token_id",
        /// The address the connection comes from.
        PeerIp = "peer.ip",
    }
}

section! {
    /// `routes.yaml`: what the gateway routes, and by which rules. All of it is hot.
    pub struct MainFile {
        /// The version of the language: 1.
        version: Version [required],
        /// Other files of routes, relative to this one. Each is a group with its own `numbers` and `defaults`.
        include: List<FilePath>,
        ..routes: RoutesFile,
    }
}

section! {
    /// A file of routes: what `routes.yaml` and every file it includes may hold.
    pub struct RoutesFile {
        /// Variables from the environment, used as `${var.name}` in scalars.
        vars: Map<Name, Variable>,
        /// Where message types and methods come from.
        descriptors: List<Descriptor>,
        /// Named groups of endpoints.
        backends: Map<Name, Backend>,
        /// Who may do what.
        permissions: Permissions,
        /// Named rate limits.
        rate_limits: Map<Name, RateLimit>,
        /// The numbers that this file's routes may use, such as `1000..1999`.
        numbers: NumberRange,
        /// What a route of this file does where it says nothing itself.
        defaults: Policy,
        /// One entry a protocol number.
        routes: Map<ProtocolNumber, Route>,
        /// Messages that nobody asked for, one entry a protocol number that no route has.
        pushes: Map<ProtocolNumber, Push>,
        /// Sets of hearers, one entry a kind of names such as `room/{id}`. A topic that no entry declares does not exist.
        topics: Map<TopicPattern, Topic>,
    }
}

section! {
    /// A value from the environment.
    pub struct Variable {
        /// The environment variable.
        env: Text [required],
        /// Its type; `string` where nothing is said.
        type_: VarType = "type",
        /// The value when the environment variable is not set. Without one it must be set.
        default: VarValue,
        /// Hide the value everywhere.
        secret: bool,
    }
}

section! {
    /// One source of descriptors; give exactly one key.
    pub struct Descriptor {
        /// A folder of .proto files, compiled when the configuration is loaded.
        proto: FilePath,
        /// A FileDescriptorSet, as protoc and buf write it.
        set: FilePath,
        /// The backend that tells its descriptors by gRPC server reflection, to `protogate lock`; needs `lock`.
        reflection: Name,
        /// The file that `protogate lock` writes; nothing else is read when the configuration is loaded.
        lock: FilePath,
        /// The services that are locked, such as `game.v1.Game`; where nothing is said, all but reflection and health.
        services: List<ServiceName>,
        /// How often a running gateway compares the lock with what the backend tells; 5m where nothing is said.
        refresh: Duration,
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
        zone: Text,
        /// What it runs, for people.
        version: Text,
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
        server_name: Text,
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
        service: Text,
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

section! {
    /// Who may do what.
    pub struct Permissions {
        /// The roles that tokens may carry.
        roles: Map<Name, Role>,
    }
}

section! {
    /// One role.
    pub struct Role {
        /// What it may do: `*` stands for one segment, `**` for the rest.
        grant: List<PermissionPattern>,
        /// What it may not do, whatever grants it.
        deny: List<PermissionPattern>,
        /// Roles whose grants and denials it takes over.
        inherit: List<Name>,
    }
}

section! {
    /// A token bucket.
    pub struct RateLimit {
        /// What has a bucket of its own: `global`, `route`, `caller`, `user`, `session`, `peer.ip`, `connection`, `request.<field>`.
        key: List<LimitKey> [required],
        /// How fast it refills, such as `20/s` or `5/min`.
        rate: Rate [required],
        /// How much it holds.
        burst: u32,
        /// What happens when it is empty.
        mode: LimitMode,
    }
}

section! {
    /// The policy of a route. Layers: built-in, `defaults` of routes.yaml, `defaults` of the group, the route.
    pub struct Policy {
        /// The backend that answers.
        backend: Name,
        /// Instead of `backend`, several with their shares of the users, such as `{ game: 90, game_v2: 10 }`. A user stays with one.
        split: Map<Name, u32>,
        /// What calls have in common that go to the same endpoint of a `consistent_hash` backend: `request.<field>`, `session.user`,
        /// `session.id` or `peer.ip`.
        hash: HashKey,
        /// Who may call.
        access: Access,
        /// What the caller must be permitted to do; all of them.
        permissions: Edit<PermissionName>,
        /// The limits that a call must pass; all of them.
        rate_limits: Edit<Name>,
        /// How long a call may take.
        timeout: Duration,
        /// The largest request.
        request_bytes_max: ByteSize,
        /// The largest reply.
        reply_bytes_max: ByteSize,
        /// When a call is answered.
        reply: ReplyMode,
        /// What happens to fields that the request's type does not have.
        unknown_fields: UnknownFields,
        /// Whether a request must keep the `buf.validate` rules of its descriptors.
        validate: bool,
        /// Metadata keys that a client may set for the backend.
        metadata: Edit<MetadataKey>,
        /// Hand the client's token to the backend, as `authorization`.
        forward_token: bool,
        /// Pass on the text of a backend's UNKNOWN, INTERNAL and DATA_LOSS.
        expose_errors: bool,
        /// Request fields that logs never show, such as `request.password`.
        redact: Edit<FieldPathText>,
        /// Services that are asked before each call whether it may happen; all of them must allow it.
        guards: Edit<Guard>,
        /// Request fields that the gateway writes itself, such as `request.user_id: session.user`.
        set: Map<FieldPathText, SessionPath>,
        /// What the access log holds.
        log: LogPolicy,
        /// Whether a call may be repeated although the service may have acted upon it, `by_key` if the client gives it an
        /// `idempotency_key`; where nothing is said, what the method's `idempotency_level` says.
        idempotent: Idempotent,
        /// How such a call is repeated.
        retry: Retry,
        /// How long a stream of a streaming method may last.
        stream: StreamPolicy,
    }
}

section! {
    /// How a call is repeated that may be.
    pub struct Retry {
        /// Attempts at most, the first included, 1 to 5; 3 where nothing is said.
        attempts: u32,
        /// The codes after which it is repeated; UNAVAILABLE where nothing is said.
        codes: Edit<FailureCode>,
        /// The wait before a repetition, which doubles each time.
        backoff: Backoff,
    }
}

section! {
    /// A wait that doubles each time, a fifth more or less.
    pub struct Backoff {
        /// The first; 25ms where nothing is said.
        min: Duration,
        /// At most; 1s where nothing is said.
        max: Duration,
    }
}

section! {
    /// A service that decides whether a call may happen.
    pub struct Guard {
        /// The method that is asked: one that takes `protogate.guard.v1.CheckRequest` and answers with `CheckResponse`.
        rpc: MethodName [required],
        /// The backend that has it.
        backend: Name [required],
        /// How long it may take, within the time of the call; 500ms where nothing is said.
        timeout: Duration,
        /// What happens to the call when there is no decision; `deny` where nothing is said.
        when_unavailable: WhenUnavailable,
        /// Show it the request itself.
        send_payload: bool,
        /// Metadata keys that it may set for the route's backend.
        metadata: List<MetadataKey>,
    }
}

section! {
    /// How long a stream may last. `timeout` does not hold for streams.
    pub struct StreamPolicy {
        /// How long no message may go either way; 5m where nothing is said.
        idle: Duration,
        /// How old a stream may be, 1h where nothing is said; each ends up to a tenth sooner or later.
        max_age: Duration,
    }
}

section! {
    /// What the access log holds of a route.
    pub struct LogPolicy {
        /// Which payloads.
        payload: LogPayload,
        /// A call that takes longer is logged as slow.
        slow: Duration,
    }
}

section! {
    /// One protocol number and its whole policy.
    pub struct Route {
        /// The name in logs, metrics and overlays, such as `game.join_room`.
        name: RouteName [required],
        /// The method that is called: `package.Service/Method`.
        rpc: MethodName [required],
        /// The request's type; checked against the method.
        request: MessageName,
        /// The reply's type; checked against the method.
        response: MessageName,
        /// What a success changes here, such as that the client is logged in.
        on_success: OnSuccess,
        ..policy: Policy,
    }
}

section! {
    /// What a success changes here. A client that sees the reply can rely on it.
    pub struct OnSuccess {
        /// The connection is in a session of the user that the reply names.
        bind_session: BindSession,
        /// The connection is nobody's again; its session ends, and its token is revoked.
        unbind_session: bool,
        /// The session hears these topics, such as `room/${response.room.id}`.
        subscribe: Several<TopicTemplate>,
        /// The session hears these topics no more.
        unsubscribe: Several<TopicTemplate>,
        /// Messages for those who hear a topic, sent once the reply is.
        publish: Several<PublishEffect>,
        /// Only if the reply holds these values, for services that answer OK with a code inside, such as `response.code: 0`.
        when: Map<ResponsePath, VarValue>,
    }
}

section! {
    /// A message that a success has sent to a topic.
    pub struct PublishEffect {
        /// The topic.
        topic: TopicTemplate [required],
        /// The number of the push, one that the topic's pattern lists.
        number: ProtocolNumber [required],
        /// What is sent: `response`, `request`, or a message in one of them, such as `response.event`.
        message: CallMessage [required],
    }
}

section! {
    /// Topics of one kind.
    pub struct Topic {
        /// Who may hear them: whoever has this permission and asks, or, with `effect`, whoever is subscribed by a route.
        join: Join [required],
        /// How much of what was said is kept for those who come back; where nothing is said, nothing.
        history: History,
        /// Know who is in them.
        presence: bool,
        /// The push, of type `protogate.push.v1.PresenceEvent`, by which hearers are told who comes and goes.
        presence_events: ProtocolNumber,
        /// The pushes that may be sent to them.
        pushes: List<ProtocolNumber> [required],
    }
}

section! {
    /// How much of a topic's history is kept. Whatever is reached first lets the oldest go.
    pub struct History {
        /// Messages; 256 where nothing is said.
        count: u32,
        /// Bytes of them; 256KiB where nothing is said.
        bytes: ByteSize,
        /// For how long, 5m where nothing is said; it may be half as long again.
        age: Duration,
    }
}

section! {
    /// Who a client is by a reply: from a token in it, or from fields of it.
    pub struct BindSession {
        /// A token, which is verified like any other.
        token: ResponsePath,
        /// The user.
        user: ResponsePath,
        /// The user's roles.
        roles: ResponsePath,
        /// How long the session lasts; 24h where nothing is said.
        ttl: Duration,
    }
}

section! {
    /// A message that the gateway sends without being asked.
    pub struct Push {
        /// The name in logs and metrics, such as `game.event`.
        name: RouteName [required],
        /// Its type.
        message: MessageName [required],
        /// How surely it arrives; `session` where nothing is said.
        delivery: Delivery,
        /// What becomes of a best-effort push for which a client has no room: `disconnect`, `drop_oldest`, or `{ conflate: message.<field> }`.
        on_slow: WordOr<SlowRule, Conflate>,
    }
}

section! {
    /// Of what waits for a slow client, only the latest state of each thing stays.
    pub struct Conflate {
        /// The field that says what the state is of, such as `message.player_id`.
        conflate: MessagePath [required],
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
        /// Web origins whose pages may connect. Empty: none but the gateway's own host.
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
        from: Text [required],
        /// The server that takes it. In development mail goes into the folder `outbox` of the data folder where none is given.
        smtp: SmtpServer,
    }
}

section! {
    /// A mail server.
    pub struct SmtpServer {
        /// Its name, which is also the one on its certificate.
        host: Text [required],
        /// Its port; 587 where nothing is said, 465 with `tls: tls`, 25 with `tls: none`.
        port: u32,
        /// Who the gateway is to it.
        user: Text,
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
        issuer: Text,
        /// The `aud` of its tokens; `protogate` where nothing is said.
        audience: Text,
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
        user: Text [required],
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
        issuer: Text [required],
        /// The `aud` that its tokens must carry one of.
        audience: List<Text> [required],
        /// How its tokens are signed; a token signed otherwise is refused.
        algorithm: Algorithm [required],
        /// The public key, as PEM; for RS256, ES256 and EdDSA.
        public_key: FilePath,
        /// The issuer's key set (JWKS), a file or an https URL that is kept fresh; instead of `public_key`.
        jwks: KeySetPlace,
        /// The shared secret of at least 32 bytes; for HS256.
        secret: Secret,
        /// The claim that lists the roles, such as `claims.roles`.
        roles: Text,
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
    }
}
