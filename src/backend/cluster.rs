//! The endpoints of one backend, and how a call finds its way through them: pick, send, judge, and again where that is right.
//!
//! Discovery replaces the set of endpoints as a whole; a call keeps the endpoint it has picked. Promises: an endpoint that stays keeps
//! its connections and what is known about it; every attempt is recorded once, at the endpoint that it went to; all attempts of a call
//! lie within its deadline.

use std::sync::Arc;

use arc_swap::ArcSwap;
use http::uri::Authority;
use smallvec::SmallVec;
use tokio::runtime::Handle;
use tokio::sync::SetOnce;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;

use super::balancer::{Balancer, Choice};
use super::breaker::Verdict;
use super::dial::{self, Target};
use super::discovery::{self, Directory};
use super::endpoint::{Endpoint, Seat};
use super::spec::{EndpointSpec, GrpcSpec, Source};
use super::{Reply, Request};
use crate::drain::Tasks;
use crate::failure::{Failure, Reason, Result};
use crate::id::WorkerId;

pub(super) struct Cluster {
    name: Arc<str>,
    spec: GrpcSpec,
    workers: usize,
    connector: Option<TlsConnector>,
    set: ArcSwap<Set>,
    /// Set once it is known which endpoints there are, or that this cannot be known.
    discovered: SetOnce<()>,
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
        _runtime: &Handle,
        before: Option<&Cluster>,
    ) -> std::result::Result<Arc<Cluster>, String> {
        let connector = connector(&spec)?;
        let empty = Set { endpoints: Vec::new(), balancer: Balancer::new(spec.balance, &[], workers) };
        let (set, discovered) = (ArcSwap::from_pointee(empty), SetOnce::new());
        let cluster = Cluster { name, spec, workers, connector, set, discovered, tasks: Tasks::new() };
        if let Some(before) = before.filter(|before| before.is_like(&cluster)) {
            cluster.set.store(before.set.load_full());
        }
        if let Source::Static(endpoints) = &cluster.spec.source {
            cluster.update(endpoints)?;
        }
        if !cluster.set.load().endpoints.is_empty() {
            cluster.set_discovered();
        }
        Ok(Arc::new(cluster))
    }

    /// Begins to follow where the endpoints come from. Once, by whoever has opened it.
    pub(super) fn discover(self: &Arc<Self>, runtime: &Handle, directory: &Directory) {
        discovery::start(self, &self.spec.source, &self.tasks, runtime, directory);
    }

    pub(super) fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// The endpoints at this time.
    pub(super) fn endpoints(&self) -> Vec<Arc<Endpoint>> {
        self.set.load().endpoints.clone()
    }

    /// From now on no call waits for endpoints to be found.
    pub(super) fn set_discovered(&self) {
        // Only the first time says anything.
        let _ = self.discovered.set(());
    }

    /// Waits until it is known which endpoints there are, for as long as a connection may take.
    pub(super) async fn discovered(&self) {
        if !self.discovered.initialized() {
            let _ = timeout(self.spec.connect_timeout, self.discovered.wait()).await;
        }
    }

    /// Whether an endpoint could be one of its own.
    pub(super) fn takes(&self, endpoint: &EndpointSpec) -> bool {
        target(endpoint, &self.spec, self.connector.as_ref()).is_ok()
    }

    /// Whether endpoints can be handed on from one to the other: all that an endpoint was made with is the same.
    fn is_like(&self, other: &Cluster) -> bool {
        let made_with = |cluster: &Cluster| {
            let GrpcSpec { source, tls, connect_timeout, connections, breaker, .. } = &cluster.spec;
            let name = found_under(source).map(|(host, port)| (host.to_owned(), port));
            (name, tls.clone(), *connect_timeout, connections.clone(), breaker.clone(), cluster.workers)
        };
        made_with(self) == made_with(other)
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
        endpoint.map(|endpoint| Pick { seat: endpoint.sit() }).ok_or_else(|| self.nobody())
    }

    fn nobody(&self) -> Failure {
        let what = format!("`{}` has no endpoint that takes calls now; try again", self.name);
        Failure::gateway(Reason::Unavailable, what).unsent()
    }
}

/// What is wrong with endpoints that could not be called. Opens nothing.
pub(super) fn problem(spec: &GrpcSpec) -> Option<String> {
    let connector = match connector(spec) {
        Ok(connector) => connector,
        Err(problem) => return Some(problem),
    };
    match &spec.source {
        Source::Static(endpoints) if endpoints.is_empty() => Some("it has no endpoint".to_owned()),
        Source::Static(endpoints) => endpoints.iter().find_map(|endpoint| target(endpoint, spec, connector.as_ref()).err()),
        Source::Dns { .. } | Source::File(_) | Source::Registry { .. } => None,
    }
}

/// What endpoints over TLS need. Nobody knows beforehand whether some of those that are listed elsewhere are; without authorities to trust
/// they are refused when they come.
fn connector(spec: &GrpcSpec) -> std::result::Result<Option<TlsConnector>, String> {
    let connector = || dial::tls_connector(spec.tls.as_ref());
    match &spec.source {
        Source::Static(endpoints) => endpoints.iter().any(|endpoint| endpoint.tls).then(connector).transpose(),
        Source::Dns { tls, .. } => tls.then(connector).transpose(),
        Source::File(_) | Source::Registry { .. } if spec.tls.is_some() => connector().map(Some),
        Source::File(_) | Source::Registry { .. } => Ok(connector().ok()),
    }
}

/// The name by which endpoints are called that were found under it, and for which they have their certificate.
fn found_under(source: &Source) -> Option<(&str, u16)> {
    match source {
        Source::Dns { host, port, .. } => Some((host, *port)),
        Source::Static(_) | Source::File(_) | Source::Registry { .. } => None,
    }
}

fn target(endpoint: &EndpointSpec, spec: &GrpcSpec, connector: Option<&TlsConnector>) -> std::result::Result<Target, String> {
    if endpoint.tls && connector.is_none() {
        return Err("this system has no certificate authorities; name them in `tls.ca`".to_owned());
    }
    let found_under = found_under(&spec.source);
    let server_name = spec.tls.as_ref().and_then(|tls| tls.server_name.as_deref());
    let server_name = server_name.or(found_under.map(|(host, _)| host));
    let mut target = Target::new(endpoint, connector, server_name, spec.connect_timeout)?;
    if let Some((host, port)) = found_under {
        target.authority = Authority::try_from(format!("{host}:{port}")).map_err(|error| format!("`{host}` is not a host: {error}"))?;
    }
    Ok(target)
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
