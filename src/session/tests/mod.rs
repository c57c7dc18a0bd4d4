//! What is promised of sessions, on one node and on several: nodes that share a store in memory, on a clock that the test moves.

mod model;
mod promises;
mod receipts;
mod returns;
mod steps;

use std::sync::{Arc, Mutex};
use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::letter::{Letter, keep_receiving, mailbox};
use super::line::Line;
use super::node::Node;
use super::outbox::{Fate, Mark};
use super::publication::Publication;
use super::ring::Entry;
use super::secret::ResumeToken;
use super::{Admitted, Attachment, Grant, Identity, SessionSettings, Sessions};
use crate::clock::Clock;
use crate::failure::{Failure, Result};
use crate::store::memory::Memory;
use crate::store::{Signal, Store};
use crate::wire::Close;

/// Some nodes, and what they share.
struct World {
    clock: Clock,
    memory: Arc<Memory>,
    store: Store,
    settings: SessionSettings,
    nodes: Vec<TestNode>,
}

struct TestNode {
    sessions: Sessions,
    node: Node,
    letters: JoinHandle<()>,
}

/// A connection of the tests: it remembers what it was sent.
#[derive(Default)]
struct Wire {
    pushed: Mutex<Vec<u32>>,
    published: Mutex<Vec<Arc<Publication>>>,
    closed: Mutex<Option<Close>>,
    /// There is no room for pushes.
    full: bool,
}

/// A client that is in a session.
struct Client {
    attachment: Attachment,
    wire: Arc<Wire>,
    resume_token: String,
    recovered: bool,
    replayed: usize,
}

// === impl World ===

fn settings() -> SessionSettings {
    SessionSettings { per_user_max: 2, ..SessionSettings::default() }
}

fn payload() -> Bytes {
    Bytes::from_static(b"event")
}

impl World {
    async fn of(nodes: usize, settings: SessionSettings) -> World {
        let clock = Clock::by_hand(UNIX_EPOCH + Duration::from_secs(1_800_000_000));
        let memory = Arc::new(Memory::new(clock.clone()));
        let mut world = World { store: Store::sharing(Arc::clone(&memory)), clock, memory, settings, nodes: Vec::new() };
        for _ in 0..nodes {
            let node = world.node().await;
            world.nodes.push(node);
        }
        world
    }

    async fn node(&self) -> TestNode {
        let sessions = Sessions::new(self.store.clone(), self.clock.clone(), Handle::current());
        sessions.set_settings(self.settings);
        let node = Node::join(sessions.clone()).await.unwrap();
        let receiving = sessions.clone();
        let letters = tokio::spawn(async move { keep_receiving(&receiving).await });
        // It listens before anybody writes.
        tokio::task::yield_now().await;
        TestNode { sessions, node, letters }
    }

    fn sessions(&self, node: usize) -> &Sessions {
        &self.nodes[node].sessions
    }

    /// An identity that is good for an hour.
    fn identity(&self, user: &str) -> Identity {
        let now = self.clock.now();
        Identity {
            user: user.into(),
            roles: vec!["player".into()],
            token_id: Some(format!("token of {user}").into()),
            issued_ms: self.clock.now_ms(),
            expires: now + Duration::from_secs(3600),
            token: None,
            api_key: None,
        }
    }

    async fn login(&self, node: usize, user: &str) -> Result<Client> {
        let grant = self.sessions(node).bind(self.identity(user)).await?;
        Client::enter(grant).map_err(|close| panic!("ended before it began: {close:?}"))
    }

    async fn resume(&self, node: usize, token: &str, last_seq: u32) -> Result<Client> {
        let token = ResumeToken::parse(token).unwrap();
        let grant = self.sessions(node).resume(&token, None, last_seq).await?;
        Client::enter(grant).map_err(|close| panic!("ended before it began: {close:?}"))
    }

    /// Everything that goes on in the background, once.
    async fn settle(&mut self) {
        // Twice: what one node stores another follows, and the other way round.
        for _ in 0..2 {
            for node in &mut self.nodes {
                node.node.lease.renew().await.unwrap();
                node.node.follower.follow().await.unwrap();
                node.sessions.sweep(0);
                node.sessions.store_changes().await.unwrap();
            }
        }
    }

    /// From now on the letters to a node come to the test instead.
    async fn intercept(&self, node: usize) -> mpsc::Receiver<Signal> {
        self.nodes[node].letters.abort();
        tokio::task::yield_now().await;
        self.store.listen(&mailbox(&self.sessions(node).0.node)).await.unwrap()
    }

    async fn letter(letters: &mut mpsc::Receiver<Signal>) -> Letter {
        match letters.recv().await {
            Some(Signal::Message(bytes)) => Letter::read(&bytes).unwrap(),
            other => panic!("expected a letter: {other:?}"),
        }
    }

    /// A node dies without a word, and another takes its place.
    async fn kill(&mut self, node: usize) {
        let fresh = self.node().await;
        let dead = std::mem::replace(&mut self.nodes[node], fresh);
        dead.letters.abort();
        // Its mailbox is gone when the task is.
        _ = dead.letters.await;
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.nodes.iter().for_each(|node| node.letters.abort());
    }
}

// === impl Client ===

impl Client {
    fn enter(grant: Grant) -> std::result::Result<Client, Close> {
        Client::enter_by(grant, Arc::default())
    }

    fn enter_by(grant: Grant, wire: Arc<Wire>) -> std::result::Result<Client, Close> {
        let resume_token = grant.resume_token().to_owned();
        let (mut recovered, mut replayed) = (false, 0);
        let line = Arc::clone(&wire);
        let attachment = grant.take(Arc::clone(&wire) as Arc<dyn Line>, |_, replay| {
            recovered = replay.recovered;
            replayed = replay.missed.len();
            replay.missed.into_iter().for_each(|entry| assert!(line.push(entry)));
            Ok::<(), Close>(())
        })?;
        Ok(Client { attachment, wire, resume_token, recovered, replayed })
    }

    fn id(&self) -> &str {
        &self.attachment.session().id
    }

    fn closed(&self) -> Option<Close> {
        *self.wire.closed.lock().unwrap()
    }

    fn pushed(&self) -> Vec<u32> {
        self.wire.pushed.lock().unwrap().clone()
    }
}

impl Line for Wire {
    fn push(&self, entry: &Entry) -> bool {
        if self.full {
            return false;
        }
        self.pushed.lock().unwrap().push(entry.seq);
        true
    }

    fn publish(&self, publication: &Arc<Publication>) -> bool {
        if !self.full {
            self.published.lock().unwrap().push(Arc::clone(publication));
        }
        !self.full
    }

    fn expel(&self, _: &str, _: &str) -> bool {
        !self.full
    }

    fn mark(&self) -> Mark {
        Mark::default()
    }

    fn fate(&self, _: Mark) -> Fate {
        if self.full { Fate::Waiting } else { Fate::Written }
    }

    fn close(&self, close: Close) {
        self.closed.lock().unwrap().get_or_insert(close);
    }
}

fn reason(outcome: Result<Client>) -> String {
    match outcome {
        Ok(_) => "OK".to_owned(),
        Err(failure) => Failure::reason(&failure).to_owned(),
    }
}
