//! What a route refers to: a method of a service, and the types of its messages.

use http::uri::PathAndQuery;
use prost_reflect::prost_types::method_options::IdempotencyLevel;
use prost_reflect::{MessageDescriptor, MethodDescriptor};

use super::{Pool, RuleProblem};

/// How many messages go each way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    Unary,
    ServerStream,
    ClientStream,
    Bidi,
}

/// The type of a message. Cheap to clone; equal when the name and the pool's content are.
#[derive(Clone)]
pub struct MessageType {
    pool: Pool,
    descriptor: MessageDescriptor,
}

/// One method of a service.
#[derive(Clone)]
pub struct Method {
    /// The path of its gRPC calls, `/pkg.Service/Method`.
    pub path: PathAndQuery,
    pub input: MessageType,
    pub output: MessageType,
    pub kind: Kind,
    pub deprecated: bool,
    /// Its `idempotency_level` says that it may be called again as if it had been called once.
    pub idempotent: bool,
}

// === impl Kind ===

impl Kind {
    /// As it is told to people and programs.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Unary => "unary",
            Kind::ServerStream => "server_stream",
            Kind::ClientStream => "client_stream",
            Kind::Bidi => "bidi",
        }
    }
}

// === impl MessageType ===

impl MessageType {
    pub(super) fn new(pool: &Pool, descriptor: MessageDescriptor) -> MessageType {
        MessageType { pool: pool.clone(), descriptor }
    }

    /// The full name, `pkg.Message`.
    pub fn name(&self) -> &str {
        self.descriptor.full_name()
    }

    /// The rules of `buf.validate` about it, and about what it holds, that cannot be enforced.
    pub fn rule_problems(&self) -> Vec<RuleProblem> {
        self.pool.rules().problems(&self.descriptor)
    }

    /// Whether rules of `buf.validate` are asked of it, or of what it holds.
    pub fn has_rules(&self) -> bool {
        self.pool.rules().find(self.name()).is_some()
    }

    /// What its .proto file says of it.
    pub fn comment(&self) -> Option<&str> {
        self.pool.comment(self.name())
    }

    /// The pool it is from.
    pub fn pool(&self) -> &Pool {
        &self.pool
    }

    pub(super) fn descriptor(&self) -> &MessageDescriptor {
        &self.descriptor
    }
}

impl PartialEq for MessageType {
    fn eq(&self, other: &Self) -> bool {
        self.name() == other.name() && self.pool.fingerprint() == other.pool.fingerprint()
    }
}

impl Eq for MessageType {}

// === impl Method ===

impl Method {
    pub(super) fn new(pool: &Pool, method: &MethodDescriptor) -> Method {
        let path = format!("/{}/{}", method.parent_service().full_name(), method.name());
        Method {
            path: path.try_into().expect("protobuf identifiers and dots are valid in a path"),
            input: MessageType::new(pool, method.input()),
            output: MessageType::new(pool, method.output()),
            kind: Kind::of(method),
            idempotent: is_idempotent(method),
            deprecated: method.method_descriptor_proto().options.as_ref().is_some_and(|options| options.deprecated()),
        }
    }

    /// `pkg.Service/Method`.
    pub fn name(&self) -> &str {
        self.path.path().trim_start_matches('/')
    }

    /// What its .proto file says of it.
    pub fn comment(&self) -> Option<&str> {
        let name = self.name().replace('/', ".");
        self.input.pool().comment(&name)
    }
}

fn is_idempotent(method: &MethodDescriptor) -> bool {
    let level = method.method_descriptor_proto().options.as_ref().map(|options| options.idempotency_level());
    matches!(level, Some(IdempotencyLevel::NoSideEffects | IdempotencyLevel::Idempotent))
}

// === impl Kind ===

impl Kind {
    fn of(method: &MethodDescriptor) -> Kind {
        match (method.is_client_streaming(), method.is_server_streaming()) {
            (false, false) => Kind::Unary,
            (false, true) => Kind::ServerStream,
            (true, false) => Kind::ClientStream,
            (true, true) => Kind::Bidi,
        }
    }
}
