//! A client that plays: it speaks either codec, keeps what a client keeps of its session, and collects what is pushed.
//!
//! Protobuf is told in the words of JSON, so that a test says once what it expects.

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use prost::Message as _;
use protogate::services::echo::v1::{EchoRequest, EchoResponse};
use protogate::wire::{Codec, Envelope, Payload, number, v1};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, client_async};

use super::PATIENCE;

/// A connected client.
pub struct Player {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    codec: Codec,
    /// The answers and news that came while something else was waited for, pushes apart.
    kept: Vec<Said>,
    /// What it is to do if it is to come back: from Ready.
    pub session: Session,
    /// Pushes in the order in which they came: sequence number, and text.
    pub pushes: Vec<(u32, String)>,
    next_id: u32,
    closed: Option<u16>,
}

/// What a client keeps of its session when a connection is gone.
#[derive(Clone, Default, PartialEq, Debug)]
pub struct Session {
    pub id: String,
    pub user: String,
    pub resume_token: String,
    /// The last push it has seen.
    pub last_seq: u32,
}

/// A message of the gateway's.
#[derive(Clone, PartialEq, Debug)]
pub struct Said {
    pub protocol: u32,
    pub id: u32,
    /// `OK`, or why not.
    pub reason: String,
    pub payload: Value,
}

/// How a connection ended: the messages that nobody had waited for, and the code of Goodbye if there was one.
#[derive(Debug)]
pub struct Ended {
    pub said: Vec<Said>,
    pub goodbye: Option<Value>,
    pub close: Option<u16>,
}

/// What comes of asking: the payload, or the reason of the failure.
pub type Answer = Result<Value, String>;

// === impl Player ===

impl Player {
    /// Connects, as nobody yet.
    pub async fn connect(edge: SocketAddr) -> Player {
        Player::speaking(Codec::Json, edge).await
    }

    pub async fn speaking(codec: Codec, edge: SocketAddr) -> Player {
        Player::try_connect(codec, edge).await.expect("the gateway takes the connection")
    }

    /// Connects through a proxy that says where the client is.
    pub async fn from(client: &str, edge: SocketAddr) -> Player {
        Player::introduced(Codec::Json, edge, Some(client)).await.expect("the gateway takes the connection")
    }

    /// Connects, unless there is no gateway.
    pub async fn try_connect(codec: Codec, edge: SocketAddr) -> Result<Player, Error> {
        Player::introduced(codec, edge, None).await
    }

    async fn introduced(codec: Codec, edge: SocketAddr, client: Option<&str>) -> Result<Player, Error> {
        let mut request = format!("ws://{edge}/ws").into_client_request().unwrap();
        request.headers_mut().insert("sec-websocket-protocol", codec.subprotocol().parse().unwrap());
        if let Some(client) = client {
            request.headers_mut().insert("x-forwarded-for", client.parse().unwrap());
        }
        let stream = MaybeTlsStream::Plain(TcpStream::connect(edge).await?);
        let (socket, _) = timeout(PATIENCE, client_async(request, stream)).await.expect("the handshake ends")?;
        let mut player =
            Player { socket, codec, kept: Vec::new(), session: Session::default(), pushes: Vec::new(), next_id: 0, closed: None };
        match player.next().await {
            Some(hello) if hello.protocol == number::HELLO => Ok(player),
            // Whoever accepted the connection died since.
            _ => Err(Error::ConnectionClosed),
        }
    }

    /// Connects and enters a session with a token.
    pub async fn login(edge: SocketAddr, token: &str) -> Player {
        let mut player = Player::connect(edge).await;
        // A store that answers late, as on a busy machine, is a reason to try again, as the answer says.
        for _ in 0..100 {
            match player.authenticate(token).await {
                Ok(_) => return player,
                Err(reason) if reason == "UNAVAILABLE" => tokio::time::sleep(Duration::from_millis(50)).await,
                Err(reason) => panic!("the token is good, and was refused: {reason}"),
            }
        }
        panic!("the store is not available at all")
    }

    /// Shows a token.
    pub async fn authenticate(&mut self, token: &str) -> Answer {
        let answer = self.ask(number::AUTHENTICATE, json!({ "token": token })).await;
        answer.inspect(|ready| self.session = Session::of(ready, 0))
    }

    /// Comes back to a session; `fresh` may be empty. The answer is Resumed.
    pub async fn resume(&mut self, session: &Session, fresh: &str) -> Answer {
        let asked = json!({ "token": fresh, "resumeToken": session.resume_token, "lastSeq": session.last_seq });
        let answer = self.ask(number::RESUME, asked).await;
        answer.inspect(|resumed| {
            // What was replayed follows.
            self.session = Session::of(&resumed["ready"], session.last_seq);
        })
    }

    /// Shows a fresh token of the same user.
    pub async fn refresh(&mut self, token: &str) -> Answer {
        self.ask(number::REFRESH_TOKEN, json!({ "token": token })).await
    }

    /// Calls a route that echoes.
    pub async fn echo(&mut self, protocol: u32, text: &str) -> Result<String, String> {
        let answer = self.ask(protocol, json!({ "text": text })).await?;
        Ok(answer["text"].as_str().unwrap_or_default().to_owned())
    }

    /// Asks, and hears the one answer.
    pub async fn ask(&mut self, protocol: u32, payload: Value) -> Answer {
        let id = self.send(protocol, payload).await;
        loop {
            // Before anything that was kept: an answer is news.
            let Some(said) = self.next().await else { return Err("CONNECTION_CLOSED".to_owned()) };
            if said.id == id && said.protocol != number::GOODBYE {
                return if said.reason == "OK" { Ok(said.payload) } else { Err(said.reason) };
            }
            self.kept.push(said);
        }
    }

    /// Asks, and does not wait. What the connection does not take is lost, as a real client's would be.
    pub async fn send(&mut self, protocol: u32, payload: Value) -> u32 {
        self.next_id += 1;
        let id = self.next_id;
        let text = payload.to_string();
        let bytes = to_proto(protocol, &payload);
        let payload = match self.codec {
            Codec::Json => Payload::Json(&text),
            Codec::Proto => Payload::Proto(&bytes),
        };
        self.write(&Envelope { protocol, id, payload, ..Envelope::default() }).await;
        id
    }

    /// Tells the gateway what it has seen.
    pub async fn acknowledge(&mut self) {
        let ack = self.session.last_seq;
        self.write(&Envelope { protocol: number::PONG, ack, ..Envelope::default() }).await;
        // What is asked behind it is heard behind it.
        self.ask(number::PING, json!({})).await.unwrap();
    }

    /// Hears until there are so many pushes.
    pub async fn hear_pushes(&mut self, count: usize) -> Vec<String> {
        while self.pushes.len() < count {
            let said = self.next_message().await.expect("the connection stays");
            assert!(said.as_ref().is_none_or(|said| said.protocol != number::GOODBYE), "not expected: {said:?}");
            self.kept.extend(said);
        }
        self.pushes.iter().map(|push| push.1.clone()).collect()
    }

    /// The next message that is no push. Nothing: the connection ended.
    pub async fn try_hear(&mut self) -> Option<Said> {
        if self.kept.is_empty() { self.next().await } else { Some(self.kept.remove(0)) }
    }

    /// Hears what nobody waited for until there is a message of this number.
    pub async fn hear(&mut self, protocol: u32) -> Said {
        if let Some(place) = self.kept.iter().position(|said| said.protocol == protocol) {
            return self.kept.remove(place);
        }
        loop {
            let said = self.next().await.unwrap_or_else(|| panic!("{protocol} never came, but {:?}", self.kept));
            if said.protocol == protocol {
                return said;
            }
            self.kept.push(said);
        }
    }

    /// The code of the gateway's Close, if it came.
    pub fn closed(&self) -> Option<u16> {
        self.closed
    }

    /// Hears to the end.
    pub async fn hear_end(mut self) -> Ended {
        let mut said = std::mem::take(&mut self.kept);
        while let Some(message) = self.next_message().await {
            said.extend(message);
        }
        let goodbye = said.iter().position(|said| said.protocol == number::GOODBYE).map(|place| said.remove(place).payload);
        Ended { said, goodbye, close: self.closed }
    }

    /// Hears Goodbye with this code, then the same in the Close frame.
    pub async fn hear_sent_away(self, code: u16) -> Ended {
        let ended = self.hear_end().await;
        let told = ended.goodbye.as_ref().map_or(0, |goodbye| goodbye["code"].as_u64().unwrap());
        assert_eq!((told, ended.close), (code.into(), Some(code)), "{ended:?}");
        ended
    }

    /// The connection breaks, as on a train. What the client keeps.
    pub fn vanish(self) -> Session {
        self.session
    }

    async fn write(&mut self, envelope: &Envelope<'_>) {
        let mut bytes = Vec::new();
        self.codec.encode(envelope, &mut bytes);
        let message = match self.codec {
            Codec::Json => Message::text(String::from_utf8(bytes).unwrap()),
            Codec::Proto => Message::binary(bytes),
        };
        // Whether it arrived is for the answer to say.
        _ = self.socket.send(message).await;
    }

    /// The next message that is neither a push nor about life. Nothing: the connection ended.
    async fn next(&mut self) -> Option<Said> {
        loop {
            if let Some(said) = self.next_message().await? {
                return Some(said);
            }
        }
    }

    /// One message; if it is a push or about life, nothing inside.
    async fn next_message(&mut self) -> Option<Option<Said>> {
        match timeout(PATIENCE, self.socket.next()).await.expect("the gateway says something in time") {
            Some(Ok(message)) => Some(self.read(&message)),
            Some(Err(_)) | None => None,
        }
    }

    /// Keeps a push, and returns anything else.
    fn read(&mut self, message: &Message) -> Option<Said> {
        let bytes = match message {
            Message::Text(text) => text.as_bytes(),
            Message::Binary(bytes) => bytes,
            Message::Close(frame) => {
                self.closed = frame.as_ref().map(|frame| frame.code.into());
                return None;
            }
            _ => return None,
        };
        let envelope = self.codec.decode(bytes).expect("the gateway keeps the contract");
        let payload = match &envelope.payload {
            Payload::None => json!({}),
            Payload::Json(text) => serde_json::from_str(text).unwrap(),
            Payload::Proto(bytes) => to_json(envelope.protocol, bytes),
        };
        if envelope.seq != 0 {
            self.session.last_seq = envelope.seq;
            self.pushes.push((envelope.seq, payload["text"].as_str().unwrap_or_default().to_owned()));
            return None;
        }
        if envelope.protocol == number::PING {
            return None;
        }
        let reason = envelope.status.as_ref().filter(|status| status.code != 0).map_or("OK", |status| &*status.reason).to_owned();
        Some(Said { protocol: envelope.protocol, id: envelope.id, reason, payload })
    }
}

// === impl Session ===

impl Session {
    fn of(ready: &Value, last_seq: u32) -> Session {
        let text = |name: &str| ready[name].as_str().unwrap_or_default().to_owned();
        Session { id: text("sessionId"), user: text("user"), resume_token: text("resumeToken"), last_seq }
    }
}

fn to_proto(protocol: u32, payload: &Value) -> Vec<u8> {
    let text = |name: &str| payload[name].as_str().unwrap_or_default().to_owned();
    match protocol {
        number::AUTHENTICATE => v1::Authenticate { token: text("token"), ..v1::Authenticate::default() }.encode_to_vec(),
        number::REFRESH_TOKEN => v1::RefreshToken { token: text("token") }.encode_to_vec(),
        number::RESUME => v1::Resume {
            token: text("token"),
            resume_token: text("resumeToken"),
            last_seq: u32::try_from(payload["lastSeq"].as_u64().unwrap()).unwrap(),
            ..v1::Resume::default()
        }
        .encode_to_vec(),
        number::APPLICATION_MIN.. => EchoRequest { text: text("text") }.encode_to_vec(),
        _ => Vec::new(),
    }
}

fn to_json(protocol: u32, bytes: &[u8]) -> Value {
    let ready = |ready: &v1::Ready| json!({ "sessionId": ready.session_id, "user": ready.user, "resumeToken": ready.resume_token });
    match protocol {
        number::READY | number::REFRESH_TOKEN => ready(&v1::Ready::decode(bytes).unwrap()),
        number::RESUMED => {
            let resumed = v1::Resumed::decode(bytes).unwrap();
            json!({ "recovered": resumed.recovered, "replayed": resumed.replayed, "ready": resumed.ready.as_ref().map(ready) })
        }
        number::GOODBYE => {
            let goodbye = v1::Goodbye::decode(bytes).unwrap();
            json!({ "code": goodbye.code, "reconnect": goodbye.reconnect, "canResume": goodbye.can_resume })
        }
        number::APPLICATION_MIN.. => json!({ "text": EchoResponse::decode(bytes).unwrap().text }),
        _ => json!({}),
    }
}
