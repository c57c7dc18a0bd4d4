//! What is promised of topics and inboxes on one node, over a store in memory, on a clock that the test moves.

mod histories;
mod inboxes;
mod presence;
mod topics;

use std::sync::{Arc, Mutex};
use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use tokio::runtime::Handle;

use super::Hub;
use super::declared::{Rules, TopicRule};
use super::entry::Position;
use super::rules::{Delivery, PushPlan};
use crate::clock::Clock;
use crate::id::Protocol;
use crate::proto::Pool;
use crate::session::OnSlow;
use crate::session::outbox::{Fate, Mark};
use crate::session::ring::Entry;
use crate::session::{Attachment, Identity, Line, Node, Publication, Session, SessionSettings, Sessions};
use crate::store::memory::Memory;
use crate::store::{Bounds, Store};
use crate::topic::Pattern;
use crate::wire::Close;

/// One node, and what it shares with others.
struct World {
    clock: Clock,
    memory: Arc<Memory>,
    store: Store,
    sessions: Sessions,
    hub: Hub,
    _node: Node,
}

/// What a client was sent.
#[derive(Default)]
struct Wire {
    /// Sequence number and payload.
    pushed: Mutex<Vec<(u32, Bytes)>>,
    /// Offset, and the epoch where it is told.
    published: Mutex<Vec<(u64, String)>>,
}

struct Client {
    wire: Arc<Wire>,
    attachment: Attachment,
}

/// The kinds of topics: a room keeps three messages for a minute.
const ROOM: Bounds = Bounds { count: 3, bytes: Some(1 << 10), age: Duration::from_secs(60) };

// === impl World ===

impl World {
    async fn new() -> World {
        let clock = Clock::by_hand(UNIX_EPOCH + Duration::from_secs(1_800_000_000));
        let memory = Arc::new(Memory::new(clock.clone()));
        World::sharing(clock, memory).await
    }

    /// Another node of the same store.
    async fn sharing(clock: Clock, memory: Arc<Memory>) -> World {
        let store = Store::sharing(Arc::clone(&memory));
        let sessions = Sessions::new(store.clone(), clock.clone(), Handle::current());
        sessions.set_settings(SessionSettings { ring_bytes_max: 4096, ..sessions.settings() });
        let _node = Node::join(sessions.clone()).await.unwrap();
        let hub = Hub::new(sessions.clone(), store.clone(), clock.clone(), Handle::current());
        hub.set_rules(rules());
        World { clock, memory, store, sessions, hub, _node }
    }

    async fn login(&self, user: &str) -> Client {
        let now = self.clock.now();
        let identity = Identity {
            user: user.into(),
            roles: Vec::new(),
            token_id: None,
            issued_ms: self.clock.now_ms(),
            expires: now + Duration::from_secs(365 * 86_400),
            token: None,
            api_key: None,
        };
        let grant = self.sessions.bind(identity).await.unwrap();
        let wire = Arc::new(Wire::default());
        let attachment = grant.take(Arc::clone(&wire) as Arc<dyn Line>, |_, _| Ok::<(), Close>(())).unwrap();
        Client { wire, attachment }
    }
}

fn rules() -> Rules {
    let push = |number, delivery| {
        Arc::new(PushPlan {
            number: Protocol(number),
            name: format!("push {number}").into(),
            message: Pool::own().message("protogate.wire.v1.Goodbye").unwrap(),
            delivery,
        })
    };
    let topic = |pattern: &str, presence_events| {
        Arc::new(TopicRule {
            pattern: Pattern::parse(pattern).unwrap(),
            history: Some(ROOM),
            presence: true,
            presence_events,
            pushes: vec![2101],
        })
    };
    Rules {
        pushes: vec![
            push(2101, Delivery::BestEffort(OnSlow::Disconnect)),
            push(2102, Delivery::BestEffort(OnSlow::Disconnect)),
            push(2103, Delivery::Durable),
        ],
        topics: vec![topic("room/{id}", None), topic("hall/{id}", Some(2102))],
        topics_max: 8,
        has_durable: true,
    }
}

// === impl Client ===

impl Client {
    fn session(&self) -> &Arc<Session> {
        self.attachment.session()
    }

    fn pushed(&self) -> Vec<u32> {
        self.wire.pushed.lock().unwrap().iter().map(|push| push.0).collect()
    }

    /// The offsets that were heard, until now.
    fn published(&self) -> Vec<u64> {
        self.wire.published.lock().unwrap().iter().map(|published| published.0).collect()
    }
}

impl Line for Wire {
    fn push(&self, entry: &Entry) -> bool {
        self.pushed.lock().unwrap().push((entry.seq, entry.payload.clone()));
        true
    }

    fn publish(&self, publication: &Arc<Publication>) -> bool {
        self.published.lock().unwrap().push((publication.offset, publication.epoch.to_string()));
        true
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
