//! Services that are killed, paused and slow while clients call at a fixed rate: every request has one definite end, and nothing that must
//! not be done twice is.
//!
//! `FAILING_SECONDS=120` makes it longer than the fifteen seconds that it is with every run of the tests.

mod service;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use self::service::{Service, lines};
use crate::support::TestGateway;
use crate::support::client::TestClient;

/// Clients, and how often each calls.
const CLIENTS: u32 = 20;
const EVERY: Duration = Duration::from_millis(80);

/// How often a service is killed, or paused and let go.
const TROUBLE: Duration = Duration::from_secs(2);

/// How long a service that was killed is away.
const AWAY: Duration = Duration::from_millis(300);

/// No call may take longer: its route's timeout of a second, and what a very busy machine adds.
const END: Duration = Duration::from_secs(1 + 19);

/// Effects that must not happen twice go by the first number, those that may by the second.
const ONCE: u32 = 9001;
const OFTEN: u32 = 9002;

fn routes(services: &[Service]) -> String {
    let endpoints: Vec<String> = services.iter().map(|service| format!("\"http://{}\"", service.address)).collect();
    format!(
        r"
version: 1
descriptors: [{{ proto: ../proto }}]
backends:
  ledger:
    grpc: {{ endpoints: [{}], connect_timeout: 500ms }}
    balance: {{ policy: least_request }}
    health: {{ interval: 500ms, timeout: 400ms, unhealthy: 2, healthy: 1 }}
    breaker: {{ consecutive_failures: 4, open_for: {{ min: 500ms, max: 2s }} }}
rate_limits: {{ plenty: {{ key: [caller], rate: 100000/s, burst: 100000 }} }}
defaults: {{ backend: ledger, rate_limits: [plenty], access: anonymous, timeout: 1s }}
routes:
  9001: {{ name: once, rpc: protogate.echo.v1.EchoService/Echo }}
  9002: {{ name: often, rpc: protogate.echo.v1.EchoService/Echo, idempotent: true }}
",
        endpoints.join(", ")
    )
}

/// What came of one client's calls.
#[derive(Default)]
struct Told {
    sent: u32,
    answered: BTreeMap<String, Instant>,
    failed: BTreeMap<String, u32>,
    /// Failures, of each number.
    failures: BTreeMap<u32, u32>,
}

/// Calls at a fixed rate until it is told to stop, and then waits for what is open. A second answer, a wrong one, and one that does not come
/// are the end of the test.
async fn client(edge: SocketAddr, number: u32, stop: Arc<AtomicBool>) -> Told {
    let mut client = TestClient::connect(edge).await;
    let mut open: BTreeMap<u64, (u32, String, Instant)> = BTreeMap::new();
    let mut told = Told::default();
    let mut turn = interval(EVERY);
    turn.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let stopped = stop.load(Ordering::Relaxed);
        if stopped && open.is_empty() {
            return told;
        }
        tokio::select! {
            _ = turn.tick(), if !stopped => {
                let protocol = if told.sent % 2 == 0 { ONCE } else { OFTEN };
                let text = format!("{protocol} {number} {}", told.sent);
                told.sent += 1;
                let id = client.send(protocol, json!({ "text": text })).await;
                open.insert(id, (protocol, text, Instant::now()));
            }
            said = timeout(END, client.hear_message()), if !open.is_empty() => {
                let said = said.unwrap_or_else(|_| panic!("client {number}: no answer to {open:?}"));
                let id = said["id"].as_u64().unwrap();
                let (protocol, text, since) = open.remove(&id).unwrap_or_else(|| panic!("client {number} was answered twice: {said}"));
                assert!(since.elapsed() < END, "{text} took {:?}", since.elapsed());
                note(&mut told, protocol, text, &said);
            }
        }
    }
}

fn note(told: &mut Told, protocol: u32, text: String, said: &Value) {
    assert_eq!(said["protocol"], protocol, "{said}");
    match said["status"].as_object() {
        None => {
            assert_eq!(said["payload"]["text"], *text, "{said}");
            told.answered.insert(text, Instant::now());
        }
        Some(status) => {
            let reason = status["reason"].as_str().unwrap().to_owned();
            assert!(status["code"].as_u64().unwrap() > 0, "{said}");
            *told.failed.entry(reason).or_default() += 1;
            *told.failures.entry(protocol).or_default() += 1;
        }
    }
}

/// Kills the first service again and again, and says how soon after each return it has done something.
async fn kill(mut service: Service, stop: Arc<AtomicBool>, returns: mpsc::UnboundedSender<Duration>) -> Service {
    while !stop.load(Ordering::Relaxed) {
        sleep(TROUBLE).await;
        service.kill();
        sleep(AWAY).await;
        service.start().await;
        let (back, before) = (Instant::now(), lines(&service.file).len());
        while lines(&service.file).len() == before && !stop.load(Ordering::Relaxed) {
            sleep(Duration::from_millis(5)).await;
        }
        if !stop.load(Ordering::Relaxed) {
            returns.send(back.elapsed()).unwrap();
        }
    }
    service
}

/// Pauses the second again and again.
async fn pause(service: Service, stop: Arc<AtomicBool>) -> Service {
    while !stop.load(Ordering::Relaxed) {
        sleep(TROUBLE).await;
        service.signal("-STOP");
        sleep(TROUBLE).await;
        service.signal("-CONT");
    }
    service
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_request_has_one_definite_end_while_services_die_and_nothing_is_done_twice() {
    let seconds = std::env::var("FAILING_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(15);
    let folder = tempfile::tempdir().unwrap();
    let service = |name: &str, takes| Service::new(folder.path().join(name), takes);
    let mut services = [service("killed", 0), service("paused", 0), service("slow", 300)];
    for service in &mut services {
        service.start().await;
    }
    let ledgers = services.each_ref().map(|service| service.file.clone());
    let gateway = TestGateway::start(&routes(&services));
    let stop = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> = (0..CLIENTS).map(|number| tokio::spawn(client(gateway.edge(), number, Arc::clone(&stop)))).collect();
    let [killed, paused, _slow] = services;
    let (returns, mut returned) = mpsc::unbounded_channel();
    let killer = tokio::spawn(kill(killed, Arc::clone(&stop), returns));
    let pauser = tokio::spawn(pause(paused, Arc::clone(&stop)));
    sleep(Duration::from_secs(seconds)).await;
    stop.store(true, Ordering::Relaxed);

    let (mut sent, mut answered, mut failed, mut failures) = (0, Vec::new(), BTreeMap::new(), BTreeMap::<u32, u32>::new());
    for client in clients {
        let told = client.await.unwrap();
        assert_eq!(told.sent as usize, told.answered.len() + told.failed.values().sum::<u32>() as usize);
        sent += told.sent;
        answered.extend(told.answered.into_keys());
        told.failed.into_iter().for_each(|(reason, count)| *failed.entry(reason).or_default() += count);
        told.failures.into_iter().for_each(|(protocol, count)| *failures.entry(protocol).or_default() += count);
    }
    let services = (killer.await.unwrap(), pauser.await.unwrap());
    let mut done: BTreeMap<String, u32> = BTreeMap::new();
    ledgers.iter().flat_map(|file| lines(file)).for_each(|line| *done.entry(line).or_default() += 1);

    let twice: Vec<_> = done.iter().filter(|(text, times)| **times > 1 && text.starts_with("9001")).collect();
    assert!(twice.is_empty(), "done twice, and must not be: {twice:?}");
    let lost: Vec<_> = answered.iter().filter(|text| !done.contains_key(*text)).collect();
    assert!(lost.is_empty(), "answered and never done: {lost:?}");
    let known = ["UNAVAILABLE", "DEADLINE_EXCEEDED", "OVERLOADED"];
    let unknown: BTreeMap<String, u32> = failed.clone().into_iter().filter(|(reason, _)| !known.contains(&&**reason)).collect();
    assert!(unknown.is_empty(), "{unknown:?}");
    let repeated = done.values().filter(|times| **times > 1).count();
    let mut times = Vec::new();
    while let Ok(time) = returned.try_recv() {
        times.push(time);
    }
    let slowest = times.iter().max().copied().unwrap_or_default();
    println!(
        "{seconds} s: {sent} requests = {} replies + {} definite errors {failed:?} (by number: {failures:?}); {repeated} effects of the \
         idempotent route were repeated, none of the other; {} returns, calls succeeded again after {times:?}, at most {slowest:?}",
        answered.len(),
        sent as usize - answered.len(),
        times.len(),
    );
    assert!(slowest < END, "{times:?}");
    assert!(answered.len() * 2 > sent as usize, "most calls succeed: {} of {sent}", answered.len());
    drop(services);
    gateway.stop().await;
}
