//! The grammar of routes: what `defaults` and `routes` may say.

use super::super::grammar::{Edit, List, Map, Several, choice, section};
use super::super::value::{
    ByteSize, CallMessage, Duration, FailureCode, FieldPathText, HashKey, Idempotent, MessageName, MetadataKey, MethodName, Name, Percent,
    PermissionName, ProtocolNumber, RedactPath, ResponsePath, RouteName, TopicTemplate, VarValue,
};
use super::{Allowed, TracePolicy};

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
    /// What happens to a call whose guard does not decide in time, or at all.
    pub enum WhenUnavailable {
        /// It is refused.
        Deny = "deny",
        /// It goes on as if the guard had allowed it.
        Allow = "allow",
    }
}

choice! {
    /// Which payloads the access log holds.
    pub enum LogPayload {
        /// None.
        None = "none",
        /// The request of a call that failed, redacted.
        Failures = "failures",
        /// The same, and that of a call that was slow or is part of the sample.
        Sampled = "sampled",
        /// Every request, redacted, as far as the level lets its line through.
        All = "all",
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
        /// Fields of requests and replies that nobody is ever shown, such as `request.password` and `response.code`.
        redact: Edit<RedactPath>,
        /// Services that are asked before each call whether it may happen; all of them must allow it.
        guards: Edit<Guard>,
        /// Request fields that the gateway writes itself, such as `request.user_id: session.user`.
        set: Map<FieldPathText, SessionPath>,
        /// What the access log holds.
        log: LogPolicy,
        /// Which calls are traced, where `telemetry.otlp` says where spans are exported to.
        trace: TracePolicy,
        /// Whether a call may be repeated although the service may have acted upon it, `by_key` if the client gives it an
        /// `idempotency_key`; where nothing is said, what the method's `idempotency_level` says.
        idempotent: Idempotent,
        /// How such a call is repeated.
        retry: Retry,
        /// How long a stream of a streaming method may last.
        stream: StreamPolicy,
        /// Warnings that are not given, such as `{ code: PG081, reason: "the lobby is public" }`.
        allow: Edit<Allowed>,
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
        /// The part of the successes that is logged at `info`, such as `1%`; the others are at `debug`.
        sample: Percent,
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
