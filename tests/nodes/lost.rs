//! Redis stops, is stopped, is full, only reads, or loses its memory, under live traffic.
//!
//! Whoever is connected stays and is answered. What needs the store fails closed, soon, and as something that may be tried again. When the
//! server is well, so is everything.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use protogate::session::revocation::Revocation;
use serde_json::{Value, json};

use super::*;
use crate::support::client::TestClient;
use crate::support::nodes::ROUTES;
use crate::support::top;

/// Within which what cannot succeed has failed: the quarter of a second of the store, and what a debug build on a very busy machine adds.
const SOON: Duration = Duration::from_millis(250 + 7750);

/// Within which all is well again after the server is, and the same addition.
const HEALED: Duration = Duration::from_secs(2 + 18);

/// Login and RefreshToken of the auth service.
const LOGIN: u32 = 1001;
const REGISTER: u32 = 1002;
const REFRESH: u32 = 1004;

/// Something that happens to a server.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Trouble {
    /// It dies, and comes back without anything in it.
    Killed,
    /// It does not answer, and its connections stay.
    Paused,
    /// It answers clients later.
    Held,
    /// It has no memory left.
    Full,
    /// It is a replica of a server that is nowhere.
    ReadOnly,
    /// It forgets the scripts that it knew.
    ScriptsForgotten,
    /// It starts anew, with nothing in it.
    Emptied,
}

// === impl Trouble ===

impl Trouble {
    fn begin(self, cluster: &mut Cluster) {
        let redis = &mut cluster.redis;
        match self {
            Trouble::Killed => redis.kill(),
            Trouble::Paused => redis.pause(),
            Trouble::Held => ok(&redis.say(&["CLIENT", "PAUSE", "60000", "WRITE"])),
            Trouble::Full => {
                ok(&redis.say(&["CONFIG", "SET", "maxmemory-policy", "noeviction"]));
                ok(&redis.say(&["CONFIG", "SET", "maxmemory", "1"]));
            }
            Trouble::ReadOnly => ok(&redis.say(&["REPLICAOF", "127.0.0.1", "1"])),
            Trouble::ScriptsForgotten => ok(&redis.say(&["SCRIPT", "FLUSH"])),
            Trouble::Emptied => redis.restart(),
        }
    }

    fn end(self, cluster: &mut Cluster) {
        let redis = &mut cluster.redis;
        match self {
            Trouble::Killed => redis.restart(),
            Trouble::Paused => redis.resume(),
            Trouble::Held => ok(&redis.say(&["CLIENT", "UNPAUSE"])),
            Trouble::Full => ok(&redis.say(&["CONFIG", "SET", "maxmemory", "0"])),
            Trouble::ReadOnly => ok(&redis.say(&["REPLICAOF", "NO", "ONE"])),
            Trouble::ScriptsForgotten | Trouble::Emptied => {}
        }
    }

    /// Whether nothing can be stored while it lasts.
    fn stops(self) -> bool {
        !matches!(self, Trouble::ScriptsForgotten | Trouble::Emptied)
    }

    /// Whether what was stored is gone afterwards.
    fn empties(self) -> bool {
        matches!(self, Trouble::Killed | Trouble::Emptied)
    }
}

fn ok(answer: &str) {
    assert!(answer.starts_with("+OK"), "{answer}");
}

/// A user who calls all the time, until told to stop; every call must be answered.
struct Caller {
    enough: Arc<AtomicBool>,
    task: tokio::task::JoinHandle<(Player, u32)>,
}

// === impl Caller ===

impl Caller {
    fn start(mut player: Player) -> Caller {
        let enough = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&enough);
        let task = tokio::spawn(async move {
            let mut calls = 0;
            while !told.load(Ordering::Relaxed) {
                assert_eq!(player.echo(ECHO, "hi").await.as_deref(), Ok("hi"), "call {calls}");
                assert_eq!(player.echo(KNOWN, "hi").await.as_deref(), Ok("hi"), "call {calls}");
                calls += 2;
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            (player, calls)
        });
        Caller { enough, task }
    }

    async fn stop(self) -> (Player, u32) {
        self.enough.store(true, Ordering::Relaxed);
        self.task.await.expect("every call was answered")
    }
}

/// Everybody there is when the trouble begins.
struct World {
    cluster: Cluster,
    nodes: [TestGateway; 2],
    /// Connected to either node, with calls all the time.
    callers: Vec<Caller>,
    /// Connected, and will show a fresh token.
    refresher: Player,
    /// Registered, and the refresh token that came of it.
    registered: Player,
    refresh_token: String,
    /// Connected, and will be revoked.
    victim: Player,
    /// Dropped from the first node: one to come back to it, one to come back to the other.
    dropped: [Session; 2],
}

// === impl World ===

impl World {
    async fn new() -> World {
        let auth = std::fs::read_to_string(top().join("routes/auth.yaml")).unwrap().replace("30/min, burst: 30", "30000/min, burst: 30000");
        let cluster = Cluster::serving("{ per_user_max: 1 }", &format!("include: [auth.yaml]\n{}", ROUTES.trim_start()))
            .with_file("routes/auth.yaml", &auth);
        let nodes = [cluster.gateway(), cluster.gateway()];
        let [a, b] = &nodes;
        let login = async |gateway: &TestGateway, user: &str| Player::login(gateway.edge(), &token(a, user)).await;
        let callers = vec![Caller::start(login(a, "here").await), Caller::start(login(b, "there").await)];
        let mut registered = Player::connect(a.edge()).await;
        let refresh_token = register(&mut registered).await;
        let dropped = [login(a, "dropped-here").await.vanish(), login(a, "dropped-there").await.vanish()];
        for session in &dropped {
            detached(&cluster, session).await;
        }
        let (refresher, victim) = (login(a, "refresher").await, login(b, "victim").await);
        World { callers, refresher, registered, refresh_token, victim, dropped, cluster, nodes }
    }

    /// What needs the store is refused soon, definitely, and as something that may be tried again.
    async fn is_refused(&mut self, trouble: Trouble) {
        for (number, node) in self.nodes.iter().enumerate() {
            let fresh = |user: &str| token(node, user);
            let mut player = Player::connect(node.edge()).await;
            let began = Instant::now();
            let answer = player.authenticate(&fresh("new")).await;
            soon_unavailable("a token", trouble, answer, began);
            let began = Instant::now();
            let answer = player.resume(&self.dropped[number], "").await;
            soon_unavailable("a resumption", trouble, answer, began);
            let began = Instant::now();
            let answer = player.resume(&self.dropped[number], &fresh(&self.dropped[number].user)).await;
            soon_unavailable("a resumption with a token", trouble, answer, began);
            let began = Instant::now();
            let answer = player.ask(LOGIN, json!({ "username": "Alice", "password": PASSWORD })).await;
            soon_unavailable("a login", trouble, answer, began);
            let began = Instant::now();
            let answer = player.ask(REFRESH, json!({ "refreshToken": self.refresh_token })).await;
            soon_unavailable("a refresh token", trouble, answer, began);
            let began = Instant::now();
            let revoked = node.gateway().revoke(Revocation::Session(self.victim.session.id.clone())).await;
            let answer = revoked.map(|()| Value::Null).map_err(|failure| failure.reason().to_owned());
            soon_unavailable("a revocation", trouble, answer, began);
            assert_eq!(player.echo(ECHO, "hi").await.unwrap(), "hi", "it is nobody, and may stay");
            let began = Instant::now();
            TestClient::connect_with_token(node.edge(), &fresh("new")).await.assert_sent_away(4005).await;
            assert!(began.elapsed() < SOON, "{trouble:?}: {:?}", began.elapsed());
        }
        let began = Instant::now();
        let answer = self.refresher.refresh(&token(&self.nodes[0], "refresher")).await;
        soon_unavailable("a refresh", trouble, answer, began);
        assert_eq!(self.refresher.echo(KNOWN, "hi").await.unwrap(), "hi", "the old token is still good");
    }

    /// Everything is well again in time, and whoever was there is known.
    async fn heals(mut self, trouble: Trouble) {
        let began = Instant::now();
        let [a, b] = &self.nodes;
        for node in [a, b] {
            healed("a token", began, async || Player::connect(node.edge()).await.authenticate(&token(a, "new")).await).await;
        }
        healed("a refresh", began, async || self.refresher.refresh(&token(a, "refresher")).await).await;
        for (session, node) in self.dropped.iter().zip([a, b]) {
            let resumed = healed("a resumption", began, async || Player::connect(node.edge()).await.resume(session, "").await).await;
            assert_eq!(resumed["ready"]["sessionId"], *session.id, "{trouble:?}");
            // The other node may have asked for what was missed before anybody listened again, and then says so.
            assert!(resumed["recovered"] == true || node.edge() == b.edge(), "{trouble:?}: {resumed}");
        }
        if trouble.empties() {
            healed("a registration", began, async || {
                let mut player = Player::connect(b.edge()).await;
                player.ask(REGISTER, application()).await
            })
            .await;
        } else {
            let mut player = Player::connect(b.edge()).await;
            healed("a refresh token", began, async || player.ask(REFRESH, json!({ "refreshToken": self.refresh_token })).await).await;
            self.registered.hear_sent_away(4502).await;
        }
        healed("a login", began, async || {
            Player::connect(b.edge()).await.ask(LOGIN, json!({ "username": "Alice", "password": PASSWORD })).await
        })
        .await;
        healed("a revocation", began, async || {
            let revoked = a.gateway().revoke(Revocation::Session(self.victim.session.id.clone())).await;
            revoked.map(|()| Value::Null).map_err(|failure| failure.reason().to_owned())
        })
        .await;
        self.victim.hear_sent_away(4501).await;

        // Those who were called all the time have their sessions, and only one.
        let store = self.cluster.store().await;
        for (caller, node) in self.callers.into_iter().zip([b, a]) {
            let (player, calls) = caller.stop().await;
            assert!(calls > 0, "nobody called meanwhile");
            let session = player.session.clone();
            let listed = async || roster(&store, &session.user).await.iter().map(|record| record.id.clone()).collect::<Vec<_>>();
            eventually("the session is known", async || listed().await == [session.id.clone()]).await;
            let mut next = Player::login(node.edge(), &token(a, &session.user)).await;
            player.hear_sent_away(4502).await;
            assert_eq!(next.echo(KNOWN, "hi").await.unwrap(), "hi");
            assert_eq!(listed().await, [next.session.id.clone()]);
        }
    }
}

const PASSWORD: &str = "correct horse battery staple";

fn application() -> Value {
    json!({ "username": "Alice", "password": PASSWORD, "email": "alice@example.com" })
}

/// Registers, and returns the refresh token.
async fn register(player: &mut Player) -> String {
    player.ask(REGISTER, application()).await.unwrap()["refreshToken"].as_str().unwrap().to_owned()
}

fn soon_unavailable(what: &str, trouble: Trouble, answer: Result<Value, String>, began: Instant) {
    let took = began.elapsed();
    assert_eq!(answer.map(drop), Err("UNAVAILABLE".to_owned()), "{trouble:?}: {what} after {took:?}");
    assert!(took < SOON, "{trouble:?}: {what} after {took:?}");
}

/// Tries until it succeeds.
async fn healed(what: &str, began: Instant, mut attempt: impl AsyncFnMut() -> Result<Value, String>) -> Value {
    loop {
        match attempt().await {
            Ok(value) => return value,
            Err(reason) => assert!(began.elapsed() < HEALED, "{what} is still refused after {:?}: {reason}", began.elapsed()),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn survives(trouble: Trouble) {
    let mut world = World::new().await;
    trouble.begin(&mut world.cluster);
    if trouble.stops() {
        world.is_refused(trouble).await;
    }
    trouble.end(&mut world.cluster);
    world.heals(trouble).await;
}

#[tokio::test]
async fn a_server_that_dies_and_comes_back_empty() {
    survives(Trouble::Killed).await;
}

#[tokio::test]
async fn a_server_that_does_not_answer() {
    survives(Trouble::Paused).await;
}

#[tokio::test]
async fn a_server_that_answers_later() {
    survives(Trouble::Held).await;
}

#[tokio::test]
async fn a_server_that_is_full() {
    survives(Trouble::Full).await;
}

#[tokio::test]
async fn a_server_that_only_reads() {
    survives(Trouble::ReadOnly).await;
}

#[tokio::test]
async fn a_server_that_forgets_its_scripts() {
    survives(Trouble::ScriptsForgotten).await;
}

#[tokio::test]
async fn a_server_that_is_restarted_and_has_lost_everything() {
    survives(Trouble::Emptied).await;
}
