//! Messages nobody asked for: to sessions, users, topics, everyone.
//!
//! - `api`: the PushService, by which services push
//! - `door`: who may

pub mod api;
pub mod door;

/// The messages of `proto/protogate/push/v1/push.proto`.
pub mod v1 {
    tonic::include_proto!("protogate.push.v1");
}
