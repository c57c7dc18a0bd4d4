//! The endpoints of one backend, and how a call finds its way through them: pick, send, judge, and again where that is right.
//!
//! Discovery replaces the set of endpoints as a whole; a call keeps the endpoint it has picked. Promises: an endpoint that stays keeps
//! its connections and what is known about it; every attempt is recorded once, at the endpoint that it went to; all attempts of a call
//! lie within its deadline.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;
use http::uri::Authority;
use tokio::runtime::Handle;
use tokio::sync::{Notify, SetOnce};
use tokio::time::{Instant, sleep, timeout};

use super::balancer::{Balancer, Choice};
use super::breaker::{Breaker, Ejections};
use super::dial::Target;
use super::discovery::{self, Directory};
use super::endpoint::Endpoint;
use super::health;
use super::pick::Pick;
use super::retry::{Attempts, Decision, Tried};
use super::spec::{BalancePolicy, EndpointSpec, GrpcSpec, Source};
use super::stage::Network;
use super::status::BackendStatus;
use super::stream::{self, Receiving, Sending};
use super::tls::{Connector, TlsSpec};
use super::traffic::{Place, Traffic};
use super::{Journey, Opening, Reply, Request, tell_trace};
use crate::drain::Tasks;
use crate::failure::{Failure, Reason, Result};
use crate::files::Files;
use crate::id::WorkerId;

pub(super) struct Cluster {
    name: Arc<str>,
    spec: GrpcSpec,
    workers: usize,
    connector: Option<Connector>,
    network: Network,
    set: ArcSwap<Set>,
    /// Told whenever there is another set.
    changed: Arc<Notify>,
    /// Shared with the cluster that this one takes the place of, as the calls are that it counts.
    traffic: Arc<Traffic>,
    ejections: Arc<Ejections>,
    /// Calls that came without the key by which they should have found their endpoint. Written on the data path, read by metrics.
    unkeyed: AtomicU64,
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

// === impl Cluster ===

impl Cluster {
    /// Prepares the endpoints for this many workers; what `before` has of them is taken over alive. What has to be followed is followed on
    /// `runtime`.
    pub(super) fn open(
        name: Arc<str>,
        spec: GrpcSpec,
        workers: usize,
        runtime: &Handle,
        network: &Network,
        before: Option<&Cluster>,
    ) -> std::result::Result<Arc<Cluster>, String> {
        let traffic = before.map(|before| Arc::clone(&before.traffic)).unwrap_or_default();
        traffic.set_bounds(&spec.limits, &spec.retry_budget);
        let unkeyed = AtomicU64::new(before.map_or(0, Cluster::unkeyed));
        let before = before.filter(|before| before.is_like(&spec, workers));
        let ejections = before.map_or_else(|| Ejections::new(spec.breaker.ejected_percent), |before| Arc::clone(&before.ejections));
        let connector = match (before.and_then(|before| before.connector.as_ref()), tls(&spec)?) {
            (Some(alive), Some(tls)) => {
                alive.renew(tls);
                Some(alive.clone())
            }
            (None, Some(tls)) => Some(Connector::new(tls)),
            (_, None) => None,
        };
        let empty = Set { endpoints: Vec::new(), balancer: Balancer::new(spec.balance, &[], workers) };
        let cluster = Cluster {
            name,
            spec,
            workers,
            connector,
            network: network.clone(),
            set: ArcSwap::from_pointee(empty),
            changed: Arc::default(),
            discovered: SetOnce::new(),
            traffic,
            ejections,
            unkeyed,
            tasks: Tasks::new(),
        };
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
        if !cluster.set.load().endpoints.is_empty() {
            cluster.set_discovered();
        }
        let cluster = Arc::new(cluster);
        if let Some(health) = &cluster.spec.health {
            cluster.tasks.spawn(runtime, health::follow(Arc::downgrade(&cluster), health.clone()));
        }
        Ok(cluster)
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

    /// Told, with one place for whoever follows the endpoints, whenever they have changed.
    pub(super) fn changed(&self) -> &Arc<Notify> {
        &self.changed
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

    /// Whether its endpoints can be handed on to a cluster of this spec: all that an endpoint was made with is the same, but for what can
    /// be renewed.
    fn is_like(&self, spec: &GrpcSpec, workers: usize) -> bool {
        let made_with = |spec: &GrpcSpec| {
            let GrpcSpec { source, connect_timeout, connections, breaker, .. } = spec;
            let name = found_under(source).map(|(host, port)| (host.to_owned(), port));
            (name, server_name(spec).map(str::to_owned), *connect_timeout, connections.clone(), breaker.clone())
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
        let endpoint = |spec: &EndpointSpec| match old.endpoints.iter().find(|old| old.spec().is_same_place(spec)) {
            Some(alive) => {
                alive.describe(spec);
                Ok(Arc::clone(alive))
            }
            None => {
                let target = target(spec, &self.spec, self.connector.as_ref())?.of(&self.name, &self.network);
                let breaker = Breaker::new(&self.spec.breaker, &self.ejections);
                Ok(Arc::new(Endpoint::new(spec.clone(), target, &self.spec.connections, breaker, &self.traffic, self.workers)))
            }
        };
        let endpoints = specs.iter().map(endpoint).collect::<std::result::Result<Vec<_>, String>>()?;
        let balancer = Balancer::new(self.spec.balance, &endpoints, self.workers).beginning_with(self.network.first_turn());
        self.keep_share(&old.endpoints, &endpoints);
        self.set.store(Arc::new(Set { endpoints, balancer }));
        self.changed.notify_one();
        Ok(())
    }

    /// Of those that are left alone no more may be than the new set's share; and who leaves the set takes no part in that.
    fn keep_share(&self, old: &[Arc<Endpoint>], new: &[Arc<Endpoint>]) {
        let stays = |endpoint: &Arc<Endpoint>| new.iter().any(|new| Arc::ptr_eq(new, endpoint));
        old.iter().filter(|endpoint| !stays(endpoint)).for_each(|gone| gone.breaker.pardon());
        let mut open = new.iter().filter(|endpoint| endpoint.breaker.is_open());
        while self.ejections.set_endpoints(new.len())
            && let Some(endpoint) = open.next()
        {
            endpoint.breaker.pardon();
        }
    }

    /// Opens a stream, at another endpoint when it could not be begun at the first.
    pub(super) async fn open_stream(&self, worker: WorkerId, opening: &mut Opening, journey: &mut Journey) -> Result<(Sending, Receiving)> {
        let place = self.enter()?;
        let mut tried = Tried::new();
        loop {
            let pick = self.pick(worker, &opening.choice, &tried)?;
            tell_trace(opening.trace, journey, &mut opening.metadata);
            journey.begin(pick.endpoint().name());
            let unbegun = match pick.endpoint().open(worker, opening).await {
                Ok(halves) => return Ok(stream::remote(halves, pick, place, opening)),
                Err(failure) => Err(failure),
            };
            journey.end(unbegun.as_ref());
            pick.record(&unbegun, false);
            if !tried.is_empty() {
                return unbegun;
            }
            tried.push(Arc::clone(pick.endpoint()));
        }
    }

    /// Calls the service: picks an endpoint, sends, records what came of it, and does so again where that is right.
    pub(super) async fn call(&self, worker: WorkerId, mut request: Request, journey: &mut Journey) -> Result<Reply> {
        let _place = self.enter()?;
        let mut attempts = Attempts::default();
        let mut pick = self.pick(worker, &request.choice, &attempts.tried)?;
        loop {
            tell_trace(request.trace, journey, &mut request.metadata);
            journey.begin(pick.endpoint().name());
            let answer = pick.endpoint().send(worker, &request).await;
            journey.end(answer.as_ref());
            pick.record(&answer, request.hurried);
            let Err(failure) = answer else { return answer };
            let elsewhere = |tried: &[Arc<Endpoint>]| self.has_another(tried);
            match attempts.after(pick.endpoint(), &failure, &mut request, &self.traffic, elsewhere) {
                Decision::Answer => return Err(self.told(failure)),
                Decision::AtOnce => {}
                Decision::After(wait) => sleep(wait).await,
            }
            let Ok(next) = self.pick(worker, &request.choice, &attempts.tried) else { return Err(self.told(failure)) };
            pick = next;
        }
    }

    /// Takes a call in, if there are not too many. It counts until this is dropped.
    pub(super) fn enter(&self) -> Result<Place> {
        self.traffic.enter().map_err(|failure| self.told(failure))
    }

    /// The endpoint for the next attempt of a call: a usable one that it has not been to, or else one that may come back.
    pub(super) fn pick(&self, worker: WorkerId, choice: &Choice, tried: &[Arc<Endpoint>]) -> Result<Pick> {
        if choice.key.is_none() && tried.is_empty() && self.spec.balance == BalancePolicy::ConsistentHash {
            self.unkeyed.fetch_add(1, Ordering::Relaxed);
        }
        let set = self.set.load();
        let now = Instant::now();
        let is_usable = |endpoint: &Endpoint| endpoint.is_well() && endpoint.breaker.takes(now);
        let pick = |usable: &dyn Fn(&Endpoint) -> bool| set.balancer.pick(&set.endpoints, worker, choice, usable);
        loop {
            let endpoint = pick(&|endpoint| is_new(endpoint, tried) && is_usable(endpoint) && !endpoint.is_down(worker))
                // It says why it cannot be reached, and when to try again.
                .or_else(|| pick(&|endpoint| is_new(endpoint, tried) && is_usable(endpoint)))
                .or_else(|| pick(&is_usable))
                .ok_or_else(|| self.nobody(&set, now))?;
            // Not if another worker has just taken the one call that an open breaker lets through; then it is usable no more.
            if let Some(admission) = endpoint.breaker.admit(now) {
                return Ok(Pick::new(endpoint.sit(), admission));
            }
        }
    }

    /// Whether there is an endpoint that takes calls beside these.
    fn has_another(&self, tried: &[Arc<Endpoint>]) -> bool {
        let now = Instant::now();
        let usable = |endpoint: &Endpoint| is_new(endpoint, tried) && endpoint.is_well() && endpoint.breaker.takes(now);
        self.set.load().endpoints.iter().any(|endpoint| usable(endpoint))
    }

    /// How many calls had no key, where endpoints are chosen by one.
    pub(super) fn unkeyed(&self) -> u64 {
        self.unkeyed.load(Ordering::Relaxed)
    }

    /// What a call is told that did not succeed.
    fn told(&self, failure: Failure) -> Failure {
        if failure.is(Reason::Overloaded) {
            self.traffic.count_shed();
        }
        failure
    }

    /// How it does at this moment.
    pub(super) fn status(&self) -> BackendStatus {
        let counts = self.traffic.counts();
        BackendStatus {
            name: Arc::clone(&self.name),
            in_flight: counts.in_flight,
            pending: counts.pending,
            retries: counts.retries,
            sheds: counts.sheds,
            retries_in_flight: counts.repeats,
            retry_budget: counts.repeats_max,
            endpoints: self.set.load().endpoints.iter().map(|endpoint| endpoint.status()).collect(),
        }
    }

    fn nobody(&self, set: &Set, now: Instant) -> Failure {
        let all_ill = !set.endpoints.is_empty() && set.endpoints.iter().all(|endpoint| !endpoint.is_well());
        let why = if all_ill { ": health checks find all of them ill" } else { "" };
        let what = format!("`{}` has no endpoint that takes calls now{why}; try again", self.name);
        let failure = Failure::gateway(Reason::Unavailable, what).unsent();
        match set.endpoints.iter().filter(|endpoint| endpoint.is_well()).filter_map(|endpoint| endpoint.breaker.wait(now)).min() {
            Some(wait) => failure.because("every endpoint that is well is left alone by its breaker").retry_after(wait),
            None => failure,
        }
    }
}

fn is_new(endpoint: &Endpoint, tried: &[Arc<Endpoint>]) -> bool {
    !tried.iter().any(|tried| std::ptr::eq(&**tried, endpoint))
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

/// The TLS settings, where they are of use. Nobody knows beforehand whether some of the endpoints are over TLS that are listed elsewhere;
/// without authorities to trust those are refused when they come.
fn tls(spec: &GrpcSpec) -> std::result::Result<Option<TlsSpec>, String> {
    let of_system = || TlsSpec::of_system().map_err(|problem| problem.what);
    let over_tls = match &spec.source {
        Source::Static(endpoints) => endpoints.iter().any(|endpoint| endpoint.tls),
        Source::Dns { tls, .. } => *tls,
        Source::File(_) | Source::Registry { .. } if spec.tls.is_none() => return Ok(of_system().ok()),
        Source::File(_) | Source::Registry { .. } => true,
    };
    match &spec.tls {
        Some(tls) if over_tls => Ok(Some(tls.clone())),
        None if over_tls => of_system().map(Some),
        _ => Ok(None),
    }
}

/// The name by which endpoints are called that were found under it, and for which they have their certificate.
fn found_under(source: &Source) -> Option<(&str, u16)> {
    match source {
        Source::Dns { host, port, .. } => Some((host, *port)),
        Source::Static(_) | Source::File(_) | Source::Registry { .. } => None,
    }
}

fn target(endpoint: &EndpointSpec, spec: &GrpcSpec, connector: Option<&Connector>) -> std::result::Result<Target, String> {
    if endpoint.tls && connector.is_none() {
        return Err("this system has no certificate authorities; name them in `tls.ca`".to_owned());
    }
    let mut target = Target::new(endpoint, connector, server_name(spec), spec.connect_timeout)?;
    if let Some((host, port)) = found_under(&spec.source) {
        target.authority = Authority::try_from(format!("{host}:{port}")).map_err(|error| format!("`{host}` is not a host: {error}"))?;
    }
    Ok(target)
}

fn server_name(spec: &GrpcSpec) -> Option<&str> {
    let stated = spec.tls.as_ref().and_then(|tls| tls.place().server_name.as_deref());
    stated.or(found_under(&spec.source).map(|(host, _)| host))
}
