//! One address of a backend: lanes of connections for the calls of each worker and of the back room, others for the streams of each
//! worker, and what is known about how it does.
//!
//! Shared by all workers. Lives as long as a set or a call has it: an endpoint that has gone from discovery finishes its calls.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use arc_swap::{ArcSwap, Guard};

use super::breaker::Breaker;
use super::channel::{Hearing, Purpose, Speaking};
use super::dial::Target;
use super::health::Health;
use super::lane::{Condition, Lane};
use super::spec::{ConnectionsSpec, EndpointSpec};
use super::status::{EndpointState, EndpointStatus};
use super::traffic::Traffic;
use super::{Opening, Reply, Request, in_time};
use crate::failure::{Failure, Result};
use crate::id::WorkerId;

pub(super) struct Endpoint {
    /// Where it is; what else is said about it may change.
    spec: ArcSwap<EndpointSpec>,
    /// `host:port`, as logs and metrics show it.
    name: Arc<str>,
    /// One for each worker, and the back room's last.
    lanes: Box<[Arc<Lane>]>,
    /// One for each worker.
    streams: Box<[Arc<Lane>]>,
    in_flight: AtomicUsize,
    calls: AtomicU64,
    failures: AtomicU64,
    pub(super) breaker: Breaker,
    /// What health checks say; without any it is well.
    pub(super) health: Health,
}

/// A call's place at an endpoint, given back on drop.
pub(super) struct Seat(Arc<Endpoint>);

// === impl Endpoint ===

impl Endpoint {
    pub(super) fn new(
        spec: EndpointSpec,
        target: Target,
        connections: &ConnectionsSpec,
        breaker: Breaker,
        traffic: &Arc<Traffic>,
        workers: usize,
    ) -> Endpoint {
        let name = Arc::from(spec.name());
        let target = Arc::new(target);
        let lanes = |purpose, count| {
            (0..count).map(|_| Arc::new(Lane::new(Arc::clone(&target), purpose, connections.clone(), Arc::clone(traffic)))).collect()
        };
        Endpoint {
            spec: ArcSwap::from_pointee(spec),
            name,
            lanes: lanes(Purpose::Calls, workers + 1),
            streams: lanes(Purpose::Streams, workers),
            in_flight: AtomicUsize::new(0),
            calls: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            breaker,
            health: Health::new(),
        }
    }

    pub(super) fn spec(&self) -> Guard<Arc<EndpointSpec>> {
        self.spec.load()
    }

    /// From now on this is said about the same place.
    pub(super) fn describe(&self, spec: &EndpointSpec) {
        if **self.spec() != *spec {
            self.spec.store(Arc::new(spec.clone()));
        }
    }

    pub(super) fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Who asks from the back room, where health is checked.
    pub(super) fn back_room(&self) -> WorkerId {
        WorkerId(self.lanes.len() - 1)
    }

    /// Sends a request from this worker and waits for the reply, until the call's deadline.
    pub(super) async fn send(&self, worker: WorkerId, request: &Request) -> Result<Reply> {
        // Two bounds, because a call that was still waiting for a connection was not sent.
        let begun = self.lane(worker).begin(|connection, target| connection.begin(target, request));
        let exchange = in_time(request.deadline, begun).await.map_err(Failure::unsent)?;
        let message = in_time(request.deadline, exchange.reply(request.reply_bytes_max)).await?;
        Ok(Reply { message, endpoint: Arc::clone(&self.name) })
    }

    /// Opens a stream from this worker. A failure is always one of a stream that was not begun.
    pub(super) async fn open(&self, worker: WorkerId, opening: &Opening) -> Result<(Speaking, Hearing)> {
        self.streams[worker.0].begin(|connection, target| connection.open(target, opening)).await
    }

    /// Calls and streams in flight, of all workers.
    pub(super) fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    pub(super) fn sit(self: &Arc<Self>) -> Seat {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        self.calls.fetch_add(1, Ordering::Relaxed);
        Seat(Arc::clone(self))
    }

    /// Whether this worker's calls had better go to another endpoint because there is no connection to this one.
    pub(super) fn is_down(&self, worker: WorkerId) -> bool {
        self.lane(worker).is_down()
    }

    pub(super) fn is_well(&self) -> bool {
        self.health.is_well()
    }

    pub(super) fn count_failure(&self) {
        self.failures.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn status(&self) -> EndpointStatus {
        let EndpointSpec { weight, zone, version, .. } = EndpointSpec::clone(&self.spec());
        EndpointStatus {
            address: Arc::clone(&self.name),
            weight,
            zone,
            version,
            state: self.state(),
            in_flight: self.in_flight(),
            calls: self.calls.load(Ordering::Relaxed),
            failures: self.failures.load(Ordering::Relaxed),
            ejections: self.breaker.opened(),
        }
    }

    fn state(&self) -> EndpointState {
        let mut lanes = self.lanes.iter().map(|lane| lane.condition());
        match () {
            () if !self.is_well() => EndpointState::Ill,
            () if self.breaker.is_open() => EndpointState::Open,
            () if lanes.clone().any(|lane| lane == Condition::Failing) && lanes.all(|lane| lane != Condition::Connected) => {
                EndpointState::Down
            }
            () => EndpointState::Well,
        }
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
