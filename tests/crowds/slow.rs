//! A thousand clients that stop reading, beside a hundred that do not: memory stays, the hundred miss nothing, and each of the thousand
//! gets what its number's rule says.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use futures_util::stream::{self, StreamExt as _};
use prost::Message as _;
use protogate::wire::{Close, Codec, Envelope, Payload, number, v1};
use serde_json::Value;
use socket2::SockRef;
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::{WebSocketStream, client_async};

use crate::support::nodes::eventually;
use crate::support::openmetrics::{scrape, value};
use crate::support::{PATIENCE, TestGateway, operator};

const SLOW: usize = 1000;
const HEALTHY: usize = 100;

/// Sessions of one user, each with a client.
const SESSIONS: usize = 20;

/// Bytes that may wait for one client, and for all.
const OUTBOX_BYTES: usize = 16 << 10;
const ALL_BYTES: usize = 24 << 20;

/// Pushes of each number, and the bytes of one: ten times what may wait for a client.
const PUSHES: u32 = 84;
const PUSH_BYTES: usize = 2 << 10;

/// How often a slow client takes one push, if everything takes so long.
const SIP: Duration = Duration::from_secs(2);

/// Things whose latest state is what matters.
const PLAYERS: u32 = 5;

const DISCONNECT: u32 = 2101;
const DROP_OLDEST: u32 = 2102;
const CONFLATE: u32 = 2103;
const NUMBERS: [u32; 3] = [DISCONNECT, DROP_OLDEST, CONFLATE];

const GATEWAY: &str = "
version: 1
reload: { watch: false }
connections: { outbox_bytes_max: 16KiB, per_ip_max: 2000, heartbeat: 10m }
memory: { outboxes: 24MiB }
sessions: { per_user_max: 20 }
";

const ROUTES: &str = "
version: 1
descriptors: [{ proto: ../game }]
pushes:
  2101: { name: game.event, message: game.v1.Moved, delivery: best_effort, on_slow: disconnect }
  2102: { name: game.seen, message: game.v1.Moved, delivery: best_effort, on_slow: drop_oldest }
  2103: { name: game.moved, message: game.v1.Moved, delivery: best_effort, on_slow: { conflate: message.player } }
";

const GAME: &str = r#"
syntax = "proto3";
package game.v1;
message Moved { uint32 player = 1; uint32 place = 2; bytes padding = 3; }
"#;

#[derive(Clone, PartialEq, prost::Message)]
struct Moved {
    #[prost(uint32, tag = "1")]
    player: u32,
    #[prost(uint32, tag = "2")]
    place: u32,
    #[prost(bytes = "vec", tag = "3")]
    padding: Vec<u8>,
}

/// A client that reads when it is told to.
struct Reader {
    codec: Codec,
    socket: WebSocketStream<TcpStream>,
    seen: Vec<Seen>,
}

/// A push as its client sees it.
#[derive(Clone, Copy)]
struct Seen {
    number: u32,
    player: u32,
    place: u32,
    dropped: u32,
}

/// How fast a client's host takes what the kernel has for it.
#[derive(Clone, Copy, PartialEq)]
enum Host {
    Fast,
    /// Small buffers and small segments, so that what the client does not read waits in the gateway, not in kernels.
    Narrow,
}

// === impl Reader ===

impl Reader {
    async fn login(gateway: &TestGateway, user: &str, codec: Codec, host: Host) -> Reader {
        let socket = TcpSocket::new_v4().unwrap();
        if host == Host::Narrow {
            socket.set_recv_buffer_size(2048).unwrap();
            SockRef::from(&socket).set_tcp_mss(536).unwrap();
        }
        let mut request = format!("ws://{}/ws", gateway.edge()).into_client_request().unwrap();
        request.headers_mut().insert("sec-websocket-protocol", codec.subprotocol().parse().unwrap());
        request.headers_mut().insert("authorization", format!("Bearer {}", gateway.token(user, &[])).parse().unwrap());
        let stream = socket.connect(gateway.edge()).await.unwrap();
        let (socket, _) = client_async(request, stream).await.unwrap();
        let mut reader = Reader { codec, socket, seen: Vec::new() };
        for expected in [number::HELLO, number::READY] {
            assert_eq!(reader.next_protocol().await, expected);
        }
        reader
    }

    /// The number of the next message that is not about life.
    async fn next_protocol(&mut self) -> u32 {
        loop {
            let message = self.next().await.expect("the connection stays");
            if !message.is_ping() {
                let protocol = self.codec.decode(&message.into_data()).unwrap().protocol;
                if protocol != number::PING {
                    return protocol;
                }
            }
        }
    }

    async fn next(&mut self) -> Option<Message> {
        timeout(PATIENCE, self.socket.next()).await.expect("the gateway says something in time")?.ok()
    }

    /// Reads the next push, and no more. Nothing else may come before it but questions about life.
    async fn sip(&mut self) {
        let before = self.seen.len();
        while self.seen.len() == before {
            let message = self.next().await.expect("the connection stays");
            self.seen.extend(self.push(message));
        }
    }

    /// Reads pushes until one is of this place, and returns all there were.
    async fn read_to(&mut self, place: u32) -> Vec<Seen> {
        while self.seen.last().is_none_or(|seen| seen.place != place) {
            self.sip().await;
        }
        std::mem::take(&mut self.seen)
    }

    fn push(&self, message: Message) -> Option<Seen> {
        if !message.is_text() && !message.is_binary() {
            return None;
        }
        let bytes = message.into_data();
        let envelope = self.codec.decode(&bytes).unwrap();
        assert_ne!(envelope.protocol, number::GOODBYE);
        assert_eq!(envelope.seq, 0, "nobody keeps it");
        (envelope.protocol >= number::APPLICATION_MIN).then(|| Seen::of(&envelope))
    }

    /// Reads to the end: the pushes, and the codes of Goodbye and Close.
    async fn read_to_the_end(mut self) -> (Vec<Seen>, u32, Option<u16>) {
        let (mut seen, mut goodbye) = (Vec::new(), 0);
        while let Some(message) = self.next().await {
            if let Message::Close(frame) = message {
                return (seen, goodbye, frame.map(|frame| frame.code.into()));
            }
            let bytes = message.into_data();
            let Ok(envelope) = self.codec.decode(&bytes) else { continue };
            match envelope.payload {
                Payload::Proto(bytes) if envelope.protocol == number::GOODBYE => goodbye = v1::Goodbye::decode(bytes).unwrap().code,
                Payload::Json(text) if envelope.protocol == number::GOODBYE => {
                    goodbye = serde_json::from_str::<Value>(text).unwrap()["code"].as_u64().unwrap() as u32;
                }
                _ if envelope.protocol >= number::APPLICATION_MIN => seen.push(Seen::of(&envelope)),
                _ => {}
            }
        }
        (seen, goodbye, None)
    }
}

// === impl Seen ===

impl Seen {
    fn of(envelope: &Envelope<'_>) -> Seen {
        let (player, place) = match envelope.payload {
            Payload::Proto(bytes) => {
                let moved = Moved::decode(bytes).unwrap();
                (moved.player, moved.place)
            }
            Payload::Json(text) => {
                let moved: Value = serde_json::from_str(text).unwrap();
                let number = |key: &str| moved[key].as_u64().unwrap_or(0) as u32;
                (number("player"), number("place"))
            }
            Payload::None => panic!("a push has a payload"),
        };
        Seen { number: envelope.protocol, player, place, dropped: envelope.dropped }
    }
}

/// The users of a kind, and a client for each of their sessions, in both codecs.
async fn log_in(gateway: &TestGateway, kind: &str, clients: usize, host: Host) -> Vec<(String, Vec<Reader>)> {
    // One user after the other, for the sessions of one are one document; many users at once.
    let users = (0..clients / SESSIONS).map(|user| async move {
        let user = format!("{kind}{user}");
        let mut readers = Vec::new();
        for session in 0..SESSIONS {
            let codec = if session % 2 == 0 { Codec::Proto } else { Codec::Json };
            readers.push(Reader::login(gateway, &user, codec, host).await);
        }
        (user, readers)
    });
    stream::iter(users).buffer_unordered(16).collect().await
}

async fn push(gateway: &TestGateway, user: &str, number: u32, place: u32) -> usize {
    let moved = Moved { player: place % PLAYERS, place, padding: vec![0; PUSH_BYTES] };
    gateway.gateway().push(user, number, moved.encode_to_vec().into()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_slow_clients_cost_what_they_may_and_nobody_else_anything() {
    let gateway = TestGateway::start_with(&[("routes/gateway.yaml", GATEWAY), ("routes/routes.yaml", ROUTES), ("game/game.proto", GAME)]);
    let began = Instant::now();
    let healthy = log_in(&gateway, "healthy", HEALTHY, Host::Fast).await;
    let mut slow = log_in(&gateway, "slow", SLOW, Host::Narrow).await;
    println!("{} clients after {:?}", SLOW + HEALTHY, began.elapsed());

    // The healthy read whatever comes; the next round waits until they have.
    let heard = Arc::new(Semaphore::new(0));
    let (users, readers): (Vec<String>, Vec<Vec<Reader>>) = healthy.into_iter().unzip();
    let reading = readers.into_iter().flatten().map(|mut reader| {
        let heard = Arc::clone(&heard);
        tokio::spawn(async move {
            let mut places = BTreeMap::from(NUMBERS.map(|number| (number, 0)));
            while places.values().any(|place| *place < PUSHES) {
                let message = reader.next().await.expect("a client that reads stays");
                let Some(seen) = reader.push(message) else { continue };
                let place = places.get_mut(&seen.number).unwrap();
                *place += 1;
                assert_eq!((seen.place, seen.dropped), (*place, 0), "nothing is missed, and nothing changes its place");
                heard.add_permits(1);
            }
        })
    });
    let reading: Vec<_> = reading.collect();
    let push_to_healthy = async |number: u32, place: u32| {
        for user in &users {
            assert_eq!(push(&gateway, user, number, place).await, SESSIONS);
        }
        let all = timeout(PATIENCE, heard.acquire_many(HEALTHY as u32)).await;
        all.expect("the healthy hear it in time").unwrap().forget();
    };

    let (mut most, to_close) = (0, slow.split_off(slow.len() * 2 / 3));
    let mut to_conflate = slow.split_off(to_close.len());
    let mut to_drop = slow;
    let mut sipped = Instant::now();
    for place in 1..=PUSHES {
        for (users, number) in [(&to_drop, DROP_OLDEST), (&to_conflate, CONFLATE)] {
            join_all(users.iter().map(|(user, _)| push(&gateway, user, number, place))).await;
            push_to_healthy(number, place).await;
        }
        most = most.max(gateway.gateway().outbox_bytes());
        // Whoever takes no byte for ten seconds is closed. On a busy machine all of this takes longer, so they are slow and not dead.
        if sipped.elapsed() > SIP && place < PUSHES {
            join_all([&mut to_drop, &mut to_conflate].into_iter().flatten().flat_map(|(_, readers)| readers).map(Reader::sip)).await;
            sipped = Instant::now();
        }
    }
    // They read at last, while the others are closed: whoever had to wait for that would be dead on a busy machine.
    let [dropping, conflating] = [to_drop, to_conflate].map(|users| {
        let readers = users.into_iter().flat_map(|(_, readers)| readers);
        readers.map(|mut reader| tokio::spawn(async move { reader.read_to(PUSHES).await })).collect::<Vec<_>>()
    });
    // A client that is closed has two seconds to read why, so that one user's clients read before the next is pushed to.
    let mut closed = Vec::new();
    for (user, readers) in to_close {
        for place in 1..=PUSHES {
            if push(&gateway, &user, DISCONNECT, place).await == 0 {
                break;
            }
        }
        most = most.max(gateway.gateway().outbox_bytes());
        closed.extend(readers.into_iter().map(|reader| tokio::spawn(reader.read_to_the_end())));
    }
    for place in 1..=PUSHES {
        push_to_healthy(DISCONNECT, place).await;
    }
    let (_, statistics) = operator(&gateway, "/api/v1/statistics", None).await;
    println!("pushed after {:?}; at most {most} bytes waited, at last {}", began.elapsed(), statistics["outbox_bytes"]);
    assert!(most > SLOW / 3 * OUTBOX_BYTES / 2 && most <= ALL_BYTES, "{most}");

    let (mut dropped, mut replaced, away) = (0, 0, closed.len());
    for seen in dropping {
        let seen = seen.await.unwrap();
        let lost: u32 = seen.iter().map(|seen| seen.dropped).sum();
        assert!(lost > 0 && seen.len() as u32 + lost == PUSHES, "{} came and {lost} were lost", seen.len());
        dropped += lost;
        let mut next = 1;
        for seen in seen {
            assert_eq!(seen.place, next + seen.dropped, "what was lost was lost just before");
            next = seen.place + 1;
        }
    }
    for seen in conflating {
        let seen = seen.await.unwrap();
        let lost: u32 = seen.iter().map(|seen| seen.dropped).sum();
        assert!(lost > 0 && seen.len() as u32 + lost == PUSHES, "{} came and {lost} were replaced", seen.len());
        replaced += lost;
        assert!(seen.is_sorted_by_key(|seen| seen.place));
        let latest: BTreeMap<u32, u32> = seen.iter().map(|seen| (seen.player, seen.place)).collect();
        assert_eq!(latest, (PUSHES - PLAYERS + 1..=PUSHES).map(|place| (place % PLAYERS, place)).collect());
    }
    for closed in closed {
        let (seen, goodbye, close) = closed.await.unwrap();
        assert_eq!((goodbye, close), (Close::Slow.code().into(), Some(Close::Slow.code())));
        assert!((seen.len() as u32) < PUSHES && seen.iter().zip(1..).all(|(seen, place)| (seen.place, seen.dropped) == (place, 0)));
    }
    for reading in reading {
        reading.await.unwrap();
    }
    println!("all is read after {:?}", began.elapsed());
    eventually("nothing waits any more", async || gateway.gateway().outbox_bytes() == 0).await;
    let now = scrape(&gateway).await;
    let counted = |rule| value(&now, &format!("protogate_pushes_dropped_total{{rule=\"{rule}\"}}"));
    assert_eq!(
        (counted("drop_oldest"), counted("conflate")),
        (dropped.into(), replaced.into()),
        "what clients were told is what is counted"
    );
    assert_eq!(value(&now, "protogate_slow_consumers_total"), away as f64);
}
