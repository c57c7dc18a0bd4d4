//! One address of a backend, with a lane of connections for each worker.

use std::sync::Arc;

use super::dial::Target;
use super::lane::Lane;
use super::{Reply, Request};
use crate::failure::Result;
use crate::id::WorkerId;

pub(super) struct Endpoint {
    /// `host:port`, as logs and metrics show it.
    name: Arc<str>,
    lanes: Box<[Arc<Lane>]>,
}

// === impl Endpoint ===

impl Endpoint {
    pub(super) fn new(target: Target, workers: usize) -> Endpoint {
        let name = Arc::from(target.authority.as_str());
        let target = Arc::new(target);
        Endpoint { name, lanes: (0..workers).map(|_| Arc::new(Lane::new(Arc::clone(&target)))).collect() }
    }

    /// Sends a request from this worker and waits for the reply.
    pub(super) async fn send(&self, worker: WorkerId, request: &Request) -> Result<Reply> {
        let exchange = self.lane(worker).begin(request).await?;
        let message = exchange.reply(request.reply_bytes_max).await?;
        Ok(Reply { message, endpoint: Arc::clone(&self.name) })
    }

    /// Whether this worker's calls had better go to another endpoint.
    pub(super) fn is_down(&self, worker: WorkerId) -> bool {
        self.lane(worker).is_down()
    }

    fn lane(&self, worker: WorkerId) -> &Arc<Lane> {
        &self.lanes[worker.0]
    }
}
