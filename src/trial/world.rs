//! A gateway for one test: everything above the sockets of clients and below those of services, on a clock that the test moves.
//!
//! What serves is made here out of a plan as `gateway` makes it. Promises: no file is written and no network is reached; a world ends with
//! all that it began when it is dropped. Time by the test's clock is what limits, stores and histories see; what waits (deadlines, the
//! pauses between attempts, breakers) goes by real time, which is short, since services answer at once.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use tokio::runtime::{Builder, Runtime};
use tokio::time::Instant;

use super::stage::Services;
use super::suite::Who;
use crate::backend::{EndpointSpec, Source, SpecKind};
use crate::clock::{Clock, to_millis};
use crate::drain::Tasks;
use crate::failure::Failure;
use crate::files::Fingerprint;
use crate::id::{ConnectionId, Generation, WorkerId};
use crate::pipeline::Identity;
use crate::pipeline::call::Caller;
use crate::pipeline::identity::Token;
use crate::pipeline::signer::Signer;
use crate::push::Hub;
use crate::services::NAMES;
use crate::session::outbox::{Fate, Mark};
use crate::session::ring::Entry;
use crate::session::{Grant, Line, PATIENCE, Publication, Sessions};
use crate::store::Store;
use crate::store::memory::Memory;
use crate::table::Table;
use crate::table::link::{Cells, Living};
use crate::table::plan::Plan;
use crate::wire::Close;

/// How long an identity of a test is good.
const GOOD_FOR: Duration = Duration::from_secs(86_400);

/// How often other tasks get their turn before what they do is taken to be done.
const TURNS: usize = 64;

/// How long something that should be heard may take.
const HEARD_WITHIN: Duration = Duration::from_secs(1);

/// One gateway, and one client of it.
pub struct World {
    pub table: Arc<Table>,
    pub services: Services,
    pub caller: Caller,
    pub line: Arc<Ear>,
    /// Signs the tokens that replies hold; nobody else believes it.
    pub signer: Signer,
    clock: Clock,
    /// When the test began, by the time that really passes, and how much later it is by the test's.
    began: Instant,
    passed: Duration,
    _tasks: Tasks,
}

/// A message that the client heard without asking.
#[derive(Clone)]
pub struct Push {
    pub number: u32,
    pub topic: String,
    pub message: Bytes,
}

/// The way to the client.
#[derive(Default)]
pub struct Ear(Mutex<Vec<Push>>);

/// A runtime for one world: its thread is the only one, so that things happen in one order.
pub fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().expect("a runtime of one thread needs nothing that may be missing")
}

/// The plan without what reaches out: endpoints that are found, certificates, health checks, key sets and collectors.
pub fn alone(mut plan: Plan, endpoints: &HashMap<String, Vec<EndpointSpec>>, signer: &Signer) -> Plan {
    for spec in &mut plan.backends {
        let SpecKind::Grpc(grpc) = &mut spec.kind else { continue };
        let found = match &grpc.source {
            Source::Static(listed) => listed.clone(),
            Source::Dns { host, port, .. } => vec![EndpointSpec::new(host.clone(), *port, false)],
            Source::File(_) | Source::Registry { .. } => vec![EndpointSpec::new(spec.name.replace('_', "-"), 1, false)],
        };
        let mut listed = endpoints.get(&*spec.name).cloned().unwrap_or(found);
        listed.iter_mut().for_each(|endpoint| endpoint.tls = false);
        (grpc.source, grpc.tls, grpc.health) = (Source::Static(listed), None, None);
    }
    plan.tokens.issuers = vec![signer.development_issuer()];
    plan.settings.otlp = None;
    plan
}

// === impl World ===

impl World {
    /// A gateway by this plan, and a client of it. To be called, and used, on the runtime of the world.
    pub async fn open(plan: Plan, signer: Signer, who: &Who, seed: u64) -> Result<World, Failure> {
        let (runtime, clock) = (tokio::runtime::Handle::current(), Clock::by_hand(SystemTime::now()));
        let store = Store::new(Memory::new(clock.clone()));
        let sessions = Sessions::new(store.clone(), clock.clone(), runtime.clone());
        let hub = Hub::new(sessions.clone(), store, clock.clone(), runtime.clone());
        let tasks = Tasks::new();
        hub.start(&tasks);
        let services = Services::new(runtime, seed);
        let builtins = Arc::new(services.builtins(NAMES));
        let mut living = Living::new(builtins, sessions.clone(), hub, Cells::default(), Arc::default(), 1);
        let table = Arc::new(living.link(plan, Generation(1), Fingerprint([0; 32])));
        living.tell();
        let peer = who.peer.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
        let mut world = World {
            table,
            services,
            caller: Caller::new(ConnectionId(1), WorkerId(0), peer),
            line: Arc::default(),
            signer,
            clock,
            began: Instant::now(),
            passed: Duration::ZERO,
            _tasks: tasks,
        };
        if let Some(identity) = who.identity(world.clock.now()) {
            let grant = sessions.ask(PATIENCE, |sessions| async move { sessions.bind(identity).await }).await?;
            world.enter(grant);
        }
        Ok(world)
    }

    /// The client is in this session from now on.
    pub fn enter(&mut self, grant: Grant) {
        let identity = Arc::clone(grant.identity());
        // A grant that is not taken takes itself back; that is what becomes of one that ended meanwhile.
        let Ok(attachment) = grant.take(Arc::clone(&self.line) as Arc<dyn Line>, |_, _| Ok::<(), Close>(())) else { return };
        let session = Arc::clone(attachment.session());
        if let Some(before) = self.caller.enter(identity, attachment) {
            before.abandon();
        }
        self.table.hub.welcome(&session);
    }

    /// What time it is by the test's clock.
    pub fn now(&self) -> Instant {
        self.began + self.passed
    }

    /// Lets time pass, which costs none.
    pub fn wait(&mut self, by: Duration) {
        self.passed += by;
        self.clock.advance(by);
    }

    /// What the client heard since it was last asked, once everything that goes on has had its turn. Where so many should be heard, it
    /// is waited for them.
    pub async fn heard(&self, expected: usize) -> Vec<Push> {
        let until = Instant::now() + HEARD_WITHIN;
        loop {
            for _ in 0..TURNS {
                tokio::task::yield_now().await;
            }
            if self.line.len() >= expected || Instant::now() >= until {
                return self.line.take();
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

// === impl Who ===

impl Who {
    /// What its token would say.
    fn identity(&self, now: SystemTime) -> Option<Identity> {
        Some(Identity {
            user: self.user.as_deref()?.into(),
            roles: self.roles.iter().map(|role| role.as_str().into()).collect(),
            token_id: Some(self.token_id.as_str().into()),
            issued_ms: to_millis(now),
            expires: now + GOOD_FOR,
            token: Some(Token::new("token-of-the-test")),
            api_key: None,
        })
    }
}

// === impl Ear ===

impl Ear {
    fn len(&self) -> usize {
        self.0.lock().expect("nothing that holds the list panics").len()
    }

    fn take(&self) -> Vec<Push> {
        std::mem::take(&mut self.0.lock().expect("nothing that holds the list panics"))
    }

    fn hear(&self, number: u32, topic: &str, message: &Bytes) -> bool {
        let push = Push { number, topic: topic.to_owned(), message: message.clone() };
        self.0.lock().expect("nothing that holds the list panics").push(push);
        true
    }
}

impl Line for Ear {
    fn push(&self, entry: &Entry) -> bool {
        self.hear(entry.number, "", &entry.payload)
    }

    fn publish(&self, publication: &Arc<Publication>) -> bool {
        self.hear(publication.number, &publication.topic, &publication.payload)
    }

    fn expel(&self, _: &str, _: &str) -> bool {
        true
    }

    fn mark(&self) -> Mark {
        Mark::default()
    }

    fn fate(&self, _: Mark) -> Fate {
        Fate::Written
    }

    fn close(&self, _: Close) {}
}
