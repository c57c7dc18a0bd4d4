//! Asking endpoints how they are, with grpc.health.v1.
//!
//! Each endpoint is asked on a schedule of its own, from the back room, over the back room's connection. Promises: an endpoint is usable
//! until a check says otherwise, and the first check is made at once and decides alone; after that it takes as many in a row as the spec
//! says to change what is known. An ill endpoint is asked again within [`ILL_INTERVAL_MAX`], so that it is back soon after it is well.
//! A service that does not speak the protocol is taken to be well, and that is said once. At most [`CHECKS_MAX`] checks of a backend run
//! at a time.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use http::HeaderMap;
use http::uri::PathAndQuery;
use prost::Message as _;
use tokio::time::{Instant, sleep_until, timeout_at};
use tracing::{info, warn};

use super::balancer::Choice;
use super::cluster::Cluster;
use super::endpoint::Endpoint;
use super::message::frame;
use super::spec::HealthSpec;
use super::{Reply, Request};
use crate::failure::{Code, Failure, Result, Source};
use crate::jitter;

/// The most checks of one backend at once.
const CHECKS_MAX: usize = 64;

/// The longest that an ill endpoint waits for its next check.
const ILL_INTERVAL_MAX: Duration = Duration::from_secs(1);

/// Ample for the one number that an answer holds.
const ANSWER_BYTES_MAX: usize = 4 << 10;

/// How an endpoint is, as far as is known. It stays with the endpoint whoever asks.
pub(super) struct Health {
    well: AtomicBool,
    streak: Mutex<Streak>,
}

/// The checks that say other than what is known.
struct Streak {
    /// None has been made.
    is_new: bool,
    contrary: u32,
    /// It has been said that the service does not speak the protocol.
    mute: bool,
}

/// What a check has found.
#[derive(PartialEq, Eq, Debug)]
enum Finding {
    Well,
    /// Why, for the log.
    Ill(String),
    /// Nobody there knows what a check is.
    Mute,
}

/// What a finding has changed.
#[derive(PartialEq, Eq, Debug)]
enum Change {
    Nothing,
    Recovered,
    Fell(String),
    TurnedOutMute,
}

/// grpc.health.v1.HealthCheckRequest.
#[derive(Clone, PartialEq, prost::Message)]
struct Question {
    #[prost(string, tag = "1")]
    service: String,
}

/// grpc.health.v1.HealthCheckResponse.
#[derive(Clone, PartialEq, prost::Message)]
struct Status {
    #[prost(int32, tag = "1")]
    status: i32,
}

/// The endpoints of one backend, and when each is asked next; not while it is being asked.
struct Rounds {
    backend: Arc<str>,
    spec: HealthSpec,
    headers: Arc<HeaderMap>,
    question: Bytes,
    appointments: Vec<(Arc<Endpoint>, Option<Instant>)>,
}

/// Asks until the cluster is gone.
pub(super) async fn follow(cluster: Weak<Cluster>, spec: HealthSpec) {
    let names = |cluster: Arc<Cluster>| (Arc::clone(cluster.name()), Arc::clone(cluster.changed()));
    let Some((backend, changed)) = cluster.upgrade().map(names) else { return };
    let mut rounds = Rounds::new(backend, spec);
    let mut checks = FuturesUnordered::new();
    loop {
        let Some(endpoints) = cluster.upgrade().map(|cluster| cluster.endpoints()) else { return };
        rounds.admit(endpoints);
        while checks.len() < CHECKS_MAX
            && let Some(endpoint) = rounds.next_due(Instant::now())
        {
            checks.push(rounds.ask(endpoint));
        }
        let next_at = if checks.len() < CHECKS_MAX { rounds.next_at() } else { None };
        tokio::select! {
            biased;
            () = changed.notified() => {}
            Some((endpoint, finding)) = checks.next(), if !checks.is_empty() => rounds.learn(&endpoint, finding),
            () = sleep_until(next_at.unwrap_or_else(Instant::now)), if next_at.is_some() => {}
        }
    }
}

// === impl Rounds ===

impl Rounds {
    fn new(backend: Arc<str>, spec: HealthSpec) -> Rounds {
        let question = Question { service: spec.service.clone() }.encode_to_vec();
        let question = Bytes::from([&frame(question.len())[..], &question].concat());
        Rounds { backend, spec, headers: Arc::new(super::headers([])), question, appointments: Vec::new() }
    }

    /// These are the endpoints. Those that are new are due.
    fn admit(&mut self, endpoints: Vec<Arc<Endpoint>>) {
        let now = Instant::now();
        let known = |endpoint: &Arc<Endpoint>| self.appointments.iter().find(|(known, _)| Arc::ptr_eq(known, endpoint));
        let appointment = |endpoint| match known(&endpoint) {
            Some((_, at)) => (endpoint, *at),
            None => (endpoint, Some(now)),
        };
        self.appointments = endpoints.into_iter().map(appointment).collect();
    }

    fn next_at(&self) -> Option<Instant> {
        self.appointments.iter().filter_map(|(_, at)| *at).min()
    }

    /// An endpoint that is due, which is taken to be asked now.
    fn next_due(&mut self, now: Instant) -> Option<Arc<Endpoint>> {
        let (endpoint, at) = self.appointments.iter_mut().find(|(_, at)| at.is_some_and(|at| at <= now))?;
        *at = None;
        Some(Arc::clone(endpoint))
    }

    fn ask(&self, endpoint: Arc<Endpoint>) -> impl Future<Output = (Arc<Endpoint>, Finding)> + Send + use<> {
        let request = Request {
            path: PathAndQuery::from_static("/grpc.health.v1.Health/Check"),
            headers: Arc::clone(&self.headers),
            metadata: Vec::new(),
            trace: None,
            choice: Choice::default(),
            body: self.question.clone(),
            deadline: Instant::now() + self.spec.timeout,
            hurried: false,
            retry: None,
            reply_bytes_max: ANSWER_BYTES_MAX,
        };
        let timeout = self.spec.timeout;
        async move {
            let answer = timeout_at(request.deadline, endpoint.send(endpoint.back_room(), &request)).await;
            let finding = answer.map_or_else(|_| Finding::Ill(format!("no answer within {timeout:?}")), Finding::of);
            (endpoint, finding)
        }
    }

    fn learn(&mut self, endpoint: &Arc<Endpoint>, finding: Finding) {
        let (backend, name) = (&*self.backend, &**endpoint.name());
        match endpoint.health.learn(finding, &self.spec) {
            Change::Nothing => {}
            Change::Recovered => info!(backend, endpoint = name, "the endpoint is well again"),
            Change::Fell(cause) => warn!(backend, endpoint = name, cause, "the endpoint is ill, and is called no more"),
            Change::TurnedOutMute => {
                warn!(backend, endpoint = name, "the endpoint does not speak grpc.health.v1, and is taken to be well; remove `health`");
            }
        }
        let interval = if endpoint.is_well() { self.spec.interval } else { self.spec.interval.min(ILL_INTERVAL_MAX) };
        let next = Instant::now() + jitter::about(interval);
        if let Some((_, at)) = self.appointments.iter_mut().find(|(known, _)| Arc::ptr_eq(known, endpoint)) {
            *at = Some(next);
        }
    }
}

// === impl Finding ===

impl Finding {
    fn of(answer: Result<Reply>) -> Finding {
        const STATUSES: [&str; 4] = ["UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"];
        const SERVING: i32 = 1;
        match answer {
            Ok(reply) => match Status::decode(reply.message) {
                Ok(Status { status: SERVING }) => Finding::Well,
                Ok(Status { status }) => {
                    let name = usize::try_from(status).ok().and_then(|number| STATUSES.get(number)).copied();
                    Finding::Ill(format!("it says {}", name.unwrap_or("a status that nobody has defined")))
                }
                Err(error) => Finding::Ill(format!("its answer cannot be read: {error}")),
            },
            Err(failure) if failure.code() == Code::Unimplemented && failure.source() == Source::Backend => Finding::Mute,
            Err(failure) => Finding::Ill(cause(&failure)),
        }
    }
}

fn cause(failure: &Failure) -> String {
    match failure.cause() {
        Some(cause) => cause.to_owned(),
        None => failure.to_string(),
    }
}

// === impl Health ===

impl Health {
    /// Nothing is known yet.
    pub(super) fn new() -> Health {
        Health { well: AtomicBool::new(true), streak: Mutex::new(Streak { is_new: true, contrary: 0, mute: false }) }
    }

    pub(super) fn is_well(&self) -> bool {
        self.well.load(Ordering::Relaxed)
    }

    /// From here on nobody asks, or asks for something else: nothing is known.
    pub(super) fn forget(&self) {
        *self.lock() = Streak { is_new: true, contrary: 0, mute: false };
        self.well.store(true, Ordering::Relaxed);
    }

    fn learn(&self, finding: Finding, spec: &HealthSpec) -> Change {
        let mut streak = self.lock();
        let was_well = self.is_well();
        let turned_out_mute = finding == Finding::Mute && !streak.mute;
        streak.mute = finding == Finding::Mute;
        let is_first = std::mem::take(&mut streak.is_new);
        let is_well = !matches!(finding, Finding::Ill(_));
        if is_well == was_well {
            streak.contrary = 0;
            return if turned_out_mute { Change::TurnedOutMute } else { Change::Nothing };
        }
        streak.contrary += 1;
        let enough = if is_well { spec.healthy } else { spec.unhealthy };
        if !is_first && streak.contrary < enough {
            return Change::Nothing;
        }
        streak.contrary = 0;
        self.well.store(is_well, Ordering::Relaxed);
        match finding {
            Finding::Ill(cause) => Change::Fell(cause),
            Finding::Mute if turned_out_mute => Change::TurnedOutMute,
            Finding::Well | Finding::Mute => Change::Recovered,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Streak> {
        self.streak.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ill() -> Finding {
        Finding::Ill("why".to_owned())
    }

    fn fell() -> Change {
        Change::Fell("why".to_owned())
    }

    /// What an endpoint of which nothing is known makes of these findings.
    fn changes(findings: impl IntoIterator<Item = Finding>) -> (Vec<Change>, bool) {
        let health = Health::new();
        let spec = HealthSpec { healthy: 2, unhealthy: 3, ..HealthSpec::default() };
        (findings.into_iter().map(|finding| health.learn(finding, &spec)).collect(), health.is_well())
    }

    #[test]
    fn the_first_check_decides_alone() {
        assert!(Health::new().is_well(), "usable before it");
        assert_eq!(changes([ill()]), (vec![fell()], false));
        assert_eq!(changes([Finding::Well]), (vec![Change::Nothing], true));
    }

    #[test]
    fn later_it_takes_so_many_in_a_row() {
        use Change::{Nothing, Recovered};
        let findings = [Finding::Well, ill(), ill(), Finding::Well, ill(), ill()];
        assert_eq!(changes(findings), ((0..6).map(|_| Nothing).collect(), true), "never three in a row");
        let findings = [Finding::Well, ill(), ill(), ill(), ill(), Finding::Well, ill(), Finding::Well, Finding::Well, Finding::Well];
        let expected = vec![Nothing, Nothing, Nothing, fell(), Nothing, Nothing, Nothing, Nothing, Recovered, Nothing];
        assert_eq!(changes(findings), (expected, true));
    }

    #[test]
    fn who_does_not_speak_the_protocol_is_well_and_that_is_said_once() {
        use Change::{Nothing, TurnedOutMute};
        assert_eq!(changes([Finding::Mute, Finding::Mute]), (vec![TurnedOutMute, Nothing], true));
        assert_eq!(changes([ill(), Finding::Mute, Finding::Mute]), (vec![fell(), Nothing, Change::Recovered], true));
    }

    #[test]
    fn what_is_known_can_be_forgotten() {
        let health = Health::new();
        health.learn(ill(), &HealthSpec::default());
        health.forget();
        assert!(health.is_well());
        assert_eq!(health.learn(ill(), &HealthSpec::default()), fell(), "the next check is a first one");
    }
}
