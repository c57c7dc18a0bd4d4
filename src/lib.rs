//! protogate stands between clients on WebSocket and services on gRPC.
//!
//! A client sends a protobuf envelope with a protocol number. A YAML route file says, for each number, which message types, which
//! permissions, which rate limits and which backend. The files are compiled into one immutable table, swapped atomically on reload.
//!
//! The rooms stand in the order in which a request meets them; `ARCHITECTURE.md` says who may import whom.

// `cli::say` prints: a pipe that somebody closed must not be a panic.
#![warn(clippy::print_stdout)]

// What a person types, and what is built from it.
pub mod cli;
pub mod gateway;
pub mod watch;

// What works on configurations beside a running gateway.
pub mod author;
pub mod codegen;
pub mod compare;
pub mod trial;

// The operator's door.
pub mod admin;

// The client's side: sockets, handshakes, connections.
pub mod edge;

// The data path, and what changes its table.
pub mod dispatch;
pub mod reflection;
pub mod reload;

// What stands between asking and calling.
pub mod pipeline;

// The services' side, and the services that live inside.
pub mod backend;
pub mod services;

// Who has registered as an endpoint.
pub mod registry;

// Messages nobody asked for.
pub mod push;

// Who is connected, whatever the transport.
pub mod session;

// The world as compiled, and what it is compiled from.
pub mod config;
pub mod proto;
pub mod table;

// The contract with clients.
pub mod wire;

// What outlives a process.
pub mod store;

// The ground that every room stands on.
pub mod accept;
pub mod clock;
pub mod data;
pub mod diagnostic;
pub mod drain;
pub mod failure;
pub mod files;
pub mod id;
pub mod jitter;
pub mod random;
pub mod reserved;
pub mod telemetry;
pub mod tls;
pub mod topic;
