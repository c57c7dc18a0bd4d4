//! One address of a backend: a lane of connections for each worker and one for the back room, and what is known about how it does.
//!
//! Shared by all workers. Lives as long as a set or a call has it: an endpoint that has gone from discovery finishes its calls.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::breaker::Breaker;
use super::dial::Target;
use super::lane::Lane;
use super::spec::{EndpointSpec, GrpcSpec};
use super::{Reply, Request};
use crate::failure::Result;
use crate::id::WorkerId;

pub(super) struct Endpoint {
    spec: EndpointSpec,
    /// `host:port`, as logs and metrics show it.
    name: Arc<str>,
    /// One for each worker, and the back room's last.
    lanes: Box<[Arc<Lane>]>,
    in_flight: AtomicUsize,
    pub(super) breaker: Breaker,
    /// What health checks say; without any it is well.
    well: AtomicBool,
}

/// A call's place at an endpoint, given back on drop.
pub(super) struct Seat(Arc<Endpoint>);

// === impl Endpoint ===

impl Endpoint {
    pub(super) fn new(spec: EndpointSpec, target: Target, backend: &GrpcSpec, workers: usize) -> Endpoint {
        let name = Arc::from(spec.name());
        let target = Arc::new(target);
        Endpoint {
            spec,
            name,
            lanes: (0..=workers).map(|_| Arc::new(Lane::new(Arc::clone(&target)))).collect(),
            in_flight: AtomicUsize::new(0),
            breaker: Breaker::new(&backend.breaker),
            well: AtomicBool::new(true),
        }
    }

    pub(super) fn spec(&self) -> &EndpointSpec {
        &self.spec
    }

    pub(super) fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Who asks from the back room, where health is checked.
    pub(super) fn back_room(&self) -> WorkerId {
        WorkerId(self.lanes.len() - 1)
    }

    /// Sends a request from this worker and waits for the reply.
    pub(super) async fn send(&self, worker: WorkerId, request: &Request) -> Result<Reply> {
        let exchange = self.lane(worker).begin(request).await?;
        let message = exchange.reply(request.reply_bytes_max).await?;
        Ok(Reply { message, endpoint: Arc::clone(&self.name) })
    }

    /// Calls in flight, of all workers.
    pub(super) fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    pub(super) fn sit(self: &Arc<Self>) -> Seat {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        Seat(Arc::clone(self))
    }

    /// Whether this worker's calls had better go to another endpoint because there is no connection to this one.
    pub(super) fn is_down(&self, worker: WorkerId) -> bool {
        self.lane(worker).is_down()
    }

    pub(super) fn is_well(&self) -> bool {
        self.well.load(Ordering::Relaxed)
    }

    pub(super) fn set_well(&self, well: bool) {
        self.well.store(well, Ordering::Relaxed);
    }

    pub(super) fn lane(&self, worker: WorkerId) -> &Arc<Lane> {
        &self.lanes[worker.0]
    }
}

// === impl Seat ===

impl Seat {
    pub(super) fn endpoint(&self) -> &Arc<Endpoint> {
        &self.0
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}
