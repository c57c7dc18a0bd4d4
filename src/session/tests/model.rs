//! Random interleavings of everything that can happen to sessions, on three nodes, against what may and may not come of it.
//!
//! What is checked after every step: a session disappears from its roster only for a reason that the step gave; a client can come back
//! exactly if its session is still there; what it gets has no gap. And at the end, when everything has settled: rosters, nodes and
//! connections agree about every session.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::steps::{NODES, SLOTS, Step, USERS, step};
use super::*;
use crate::session::lease::lease_key;
use crate::session::live::Wanted;
use crate::session::revocation::Revocation;
use crate::session::roster::{Life, Record, Roster};

/// Where clients sit, each with what it knows.
#[derive(Default)]
struct Slot {
    node: usize,
    client: Option<Client>,
    /// The session and how to come back to it, while the client believes in it.
    known: Option<(String, String)>,
    token: String,
    /// The last push that it has seen; nothing while it does not know where it stands.
    seen: Option<u32>,
    /// Its node died, so that it may be told of a loss.
    may_have_lost: bool,
}

struct Game {
    world: World,
    slots: Vec<Slot>,
    /// Connections that were sent away and have not noticed.
    stale: Vec<(usize, Client)>,
    /// Nodes that there are or were, and until when each is believed to live.
    leases: BTreeMap<String, Option<u64>>,
    dead: BTreeSet<String>,
    revoked: BTreeSet<String>,
    left: BTreeSet<String>,
    logins: u32,
    broken: bool,
}

/// What somebody may be told who has no session to come back to.
const GONE: [&str; 2] = ["RESUME_FAILED", "INVALID_TOKEN"];

// === impl Slot ===

impl Slot {
    /// Whether its client is connected, and in this session.
    fn is_in(&self, id: &str) -> bool {
        self.client.as_ref().is_some_and(|client| client.id() == id)
    }
}

// === impl Game ===

impl Game {
    async fn new(per_user_max: usize) -> Game {
        let world = World::of(NODES, SessionSettings { per_user_max, ..SessionSettings::default() }).await;
        let slots = (0..SLOTS).map(|_| Slot::default()).collect();
        let (leases, dead, revoked, left) = (BTreeMap::new(), BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        Game { world, slots, stale: Vec::new(), leases, dead, revoked, left, logins: 0, broken: false }
    }

    fn user(slot: usize) -> &'static str {
        USERS[slot % USERS.len()]
    }

    async fn roster(&self, user: &str) -> Roster {
        Roster::read(self.world.store.get(&Roster::key(user)).await.unwrap().as_ref()).unwrap()
    }

    async fn records(&mut self) -> BTreeMap<String, Record> {
        let mut records = BTreeMap::new();
        if !self.broken {
            let names = self.world.nodes.iter().map(|node| node.sessions.0.node.clone()).chain(self.dead.iter().cloned());
            let mut leases = BTreeMap::new();
            for name in names.collect::<Vec<_>>() {
                let lease = self.world.store.get(&lease_key(&name)).await.unwrap();
                leases.insert(name, lease.map(|document| std::str::from_utf8(&document.value).unwrap().parse().unwrap()));
            }
            self.leases = leases;
            for user in USERS {
                records.extend(self.roster(user).await.records().iter().map(|record| (record.id.clone(), record.clone())));
            }
        }
        records
    }

    fn is_over(&self, record: &Record) -> bool {
        let now = self.world.clock.now_ms();
        let life = match self.leases.get(&record.node).copied().flatten() {
            None => Life::Forgotten,
            Some(until) if until <= now => Life::DeadSince(until),
            Some(_) => Life::Alive,
        };
        record.is_over(now, &self.world.sessions(0).rules(), life)
    }

    /// Does a step, and checks what it must and must not do.
    async fn play(&mut self, step: Step) {
        let before = self.records().await;
        let was_broken = self.broken;
        let in_vain = self.waited_in_vain();
        let open = self.open();
        match step {
            Step::Login { slot, node } => self.login(slot, node).await,
            Step::Drop { slot } => drop(self.slots[slot].client.take()),
            Step::DropStale => self.stale.clear(),
            Step::Resume { slot, node } => self.resume(slot, node, &before).await,
            Step::Logout { slot } => self.logout(slot).await,
            Step::RevokeSession { slot } => {
                if let Some((id, _)) = self.slots[slot].known.clone() {
                    self.revoke(Revocation::Session(id.clone()), [id]).await;
                }
            }
            Step::RevokeToken { slot } => {
                if self.slots[slot].known.is_some() {
                    let token = self.slots[slot].token.clone();
                    let ids = before.values().filter(|record| record.token_id.as_deref() == Some(&token)).map(|record| record.id.clone());
                    self.revoke(Revocation::Token(token.clone()), ids.collect::<Vec<_>>()).await;
                }
            }
            Step::RevokeUser { user } => {
                let user = USERS[user];
                let issued_before_ms = self.world.clock.now_ms();
                let older = self.roster_ids(user, issued_before_ms).await;
                self.revoke(Revocation::User { user: user.to_owned(), issued_before_ms }, older).await;
            }
            Step::Push { user, node } => {
                let pushed = self.world.sessions(node).push(USERS[user], None, 2101, Bytes::from_static(b"x")).await;
                assert_eq!(pushed.is_err(), self.broken);
                // A letter is read when its node's turn comes.
                for _ in 0..4 {
                    tokio::task::yield_now().await;
                }
            }
            Step::Acknowledge { slot } => {
                self.look(slot);
                if let (Some(client), Some(seen)) = (&self.slots[slot].client, self.slots[slot].seen) {
                    client.attachment.session().acknowledge(seen);
                }
            }
            Step::Wait { seconds } => {
                for _ in 0..seconds.div_ceil(5) {
                    self.world.clock.advance(Duration::from_secs(seconds.min(5)));
                    for node in &mut self.world.nodes {
                        assert_eq!(node.node.lease.renew().await.is_err(), self.broken);
                    }
                }
                // A connection ends with its identity.
                let now = self.world.clock.now();
                for slot in &mut self.slots {
                    slot.client.take_if(|client| client.attachment.session().identity().expires <= now);
                }
                self.stale.retain(|(_, client)| client.attachment.session().identity().expires > now);
            }
            Step::Settle => {
                if !self.broken {
                    self.world.settle().await;
                }
            }
            Step::Kill { node } => self.kill(node).await,
            Step::Break { broken } => {
                self.world.memory.set_broken(broken);
                self.broken = broken;
            }
        }
        if !was_broken && !self.broken {
            self.check_what_is_gone(step, &before, &in_vain).await;
        }
        if let Step::Drop { .. } | Step::DropStale | Step::Push { .. } | Step::Acknowledge { .. } | Step::Break { .. } = step {
            let closed = open.difference(&self.open()).filter(|id| self.slots.iter().any(|slot| slot.is_in(id))).count();
            assert_eq!(closed, 0, "{step:?} sent somebody away");
        }
        self.check_that_nothing_is_twice();
    }

    /// The sessions whose clients are connected and have not been sent away.
    fn open(&self) -> BTreeSet<String> {
        let clients = self.slots.iter().filter_map(|slot| slot.client.as_ref());
        clients.filter(|client| client.closed().is_none()).map(|client| client.id().to_owned()).collect()
    }

    /// The sessions whose clients did not come back in time, as their nodes know; the store need not know yet.
    fn waited_in_vain(&self) -> BTreeSet<String> {
        let now = self.world.clock.now_ms();
        let all = self.world.nodes.iter().flat_map(|node| node.sessions.0.registry.all().into_iter().map(|session| session.wanted("")));
        let over = |wanted| match wanted {
            Wanted::Alive(record) => record.detached_until_ms.is_some_and(|until| until <= now).then_some(record.id),
            Wanted::Over { .. } => None,
        };
        all.filter_map(over).collect()
    }

    async fn roster_ids(&self, user: &str, issued_before_ms: u64) -> Vec<String> {
        if self.broken {
            return Vec::new();
        }
        let roster = self.roster(user).await;
        roster.records().iter().filter(|record| record.issued_ms < issued_before_ms).map(|record| record.id.clone()).collect()
    }

    async fn login(&mut self, slot: usize, node: usize) {
        self.logins += 1;
        let identity = Identity {
            token_id: Some(format!("token {}", self.logins).into()),
            expires: self.world.clock.now() + Duration::from_secs(300),
            ..self.world.identity(Game::user(slot))
        };
        let token = identity.token_id.as_deref().unwrap().to_owned();
        match self.world.sessions(node).bind(identity).await {
            Ok(grant) => {
                let client = Client::enter(grant).unwrap();
                let known = Some((client.id().to_owned(), client.resume_token.clone()));
                self.slots[slot] = Slot { node, client: Some(client), known, token, seen: Some(0), may_have_lost: false };
            }
            Err(failure) => {
                // A login at the very moment of a revocation of all before it is none of those.
                assert!(self.broken, "{failure}");
                assert_eq!(failure.reason(), "UNAVAILABLE");
            }
        }
    }

    async fn resume(&mut self, slot: usize, node: usize, before: &BTreeMap<String, Record>) {
        self.look(slot);
        let Some((id, token)) = self.slots[slot].known.clone() else { return };
        let there = before.get(&id).is_some_and(|record| {
            // A node knows that it lives itself, whatever became of its lease while the store was away.
            let rules = self.world.sessions(node).rules();
            let is_here =
                record.node == self.world.sessions(node).node() && !record.is_over(self.world.clock.now_ms(), &rules, Life::Alive);
            (is_here || !self.is_over(record))
                && record.expires_ms > self.world.clock.now_ms()
                && !self.revoked.contains(&id)
                && !self.left.contains(&id)
        });
        let last_seq = self.slots[slot].seen.unwrap_or(0);
        match self.world.resume(node, &token, last_seq).await {
            Ok(client) => {
                assert!(there && !self.broken, "it came back to what was gone");
                assert_eq!(client.id(), id);
                let (seen, lost) = (self.slots[slot].seen, self.slots[slot].may_have_lost);
                let pushed = client.pushed();
                if client.recovered && seen.is_some() {
                    let expected: Vec<u32> = (last_seq + 1..).take(pushed.len()).collect();
                    assert_eq!(pushed, expected, "what it missed, in order and without a gap");
                } else {
                    assert!(lost || seen.is_none(), "nothing happened that could lose anything");
                }
                let slot = &mut self.slots[slot];
                slot.seen = if client.recovered { slot.seen } else { None };
                (slot.node, slot.may_have_lost) = (node, false);
                if let Some(old) = slot.client.replace(client) {
                    self.stale.push((self.slots.len(), old));
                }
            }
            Err(failure) if self.broken => assert_eq!(failure.reason(), "UNAVAILABLE"),
            Err(failure) => {
                assert!(!there, "its session was there: {failure}");
                assert!(GONE.contains(&failure.reason()), "{failure}");
            }
        }
    }

    async fn logout(&mut self, slot: usize) {
        let Some(client) = &self.slots[slot].client else { return };
        let id = client.id().to_owned();
        let sessions = self.world.sessions(self.slots[slot].node);
        match sessions.leave(sessions.leaving(client.attachment.held())).await {
            Ok(_) => {
                self.left.insert(id);
                self.slots[slot] = Slot::default();
            }
            Err(failure) => assert!(self.broken, "{failure}"),
        }
    }

    async fn revoke(&mut self, revocation: Revocation, ids: impl IntoIterator<Item = String>) {
        match self.world.sessions(0).revoke(&revocation).await {
            Ok(()) => self.revoked.extend(ids),
            Err(failure) => assert!(self.broken, "{failure}"),
        }
    }

    async fn kill(&mut self, node: usize) {
        if self.broken {
            return;
        }
        self.dead.insert(self.world.sessions(node).0.node.clone());
        for slot in self.slots.iter_mut().filter(|slot| slot.node == node) {
            slot.may_have_lost = true;
            if let Some(client) = slot.client.take() {
                std::mem::forget(client.attachment);
            }
        }
        for (at, client) in std::mem::take(&mut self.stale) {
            // Which node a connection was on that was sent away does not matter: it has no say any more.
            drop((at, client));
        }
        self.world.kill(node).await;
    }

    /// The client reads what it was sent.
    fn look(&mut self, slot: usize) {
        let slot = &mut self.slots[slot];
        let Some(client) = &slot.client else { return };
        let pushed = std::mem::take(&mut *client.wire.pushed.lock().unwrap());
        for seq in pushed {
            assert!(slot.seen.is_none_or(|seen| seq == seen + 1), "a gap: {seq} after {:?}", slot.seen);
            slot.seen = Some(seq);
        }
    }

    async fn check_what_is_gone(&mut self, step: Step, before: &BTreeMap<String, Record>, in_vain: &BTreeSet<String>) {
        let after = self.records().await;
        let gone = before.values().filter(|record| !after.contains_key(&record.id) && !self.is_over(record));
        let mut replaced = 0;
        for record in gone {
            if self.revoked.contains(&record.id) || self.left.contains(&record.id) || in_vain.contains(&record.id) {
                continue;
            }
            let Step::Login { slot, .. } = step else { panic!("{step:?} removed {record:?}") };
            let user = Game::user(slot);
            assert!(!self.roster(user).await.records().is_empty());
            replaced += 1;
        }
        assert!(replaced <= 1, "one session more is one session less");
        for user in USERS {
            assert!(self.roster(user).await.records().len() <= self.world.settings.per_user_max);
        }
    }

    fn check_that_nothing_is_twice(&self) {
        let open = self.slots.iter().filter_map(|slot| slot.client.as_ref()).chain(self.stale.iter().map(|(_, client)| client));
        let mut ids = BTreeSet::new();
        for client in open.filter(|client| client.attachment.is_current() && client.closed().is_none()) {
            assert!(ids.insert(client.id().to_owned()), "two connections have one session");
        }
    }

    /// When everything has settled, everybody agrees.
    async fn check_the_end(&mut self) {
        self.world.memory.set_broken(false);
        self.broken = false;
        self.stale.clear();
        self.world.settle().await;
        for slot in &mut self.slots {
            // Whoever was sent away goes.
            if slot.client.as_ref().is_some_and(|client| client.closed().is_some()) {
                slot.client = None;
            }
        }
        self.world.settle().await;
        let records = self.records().await;
        let mut held = BTreeSet::new();
        for slot in &self.slots {
            let Some(client) = &slot.client else { continue };
            assert!(client.attachment.is_current());
            let session = client.attachment.session();
            let record = records.get(client.id()).unwrap_or_else(|| panic!("a live session is not in its roster"));
            assert_eq!((record.generation, record.detached_until_ms), (session.generation(), None));
            assert_eq!(record.node, self.world.sessions(slot.node).0.node);
            held.insert(client.id().to_owned());
        }
        for node in &self.world.nodes {
            let here: BTreeSet<String> = node.sessions.0.registry.all().iter().map(|session| session.id.to_string()).collect();
            let there = records.values().filter(|record| record.node == node.sessions.0.node && !self.is_over(record));
            assert_eq!(here, there.map(|record| record.id.clone()).collect(), "a node and the store disagree");
        }
        for record in records.values().filter(|record| record.detached_until_ms.is_none() && !self.dead.contains(&record.node)) {
            assert!(self.is_over(record) || held.contains(&record.id), "nobody has the session {record:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 10_000, max_shrink_iters: 20_000, ..ProptestConfig::default() })]

    #[test]
    fn no_interleaving_loses_a_session_or_gives_it_to_two(per_user_max in 1usize..4, steps in proptest::collection::vec(step(), 1..24)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let mut game = Game::new(per_user_max).await;
            for step in steps {
                game.play(step).await;
            }
            game.check_the_end().await;
        });
    }
}
