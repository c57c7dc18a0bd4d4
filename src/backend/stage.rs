//! Where endpoints are: on the network, or on a stage in this process, where tests of routes play them.
//!
//! The seam is where a connection is dialled, so that everything above it is what serves: who is picked, HTTP/2, retries, breakers.

use std::sync::Arc;

use tokio::io::DuplexStream;

/// How endpoints are reached. Clones are the same.
#[derive(Clone, Default)]
pub struct Network(Option<Arc<dyn Stage>>);

/// Whoever plays the endpoints of every backend.
pub trait Stage: Send + Sync {
    /// A connection to an endpoint of a backend, at whose other end HTTP/2 is served.
    fn connect(&self, backend: &str, endpoint: &str) -> DuplexStream;

    /// Where policies begin that otherwise begin anywhere, so that they choose the same each time.
    fn first_turn(&self) -> u64;
}

// === impl Network ===

impl Network {
    /// No endpoint is reached but through this.
    pub fn on(stage: Arc<dyn Stage>) -> Network {
        Network(Some(stage))
    }

    /// A connection, where it is not the network's to make.
    pub(super) fn connect(&self, backend: &str, endpoint: &str) -> Option<DuplexStream> {
        self.0.as_ref().map(|stage| stage.connect(backend, endpoint))
    }

    pub(super) fn first_turn(&self) -> Option<u64> {
        self.0.as_ref().map(|stage| stage.first_turn())
    }
}
