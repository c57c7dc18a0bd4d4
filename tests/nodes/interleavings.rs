//! Anything in any order: many users at once log in, drop, come back, log out, are revoked and expire on two real processes, and after
//! every step what the nodes do is what a model says.
//!
//! `INTERLEAVINGS=SEED` runs another sequence; a failure names the seed and the user.

use proptest::prelude::any;
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use protogate::session::revocation::Revocation;
use protogate::session::roster::Record;
use protogate::store::Store;
use serde_json::json;

use super::*;
use crate::support::nodes::Process;

/// Users, each of which is a run of its own.
const RUNS: u64 = 200;

/// Steps of one run.
const STEPS: usize = 10;

/// Sessions that each may have.
const PER_USER_MAX: usize = 2;

/// As long as a token lives that is to expire.
const SHORT: Duration = Duration::from_secs(4);

/// What is done next; the numbers choose which node and which session.
#[derive(Clone, Copy, Debug)]
enum Step {
    Login { there: bool },
    Drop { which: usize },
    Resume { there: bool, which: usize, fresh: bool },
    Logout { which: usize },
    RevokeSession { which: usize },
    RevokeToken { which: usize },
    Expire { there: bool },
}

/// A session as it should be.
struct Model {
    session: Session,
    token: String,
    /// Its token has expired.
    expired: bool,
    /// The connection that has it, and where that is.
    player: Option<(Player, bool)>,
}

/// One user.
struct Run<'a> {
    user: String,
    nodes: &'a [Process; 2],
    operator: &'a TestGateway,
    store: &'a Store,
    /// In the order in which they were made.
    sessions: Vec<Model>,
    /// Resume tokens that must not be good for anything any more.
    over: Vec<Session>,
}

// === impl Run ===

impl Run<'_> {
    async fn take(&mut self, step: Step) {
        match step {
            Step::Login { there } => self.login(there, MINUTE * 10).await,
            Step::Drop { which } => {
                if let Some(model) = self.pick(which, |model| model.player.is_some()) {
                    let (player, _) = model.player.take().unwrap();
                    model.session = player.vanish();
                }
            }
            Step::Resume { there, which, fresh } => self.resume(there, which, fresh).await,
            Step::Logout { which } => {
                let Some(at) = self.place(which, |model| model.player.is_some()) else { return };
                let model = self.sessions.remove(at);
                let (mut player, _) = model.player.unwrap();
                player.ask(9004, json!({})).await.unwrap();
                assert_eq!(player.echo(KNOWN, "hi").await.unwrap_err(), "UNAUTHENTICATED", "{}", self.user);
                self.over.push(model.session);
            }
            Step::RevokeSession { which } => self.revoke(which, |model| Revocation::Session(model.session.id.clone())).await,
            Step::RevokeToken { which } => self.revoke(which, |model| Revocation::Token(token_id(&model.token))).await,
            Step::Expire { there } => {
                self.login(there, SHORT).await;
                let model = self.sessions.last_mut().unwrap();
                let (player, _) = model.player.take().unwrap();
                model.session = player.session.clone();
                model.expired = true;
                player.hear_sent_away(4002).await;
            }
        }
    }

    async fn login(&mut self, there: bool, ttl: Duration) {
        let token = self.nodes[0].token_for(ttl, &self.user);
        let mut player = Player::connect(self.nodes[usize::from(there)].edge).await;
        player.authenticate(&token).await.unwrap_or_else(|reason| panic!("{}: {reason}", self.user));
        while self.sessions.len() >= PER_USER_MAX {
            let detached = self.sessions.iter().position(|model| model.player.is_none());
            let gone = self.sessions.remove(detached.unwrap_or(0));
            if let Some((player, _)) = gone.player {
                player.hear_sent_away(4502).await;
            }
            self.over.push(gone.session);
        }
        self.sessions.push(Model { session: player.session.clone(), token, expired: false, player: Some((player, there)) });
    }

    async fn resume(&mut self, there: bool, which: usize, fresh: bool) {
        let (user, node) = (self.user.clone(), &self.nodes[usize::from(there)]);
        let token = if fresh { self.nodes[0].token_for(MINUTE * 10, &user) } else { String::new() };
        let mut player = Player::connect(node.edge).await;
        let Some(model) = self.pick(which, |_| true) else { return };
        if model.expired && !fresh {
            assert_eq!(player.resume(&model.session, "").await.unwrap_err(), "RESUME_FAILED", "{user}");
            return;
        }
        let resumed = player.resume(&model.session, &token).await.unwrap_or_else(|reason| panic!("{user}: {reason}"));
        assert_eq!((&resumed["recovered"], &resumed["ready"]["sessionId"]), (&json!(true), &json!(model.session.id)), "{user}");
        if let Some((old, _)) = model.player.replace((player, there)) {
            old.hear_sent_away(4502).await;
        }
        if fresh {
            (model.token, model.expired) = (token, false);
        }
    }

    async fn revoke(&mut self, which: usize, what: impl Fn(&Model) -> Revocation) {
        let Some(at) = self.place(which, |_| true) else { return };
        let model = self.sessions.remove(at);
        let revoked = self.operator.gateway().revoke(what(&model)).await;
        revoked.unwrap_or_else(|failure| panic!("{}: {}", self.user, failure.reason()));
        if let Some((player, _)) = model.player {
            player.hear_sent_away(4501).await;
        }
        self.over.push(model.session);
    }

    /// The one of those that are `fit` which the number means.
    fn place(&self, which: usize, fit: impl Fn(&Model) -> bool) -> Option<usize> {
        let places: Vec<usize> = (0..self.sessions.len()).filter(|at| fit(&self.sessions[*at])).collect();
        (!places.is_empty()).then(|| places[which % places.len()])
    }

    fn pick(&mut self, which: usize, fit: impl Fn(&Model) -> bool) -> Option<&mut Model> {
        self.place(which, fit).map(|at| &mut self.sessions[at])
    }

    /// The roster says what the model says, and so do the connections.
    async fn agrees(&mut self, step: Step) {
        let expected: Vec<(String, bool)> = self.sessions.iter().map(|model| (model.session.id.clone(), model.player.is_some())).collect();
        let seen = |record: &Record| (record.id.clone(), record.detached_until_ms.is_none());
        let what = format!("{} after {step:?}: the roster is {expected:?}", self.user);
        eventually(&what, async || roster(self.store, &self.user).await.iter().map(seen).collect::<Vec<_>>() == expected).await;
        for model in &mut self.sessions {
            if let Some((player, _)) = &mut model.player {
                assert_eq!(player.echo(KNOWN, "here").await.as_deref(), Ok("here"), "{} after {step:?}", self.user);
            }
        }
    }

    /// Nobody comes back to what is over, on either node.
    async fn over_is_over(&mut self) {
        for (session, node) in self.over.iter().zip(self.nodes.iter().cycle()) {
            let mut player = Player::connect(node.edge).await;
            assert!(player.resume(session, "").await.is_err(), "{}", self.user);
        }
        self.agrees(Step::Drop { which: 0 }).await;
    }
}

fn token_id(token: &str) -> String {
    use base64::Engine as _;
    let claims = base64::prelude::BASE64_URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap();
    serde_json::from_slice::<serde_json::Value>(&claims).unwrap()["jti"].as_str().unwrap().to_owned()
}

/// The steps of a run: always the same for one seed.
fn steps(seed: u64) -> Vec<Step> {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let mut runner = TestRunner::new_with_rng(Config::default(), TestRng::from_seed(RngAlgorithm::ChaCha, &bytes));
    let step = (0..20u8, any::<bool>(), 0..4usize, any::<bool>()).prop_map(|(kind, there, which, fresh)| match kind {
        0..6 => Step::Login { there },
        6..9 => Step::Drop { which },
        9..15 => Step::Resume { there, which, fresh },
        15 => Step::Logout { which },
        16 | 17 => Step::RevokeSession { which },
        18 => Step::RevokeToken { which },
        _ => Step::Expire { there },
    });
    proptest::collection::vec(step, STEPS).new_tree(&mut runner).unwrap().current()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_interleaving_loses_a_session_or_has_it_twice() {
    let seed: u64 = std::env::var("INTERLEAVINGS").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1);
    let cluster = Cluster::new(&format!("{{ per_user_max: {PER_USER_MAX} }}"));
    let nodes = [cluster.process().await, cluster.process().await];
    let (operator, store) = (cluster.gateway(), cluster.store().await);
    // So many at once as two processors can serve without everybody waiting for everybody.
    let room = tokio::sync::Semaphore::new(16);
    let runs = (0..RUNS).map(|number| {
        let (nodes, operator, store, room) = (&nodes, &operator, &store, &room);
        async move {
            let _turn = room.acquire().await.unwrap();
            let user = format!("seed{seed}-user{number}");
            let mut run = Run { user, nodes, operator, store, sessions: Vec::new(), over: Vec::new() };
            for step in steps(seed * RUNS + number) {
                run.take(step).await;
                run.agrees(step).await;
            }
            run.over_is_over().await;
        }
    });
    futures_util::future::join_all(runs).await;
}
