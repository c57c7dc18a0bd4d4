//! Messages nobody asked for: to sessions, users, topics, everyone.
//!
//! - `rules`: what is declared of a push
//! - `api`: the PushService, by which services push

pub mod api;
pub mod rules;

/// The messages of `proto/protogate/push/v1/push.proto`.
pub mod v1 {
    tonic::include_proto!("protogate.push.v1");
}
