//! One of the many: it speaks protobuf over a socket of its own, keeps where it is in every topic, and comes back by that.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use protogate::services::echo::v1::EchoRequest;
use protogate::wire::{Codec, Envelope, Payload, number, v1};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::{WebSocketStream, client_async};

use super::*;
use crate::support::PATIENCE;

/// How long a member may take to hear to the end.
const END: Duration = Duration::from_secs(60);

/// A sequence that is the same for one seed.
pub struct Random(pub u64);

/// A member of some topics.
pub struct Member {
    pub number: usize,
    pub topics: Vec<usize>,
    /// Where it is in each.
    pub heard: BTreeMap<usize, (String, u64)>,
    /// Where it began, and what it received since: offsets and texts.
    pub began: BTreeMap<usize, u64>,
    pub received: BTreeMap<usize, Vec<(u64, String)>>,
    pub said: usize,
    /// Words that were answered by success; what is behind that is published afterwards, or not.
    pub answered: usize,
    pub away: usize,
    pub resumed: usize,
    pub anew: usize,
    /// What was said to be lost.
    pub declared: Vec<String>,
    /// What must not be.
    pub faults: Vec<String>,
    token: String,
    /// Its id, and the token that resumes it.
    session: Option<(String, String)>,
    /// Topics in which it has the last word and has not heard it yet.
    last_words: BTreeSet<usize>,
    next_word: Instant,
    random: Random,
    world: Arc<World>,
}

struct Line {
    socket: WebSocketStream<TcpStream>,
    next_id: u32,
}

/// An answer: `OK` or why not, and the message inside.
struct Answer {
    id: u32,
    reason: String,
    payload: Bytes,
}

/// The connection is gone.
struct Gone;

// === impl Random ===

impl Random {
    fn next(&mut self) -> u64 {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ mixed >> 31
    }

    pub fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound as u64).unwrap()
    }

    /// Between half and one and a half times as long.
    fn about(&mut self, duration: Duration) -> Duration {
        duration / 2 + duration * u32::try_from(self.below(1000)).unwrap() / 1000
    }
}

// === impl Member ===

impl Member {
    pub fn new(number: usize, token: String, topics: Vec<usize>, last_words: BTreeSet<usize>, random: Random, world: Arc<World>) -> Member {
        Member {
            number,
            topics,
            heard: BTreeMap::new(),
            began: BTreeMap::new(),
            received: BTreeMap::new(),
            said: 0,
            answered: 0,
            away: 0,
            resumed: 0,
            anew: 0,
            declared: Vec::new(),
            faults: Vec::new(),
            token,
            session: None,
            last_words,
            next_word: Instant::now(),
            random,
            world,
        }
    }

    /// Until everything is heard, or does not come.
    pub async fn live(mut self, mut phase: watch::Receiver<Phase>, joined: watch::Sender<usize>) -> Member {
        let mut has_joined = false;
        loop {
            let mut line = self.come().await;
            if !std::mem::replace(&mut has_joined, true) {
                joined.send_modify(|count| *count += 1);
            }
            let stayed = self.stay(&mut line, &mut phase).await;
            if stayed.is_ok() {
                return self;
            }
            self.away += 1;
            drop(line);
            if matches!(*phase.borrow(), Phase::Play) {
                let pause = self.random.about(Duration::from_millis(300));
                sleep(pause).await;
            }
        }
    }

    /// Connects somewhere, goes on or begins, and is in all its topics.
    async fn come(&mut self) -> Line {
        let began = Instant::now();
        loop {
            assert!(began.elapsed() < MINUTE, "user{} cannot come back: {:?}", self.number, self.faults);
            let edge = self.world.edge(&mut self.random);
            if let Some(mut line) = Line::connect(edge).await
                && self.enter(&mut line).await.is_ok()
            {
                return line;
            }
            sleep(Duration::from_millis(50)).await;
        }
    }

    async fn enter(&mut self, line: &mut Line) -> Result<(), Gone> {
        match self.session.clone() {
            None => {
                let asked = v1::Authenticate { token: self.token.clone(), ..v1::Authenticate::default() };
                let answer = self.ask(line, number::AUTHENTICATE, asked.encode_to_vec()).await?;
                let ready = self.granted(&answer)?;
                self.session = Some(session(&v1::Ready::decode(ready).unwrap()));
            }
            Some(session) => self.resume(line, session).await?,
        }
        for topic in self.topics.clone() {
            while !self.heard.contains_key(&topic) {
                let number = JOIN + u32::try_from(topic).unwrap();
                let answer = self.ask(line, number, EchoRequest { text: "join".to_owned() }.encode_to_vec()).await?;
                if answer.reason == "OK" && !self.heard.contains_key(&topic) {
                    self.faults.push(format!("user{} joined topic {topic} and was not told that it hears it", self.number));
                }
            }
        }
        Ok(())
    }

    async fn resume(&mut self, line: &mut Line, (id, resume_token): (String, String)) -> Result<(), Gone> {
        let position = |(epoch, offset): &(String, u64)| v1::Position { epoch: epoch.clone(), offset: *offset };
        let topics = self.heard.iter().map(|(topic, at)| (self.world.topics[*topic].clone(), position(at))).collect();
        let asked = v1::Resume { token: self.token.clone(), resume_token, last_seq: 0, topics };
        let answer = self.ask(line, number::RESUME, asked.encode_to_vec()).await?;
        let resumed = v1::Resumed::decode(self.granted(&answer)?).unwrap();
        let session = session(resumed.ready.as_ref().unwrap());
        let is_same = session.0 == id;
        self.resumed += usize::from(is_same);
        self.anew += usize::from(!is_same);
        self.session = Some(session);
        let lost: BTreeSet<usize> = resumed.lost_topics.iter().map(|name| self.topic(name)).collect();
        for topic in &lost {
            if let Some(at) = self.heard.get(topic) {
                self.declared.push(format!("user{} lost topic {topic} behind {at:?}; same session: {is_same}", self.number));
            }
        }
        self.heard.retain(|topic, _| !lost.contains(topic));
        // What it hears again is said behind Resumed, before anything is answered that was asked later.
        self.ask(line, number::PING, Vec::new()).await.map(drop)
    }

    fn granted(&mut self, answer: &Answer) -> Result<Bytes, Gone> {
        match &*answer.reason {
            "OK" => Ok(answer.payload.clone()),
            "UNAVAILABLE" => Err(Gone),
            reason => {
                self.faults.push(format!("user{} is refused: {reason}", self.number));
                Err(Gone)
            }
        }
    }

    /// Until it drops off, is dropped, or has heard everything.
    async fn stay(&mut self, line: &mut Line, phase: &mut watch::Receiver<Phase>) -> Result<(), Gone> {
        let leaves = Instant::now() + self.random.about(STAY);
        let mut give_up = None;
        loop {
            let current = phase.borrow_and_update().clone();
            let (is_playing, is_settling) = (matches!(current, Phase::Play), matches!(current, Phase::Settle));
            if let Phase::Until(histories) = &current {
                let deadline = *give_up.get_or_insert(Instant::now() + END);
                let is_there = |topic: &usize| self.heard.get(topic) == Some(&(histories[*topic].epoch.clone(), histories[*topic].end()));
                if self.topics.iter().all(is_there) || Instant::now() > deadline {
                    return Ok(());
                }
            }
            tokio::select! {
                biased;
                changed = phase.changed() => drop(changed.map_err(|_| Gone)?),
                message = line.socket.next() => drop(self.take(message)?),
                () = sleep_until(leaves), if is_playing => return Err(Gone),
                () = sleep_until(self.next_word), if is_playing => {
                    let topic = self.topics[self.random.below(self.topics.len())];
                    self.say(line, topic, "word").await?;
                    self.next_word = Instant::now() + self.random.about(SAY);
                }
                () = sleep_until(self.next_word), if is_settling && !self.last_words.is_empty() => {
                    for topic in self.last_words.clone() {
                        self.say(line, topic, "last").await?;
                    }
                    self.next_word = Instant::now() + SAY;
                }
                () = sleep(Duration::from_millis(200)), if give_up.is_some() => {}
            }
        }
    }

    async fn say(&mut self, line: &mut Line, topic: usize, what: &str) -> Result<(), Gone> {
        self.said += 1;
        let text = format!("{what} {} of user{}", self.said, self.number);
        line.send(SAY_TO + u32::try_from(topic).unwrap(), EchoRequest { text }.encode_to_vec()).await.map(drop)
    }

    async fn ask(&mut self, line: &mut Line, protocol: u32, payload: Vec<u8>) -> Result<Answer, Gone> {
        let id = line.send(protocol, payload).await?;
        loop {
            let message = timeout(PATIENCE, line.socket.next()).await.expect("the gateway answers in time");
            if let Some(answer) = self.take(message)?.filter(|answer| answer.id == id) {
                return Ok(answer);
            }
        }
    }

    /// Takes in one message; an answer is for who asked.
    fn take<E>(&mut self, message: Option<Result<Message, E>>) -> Result<Option<Answer>, Gone> {
        let bytes = match message {
            Some(Ok(Message::Binary(bytes))) => bytes,
            Some(Ok(Message::Close(_)) | Err(_)) | None => return Err(Gone),
            Some(Ok(_)) => return Ok(None),
        };
        let envelope = Codec::Proto.decode(&bytes).expect("the gateway keeps the contract");
        let payload = match envelope.payload {
            Payload::Proto(payload) => bytes.slice_ref(payload),
            _ => Bytes::new(),
        };
        match envelope.protocol {
            number::SUBSCRIBE => self.subscribed(&v1::Subscribed::decode(payload).unwrap()),
            number::UNSUBSCRIBE => self.faults.push(format!("user{} was put out of a topic", self.number)),
            2101 => self.hear(&envelope, text(&payload)),
            _ if envelope.id != 0 => {
                let reason = envelope.status.as_ref().filter(|status| status.code != 0).map_or("OK", |status| &*status.reason).to_owned();
                self.answered += usize::from(reason == "OK" && (SAY_TO..JOIN).contains(&envelope.protocol));
                return Ok(Some(Answer { id: envelope.id, reason, payload }));
            }
            _ => {}
        }
        Ok(None)
    }

    fn subscribed(&mut self, subscribed: &v1::Subscribed) {
        let topic = self.topic(&subscribed.topic);
        if subscribed.recovered {
            return;
        }
        let at = subscribed.at.clone().unwrap_or_default();
        self.began.entry(topic).or_insert(at.offset);
        if let Some(before) = self.heard.insert(topic, (at.epoch.clone(), at.offset)) {
            self.declared.push(format!("user{} begins topic {topic} anew at {at:?}, was at {before:?}", self.number));
        }
    }

    fn hear(&mut self, envelope: &Envelope<'_>, text: String) {
        let (topic, user) = (self.topic(&envelope.topic), self.number);
        let Some((epoch, before)) = self.heard.get_mut(&topic) else {
            return self.faults.push(format!("user{user} was not told that it hears topic {topic}"));
        };
        if !envelope.epoch.is_empty() && envelope.epoch != *epoch {
            self.declared.push(format!("user{user}: topic {topic} has another epoch at {}, was at {epoch} {before}", envelope.offset));
            *epoch = envelope.epoch.clone().into_owned();
        } else {
            if envelope.dropped > 0 {
                self.declared.push(format!("user{user} lost {} of topic {topic}", envelope.dropped));
            }
            if envelope.offset != *before + u64::from(envelope.dropped) + 1 {
                self.faults.push(format!("user{user} heard {} behind {before} of topic {topic} ({epoch})", envelope.offset));
            }
        }
        *before = envelope.offset;
        if text.starts_with("last") {
            self.last_words.remove(&topic);
        }
        self.received.entry(topic).or_default().push((envelope.offset, text));
    }

    fn topic(&self, name: &str) -> usize {
        self.world.topics.iter().position(|topic| topic == name).expect("one of the topics there are")
    }
}

fn session(ready: &v1::Ready) -> (String, String) {
    (ready.session_id.clone(), ready.resume_token.clone())
}

// === impl Line ===

impl Line {
    async fn connect(edge: SocketAddr) -> Option<Line> {
        let mut request = format!("ws://{edge}/ws").into_client_request().unwrap();
        request.headers_mut().insert("sec-websocket-protocol", Codec::Proto.subprotocol().parse().unwrap());
        let stream = TcpStream::connect(edge).await.ok()?;
        let (socket, _) = timeout(PATIENCE, client_async(request, stream)).await.expect("the handshake ends").ok()?;
        Some(Line { socket, next_id: 0 })
    }

    async fn send(&mut self, protocol: u32, payload: Vec<u8>) -> Result<u32, Gone> {
        self.next_id += 1;
        let mut bytes = Vec::new();
        Codec::Proto.encode(&Envelope { protocol, id: self.next_id, payload: Payload::Proto(&payload), ..Envelope::default() }, &mut bytes);
        self.socket.send(Message::binary(bytes)).await.map_err(|_| Gone)?;
        Ok(self.next_id)
    }
}
