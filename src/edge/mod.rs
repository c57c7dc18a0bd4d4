//! stub
pub mod frames;
pub mod heartbeat;
pub mod proxy;
pub mod pulse;
pub mod socket;
pub mod tls;
