//! What compiling yields: plain data, no sockets, no tasks, no spans, no strings that are really references.
//!
//! `link` turns a [`Plan`] and what is alive into a `Table`.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::uri::PathAndQuery;

use super::explain::Explained;
use super::settings::{Fixed, Settings};
use crate::backend;
use crate::id::Protocol;
use crate::pipeline::api_key::ApiKeySpec;
use crate::pipeline::auth::IssuerSpec;
use crate::pipeline::permission::{PermissionId, Permissions};
use crate::pipeline::rate_limit::LimitSpec;
use crate::pipeline::signer::Signer;
use crate::proto::{Expectation, Method, Redact, Stamp, Submessage, Texts, Walk};
use crate::push::declared::TopicRule;
pub use crate::push::rules::PushPlan;
use crate::registry;

/// A whole configuration, as meant.
#[derive(Clone)]
pub struct Plan {
    pub fixed: Fixed,
    pub settings: Settings,
    pub tokens: TokenPlan,
    pub permissions: Permissions,
    pub backends: Vec<backend::Spec>,
    /// Who may register as an endpoint.
    pub registry: registry::Rules,
    pub limits: Vec<LimitSpec>,
    /// By number, ascending.
    pub routes: Vec<RoutePlan>,
    /// By number, ascending.
    pub pushes: Vec<PushPlan>,
    pub topics: Vec<TopicPlan>,
    pub catalogue_hash: String,
    /// Where all of what routes say is written.
    pub explained: Arc<Explained>,
    pub locks: Vec<LockPlan>,
}

/// Descriptors that a backend tells, and the file that holds what it told.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LockPlan {
    pub backend: backend::Spec,
    pub file: PathBuf,
    /// The services that are asked for; none: all but reflection and health.
    pub services: Vec<Arc<str>>,
    /// How often what it tells is compared with the file.
    pub refresh: Duration,
}

/// Topics of one kind.
#[derive(Clone)]
pub struct TopicPlan {
    pub rule: Arc<TopicRule>,
    pub join: Join,
}

/// Who may hear a topic.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Join {
    /// Whoever a route subscribes.
    Effect,
    /// Whoever has this permission and asks.
    Permission(PermissionId, Arc<str>),
}

/// Whose tokens are believed, and how those of our own are signed.
#[derive(Clone)]
pub struct TokenPlan {
    /// Each was tried: its keys can be used.
    pub issuers: Vec<IssuerSpec>,
    pub api_keys: Vec<ApiKeySpec>,
    /// Whether an identity holds its token, for routes that forward it.
    pub keep_tokens: bool,
    /// Nothing without a key.
    pub signing: Option<SigningPlan>,
}

/// How tokens of our own are signed. That they are believed is said under `issuers`.
#[derive(Clone)]
pub struct SigningPlan {
    pub signer: Signer,
    pub issuer: String,
    pub audience: String,
    pub access_ttl: Duration,
    pub refresh_ttl: Duration,
}

/// One route. Numbers are indices into the plan's lists.
#[derive(Clone)]
pub struct RoutePlan {
    pub number: Protocol,
    pub name: Arc<str>,
    pub method: Method,
    pub backends: BackendsPlan,
    /// What leads a call to its endpoint, where the backend asks for that.
    pub hash: Option<HashPlan>,
    pub access: Access,
    pub permissions: Vec<(PermissionId, Arc<str>)>,
    pub limits: Vec<LimitPlan>,
    pub walk: Walk,
    pub stamps: Vec<(Stamp, SessionValue)>,
    pub redact: Redact,
    pub redact_reply: Redact,
    pub timeout: Duration,
    pub retry: Repeatable,
    pub request_bytes_max: usize,
    pub reply_bytes_max: usize,
    pub answers_success: bool,
    pub metadata: Vec<Arc<str>>,
    pub forward_token: bool,
    pub expose_errors: bool,
    pub guards: Vec<GuardPlan>,
    pub log: LogPlan,
    /// Nothing: spans are exported nowhere.
    pub trace: Option<TracePlan>,
    pub stream: StreamPlan,
    pub effect: Option<EffectPlan>,
}

/// Whether a call may be repeated although a service may have acted upon it, and how.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Repeatable {
    Never,
    Always(Arc<backend::RetryPolicy>),
    /// If its client gives it an idempotency key.
    ByKey(Arc<backend::RetryPolicy>),
}

/// What a success changes here.
#[derive(Clone)]
pub struct EffectPlan {
    /// Reads the reply.
    pub walk: Walk,
    /// Which value of the walk must be what.
    pub when: Vec<(usize, Expectation)>,
    pub session: Option<EffectKind>,
    pub subscribe: Vec<TopicName>,
    pub unsubscribe: Vec<TopicName>,
    pub publish: Vec<PublishPlan>,
    /// Reads the request, if anything of it is needed.
    pub request_walk: Option<Walk>,
}

/// The name of a topic, of which parts are known only when there is a call.
#[derive(Clone)]
pub struct TopicName(pub Vec<TopicPart>);

/// A part of it. Numbers are values of the effect's walks.
#[derive(Clone)]
pub enum TopicPart {
    Text(Box<str>),
    Response(usize),
    Request(usize),
    Session(SessionValue),
}

/// A message that is sent to a topic.
#[derive(Clone)]
pub struct PublishPlan {
    pub topic: TopicName,
    pub number: u32,
    pub source: Taken,
}

/// Where a message is taken from; nothing: it is all of it.
#[derive(Clone)]
pub enum Taken {
    Response(Option<Submessage>),
    Request(Option<Submessage>),
}

/// Whether a session is made or ended.
#[derive(Clone)]
pub enum EffectKind {
    Bind(Bind),
    Unbind,
}

/// Who the session is of. Numbers are values of the walk.
#[derive(Clone)]
pub enum Bind {
    Token { token: usize },
    Fields { user: usize, roles: Option<Texts>, ttl: Duration },
}

/// One use of a limit by one route.
#[derive(Clone)]
pub struct LimitPlan {
    pub limit: usize,
    /// Which value of the route's walk is which message field of the limit's key, in the order of the key.
    pub fields: Vec<usize>,
}

/// Who answers a route. Numbers are indices into the plan's backends.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum BackendsPlan {
    One(usize),
    /// Each with its share of the users; somebody has one that is not 0.
    Split(Vec<(usize, u32)>),
}

/// What calls have in common that go to the same endpoint.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HashPlan {
    User,
    Session,
    PeerIp,
    /// A value of the route's walk.
    Field(usize),
}

/// A service that decides whether a call may happen.
#[derive(Clone)]
pub struct GuardPlan {
    pub path: PathAndQuery,
    /// The index of its backend.
    pub backend: usize,
    pub timeout: Duration,
    pub when_unavailable: WhenUnavailable,
    pub send_payload: bool,
    /// Metadata keys that it may set.
    pub metadata: Vec<Arc<str>>,
}

/// What happens to a call whose guard does not decide.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WhenUnavailable {
    Deny,
    Allow,
}

/// Who may call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Access {
    Anonymous,
    Authenticated,
}

/// What the gateway knows of a caller and can write into a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SessionValue {
    /// `session.user`: the token's subject.
    User,
    /// `session.id`: the session's own id.
    Id,
    /// `session.token_id`: the token's `jti`.
    TokenId,
    /// `peer.ip`: the client's address.
    PeerIp,
}

/// What the access log holds of a route.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LogPlan {
    /// So many successes in a million are logged at `info`.
    pub sample: u32,
    pub payload: LogPayload,
    /// From here on a call is slow.
    pub slow: Duration,
}

/// Which calls of a route are traced.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TracePlan {
    /// So many of a million.
    pub sample: u32,
    /// Those that failed as well.
    pub errors: bool,
    /// Those as well whose client says that it samples them.
    pub clients: bool,
    /// Whether spans say which user calls.
    pub user: bool,
}

/// How long a stream may last.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StreamPlan {
    /// How long no message may go either way.
    pub idle: Duration,
    /// Give or take a tenth.
    pub max_age: Duration,
}

/// Which payloads the access log holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LogPayload {
    None,
    /// Of calls that failed.
    Failures,
    /// Of those, of slow ones, and of the sample.
    Sampled,
    All,
}

// === impl BackendsPlan ===

impl BackendsPlan {
    /// Every backend that may answer.
    pub fn all(&self) -> impl Iterator<Item = usize> {
        let (one, split) = match self {
            BackendsPlan::One(backend) => (Some(*backend), &[][..]),
            BackendsPlan::Split(split) => (None, &split[..]),
        };
        one.into_iter().chain(split.iter().map(|(backend, _)| *backend))
    }
}

// === impl SessionValue ===

impl SessionValue {
    /// As it is written in a route file.
    pub fn name(self) -> &'static str {
        match self {
            SessionValue::User => "session.user",
            SessionValue::Id => "session.id",
            SessionValue::TokenId => "session.token_id",
            SessionValue::PeerIp => "peer.ip",
        }
    }
}
