//! What the rest of the gateway knows about a message type and a method: names, and nothing of the reflection library.
//!
//! A [`MessageType`] deliberately has no `Debug`: printing a descriptor prints the whole pool behind it, which is megabytes at best
//! and an overflowing stack at worst.

use http::uri::PathAndQuery;
use prost_reflect::MessageDescriptor;

/// A message type of one pool. Cheap to clone; equal when name and pool are the same.
#[derive(Clone, PartialEq, Eq)]
pub struct MessageType(MessageDescriptor);

/// How many messages go each way.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Kind {
    Unary,
    ServerStream,
    ClientStream,
    Bidi,
}

/// A method of a service, ready to be called.
#[derive(Clone)]
pub struct Method {
    /// The `:path` of a call, `/pkg.Service/Method`.
    pub path: PathAndQuery,
    pub input: MessageType,
    pub output: MessageType,
    pub kind: Kind,
    pub deprecated: bool,
}

// === impl MessageType ===

impl MessageType {
    pub(in crate::proto) fn new(descriptor: MessageDescriptor) -> MessageType {
        MessageType(descriptor)
    }

    /// The full name, `pkg.Message`.
    pub fn name(&self) -> &str {
        self.0.full_name()
    }

    pub(in crate::proto) fn descriptor(&self) -> &MessageDescriptor {
        &self.0
    }
}

// === impl Kind ===

impl Kind {
    pub(in crate::proto) fn of(client_streams: bool, server_streams: bool) -> Kind {
        match (client_streams, server_streams) {
            (false, false) => Kind::Unary,
            (false, true) => Kind::ServerStream,
            (true, false) => Kind::ClientStream,
            (true, true) => Kind::Bidi,
        }
    }
}
