//! Drains by the thousand, on a clock that the test drives: random numbers of clients, of all characters, with calls of all lengths.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::task::{Context, Poll, Wake, Waker};

use futures_util::FutureExt;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

use super::*;
use crate::edge::control::NAP;
use crate::edge::pulse::STEP;
use crate::edge::request::Offer;
use crate::edge::seats::Seats;
use crate::edge::socket::Stream;
use crate::edge::upgrade::Upgraded;
use crate::edge::worker::Worker;
use crate::table::{Table, live};
use crate::wire::Codec;

/// Drains of every run of the tests; `DRAINS` makes them more or fewer.
const DRAINS: u32 = 2_000;

/// What waits on the way to a client. One that does not read lets it fill up.
const PIPE_BYTES: usize = 4096;

/// How long a client may take to answer Close, and what a step of the clock adds.
const CLOSING: Duration = Duration::from_millis(2500);

#[test]
fn the_slots_are_even_and_everybody_has_one() {
    let over = Duration::from_secs(10);
    for count in [1, 2, 3, 7, 2048, 20_000] {
        let departure = Departure::new(drain(over, Duration::ZERO), count);
        let slots: Vec<u128> = (0..count).map(|_| departure.next_slot().as_nanos()).collect();
        let due: Vec<u128> = (0..u128::from(count)).map(|index| over.as_nanos() * index / u128::from(count)).collect();
        assert_eq!(slots, due);
        assert_eq!(departure.next_slot().as_nanos(), *due.last().unwrap(), "whoever was not counted goes with the last");
    }
}

fn drain(over: Duration, calls: Duration) -> Drain {
    Drain { over, calls, next: Next::Elsewhere, url: Some("wss://next.example/ws".to_owned()) }
}

/// Chance, the same each time for one number: SplitMix64.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u32) -> u32 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ mixed >> 31) % u64::from(bound)) as u32
    }

    fn character(&mut self) -> Character {
        use Character::{Deaf, Hasty, Obedient, Stalled};
        [Obedient, Obedient, Hasty, Deaf, Deaf, Stalled][self.below(6) as usize]
    }
}

/// What a client does about being told to move.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Character {
    /// Goes when its turn is and nothing is open, or soon after.
    Obedient,
    /// Goes at once.
    Hasty,
    /// Stays, and calls on and on.
    Deaf,
    /// Reads nothing any more from some time on, and closes nothing.
    Stalled,
}

/// A client at the other end of the pipe.
struct Client {
    character: Character,
    pipe: Option<DuplexStream>,
    came: Vec<u8>,
    next_id: u32,
    open: BTreeSet<u32>,
    /// By the reason.
    ended: BTreeMap<String, u32>,
    reconnect: Option<u64>,
    leave_at: Option<Duration>,
    goodbye: Option<Value>,
    close: Option<u16>,
}

/// A connection, polled when it was woken.
struct Task {
    running: Pin<Box<dyn Future<Output = ()> + Send>>,
    woken: Arc<Woken>,
    ended: Option<Duration>,
}

struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

// === impl Client ===

impl Client {
    fn new(character: Character, pipe: DuplexStream) -> Client {
        Client {
            character,
            pipe: Some(pipe),
            came: Vec::new(),
            next_id: 0,
            open: BTreeSet::new(),
            ended: BTreeMap::new(),
            reconnect: None,
            leave_at: None,
            goodbye: None,
            close: None,
        }
    }

    /// Calls something that takes so long.
    fn call(&mut self, nap: u32) {
        self.next_id += 1;
        let id = self.next_id;
        let text = format!(r#"{{"protocol":{NAP},"id":{id},"payload":{{"timeMs":"{nap}"}}}}"#);
        if self.send(0x81, text.as_bytes()) {
            self.open.insert(id);
        }
    }

    /// Whether it calls no more: it reads nothing, or is about to leave.
    fn is_done(&self, time: Duration) -> bool {
        self.character == Character::Stalled || self.leave_at.is_some_and(|leave_at| time >= leave_at) || self.open.len() >= 32
    }

    fn send(&mut self, head: u8, payload: &[u8]) -> bool {
        let Some(pipe) = &mut self.pipe else { return false };
        let frame = [&[head, 0x80 | payload.len() as u8, 0, 0, 0, 0], payload].concat();
        assert!(payload.len() < 126);
        pipe.write_all(&frame).now_or_never().is_some_and(|sent| sent.is_ok())
    }

    /// One turn at this time since the drain began.
    fn turn(&mut self, time: Option<Duration>) {
        if self.character == Character::Stalled && self.reconnect.is_some() {
            return;
        }
        let mut bytes = [0; PIPE_BYTES];
        while let Some(pipe) = &mut self.pipe {
            match pipe.read(&mut bytes).now_or_never() {
                Some(Ok(length @ 1..)) => self.came.extend_from_slice(&bytes[..length]),
                Some(_) => self.pipe = None,
                None => break,
            }
        }
        while let Some((head, payload)) = self.frame() {
            match head {
                0x81 => self.hear(&serde_json::from_slice(&payload).unwrap(), time),
                0x88 => {
                    self.close = Some(u16::from_be_bytes([payload[0], payload[1]]));
                    self.send(0x88, &payload[..2]);
                    self.pipe = None;
                }
                _ => {}
            }
        }
        let Some(time) = time else { return };
        let is_leaving = self.leave_at.is_some_and(|leave_at| time >= leave_at);
        let patient = self.character == Character::Obedient && !self.open.is_empty();
        if is_leaving && !patient && self.pipe.is_some() {
            // Whoever leaves by itself does not wait for what it asked.
            self.open.clear();
            self.send(0x88, &1000u16.to_be_bytes());
            self.pipe = None;
        }
    }

    fn frame(&mut self) -> Option<(u8, Vec<u8>)> {
        let (head, length) = match self.came[..] {
            [_, 126, high, low, ..] => (4, usize::from(u16::from_be_bytes([high, low]))),
            [_, length @ ..126, ..] => (2, usize::from(length)),
            _ => return None,
        };
        (self.came.len() >= head + length).then(|| {
            let frame: Vec<u8> = self.came.drain(..head + length).collect();
            (frame[0], frame[head..].to_vec())
        })
    }

    fn hear(&mut self, message: &Value, time: Option<Duration>) {
        match message["protocol"].as_u64().unwrap_or(0) as u32 {
            NAP => {
                let id = message["id"].as_u64().unwrap() as u32;
                assert!(self.open.remove(&id), "answered twice, or never asked: {message}");
                let reason = message["status"]["reason"].as_str().unwrap_or("OK").to_owned();
                *self.ended.entry(reason).or_default() += 1;
            }
            10 => {
                assert_eq!(self.reconnect, None, "told once");
                assert_eq!(message["payload"]["url"], "wss://next.example/ws");
                let delay = message["payload"]["delayMs"].as_u64().unwrap_or(0);
                self.reconnect = Some(delay);
                self.leave_at = match self.character {
                    Character::Obedient => Some(Duration::from_millis(delay)),
                    Character::Hasty => time,
                    Character::Deaf | Character::Stalled => None,
                };
            }
            11 => self.goodbye = Some(message["payload"].clone()),
            _ => {}
        }
    }
}

// === impl Task ===

impl Task {
    fn poll(&mut self, time: Duration) {
        // Until it has nothing to do: what one poll says may wake it again.
        while self.ended.is_none() && self.woken.0.swap(false, Ordering::Relaxed) {
            let waker = Waker::from(Arc::clone(&self.woken));
            if let Poll::Ready(()) = self.running.as_mut().poll(&mut Context::from_waker(&waker)) {
                self.ended = Some(time);
            }
        }
    }
}

/// One drain from beginning to end. How many calls had which end.
async fn one(number: u32, ended: &mut BTreeMap<String, u32>) {
    let mut dice = Dice(number.into());
    let mut table = Table::empty();
    let hour = Duration::from_secs(3600);
    (table.settings.auth_timeout, table.settings.anonymous_max_age) = (hour, hour);
    let seats = Seats::new(2);
    let settings = table.settings.clone();
    let (_writer, tables) = live(Arc::new(table));
    let workers = [(); 2].map(|()| Arc::new(Worker::by_hand(tables.clone())));
    let (over, calls) = (Duration::from_millis(dice.below(3000).into()), Duration::from_millis(dice.below(2500).into()));
    let connect = |index: u32, character| {
        let (ours, theirs) = tokio::io::duplex(PIPE_BYTES);
        let offer = Offer { codec: Codec::Json, token: None };
        let peer = std::net::Ipv4Addr::LOCALHOST.into();
        let upgraded = Upgraded { stream: Stream::Memory(ours), unread: Vec::new(), offer, peer, seat: seats.take(&settings).unwrap() };
        let running = Box::pin(Connection::new(upgraded, Arc::clone(&workers[index as usize % 2])).run());
        (Client::new(character, theirs), Task { running, woken: Arc::new(Woken(AtomicBool::new(true))), ended: None })
    };
    let count = 1 + dice.below(16);
    let mut all: Vec<(Client, Task)> = (0..count).map(|index| connect(index, dice.character())).collect();
    for (client, task) in &mut all {
        task.poll(Duration::ZERO);
        (0..dice.below(4)).for_each(|_| client.call(dice.below(5000)));
        task.poll(Duration::ZERO);
        client.turn(None);
    }

    // Somebody whose handshake was not over comes when the others have been told.
    let late = dice.below(2);
    let departure = Arc::new(Departure::new(drain(over, calls), count + late));
    workers.iter().for_each(|worker| worker.pulse.depart(Arc::clone(&departure)));
    all.extend((0..late).map(|_| connect(count, Character::Deaf)));
    let (begun, bound) = (tokio::time::Instant::now(), departure.drain().time() + CLOSING);
    while all.iter().any(|(_, task)| task.ended.is_none()) {
        let time = begun.elapsed();
        assert!(
            time <= bound,
            "drain {number}: {time:?} of {bound:?}: {:?}",
            all.iter().find(|(_, task)| task.ended.is_none()).unwrap().0.character
        );
        for (client, task) in &mut all {
            task.poll(time);
            // It has heard all that was said until now, so that what it calls comes before the last words.
            client.turn(Some(time));
            if dice.below(3) == 0 && !client.is_done(time) {
                client.call(dice.below(5000));
            }
            task.poll(time);
            client.turn(Some(time));
        }
        tokio::time::advance(STEP).await;
        workers.iter().for_each(|worker| worker.pulse.beat());
    }

    let told: BTreeSet<u64> = all.iter().filter_map(|(client, _)| client.reconnect).collect();
    let n = u64::from(count + late);
    // Nobody is told where there is no time to move; and two slots may lie in one millisecond.
    let due: BTreeSet<u64> =
        if over.is_zero() { BTreeSet::new() } else { (0..n).map(|index| over.as_millis() as u64 * index / n).collect() };
    assert_eq!(told, due, "{n} over {over:?}");
    for (client, task) in all {
        for (reason, count) in client.ended {
            assert!(["OK", "SHUTDOWN"].contains(&&*reason), "{reason}");
            *ended.entry(reason).or_default() += count;
        }
        if client.character == Character::Stalled {
            continue;
        }
        let goodbye = client.goodbye.as_ref().map(|goodbye| goodbye["code"].as_u64().unwrap());
        let by_itself = client.leave_at.is_some() && goodbye.is_none();
        assert!(by_itself || (goodbye, client.close) == (Some(1001), Some(1001)), "{:?} {goodbye:?} {:?}", client.character, client.close);
        assert!(by_itself || client.open.is_empty(), "drain {number}: calls {:?} were not answered", client.open);
        let left = Duration::from_millis(client.reconnect.unwrap_or(0));
        assert!(by_itself || task.ended.unwrap() >= left, "nobody is sent away before its turn");
    }
    assert_eq!(seats.taken(), 0);
}

#[tokio::test(start_paused = true)]
async fn many_drains_answer_every_call_once_keep_every_slot_and_end_in_time() {
    let mut ended = BTreeMap::new();
    let drains: u32 = std::env::var("DRAINS").ok().and_then(|text| text.parse().ok()).unwrap_or(DRAINS);
    for number in 0..drains {
        one(number, &mut ended).await;
    }
    println!("calls of {drains} drains ended so: {ended:?}");
    assert!(ended["OK"] > drains && ended["SHUTDOWN"] > drains, "{ended:?}");
}
