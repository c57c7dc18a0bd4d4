//! The ledger of topics: three gateways on one Redis, 200 members who publish, drop and come back anywhere, a node that dies and a Redis
//! that is killed and comes back; at the end what every member received is held against what the histories hold.
//!
//! `LEDGER=SEED` runs another sequence; what is wrong is told with the seed. A publication whose call failed, or was lost with its
//! connection, may have happened or not, so that the histories are what counts.

mod member;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use prost::Message as _;
use protogate::push::entry::Entry;
use protogate::services::echo::v1::EchoResponse;
use protogate::store::{Key, Store};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};

use self::member::{Member, Random};
use super::*;
use crate::support::redis::RedisServer;

const USERS: usize = 200;

/// How long everybody plays, and when in it a node dies and Redis does.
const PLAY: Duration = Duration::from_millis(7500);
const NODE_DIES: Duration = Duration::from_millis(2000);
const REDIS_DIES: Duration = Duration::from_millis(4500);

/// Rooms, by how many are in them; and chats, in one of which everybody is.
const ROOMS: [usize; 6] = [2, 5, 12, 30, 60, 91];
const CHATS: usize = 10;

/// Between two messages of one user, and between two of its disconnects; on average.
const SAY: Duration = Duration::from_millis(2000);
const STAY: Duration = Duration::from_millis(2500);

/// As long as nothing new is in the histories, nothing is on its way into them.
const QUIET: Duration = Duration::from_secs(2);

/// The numbers by which the first topic is joined, and spoken to; the next topic has the next.
const JOIN: u32 = 4000;
const SAY_TO: u32 = 3000;

/// What everybody shares.
struct World {
    edges: [SocketAddr; 3],
    alive: [AtomicBool; 3],
    topics: Vec<String>,
}

/// What everybody does.
#[derive(Clone)]
enum Phase {
    /// Joins its topics.
    Join,
    /// Speaks, drops and comes back.
    Play,
    /// Says a last word, and stays.
    Settle,
    /// Hears to the end of these histories.
    Until(Arc<Vec<History>>),
}

/// All that a topic's history holds.
#[derive(Clone, Default, PartialEq)]
struct History {
    epoch: String,
    /// Offsets and texts.
    entries: Vec<(u64, String)>,
}

/// What came of it.
struct Ledger {
    seed: u64,
    histories: Arc<Vec<History>>,
    members: Vec<Member>,
}

// === impl World ===

impl World {
    /// One of the nodes that live.
    fn edge(&self, random: &mut Random) -> SocketAddr {
        loop {
            let at = random.below(3);
            if self.alive[at].load(Ordering::SeqCst) {
                return self.edges[at];
            }
        }
    }
}

// === impl History ===

impl History {
    async fn read(store: &Store, topic: &str) -> Option<History> {
        let Some(document) = store.get(&Key::new("topic", topic)).await.ok()? else { return Some(History::default()) };
        let epoch = String::from_utf8(document.value.to_vec()).unwrap();
        let log = Key::new("history", format!("{topic}@{epoch}"));
        let mut history = History { epoch, entries: Vec::new() };
        loop {
            let after = history.entries.last().map_or(0, |(offset, _)| *offset);
            let page = store.read(&log, after, 1000).await.ok()?;
            assert!(page.first <= 1, "{topic}: the history is long enough for all");
            if page.entries.is_empty() {
                return Some(history);
            }
            history.entries.extend(page.entries.into_iter().map(|(offset, bytes)| (offset, text(&Entry::decode(bytes).unwrap().payload))));
        }
    }

    fn end(&self) -> u64 {
        self.entries.last().map_or(0, |(offset, _)| *offset)
    }
}

fn text(payload: &[u8]) -> String {
    EchoResponse::decode(payload).unwrap().text
}

fn routes(topics: &[String]) -> String {
    let mut text = "version: 1\n\
        descriptors: [{ proto: ../proto }]\n\
        backends: { echo: { builtin: echo } }\n\
        rate_limits: { plenty: { key: [caller], rate: 100000/s, burst: 100000 } }\n\
        defaults: { backend: echo, rate_limits: [plenty] }\n\
        topics:\n\
        \x20 \"room/{id}\": { join: effect, history: { count: 10000, bytes: 8MiB, age: 1h }, presence: true, pushes: [2101] }\n\
        \x20 \"chat/{id}\": { join: effect, history: { count: 10000, bytes: 8MiB, age: 1h }, pushes: [2101] }\n\
        pushes: { 2101: { name: said, message: protogate.echo.v1.EchoResponse } }\n\
        routes:\n"
        .to_owned();
    for (number, topic) in (0..).zip(topics) {
        let (join, say) = (JOIN + number, SAY_TO + number);
        text.push_str(&format!(
            "  {join}: {{ name: join{number}, rpc: protogate.echo.v1.EchoService/Echo, on_success: {{ subscribe: {topic} }} }}\n  \
             {say}: {{ name: say{number}, rpc: protogate.echo.v1.EchoService/Echo, \
             on_success: {{ publish: {{ topic: {topic}, number: 2101, message: response }} }} }}\n"
        ));
    }
    text
}

/// The topics of a user: a room, and a chat.
fn topics_of(user: usize) -> Vec<usize> {
    let mut before = 0;
    let room = ROOMS.iter().position(|size| {
        before += size;
        user < before
    });
    vec![room.unwrap(), ROOMS.len() + user % CHATS]
}

async fn run(redis: RedisServer) -> Ledger {
    let seed: u64 = std::env::var("LEDGER").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1);
    println!("LEDGER={seed}");
    let rooms = (0..ROOMS.len()).map(|number| format!("room/{number}"));
    let topics: Vec<String> = rooms.chain((0..CHATS).map(|number| format!("chat/{number}"))).collect();
    let mut cluster = Cluster::over(redis, "{}", &routes(&topics));
    let mut nodes = [cluster.process().await, cluster.process().await, cluster.process().await];
    let edges = [nodes[0].edge, nodes[1].edge, nodes[2].edge];
    let store = cluster.store().await;
    let world = Arc::new(World { edges, alive: [const { AtomicBool::new(true) }; 3], topics });

    let (phase, heard) = watch::channel(Phase::Join);
    let (joined, mut all_joined) = watch::channel(0);
    let members: Vec<_> = (0..USERS)
        .map(|number| {
            let token = nodes[0].token_for(MINUTE * 10, &format!("user{number}"));
            let random = Random(seed << 32 | number as u64);
            // The first in a topic has the last word there.
            let first = topics_of(number).into_iter().filter(|topic| (0..number).all(|other| !topics_of(other).contains(topic))).collect();
            let member = Member::new(number, token, topics_of(number), first, random, Arc::clone(&world));
            tokio::spawn(member.live(heard.clone(), joined.clone()))
        })
        .collect();
    tokio::time::timeout(MINUTE, all_joined.wait_for(|count| *count == USERS)).await.expect("everybody joins").unwrap();

    let began = Instant::now();
    phase.send_replace(Phase::Play);
    sleep_until(began + NODE_DIES).await;
    let dying = Random(seed).below(3);
    nodes[dying].kill();
    world.alive[dying].store(false, Ordering::SeqCst);
    sleep_until(began + REDIS_DIES).await;
    cluster.redis.kill();
    sleep(Duration::from_millis(300)).await;
    tokio::task::block_in_place(|| cluster.redis.restart());
    sleep_until(began + PLAY).await;
    phase.send_replace(Phase::Settle);

    let histories = Arc::new(settled(&store, &world.topics).await);
    phase.send_replace(Phase::Until(Arc::clone(&histories)));
    let mut ledger = Ledger { seed, histories, members: Vec::new() };
    for member in members {
        ledger.members.push(member.await.unwrap());
    }
    ledger
}

/// The histories, once every topic has had its last word and nothing is added any more.
async fn settled(store: &Store, topics: &[String]) -> Vec<History> {
    let began = Instant::now();
    let (mut before, mut since) = (Vec::new(), Instant::now());
    loop {
        assert!(began.elapsed() < MINUTE, "the histories do not come to rest");
        let read = futures_util::future::join_all(topics.iter().map(|topic| History::read(store, topic))).await;
        let Some(now) = read.into_iter().collect::<Option<Vec<_>>>() else { continue };
        let last = now.iter().all(|history| history.entries.iter().any(|(_, text)| text.starts_with("last")));
        if now != before || !last {
            (before, since) = (now, Instant::now());
        } else if since.elapsed() > QUIET {
            return now;
        }
        sleep(Duration::from_millis(50)).await;
    }
}

// === impl Ledger ===

impl Ledger {
    /// What every run promises: nothing is missing or comes twice without a word, and everybody is at the end.
    fn balance(&self, topics: usize) {
        let sum = |count: fn(&Member) -> usize| self.members.iter().map(count).sum::<usize>();
        println!(
            "LEDGER={}: {USERS} members of {topics} topics; words said {}, answered {}, in the histories {}; received {}; dropped off {}, resumed {}, begun anew {}; \
             declared losses {}, faults {}",
            self.seed,
            sum(|member| member.said),
            sum(|member| member.answered),
            self.histories.iter().map(|history| history.entries.len()).sum::<usize>(),
            sum(|member| member.received.values().map(Vec::len).sum()),
            sum(|member| member.away),
            sum(|member| member.resumed),
            sum(|member| member.anew),
            sum(|member| member.declared.len()),
            sum(|member| member.faults.len()),
        );
        let faults: Vec<&String> = self.members.iter().flat_map(|member| &member.faults).collect();
        assert!(faults.is_empty(), "LEDGER={}: {} faults, such as {:#?}", self.seed, faults.len(), &faults[..faults.len().min(20)]);
        for member in &self.members {
            for topic in &member.topics {
                let (at, history) = (member.heard.get(topic), &self.histories[*topic]);
                let end = (history.epoch.clone(), history.end());
                assert_eq!(at, Some(&end), "LEDGER={}: user{} is not at the end of topic {topic}", self.seed, member.number);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_redis_keeps_what_it_is_told_every_member_receives_everything_once_and_in_order() {
    let redis = RedisServer::start_with(&["--appendonly", "yes", "--appendfsync", "always"]);
    let ledger = run(redis).await;
    ledger.balance(ROOMS.len() + CHATS);
    let (mut expected, mut received) = (0, 0);
    for member in &ledger.members {
        assert_eq!((&member.declared, member.anew), (&Vec::new(), 0), "user{} lost nothing", member.number);
        for topic in &member.topics {
            let (history, began) = (&ledger.histories[*topic], member.began[topic]);
            let due: Vec<_> = history.entries.iter().filter(|(offset, _)| *offset > began).cloned().collect();
            let got = member.received.get(topic).map_or(&[][..], Vec::as_slice);
            assert_eq!(got, due, "user{}, topic {topic}", member.number);
            expected += due.len();
            received += got.len();
        }
    }
    println!("deliveries expected {expected}, received {received}; missing 0, twice 0");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_redis_forgets_a_loss_is_declared_and_never_silent() {
    let ledger = run(RedisServer::start()).await;
    ledger.balance(ROOMS.len() + CHATS);
    assert!(ledger.members.iter().any(|member| !member.declared.is_empty()), "what Redis forgot is gone, and that is said");
}
