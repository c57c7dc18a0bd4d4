//! stub
pub mod frames;
pub mod heartbeat;
mod jitter;
pub mod proxy;
pub mod pulse;
mod refusal;
mod request;
mod seats;
pub mod socket;
pub mod tls;
pub mod upgrade;
