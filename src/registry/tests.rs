//! Conversations of endpoints with the registries of two gateways over one store.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use ipnet::IpNet;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::time::sleep;
use tonic::{Code, Request, Status};
use tonic_types::StatusExt as _;

use super::leases::Lease;
use super::v1::registry_server::Registry as _;
use super::v1::{DeregisterRequest, RegisterRequest, RenewRequest};
use super::{Registry, Rule, RulesCell};
use crate::accept::Peer;
use crate::backend::{Directory, ENDPOINTS_MAX, EndpointSpec, Written};
use crate::clock::Clock;
use crate::drain::Tasks;
use crate::push::door::Token;
use crate::store::memory::Memory;
use crate::store::{Batch, Durability, Expect, Key, Store};

const TOKEN: &str = "the token of game servers";

/// Two gateways over a store in memory.
struct World {
    clock: Clock,
    memory: Arc<Memory>,
    store: Store,
    nodes: [Node; 2],
}

struct Node {
    registry: Registry,
    listed: watch::Receiver<Option<Arc<[EndpointSpec]>>>,
    _tasks: Tasks,
}

impl World {
    async fn new() -> World {
        let clock = Clock::by_hand(UNIX_EPOCH + Duration::from_secs(1_800_000_000));
        let memory = Arc::new(Memory::new(clock.clone()));
        let store = Store::sharing(Arc::clone(&memory));
        let nodes = [node(&store), node(&store)];
        let mut world = World { clock, memory, store, nodes };
        world.pass(Duration::from_secs(1)).await;
        world
    }

    /// Lets time go by, on both clocks.
    async fn pass(&mut self, time: Duration) {
        let step = Duration::from_millis(100);
        for _ in 0..time.as_millis() / step.as_millis() {
            self.clock.advance(step);
            sleep(step).await;
        }
    }

    async fn register(&self, url: &str) -> Result<String, Status> {
        register(&self.nodes[0].registry, RegisterRequest { url: url.to_owned(), ..game() }).await
    }

    async fn renew(&self, lease: &str) -> Result<(), Status> {
        let request = RenewRequest { backend: "game".to_owned(), lease: lease.to_owned() };
        self.nodes[1].registry.renew(shown(request, TOKEN)).await.map(drop)
    }

    async fn deregister(&self, lease: &str) {
        let request = DeregisterRequest { backend: "game".to_owned(), lease: lease.to_owned() };
        self.nodes[1].registry.deregister(shown(request, TOKEN)).await.unwrap();
    }

    /// What both gateways know.
    fn known(&self) -> Vec<String> {
        let [one, other] = self.nodes.each_ref().map(|node| {
            let listed = node.listed.borrow();
            listed.as_deref().expect("somebody has looked").iter().map(EndpointSpec::name).collect::<Vec<_>>()
        });
        assert_eq!(one, other);
        one
    }
}

fn node(store: &Store) -> Node {
    let (rules, directory, tasks) = (RulesCell::default(), Directory::default(), Tasks::new());
    let allow: Vec<IpNet> = ["10.0.0.0/8", "169.254.0.0/16", "fd00::/8"].map(|network| network.parse().unwrap()).into();
    rules.store(Arc::new(vec![Rule { backend: "game".into(), token: Token::new(TOKEN), allow }]));
    let listed = directory.watch(&Arc::from("game"));
    let registry = Registry::new(store.clone(), rules, directory);
    registry.start(&tasks, &Handle::current());
    Node { registry, listed, _tasks: tasks }
}

fn game() -> RegisterRequest {
    RegisterRequest { backend: "game".to_owned(), url: "http://10.0.0.1:1".to_owned(), ..RegisterRequest::default() }
}

fn shown<T>(request: T, token: &str) -> Request<T> {
    let mut request = Request::new(request);
    request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
    request.extensions_mut().insert(Peer(SocketAddr::new(IpAddr::from([10, 9, 9, 9]), 40_000)));
    request
}

async fn register(registry: &Registry, request: RegisterRequest) -> Result<String, Status> {
    registry.register(shown(request, TOKEN)).await.map(|response| response.into_inner().lease)
}

/// Code and reason.
fn said<T>(answer: Result<T, Status>) -> (Code, String) {
    let status = answer.map(drop).expect_err("it is refused");
    (status.code(), status.get_details_error_info().expect("every refusal has a reason").reason)
}

#[tokio::test(start_paused = true)]
async fn who_registers_is_known_everywhere_at_once_and_who_leaves_is_not() {
    let mut world = World::new().await;
    assert!(world.known().is_empty());
    let one = world.register("http://10.0.0.1:1").await.unwrap();
    world.pass(Duration::from_millis(100)).await;
    assert_eq!(world.known(), ["10.0.0.1:1"]);
    world.register("http://10.0.0.2:1").await.unwrap();
    world.pass(Duration::from_millis(100)).await;
    assert_eq!(world.known(), ["10.0.0.2:1", "10.0.0.1:1"]);
    world.deregister(&one).await;
    world.pass(Duration::from_millis(100)).await;
    assert_eq!(world.known(), ["10.0.0.2:1"]);
    world.deregister(&one).await;
    assert_eq!(said(world.renew(&one).await), (Code::NotFound, "LEASE_UNKNOWN".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_is_not_renewed_ends_by_itself() {
    let mut world = World::new().await;
    let (kept, _lost) = (world.register("http://10.0.0.1:1").await.unwrap(), world.register("http://10.0.0.2:1").await.unwrap());
    for _ in 0..4 {
        world.pass(Duration::from_secs(5)).await;
        world.renew(&kept).await.unwrap();
    }
    assert_eq!(world.known(), ["10.0.0.1:1"]);
    world.pass(Duration::from_secs(18)).await;
    assert!(world.known().is_empty());
    assert_eq!(said(world.renew(&kept).await), (Code::NotFound, "LEASE_UNKNOWN".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn while_the_store_is_away_what_was_known_stays_and_there_is_time_to_renew_after_it() {
    let mut world = World::new().await;
    let kept = world.register("http://10.0.0.1:1").await.unwrap();
    let lost = world.register("http://10.0.0.2:1").await.unwrap();
    world.pass(Duration::from_millis(100)).await;
    world.memory.set_broken(true);
    assert_eq!(said(world.renew(&kept).await), (Code::Unavailable, "UNAVAILABLE".to_owned()));
    world.pass(Duration::from_secs(60)).await;
    assert_eq!(world.known(), ["10.0.0.2:1", "10.0.0.1:1"]);

    // Every lease has expired meanwhile.
    world.memory.set_broken(false);
    world.pass(Duration::from_secs(4)).await;
    assert_eq!(world.known(), ["10.0.0.2:1", "10.0.0.1:1"]);
    assert_eq!(said(world.renew(&lost).await), (Code::NotFound, "LEASE_UNKNOWN".to_owned()));
    let again = world.register("http://10.0.0.1:1").await.unwrap();
    world.pass(Duration::from_secs(10)).await;
    world.renew(&again).await.unwrap();
    world.pass(Duration::from_secs(8)).await;
    assert_eq!(world.known(), ["10.0.0.1:1"], "who did not come back is over");
}

#[tokio::test(start_paused = true)]
async fn a_place_is_called_once_as_it_was_registered_last() {
    let mut world = World::new().await;
    let first = world.register("http://10.0.0.1:1").await.unwrap();
    register(&world.nodes[0].registry, RegisterRequest { weight: 7, zone: "b".to_owned(), ..game() }).await.unwrap();
    world.pass(Duration::from_millis(100)).await;
    assert_eq!(world.known(), ["10.0.0.1:1"]);
    let listed = world.nodes[0].listed.borrow().clone().unwrap();
    assert_eq!((listed[0].weight, listed[0].zone.as_deref()), (7, Some("b")));
    world.deregister(&first).await;
    world.pass(Duration::from_millis(100)).await;
    assert_eq!(world.known(), ["10.0.0.1:1"], "the other lease is alive");
}

#[tokio::test(start_paused = true)]
async fn without_the_token_of_the_backend_nobody_learns_anything() {
    let world = World::new().await;
    let registry = &world.nodes[0].registry;
    let unauthenticated = (Code::Unauthenticated, "UNAUTHENTICATED".to_owned());
    assert_eq!(said(registry.register(Request::new(game())).await), unauthenticated);
    let mut told = Vec::new();
    for (backend, token) in [("game", "wrong"), ("game", ""), ("chat", TOKEN), ("", TOKEN)] {
        let status = registry.register(shown(RegisterRequest { backend: backend.to_owned(), ..game() }, token)).await.unwrap_err();
        told.push(status.message().to_owned());
        assert_eq!(said::<()>(Err(status)), unauthenticated);
    }
    told.dedup();
    assert_eq!(told.len(), 1, "a backend that there is not is refused in the same words");
    let renew = RenewRequest { backend: "game".to_owned(), lease: "x".to_owned() };
    assert_eq!(said(registry.renew(shown(renew, "wrong")).await), unauthenticated);
}

#[tokio::test(start_paused = true)]
async fn what_is_registered_is_an_allowed_address() {
    let world = World::new().await;
    for url in ["http://11.0.0.1:1", "http://169.254.169.254:80", "http://[fe80::1]:1", "http://0.0.0.0:1", "http://[::ffff:169.254.1.1]:1"]
    {
        assert_eq!(said(world.register(url).await), (Code::PermissionDenied, "ADDRESS_REFUSED".to_owned()), "{url}");
    }
    for url in
        ["http://game.svc:1", "ftp://10.0.0.1:1", "http://10.0.0.1", "http://10.0.0.1:0", "", "http://10.0.0.1:1/x", "http://u@10.0.0.1:1"]
    {
        assert_eq!(said(world.register(url).await), (Code::InvalidArgument, "INVALID_ENDPOINT".to_owned()), "{url}");
    }
    let invalid = RegisterRequest { zone: "a zone".to_owned(), ..game() };
    assert_eq!(said(register(&world.nodes[0].registry, invalid).await).1, "INVALID_ENDPOINT");
    for ttl_seconds in [1, 4, 301] {
        let invalid = RegisterRequest { ttl_seconds, ..game() };
        assert_eq!(said(register(&world.nodes[0].registry, invalid).await).1, "INVALID_TTL");
    }
}

#[tokio::test(start_paused = true)]
async fn one_who_does_not_say_its_address_is_called_where_it_comes_from() {
    let mut world = World::new().await;
    world.register("http://:50051").await.unwrap();
    world.pass(Duration::from_millis(100)).await;
    assert_eq!(world.known(), ["10.9.9.9:50051"]);
}

#[tokio::test(start_paused = true)]
async fn there_are_at_most_so_many_and_room_again_when_some_have_ended() {
    let mut world = World::new().await;
    let ids: Vec<String> = (1..=ENDPOINTS_MAX).map(|n| format!("lease{n}")).collect();
    let list = serde_json::to_vec(&ids).unwrap();
    let mut batch = Batch::new(Durability::Flushed).put(Key::new("registry", "game"), list, Expect::Absent, None);
    for (port, id) in (1..).zip(&ids) {
        let lease = Lease { endpoint: Written::at(format!("http://10.0.0.1:{port}")), ttl_ms: 60_000 };
        let lease = serde_json::to_vec(&lease).unwrap();
        batch = batch.put(Key::new("endpoint", format_args!("game/{id}")), lease, Expect::Absent, None);
    }
    world.store.write(batch).await.unwrap();
    assert_eq!(said(world.register("http://10.0.0.2:1").await), (Code::ResourceExhausted, "REGISTRY_FULL".to_owned()));
    world.deregister(&ids[0]).await;
    world.register("http://10.0.0.2:1").await.unwrap();
    world.pass(Duration::from_millis(200)).await;
    assert_eq!(world.known().len(), ENDPOINTS_MAX);
}

#[tokio::test(start_paused = true)]
async fn many_that_register_at_once_are_all_known() {
    let mut world = World::new().await;
    let registering = (1..=20).map(|port| {
        let registry = &world.nodes[port % 2].registry;
        register(registry, RegisterRequest { url: format!("http://10.0.0.1:{port}"), ..game() })
    });
    for registered in futures_util::future::join_all(registering).await {
        registered.unwrap();
    }
    world.pass(Duration::from_millis(200)).await;
    assert_eq!(world.known().len(), 20);
}

#[tokio::test(start_paused = true)]
async fn what_makes_no_sense_in_the_store_is_left_out() {
    let mut world = World::new().await;
    world.register("http://10.0.0.1:1").await.unwrap();
    let nonsense: [&[u8]; 3] = [b"", b"{}", br#"{"endpoint":{"url":"ftp://x","weight":0},"ttl_ms":1}"#];
    let ids: Vec<String> = (0..nonsense.len()).map(|n| format!("n{n}")).collect();
    let mut batch = Batch::new(Durability::Flushed);
    for (id, value) in ids.iter().zip(nonsense) {
        batch = batch.put(Key::new("endpoint", format_args!("game/{id}")), value, Expect::Anything, None);
    }
    let list = Key::new("registry", "game");
    let mut listed: Vec<String> = serde_json::from_slice(&world.store.get(&list).await.unwrap().unwrap().value).unwrap();
    listed.extend(ids);
    batch = batch.put(list, serde_json::to_vec(&listed).unwrap(), Expect::Anything, None);
    world.store.write(batch).await.unwrap();
    world.pass(Duration::from_secs(3)).await;
    assert_eq!(world.known(), ["10.0.0.1:1"]);
}

#[tokio::test(start_paused = true)]
async fn who_registers_again_after_a_crash_is_one_endpoint_and_leaves_as_one() {
    let mut world = World::new().await;
    let before = world.register("http://10.0.0.5:50051").await.unwrap();
    let other = world.register("http://10.0.0.6:50051").await.unwrap();
    let after = world.register("http://10.0.0.5:50051").await.unwrap();
    world.pass(Duration::from_secs(1)).await;
    assert_eq!(world.known().len(), 2);
    assert_eq!(world.renew(&before).await.unwrap_err().code(), Code::NotFound);
    world.deregister(&after).await;
    world.pass(Duration::from_secs(1)).await;
    assert_eq!(world.known(), ["10.0.0.6:50051"]);
    world.renew(&other).await.unwrap();
}
