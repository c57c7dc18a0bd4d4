//! What the bench's programs share: the wire, their arguments, their latencies.

#![forbid(unsafe_code)]

pub mod args;
pub mod latency;

/// The envelope, from the product's own file.
pub mod wire {
    include!(concat!(env!("OUT_DIR"), "/protogate.wire.v1.rs"));
}

/// The service behind the gateways.
pub mod echo {
    include!(concat!(env!("OUT_DIR"), "/protogate.echo.v1.rs"));
}

/// The number under which every gateway of the bench routes `EchoService/Echo`.
pub const ECHO: u32 = 9001;

/// The numbers of the fan-out: a call that joins the topic, one that says its text there, and what is heard of it.
pub const JOIN: u32 = 9002;
pub const PUBLISH: u32 = 9003;
pub const PUSH: u32 = 9101;

/// The topic that everybody joins.
pub const TOPIC: &str = "room/all";

/// The one subprotocol the bench speaks.
pub const SUBPROTOCOL: &str = "protogate.v1.proto";

/// The text of a measured call: 64 bytes, as in the numbers the goals come from.
pub const TEXT: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/// What a program of the bench answers when it cannot go on.
pub type Outcome = Result<(), Box<dyn std::error::Error>>;
