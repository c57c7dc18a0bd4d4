//! How a backend does, for operators: plain numbers, read at one moment.

use std::sync::Arc;

/// One backend.
#[derive(Clone, Debug)]
pub struct BackendStatus {
    pub name: Arc<str>,
    /// Calls under way, and those among them that wait for a connection.
    pub in_flight: usize,
    pub pending: usize,
    /// Attempts that repeated another by their route's leave.
    pub retries: u64,
    /// Calls that were refused because there were too many.
    pub sheds: u64,
    /// Attempts under way that repeat another, and how many there may be.
    pub retries_in_flight: usize,
    pub retry_budget: usize,
    /// None for a service of this process.
    pub endpoints: Vec<EndpointStatus>,
}

/// One of its endpoints.
#[derive(Clone, Debug)]
pub struct EndpointStatus {
    /// `host:port`.
    pub address: Arc<str>,
    pub weight: u32,
    pub zone: Option<String>,
    pub version: Option<String>,
    pub state: EndpointState,
    pub in_flight: usize,
    /// Attempts that were made there, and those that failed in a way that its breaker counts.
    pub calls: u64,
    pub failures: u64,
    /// How often it was left alone.
    pub ejections: u64,
}

/// Whether calls go there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum EndpointState {
    /// They do.
    Well,
    /// Its health checks fail.
    Ill,
    /// It is left alone because of what it has answered.
    Open,
    /// No worker has a connection to it, and at least one could not make one.
    Down,
}

// === impl EndpointState ===

impl EndpointState {
    /// Every state's word, and whether it is this one.
    pub fn among_all(self) -> [(&'static str, bool); 4] {
        [EndpointState::Well, EndpointState::Ill, EndpointState::Open, EndpointState::Down].map(|state| (state.name(), state == self))
    }

    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            EndpointState::Well => "well",
            EndpointState::Ill => "ill",
            EndpointState::Open => "open",
            EndpointState::Down => "down",
        }
    }
}
