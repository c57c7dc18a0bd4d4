//! A client's connection: messages out, messages in.
//!
//! Promises: what is sent is sent in time or the connection is lost; hearing is cancel-safe; WebSocket pings are answered by the library
//! while somebody listens.

use std::io;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{self, Error};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use super::{Exit, UNREACHABLE, USAGE, harmless};
use crate::wire::close::reconnects;
use crate::wire::{Codec, Envelope, Payload, Status};

/// How long a farewell may take.
const FAREWELL: Duration = Duration::from_secs(1);

/// One connection to a gateway.
pub struct Client {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    codec: Codec,
    patience: Duration,
}

/// What a client says.
#[derive(Default)]
pub struct Said<'a> {
    pub protocol: u32,
    pub id: u32,
    /// In the connection's form.
    pub payload: &'a [u8],
    pub ack: u32,
    /// It is a message of a stream, and others may follow.
    pub more: bool,
    /// Messages of the stream that may come in addition.
    pub credit: u32,
}

/// What the gateway says.
#[derive(Default)]
pub struct Heard {
    pub protocol: u32,
    pub id: u32,
    /// In the connection's form; empty when there is none.
    pub payload: Vec<u8>,
    /// Of a failure alone.
    pub failure: Option<Status>,
    /// The good end of a stream.
    pub is_done: bool,
    /// A message of a stream.
    pub more: bool,
    pub credit: u32,
    pub seq: u32,
    pub topic: String,
    pub epoch: String,
    pub offset: u64,
    pub dropped: u32,
}

/// How a connection was lost.
pub enum Lost {
    Closed {
        code: u16,
        reason: String,
    },
    Broken(String),
    /// What came was no envelope: this is no gateway of ours.
    Malformed(String),
    /// It was given up, because the gateway asked for that.
    Moved,
}

// === impl Client ===

impl Client {
    pub async fn connect(url: &str, codec: Codec, token: Option<&str>, patience: Duration) -> Result<Client, Exit> {
        let unreachable = |error: &str| Exit::new(UNREACHABLE, harmless(&format!("error: {url} cannot be reached: {error}")));
        let no_address = |error: &str| Exit::new(USAGE, format!("error: `{url}` is no WebSocket address: {error}"));
        let mut request = url.into_client_request().map_err(|error| no_address(&error.to_string()))?;
        if !matches!(request.uri().scheme_str(), Some("ws" | "wss")) {
            return Err(no_address("it begins with `ws://`, or with `wss://` for TLS"));
        }
        let headers = request.headers_mut();
        headers.insert("sec-websocket-protocol", http::HeaderValue::from_static(codec.subprotocol()));
        if let Some(token) = token {
            let value = format!("Bearer {token}")
                .parse()
                .map_err(|_| Exit::new(USAGE, "error: the token holds characters that HTTP does not allow"))?;
            headers.insert("authorization", value);
        }
        let connected = timeout(patience, tokio_tungstenite::connect_async(request)).await.map_err(|_| unreachable("no answer in time"))?;
        let (socket, _) = connected.map_err(|error| match error {
            Error::Http(answer) => {
                let body = answer.body().as_deref().map(String::from_utf8_lossy).unwrap_or_default();
                unreachable(&format!("it answered {}\n{body}", answer.status()))
            }
            Error::Io(error) => unreachable(&format!("{error}{}", help(&error))),
            error => unreachable(&error.to_string()),
        })?;
        Ok(Client { socket, codec, patience })
    }

    pub async fn say(&mut self, said: Said<'_>) -> Result<(), Lost> {
        let payload = match self.codec {
            _ if said.payload.is_empty() => Payload::None,
            Codec::Proto => Payload::Proto(said.payload),
            Codec::Json => Payload::Json(std::str::from_utf8(said.payload).expect("JSON was written as text")),
        };
        let mut bytes = Vec::new();
        let envelope = Envelope {
            protocol: said.protocol,
            id: said.id,
            payload,
            ack: said.ack,
            more: said.more,
            credit: said.credit,
            ..Envelope::default()
        };
        self.codec.encode(&envelope, &mut bytes);
        let message = match self.codec {
            Codec::Proto => tungstenite::Message::Binary(bytes.into()),
            Codec::Json => tungstenite::Message::Text(String::from_utf8(bytes).expect("JSON is text").into()),
        };
        match timeout(self.patience, self.socket.send(message)).await {
            Ok(sent) => sent.map_err(|error| Lost::Broken(error.to_string())),
            Err(_) => Err(Lost::Broken("it takes nothing any more".to_owned())),
        }
    }

    /// The next message. Cancel-safe: nothing is taken that is not returned.
    pub async fn hear(&mut self) -> Result<Heard, Lost> {
        use tungstenite::Message;
        loop {
            let bytes = match self.socket.next().await {
                Some(Ok(Message::Binary(bytes))) => bytes,
                Some(Ok(Message::Text(text))) => text.into(),
                Some(Ok(Message::Close(Some(why)))) => {
                    return Err(Lost::Closed { code: why.code.into(), reason: why.reason.to_string() });
                }
                Some(Ok(Message::Close(None))) => return Err(Lost::Broken("closed".to_owned())),
                Some(Ok(_)) => continue,
                Some(Err(error)) => return Err(Lost::Broken(error.to_string())),
                None => return Err(Lost::Broken("it closed the connection".to_owned())),
            };
            let envelope = self.codec.decode(&bytes).map_err(|malformed| Lost::Malformed(malformed.what))?;
            return Ok(Heard::from(envelope));
        }
    }

    /// Ends the connection as it should be ended.
    pub async fn leave(mut self) {
        // Everything is here that was asked for; how the farewell goes changes nothing.
        let _ = timeout(FAREWELL, self.socket.close(None)).await;
    }
}

// === impl Heard ===

impl From<Envelope<'_>> for Heard {
    fn from(envelope: Envelope<'_>) -> Heard {
        Heard {
            protocol: envelope.protocol,
            id: envelope.id,
            payload: match envelope.payload {
                Payload::None => Vec::new(),
                Payload::Proto(bytes) => bytes.to_vec(),
                Payload::Json(text) => text.as_bytes().to_vec(),
            },
            is_done: envelope.status.as_ref().is_some_and(|status| status.code == 0),
            more: envelope.more,
            credit: envelope.credit,
            failure: envelope.status.filter(|status| status.code != 0),
            seq: envelope.seq,
            topic: envelope.topic.into_owned(),
            epoch: envelope.epoch.into_owned(),
            offset: envelope.offset,
            dropped: envelope.dropped,
        }
    }
}

// === impl Lost ===

impl Lost {
    /// Whether a client should come back.
    pub fn reconnects(&self) -> bool {
        match self {
            Lost::Closed { code, .. } => reconnects(*code),
            Lost::Broken(_) | Lost::Moved => true,
            Lost::Malformed(_) => false,
        }
    }

    /// Why, for a person.
    pub fn why(&self) -> String {
        match self {
            Lost::Closed { code, reason } => harmless(&format!("closed with {code}: {reason}")),
            Lost::Broken(why) | Lost::Malformed(why) => harmless(why),
            Lost::Moved => "the gateway asked for another".to_owned(),
        }
    }
}

impl From<Lost> for Exit {
    fn from(lost: Lost) -> Exit {
        Exit::new(UNREACHABLE, format!("error: the connection to the gateway failed: {}", lost.why()))
    }
}

/// What to do about a connection that was not made.
fn help(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "\n  help: start a gateway with `protogate serve`, or say with `--url` where one listens",
        io::ErrorKind::InvalidData => "\n  help: TLS does not come about; where the gateway speaks clear text, say `ws://`",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whether_to_come_back_is_the_verdict_of_the_close_code() {
        let closed = |code| Lost::Closed { code, reason: "\u{1b}[31mSLOW".to_owned() };
        assert!(closed(4001).reconnects() && closed(1012).reconnects());
        assert!(!closed(4502).reconnects() && !closed(1000).reconnects());
        assert!(Lost::Broken("reset".to_owned()).reconnects());
        assert!(!Lost::Malformed("no envelope".to_owned()).reconnects());
        assert_eq!(closed(4001).why(), "closed with 4001: \\u001b[31mSLOW");
    }
}
