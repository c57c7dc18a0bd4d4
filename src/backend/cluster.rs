//! The endpoints of one backend, and how a call finds its way through them: pick, send, judge, and again where that is right.
//!
//! Discovery replaces the set of endpoints as a whole; a call keeps the endpoint it has picked. Promises: an endpoint that stays keeps
//! its connections and what is known about it; every attempt is recorded once, at the endpoint that it went to; all attempts of a call
//! lie within its deadline.

use std::sync::Arc;

use arc_swap::ArcSwap;
use smallvec::SmallVec;
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::balancer::{Balancer, Choice};
use super::breaker::Verdict;
use super::dial::Target;
use super::endpoint::{Endpoint, Seat};
use super::health;
use super::spec::{EndpointSpec, GrpcSpec, Source};
use super::stream::{self, Receiving, Sending};
use super::tls::{Connector, TlsSpec};
use super::{Opening, Reply, Request};
use crate::drain::Tasks;
use crate::failure::{Failure, Reason, Result};
use crate::files::Files;
use crate::id::WorkerId;

pub(super) struct Cluster {
    name: Arc<str>,
    spec: GrpcSpec,
    workers: usize,
    connector: Option<Connector>,
    set: ArcSwap<Set>,
    /// Told whenever there is another set.
    changed: Arc<Notify>,
    /// Discovery and health checks, in the back room. They know the cluster weakly, and end with it.
    tasks: Tasks,
}

/// The endpoints at one time.
struct Set {
    endpoints: Vec<Arc<Endpoint>>,
    balancer: Balancer,
}

/// An endpoint that was chosen for one attempt, which counts as in flight there until this is dropped.
pub(super) struct Pick {
    seat: Seat,
}

/// Endpoints that a call has been to.
pub(super) type Tried = SmallVec<[Arc<Endpoint>; 2]>;

// === impl Cluster ===

impl Cluster {
    /// Prepares the endpoints for this many workers; what `before` has of them is taken over alive. What has to be followed is followed on
    /// `runtime`.
    pub(super) fn open(
        name: Arc<str>,
        spec: GrpcSpec,
        workers: usize,
        runtime: &Handle,
        before: Option<&Cluster>,
    ) -> std::result::Result<Arc<Cluster>, String> {
        let before = before.filter(|before| before.is_like(&spec, workers));
        let connector = match (before.and_then(|before| before.connector.as_ref()), tls(&spec)?) {
            (Some(alive), Some(tls)) => {
                alive.renew(tls);
                Some(alive.clone())
            }
            (None, Some(tls)) => Some(Connector::new(tls)),
            (_, None) => None,
        };
        let empty = Set { endpoints: Vec::new(), balancer: Balancer::new(spec.balance, &[], workers) };
        let cluster =
            Cluster { name, spec, workers, connector, set: ArcSwap::from_pointee(empty), changed: Arc::default(), tasks: Tasks::new() };
        if let Some(before) = before {
            cluster.set.store(before.set.load_full());
            // Two that follow the same endpoints would contradict each other.
            before.tasks.token().cancel();
            if before.spec.health != cluster.spec.health {
                cluster.endpoints().iter().for_each(|endpoint| endpoint.health.forget());
            }
        }
        if let Source::Static(endpoints) = &cluster.spec.source {
            cluster.update(endpoints)?;
        }
        let cluster = Arc::new(cluster);
        if let Some(health) = &cluster.spec.health {
            cluster.tasks.spawn(runtime, health::follow(Arc::downgrade(&cluster), health.clone()));
        }
        Ok(cluster)
    }

    pub(super) fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// The endpoints at this time.
    pub(super) fn endpoints(&self) -> Vec<Arc<Endpoint>> {
        self.set.load().endpoints.clone()
    }

    /// Told, with one place for whoever follows the endpoints, whenever they have changed.
    pub(super) fn changed(&self) -> &Arc<Notify> {
        &self.changed
    }

    /// Whether its endpoints can be handed on to a cluster of this spec: all that an endpoint was made with is the same, but for what can
    /// be renewed.
    fn is_like(&self, spec: &GrpcSpec, workers: usize) -> bool {
        let made_with = |spec: &GrpcSpec| {
            let GrpcSpec { connect_timeout, connections, breaker, .. } = spec;
            (server_name(spec).map(str::to_owned), *connect_timeout, connections.clone(), breaker.clone())
        };
        self.workers == workers && made_with(&self.spec) == made_with(spec)
    }

    /// Whether connections are made with other certificates than the spec says.
    pub(super) fn is_renewed(&self) -> bool {
        match (&self.connector, &self.spec.tls) {
            (Some(connector), Some(tls)) => *connector.spec() != *tls,
            _ => false,
        }
    }

    /// Has connections made with what the files hold now. True when that is something else.
    pub(super) fn renew_certificates(&self, files: &Files) -> std::result::Result<bool, String> {
        let Some(connector) = &self.connector else { return Ok(false) };
        let renewed = connector.spec().renewed(files)?;
        Ok(renewed.map(|spec| connector.renew(spec)).is_some())
    }

    /// From now on these are the endpoints. Those that were there before stay as they are.
    pub(super) fn update(&self, specs: &[EndpointSpec]) -> std::result::Result<(), String> {
        let old = self.set.load();
        let endpoint = |spec: &EndpointSpec| match old.endpoints.iter().find(|old| old.spec() == spec) {
            Some(alive) => Ok(Arc::clone(alive)),
            None => Ok(Arc::new(Endpoint::new(spec.clone(), target(spec, &self.spec, self.connector.as_ref())?, &self.spec, self.workers))),
        };
        let endpoints = specs.iter().map(endpoint).collect::<std::result::Result<Vec<_>, String>>()?;
        let balancer = Balancer::new(self.spec.balance, &endpoints, self.workers);
        self.set.store(Arc::new(Set { endpoints, balancer }));
        self.changed.notify_one();
        Ok(())
    }

    /// Calls the service, at another endpoint too where nobody can have acted upon the first attempt.
    pub(super) async fn call(&self, worker: WorkerId, request: &Request) -> Result<Reply> {
        let mut tried = Tried::new();
        loop {
            let pick = self.pick(worker, &request.choice, &tried)?;
            let answer = pick.endpoint().send(worker, request).await;
            pick.record(&answer);
            match answer {
                Err(failure) if failure.is_unsent() && tried.is_empty() && !request.time_left().is_zero() => {
                    tried.push(Arc::clone(pick.endpoint()));
                }
                answer => return answer,
            }
        }
    }

    /// Opens a stream, at another endpoint when it could not be begun at the first.
    pub(super) async fn open_stream(&self, worker: WorkerId, opening: &Opening) -> Result<(Sending, Receiving)> {
        let mut tried = Tried::new();
        loop {
            let pick = self.pick(worker, &opening.choice, &tried)?;
            let unbegun = match pick.endpoint().open(worker, opening).await {
                Ok(halves) => return Ok(stream::remote(halves, pick, opening)),
                Err(failure) => Err(failure),
            };
            pick.record(&unbegun);
            if !tried.is_empty() {
                return unbegun;
            }
            tried.push(Arc::clone(pick.endpoint()));
        }
    }

    /// The endpoint for the next attempt of a call: a usable one that it has not been to, or else one that may come back.
    pub(super) fn pick(&self, worker: WorkerId, choice: &Choice, tried: &[Arc<Endpoint>]) -> Result<Pick> {
        let set = self.set.load();
        let now = Instant::now();
        let is_new = |endpoint: &Endpoint| !tried.iter().any(|tried| std::ptr::eq(&**tried, endpoint));
        let is_open = |endpoint: &Endpoint| endpoint.is_well() && endpoint.breaker.is_closed(now);
        let pick = |usable: &dyn Fn(&Endpoint) -> bool| set.balancer.pick(&set.endpoints, worker, choice, usable);
        let endpoint = pick(&|endpoint| is_new(endpoint) && is_open(endpoint) && !endpoint.is_down(worker))
            // It says why it cannot be reached, and when to try again.
            .or_else(|| pick(&|endpoint| is_new(endpoint) && is_open(endpoint)))
            .or_else(|| pick(&is_open));
        endpoint.map(|endpoint| Pick { seat: endpoint.sit() }).ok_or_else(|| self.nobody(&set))
    }

    fn nobody(&self, set: &Set) -> Failure {
        let all_ill = !set.endpoints.is_empty() && set.endpoints.iter().all(|endpoint| !endpoint.is_well());
        let why = if all_ill { ": health checks find all of them ill" } else { "" };
        Failure::gateway(Reason::Unavailable, format!("`{}` has no endpoint that takes calls now{why}; try again", self.name)).unsent()
    }
}

/// What is wrong with endpoints that could not be called. Opens nothing.
pub(super) fn problem(spec: &GrpcSpec) -> Option<String> {
    let connector = match tls(spec) {
        Ok(tls) => tls.map(Connector::new),
        Err(problem) => return Some(problem),
    };
    match &spec.source {
        Source::Static(endpoints) if endpoints.is_empty() => Some("it has no endpoint".to_owned()),
        Source::Static(endpoints) => endpoints.iter().find_map(|endpoint| target(endpoint, spec, connector.as_ref()).err()),
        Source::Dns { .. } | Source::File(_) | Source::Registry { .. } => None,
    }
}

/// The TLS settings, where they are of use.
fn tls(spec: &GrpcSpec) -> std::result::Result<Option<TlsSpec>, String> {
    let over_tls = match &spec.source {
        Source::Static(endpoints) => endpoints.iter().any(|endpoint| endpoint.tls),
        Source::Dns { tls, .. } => *tls,
        Source::File(_) | Source::Registry { .. } => spec.tls.is_some(),
    };
    match &spec.tls {
        Some(tls) if over_tls => Ok(Some(tls.clone())),
        None if over_tls => TlsSpec::of_system().map(Some).map_err(|problem| problem.what),
        _ => Ok(None),
    }
}

fn target(endpoint: &EndpointSpec, spec: &GrpcSpec, connector: Option<&Connector>) -> std::result::Result<Target, String> {
    Target::new(endpoint, connector, server_name(spec), spec.connect_timeout)
}

fn server_name(spec: &GrpcSpec) -> Option<&str> {
    spec.tls.as_ref().and_then(|tls| tls.place().server_name.as_deref())
}

// === impl Pick ===

impl Pick {
    pub(super) fn endpoint(&self) -> &Arc<Endpoint> {
        self.seat.endpoint()
    }

    /// Says what came of the attempt.
    pub(super) fn record<T>(&self, answer: &Result<T>) {
        let verdict = match answer {
            Ok(_) => Verdict::Success,
            Err(_) => Verdict::Silent,
        };
        self.endpoint().breaker.record(verdict, Instant::now());
    }
}
