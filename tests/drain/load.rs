//! Drains under load: clients of all characters, calls and streams in flight, and a service that remembers what it was asked.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use protogate::services::echo::v1::echo_service_server::{EchoService, EchoServiceServer};
use protogate::services::echo::v1::{EchoRequest, EchoResponse};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status};

use super::ends;
use crate::support::PATIENCE;
use crate::support::client::{Heard, TestClient};
use crate::support::nodes::Process;
use crate::support::streams::{PROTO, Taps};

/// Clients of one drain, those among them that do nothing included.
const CLIENTS: u64 = 60;

/// Over which they leave.
const OVER: u64 = 1500;

/// How often a busy client calls.
const EVERY: Duration = Duration::from_millis(100);

/// What a call takes that takes long: it is in flight at its client's turn.
const LONG: u64 = 1800;

const CALL: u64 = 9001;
const TALK: u64 = 5003;

const GATEWAY: &str = "version: 1\nreload: { watch: false }\nlisten: { workers: 2 }\ndrain: { grace: 300ms, over: 1500ms }\n";

fn routes(service: &Remembering, taps: &Taps) -> String {
    format!(
        r#"
version: 1
descriptors: [{{ proto: ../proto }}, {{ proto: ../stream }}]
backends:
  remembering: {{ grpc: {{ endpoints: ["http://{}"] }} }}
  taps: {{ grpc: {{ endpoints: ["http://{}"] }} }}
rate_limits: {{ plenty: {{ key: [caller], rate: 100000/s, burst: 100000 }} }}
defaults: {{ rate_limits: [plenty], access: anonymous, timeout: 30s }}
routes:
  9001: {{ name: remember, rpc: protogate.echo.v1.EchoService/Echo, backend: remembering }}
  5003: {{ name: talk, rpc: stream.v1.Taps/Talk, backend: taps }}
"#,
        service.address, taps.address
    )
}

/// Echoes, after so many milliseconds where a text says `after N …`, and remembers.
struct Remembering {
    address: SocketAddr,
    asked: Arc<Mutex<HashSet<String>>>,
    task: tokio::task::JoinHandle<()>,
}

struct Service(Arc<Mutex<HashSet<String>>>);

impl Remembering {
    async fn start() -> Remembering {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, asked) = (listener.local_addr().unwrap(), Arc::default());
        let server = tonic::transport::Server::builder().add_service(EchoServiceServer::new(Service(Arc::clone(&asked))));
        let task = tokio::spawn(async move { server.serve_with_incoming(TcpListenerStream::new(listener)).await.unwrap() });
        Remembering { address, asked, task }
    }
}

impl Drop for Remembering {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[tonic::async_trait]
impl EchoService for Service {
    async fn echo(&self, request: Request<EchoRequest>) -> Result<Response<EchoResponse>, Status> {
        let text = request.into_inner().text;
        assert!(self.0.lock().unwrap().insert(text.clone()), "asked twice: {text}");
        if let Some(time) = text.strip_prefix("after ").and_then(|rest| rest.split(' ').next()) {
            sleep(Duration::from_millis(time.parse().unwrap())).await;
        }
        Ok(Response::new(EchoResponse { text }))
    }
}

/// What a client does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Character {
    /// Calls, and leaves when its turn is and nothing is open.
    Obedient,
    /// Calls on and on until it is sent away.
    Deaf,
    /// Has a long call in flight all the time.
    Long,
    /// Has a stream open.
    Streaming,
    /// Does nothing.
    Idle,
}

/// What has become of it.
struct Told {
    character: Character,
    delay: u64,
    answered: BTreeMap<String, u32>,
    /// What it had asked and got no answer to, because it was on its way when the gateway said its last words.
    unanswered: Vec<String>,
    stream: Option<String>,
    /// The codes of Goodbye and of Close; nothing where it left by itself.
    sent_away: Option<(u64, u16)>,
}

/// Connects, has something in flight, and goes on until it has left or was sent away.
async fn client(mut client: TestClient, character: Character, name: String) -> Told {
    let mut told = Told { character, delay: u64::MAX, answered: BTreeMap::new(), unanswered: Vec::new(), stream: None, sent_away: None };
    let (mut open, mut asked, mut goodbye, mut leave_at): (BTreeMap<u64, String>, u64, u64, Option<Instant>) = Default::default();
    let mut refused = false;
    let mut turn = interval(EVERY);
    turn.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let heard = loop {
        let leaves = leave_at.is_some_and(|leave_at: Instant| leave_at <= Instant::now());
        if leaves && open.is_empty() {
            return told;
        }
        tokio::select! {
            _ = turn.tick(), if !refused && goodbye == 0 && !leaves => {
                let text = match character {
                    Character::Obedient | Character::Deaf => format!("{name} {asked}"),
                    Character::Long if open.is_empty() => format!("after {LONG} {name} {asked}"),
                    _ => continue,
                };
                asked += 1;
                let call = json!({ "protocol": CALL, "id": asked, "payload": { "text": text } }).to_string();
                if client.try_say(call).await.is_ok() {
                    open.insert(asked, text);
                }
            }
            heard = client.hear() => match heard {
                Heard::Message(message) => match message["protocol"].as_u64().unwrap_or(0) {
                    10 => {
                        assert_eq!(told.delay, u64::MAX, "{name} is told once");
                        told.delay = message["payload"]["delayMs"].as_u64().unwrap_or(0);
                        if character == Character::Obedient {
                            leave_at = Some(Instant::now() + Duration::from_millis(told.delay));
                        }
                    }
                    11 => goodbye = message["payload"]["code"].as_u64().unwrap(),
                    CALL => {
                        let reason = answered(&mut open, &message, &name);
                        refused |= reason == "SHUTDOWN";
                        assert!(reason == "OK" || reason == "SHUTDOWN" && told.delay < u64::MAX, "{name}: {message}");
                        *told.answered.entry(reason).or_default() += 1;
                    }
                    TALK => told.stream = Some(message["status"]["reason"].as_str().unwrap().to_owned()),
                    other => panic!("{name} did not expect {other}: {message}"),
                },
                end => break end,
            }
        }
    };
    let Heard::Close(code) = heard else { panic!("{name} was cut off, with {} calls open", open.len()) };
    told.sent_away = Some((goodbye, code));
    told.unanswered = open.into_values().collect();
    told
}

fn answered(open: &mut BTreeMap<u64, String>, message: &Value, name: &str) -> String {
    let id = message["id"].as_u64().unwrap();
    let text = open.remove(&id).unwrap_or_else(|| panic!("{name} was answered twice: {message}"));
    match message["status"]["reason"].as_str() {
        Some(reason) => reason.to_owned(),
        None => {
            assert_eq!(message["payload"]["text"], *text, "{name}");
            "OK".to_owned()
        }
    }
}

/// Opens a stream and hears it speak.
async fn open_stream(client: &mut TestClient) {
    client.say(json!({ "protocol": TALK, "id": 7, "payload": { "text": "hello" }, "more": true }).to_string()).await;
    let said = client.hear_message().await;
    assert_eq!((&said["id"], &said["payload"]["text"], &said["more"]), (&json!(7), &json!("hello"), &json!(true)), "{said}");
}

/// One drain. The answers of all clients, by their reasons.
async fn drain(number: u64) -> BTreeMap<String, u32> {
    use Character::{Deaf, Idle, Long, Obedient, Streaming};
    let (service, taps) = (Remembering::start().await, Taps::start().await);
    let routes = routes(&service, &taps);
    let process = Process::start(&[("routes/gateway.yaml", GATEWAY), ("routes/routes.yaml", &routes), ("stream/taps.proto", PROTO)]).await;
    let mut clients = Vec::new();
    for index in 0..CLIENTS {
        let character = [Obedient, Deaf, Long, Obedient, Streaming, Idle][index as usize % 6];
        let mut connected = TestClient::connect(process.edge).await;
        if character == Streaming {
            open_stream(&mut connected).await;
        }
        clients.push(tokio::spawn(client(connected, character, format!("{number}.{index}"))));
    }
    sleep(Duration::from_millis(500)).await;
    let began = Instant::now();
    process.terminate();

    let (mut delays, mut answers, mut unanswered) = (BTreeSet::new(), BTreeMap::new(), Vec::new());
    for client in clients {
        let told = timeout(PATIENCE, client).await.expect("every client is done in time").unwrap();
        assert!(delays.insert(told.delay), "two have the slot {}", told.delay);
        told.answered.into_iter().for_each(|(reason, count)| *answers.entry(reason).or_default() += count);
        unanswered.extend(told.unanswered);
        let by_itself = told.character == Obedient && told.sent_away.is_none();
        assert!(by_itself || told.sent_away == Some((1001, 1001)), "{:?}: {:?}", told.character, told.sent_away);
        assert_eq!(told.stream.as_deref(), (told.character == Streaming).then_some("SHUTDOWN"));
    }
    assert_eq!(delays, (0..CLIENTS).map(|index| OVER * index / CLIENTS).collect(), "index × over / n");
    let asked = service.asked.lock().unwrap().clone();
    let lost: Vec<String> = unanswered.iter().filter(|text| asked.contains(*text)).cloned().collect();
    assert!(lost.is_empty(), "the service was asked, and nobody was told: {lost:?}");
    ends(process).await;
    println!("drain {number}: {:?}, {answers:?}, {} were on their way", began.elapsed(), unanswered.len());
    answers
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_load_every_call_is_answered_and_every_client_has_its_slot() {
    let drains = std::env::var("DRAINS").ok().and_then(|text| text.parse().ok()).unwrap_or(4);
    let mut answers: BTreeMap<String, u32> = BTreeMap::new();
    for first in (0..drains).step_by(2) {
        let two = (first..drains.min(first + 2)).map(drain);
        for one in futures_util::future::join_all(two).await {
            one.into_iter().for_each(|(reason, count)| *answers.entry(reason).or_default() += count);
        }
    }
    println!("{drains} drains: {answers:?}");
    assert!(answers["OK"] > 400, "there was load: {answers:?}");
}
