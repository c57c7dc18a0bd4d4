//! The world as compiled: which number goes where, and by which rules.
//!
//! A [`Table`] is made by `compile` (pure: what `check` runs) and `link` (cannot fail: adopts what is alive), and swapped in by `reload`.
//! Promises: a table is never mutated; every reference in it is resolved; finding a route hashes no string.
//!
//! - `settings`: the hot part of `gateway.yaml`, and the fixed part beside it
//! - `plan`: what compiling yields, plain data without sockets or tasks
//! - `compile`: the passes, in order
//! - `explain`: what holds for a route, and where it is written; `places`: where that is; `meaning`: what it comes to, in words
//! - `index`: number to route
//! - `target`: which backend and which endpoint a route's calls go to
//! - `link`: plan and living parts to table
//! - `live`: the one pointer

pub mod compile;
pub mod explain;
pub mod index;
pub mod link;
pub mod live;
pub mod meaning;
mod places;
pub mod plan;
pub mod settings;
mod target;

use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;
use http::uri::PathAndQuery;

pub use live::{TableReader, TableWriter, live};
pub use plan::{Access, Join, TopicPlan};
pub use settings::{Fixed, Settings};
pub use target::Target;

use self::explain::Explained;
use self::index::Index;
use crate::backend::{Backend, Choice};
use crate::files::Fingerprint;
use crate::id::{Generation, Protocol};
use crate::pipeline::auth::Verifier;
use crate::pipeline::call::Caller;
use crate::pipeline::permission::{PermissionId, Permissions};
use crate::pipeline::rate_limit::{KeyValue, LimitUse, Limiter};
use crate::proto::{Method, Redact, Stamp, Walk};
use crate::push::Hub;
use crate::push::rules::PushPlan;
use crate::session::Sessions;
use crate::telemetry::counters::RouteCounters;
use crate::telemetry::observers::Observers;
use crate::telemetry::seldom::Seldom;
#[cfg(test)]
use crate::telemetry::tally::Population;
use crate::telemetry::tally::{Counter, Member};
use crate::tls::Certificate;

/// Everything the data path needs to know, of one generation. A clone has the same rules and shares what is alive.
#[derive(Clone)]
pub struct Table {
    pub generation: Generation,
    /// Of everything it was compiled from.
    pub fingerprint: Fingerprint,
    pub settings: Settings,
    pub verifier: Arc<Verifier>,
    /// The sessions of this node; the same in every table.
    pub sessions: Sessions,
    /// The topics of this node; the same in every table.
    pub hub: Hub,
    /// Who hears of calls that end; the same in every table.
    pub observers: Arc<Observers>,
    pub permissions: Permissions,
    /// What Hello tells clients, so that they can see whether they agree: numbers, names, kinds and messages.
    pub catalogue_hash: String,
    /// Every backend, in the order of their declaration.
    pub backends: Vec<Arc<Backend>>,
    /// Every limit, in the order of their declaration.
    pub limiters: Vec<Arc<Limiter>>,
    routes: Index<Arc<Route>>,
    pushes: Index<Arc<PushPlan>>,
    topics: Vec<TopicPlan>,
    /// Descriptors that backends tell, for whoever looks whether they still tell them.
    pub locks: Arc<[plan::LockPlan]>,
    /// Counts the tables that somebody holds.
    _alive: Member,
    /// Where all of what routes say is written.
    pub explained: Arc<Explained>,
}

/// One protocol number and its whole policy, ready to be used.
pub struct Route {
    pub number: Protocol,
    pub name: Arc<str>,
    /// What every call of the route tells its backend.
    pub headers: Arc<HeaderMap>,
    pub method: Method,
    /// Who answers; see [`Route::backend_for`].
    pub target: Target,
    pub access: Access,
    /// All of these the caller must be granted; with the name that a refusal shows.
    pub permissions: Vec<(PermissionId, Arc<str>)>,
    pub limits: Vec<LimitUse>,
    /// Checks a request and takes from it what `limits` need.
    pub walk: Walk,
    pub stamps: Vec<(Stamp, plan::SessionValue)>,
    /// What nobody is shown of a request, and of a reply.
    pub redact: Redact,
    pub redact_reply: Redact,
    pub timeout: Duration,
    pub retry: plan::Repeatable,
    pub request_bytes_max: usize,
    pub reply_bytes_max: usize,
    /// Whether a success is answered too.
    pub answers_success: bool,
    /// Metadata keys that a client may set.
    pub metadata: Vec<Arc<str>>,
    pub forward_token: bool,
    pub expose_errors: bool,
    /// Who is asked before each call, in this order.
    pub guards: Box<[Guard]>,
    pub log: plan::LogPlan,
    /// Which of its calls are traced. Nothing: spans are exported nowhere.
    pub trace: Option<plan::TracePlan>,
    /// How long a stream may last, where the method has streams.
    pub stream: plan::StreamPlan,
    /// What a success changes here.
    pub effect: Option<plan::EffectPlan>,
    /// The same in every table that has a route of this name.
    pub counters: Arc<RouteCounters>,
    /// The table's.
    pub observers: Arc<Observers>,
}

/// A service that decides whether a call may happen, ready to be asked.
pub struct Guard {
    pub backend: Arc<Backend>,
    pub path: PathAndQuery,
    /// What every question tells the guard's backend.
    pub headers: Arc<HeaderMap>,
    pub timeout: Duration,
    pub when_unavailable: plan::WhenUnavailable,
    pub send_payload: bool,
    /// Metadata keys that it may set.
    pub metadata: Vec<Arc<str>>,
    /// That it did not decide is said now and then. Routes with the same guard share it.
    pub missed: Arc<Seldom>,
    /// How often it did not. Guards of the same rpc share it, also those of earlier tables.
    pub misses: Arc<Counter>,
}

// === impl Table ===

impl Table {
    /// The same table with other certificates, where there are any.
    #[must_use]
    pub fn with_certificates(&self, tls: Option<Certificate>, push_tls: Option<Certificate>) -> Table {
        let settings = &self.settings;
        let (tls, push_tls) = (tls.or_else(|| settings.tls.clone()), push_tls.or_else(|| settings.push_tls.clone()));
        Table { settings: Settings { tls, push_tls, ..settings.clone() }, ..self.clone() }
    }

    /// A table that routes nothing, for tests of the rooms above.
    #[cfg(test)]
    pub fn empty() -> Table {
        let sessions = Sessions::for_tests();
        Table {
            generation: Generation(1),
            fingerprint: Fingerprint([0; 32]),
            settings: Settings::default(),
            verifier: Arc::default(),
            hub: Hub::for_tests(&sessions),
            sessions,
            observers: Arc::default(),
            permissions: Permissions::compile(&[], &[]),
            catalogue_hash: String::new(),
            backends: Vec::new(),
            limiters: Vec::new(),
            routes: Index::new(Vec::new()),
            pushes: Index::new(Vec::new()),
            topics: Vec::new(),
            locks: Arc::default(),
            _alive: Population::default().join(),
            explained: Arc::default(),
        }
    }

    /// The route of a number.
    pub fn route(&self, number: u32) -> Option<&Arc<Route>> {
        self.routes.get(number)
    }

    /// The message that is pushed under a number.
    pub fn push(&self, number: u32) -> Option<&Arc<PushPlan>> {
        self.pushes.get(number)
    }

    /// What holds for a topic. Nothing: no pattern declares it, so that it does not exist.
    pub fn topic(&self, name: &str) -> Option<&TopicPlan> {
        self.topics.iter().find(|topic| topic.rule.pattern.matches(name))
    }

    /// Every topic that may be, in no order.
    pub fn topics(&self) -> &[TopicPlan] {
        &self.topics
    }

    /// Every push, by number.
    pub fn pushes(&self) -> impl Iterator<Item = &Arc<PushPlan>> {
        self.pushes.iter()
    }

    /// Every route, by number.
    pub fn routes(&self) -> impl Iterator<Item = &Arc<Route>> {
        self.routes.iter()
    }
}

// === impl Route ===

impl Route {
    /// The backend that answers this caller: always the same one, as long as the shares and the caller's user stay.
    pub fn backend_for(&self, caller: &Caller) -> &Arc<Backend> {
        self.target.backend_for(caller)
    }

    /// What leads the call to its endpoint. `fields` are what the walk has read from the request.
    pub fn choice(&self, caller: &Caller, fields: &[KeyValue<'_>]) -> Choice {
        self.target.choice(caller, fields)
    }
}
