//! Plan and living parts to table. Nothing here can fail, and what did not change is kept.
//!
//! Living are the parts that must outlast a table: connections to backends, the buckets of rate limits, the key sets of issuers. They are
//! adopted by equality of their spec, so a reload that changes a route keeps warm connections, and one that changes a limit starts that
//! limit afresh.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue};
use tokio::time::Instant;
use tracing::{info, warn};

use super::index::Index;
use super::plan::{Access, GuardPlan, Plan, RoutePlan, SigningPlan, TokenPlan};
use super::target::Target;
use super::{Guard, Route, Table};
use crate::backend::{self, Backend, Builtins, Spec};
use crate::files::{Files, Fingerprint};
use crate::id::Generation;
use crate::pipeline::Verifier;
use crate::pipeline::cause::Refusals;
use crate::pipeline::fetch::Server;
use crate::pipeline::key_set::{KeySet, KeySetSpec};
use crate::pipeline::rate_limit::{LimitSpec, LimitUse, Limiter};
use crate::pipeline::signing::{Signing, SigningCell};
use crate::pipeline::told::{GENERATION, PEER, ROLES, ROUTE, SESSION, USER};
use crate::push::Hub;
use crate::push::declared::Rules;
use crate::push::rules::{Delivery, PushPlan};
use crate::registry;
use crate::services::auth;
use crate::session::Sessions;
use crate::telemetry::counters::{RouteCounters, UNKNOWN};
use crate::telemetry::observers::Observers;
use crate::telemetry::seldom::Seldom;
use crate::telemetry::tally::Counter;
use crate::telemetry::trace::TRACEPARENT;

/// How often the log says that a guard does not decide.
const GUARD_WARNED_EVERY: Duration = Duration::from_secs(10);

/// What outlasts a table. Held by the reloader; the data path holds the same parts through its table.
pub struct Living {
    builtins: Arc<Builtins>,
    workers: usize,
    sessions: Sessions,
    hub: Hub,
    backends: HashMap<Arc<str>, Arc<Backend>>,
    limiters: HashMap<Arc<str>, Arc<Limiter>>,
    key_sets: HashMap<KeySetSpec, Arc<KeySet>>,
    refusals: Arc<Refusals>,
    counters: HashMap<Arc<str>, Arc<RouteCounters>>,
    /// By the rpc of guards.
    misses: HashMap<PathAndQuery, Arc<Counter>>,
    observers: Arc<Observers>,
    /// What the last plan that was linked tells the services, and where they look.
    signing: Option<Arc<Signing>>,
    accounts: Arc<auth::Settings>,
    registry: Arc<registry::Rules>,
    cells: Cells,
}

/// Where services of this process find what the live configuration tells them. Clones are the same places.
#[derive(Clone, Default)]
pub struct Cells {
    pub signing: SigningCell,
    pub accounts: auth::SettingsCell,
    pub registry: registry::RulesCell,
}

// === impl Cells ===

impl Cells {
    /// Tells services what a plan says, where no table is made of it.
    pub fn tell(&self, plan: Plan) {
        self.signing.store(plan.tokens.signing.map(signing));
        self.accounts.store(plan.settings.accounts);
    }
}

// === impl Living ===

impl Living {
    /// Nothing alive yet. Every backend will have one set of connections for each of `workers`; what needs a task runs where the builtins
    /// do. Services find in `cells` what they are told.
    pub fn new(builtins: Arc<Builtins>, sessions: Sessions, hub: Hub, cells: Cells, observers: Arc<Observers>, workers: usize) -> Living {
        Living {
            builtins,
            workers,
            sessions,
            hub,
            backends: HashMap::new(),
            limiters: HashMap::new(),
            key_sets: HashMap::new(),
            refusals: Arc::default(),
            counters: HashMap::new(),
            misses: HashMap::new(),
            observers,
            signing: None,
            accounts: Arc::default(),
            registry: Arc::default(),
            cells,
        }
    }

    /// The plan, alive. What the plan no longer names is let go, and ends with the last call that uses it.
    pub fn link(&mut self, plan: Plan, generation: Generation, fingerprint: Fingerprint) -> Table {
        // Whatever thread this is, its time is the runtime's.
        let builtins = Arc::clone(&self.builtins);
        let _entered = builtins.runtime().enter();
        let backends: Vec<Arc<Backend>> = plan.backends.into_iter().map(|spec| self.backend(spec)).collect();
        let limiters: Vec<Arc<Limiter>> = plan.limits.into_iter().map(|spec| self.limiter(spec)).collect();
        self.backends = backends.iter().map(|backend| (Arc::clone(backend.name()), Arc::clone(backend))).collect();
        self.limiters = limiters.iter().map(|limiter| (Arc::clone(&limiter.spec().name), Arc::clone(limiter))).collect();

        let pushes: Vec<Arc<PushPlan>> = plan.pushes.into_iter().map(Arc::new).collect();
        self.sessions.set_settings(plan.settings.sessions);
        self.hub.set_rules(Rules {
            topics: plan.topics.iter().map(|topic| Arc::clone(&topic.rule)).collect(),
            topics_max: plan.settings.sessions.topics_max,
            has_durable: pushes.iter().any(|push| matches!(push.delivery, Delivery::Durable)),
            pushes: pushes.clone(),
        });
        let verifier = self.verifier(&plan.tokens);
        self.signing = plan.tokens.signing.map(signing);
        self.accounts = Arc::clone(&plan.settings.accounts);
        self.registry = Arc::new(plan.registry);
        self.observers.tracer.export_to(plan.settings.otlp.clone());

        let headers = Arc::new(backend::headers([]));
        let mut guards = Guards { backends: &backends, headers, missed: HashMap::new(), before: &self.misses, misses: HashMap::new() };
        let generation_header = HeaderValue::from(generation.0);
        let counters: HashMap<_, _> = plan.routes.iter().map(|route| (Arc::clone(&route.name), self.counters(&route.name))).collect();
        let routes = plan.routes.into_iter().map(|route| {
            let observed = (Arc::clone(&counters[&route.name]), Arc::clone(&self.observers));
            (route.number.0, Arc::new(link_route(route, &backends, &limiters, &mut guards, generation_header.clone(), observed)))
        });
        let routes = routes.collect();
        self.misses = guards.misses;
        self.counters = counters;
        Table {
            generation,
            fingerprint,
            settings: plan.settings,
            verifier: Arc::new(verifier),
            sessions: self.sessions.clone(),
            hub: self.hub.clone(),
            observers: Arc::clone(&self.observers),
            permissions: plan.permissions,
            catalogue_hash: plan.catalogue_hash,
            backends,
            limiters,
            routes: Index::new(routes),
            pushes: Index::new(pushes.into_iter().map(|push| (push.number.0, push)).collect()),
            topics: plan.topics,
            locks: plan.locks.into(),
            _alive: self.observers.tables.join(),
            explained: plan.explained,
        }
    }

    /// From now on services do as the last linked plan says. Called once its table is live: a token must not be younger than the table that
    /// believes it.
    pub fn tell(&self) {
        self.cells.signing.store(self.signing.clone());
        self.cells.accounts.store(Arc::clone(&self.accounts));
        self.cells.registry.store(Arc::clone(&self.registry));
    }

    /// A verifier whose key sets are kept, where the last plan had the same.
    fn verifier(&mut self, plan: &TokenPlan) -> Verifier {
        let mut key_sets = HashMap::new();
        let mut key_set = |spec: KeySetSpec| {
            let alive = key_sets.get(&spec).or_else(|| self.key_sets.get(&spec)).cloned();
            let alive = alive.unwrap_or_else(|| {
                let server = Server::new(&spec.url);
                Arc::new(KeySet::open(spec.clone(), server, self.builtins.runtime()))
            });
            key_sets.insert(spec, Arc::clone(&alive));
            alive
        };
        let verifier = Verifier::with_key_sets(&plan.issuers, &mut key_set);
        self.key_sets = key_sets;
        let verifier = verifier.expect("every issuer was tried when it was compiled");
        verifier.keep_tokens(plan.keep_tokens).with_api_keys(&plan.api_keys).counting(Arc::clone(&self.refusals))
    }

    fn backend(&self, spec: Spec) -> Arc<Backend> {
        match self.backends.get(&spec.name) {
            Some(alive) if alive.is(&spec) => Arc::clone(alive),
            before => Backend::open(spec, self.workers, &self.builtins, before.map(|before| &**before))
                .expect("the spec was tried when it was compiled"),
        }
    }

    /// Reads the files of the backends' certificates again, so that new connections use what they hold now.
    pub fn renew_certificates(&self, files: &Files) {
        for (name, backend) in &self.backends {
            match backend.renew_certificates(files) {
                Ok(true) => info!(backend = &**name, "new connections use the renewed certificates"),
                Ok(false) => {}
                Err(problem) => warn!(backend = &**name, problem, "the renewed certificates cannot be used, the old ones stay"),
            }
        }
    }

    /// The files that are read then.
    pub fn certificate_files(&self) -> impl Iterator<Item = &PathBuf> {
        self.backends.values().flat_map(|backend| backend.certificate_files())
    }

    fn counters(&self, route: &Arc<str>) -> Arc<RouteCounters> {
        match &**route {
            // Whatever is counted under one name is counted together.
            UNKNOWN => Arc::clone(&self.observers.unrouted),
            _ => self.counters.get(route).cloned().unwrap_or_default(),
        }
    }

    fn limiter(&self, spec: LimitSpec) -> Arc<Limiter> {
        match self.limiters.get(&spec.name) {
            Some(alive) if *alive.spec() == spec => Arc::clone(alive),
            before => Limiter::after(before.map(|before| &**before), spec, Instant::now()),
        }
    }
}

fn signing(plan: SigningPlan) -> Arc<Signing> {
    let SigningPlan { signer, issuer, audience, access_ttl, refresh_ttl } = plan;
    Arc::new(Signing { signer, issuer, audience, access_ttl, refresh_ttl })
}

/// What the guards of all routes have in common.
struct Guards<'a> {
    backends: &'a [Arc<Backend>],
    headers: Arc<HeaderMap>,
    missed: HashMap<(usize, PathAndQuery), Arc<Seldom>>,
    /// What was counted before, and what is counted from now on.
    before: &'a HashMap<PathAndQuery, Arc<Counter>>,
    misses: HashMap<PathAndQuery, Arc<Counter>>,
}

impl Guards<'_> {
    fn link(&mut self, plan: GuardPlan) -> Guard {
        let missed = self.missed.entry((plan.backend, plan.path.clone())).or_insert_with(|| Arc::new(Seldom::new(GUARD_WARNED_EVERY)));
        let before = || self.before.get(&plan.path).cloned().unwrap_or_default();
        let misses = self.misses.entry(plan.path.clone()).or_insert_with(before);
        Guard {
            backend: Arc::clone(&self.backends[plan.backend]),
            path: plan.path,
            headers: Arc::clone(&self.headers),
            timeout: plan.timeout,
            when_unavailable: plan.when_unavailable,
            send_payload: plan.send_payload,
            metadata: plan.metadata,
            missed: Arc::clone(missed),
            misses: Arc::clone(misses),
        }
    }
}

fn link_route(
    plan: RoutePlan,
    backends: &[Arc<Backend>],
    limiters: &[Arc<Limiter>],
    guards: &mut Guards<'_>,
    generation_header: HeaderValue,
    (counters, observers): (Arc<RouteCounters>, Arc<Observers>),
) -> Route {
    let name_header = HeaderValue::from_str(&plan.name).expect("a route's name is lower-case ASCII, digits, `_` and `.`");
    // Room for what every call says. An identity is certain only where it is asked for, a trace only where calls are traced.
    let certain: &[_] = if plan.access == Access::Authenticated { &[PEER, USER, ROLES, SESSION] } else { &[PEER] };
    let certain = certain.iter().cloned().chain(plan.trace.map(|_| TRACEPARENT));
    let room = certain.map(|name| (name, HeaderValue::from_static("")));
    let headers = backend::headers(room.chain([(ROUTE, name_header), (GENERATION, generation_header)]));
    Route {
        number: plan.number,
        name: plan.name,
        headers: Arc::new(headers),
        method: plan.method,
        target: Target::new(&plan.backends, plan.hash, backends),
        access: plan.access,
        permissions: plan.permissions,
        limits: plan
            .limits
            .into_iter()
            .map(|used| LimitUse { limiter: Arc::clone(&limiters[used.limit]), fields: used.fields.into() })
            .collect(),
        walk: plan.walk,
        stamps: plan.stamps,
        redact: plan.redact,
        redact_reply: plan.redact_reply,
        timeout: plan.timeout,
        retry: plan.retry,
        request_bytes_max: plan.request_bytes_max,
        reply_bytes_max: plan.reply_bytes_max,
        answers_success: plan.answers_success,
        metadata: plan.metadata,
        forward_token: plan.forward_token,
        expose_errors: plan.expose_errors,
        guards: plan.guards.into_iter().map(|guard| guards.link(guard)).collect(),
        log: plan.log,
        trace: plan.trace,
        stream: plan.stream,
        effect: plan.effect,
        counters,
        observers,
    }
}
