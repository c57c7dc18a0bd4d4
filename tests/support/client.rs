//! A client of the tests: JSON over a WebSocket library that is not ours.

use std::net::SocketAddr;
use std::sync::Arc;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::{HeaderName, Response};
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{Connector, MaybeTlsStream, WebSocketStream, client_async_tls_with_config};

use super::PATIENCE;

/// A connected client.
pub struct TestClient {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    pub hello: Value,
    /// The gateway's own questions whether the client lives, which come at any time and are not for tests of something else.
    pub pings: u32,
    next_id: u64,
}

/// How a client introduces itself, where that matters.
#[derive(Default)]
pub struct Introduction<'a> {
    pub headers: &'a [(&'a str, &'a str)],
    /// What it offers besides `protogate.v1.json`.
    pub offered: &'a str,
    /// What it sends before its request, as a proxy does.
    pub before: &'a [u8],
    /// The certificates it believes; with some it speaks TLS to `localhost`.
    pub roots: &'a [CertificateDer<'static>],
}

/// What the gateway sent.
#[derive(Debug, PartialEq)]
pub enum Heard {
    Message(Value),
    Close(u16),
    End,
}

// === impl TestClient ===

impl TestClient {
    /// Connects and takes the greeting.
    pub async fn connect(edge: SocketAddr) -> TestClient {
        TestClient::introduce(edge, &Introduction::default()).await.expect("the gateway takes the connection")
    }

    /// Connects with a token, and takes what came of it: the greeting is Hello and Ready.
    pub async fn connect_as(edge: SocketAddr, token: &str) -> TestClient {
        let mut client = TestClient::connect_with_token(edge, token).await;
        let ready = client.hear_message().await;
        assert_eq!(ready["protocol"], 3, "Ready comes second: {ready}");
        client
    }

    /// Connects with a token, whatever comes of it.
    pub async fn connect_with_token(edge: SocketAddr, token: &str) -> TestClient {
        let headers = [("authorization", &*format!("Bearer {token}"))];
        TestClient::introduce(edge, &Introduction { headers: &headers, ..Introduction::default() })
            .await
            .expect("the gateway takes the connection")
    }

    /// Connects and takes the greeting, or returns the refusal.
    pub async fn introduce(edge: SocketAddr, introduction: &Introduction<'_>) -> Result<TestClient, Box<Response<Option<Vec<u8>>>>> {
        TestClient::try_introduce(edge, introduction).await.map_err(|error| match error {
            Error::Http(refusal) => refusal,
            error => panic!("neither taken nor refused: {error}"),
        })
    }

    /// The same, where there may be no answer at all.
    pub async fn try_introduce(edge: SocketAddr, introduction: &Introduction<'_>) -> Result<TestClient, Error> {
        let url = if introduction.roots.is_empty() { format!("ws://{edge}/ws") } else { format!("wss://localhost:{}/ws", edge.port()) };
        let mut request = url.into_client_request().unwrap();
        let offered = ["protogate.v1.json", introduction.offered].join(", ");
        request.headers_mut().insert("sec-websocket-protocol", offered.trim_end_matches(", ").parse().unwrap());
        for (name, value) in introduction.headers {
            request.headers_mut().append(HeaderName::from_bytes(name.as_bytes()).unwrap(), value.parse().unwrap());
        }
        let mut stream = TcpStream::connect(edge).await?;
        stream.write_all(introduction.before).await?;
        let mut roots = RootCertStore::empty();
        introduction.roots.iter().for_each(|root| roots.add(root.clone()).unwrap());
        let provider = Arc::new(tokio_rustls::rustls::crypto::aws_lc_rs::default_provider());
        let tls = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let connector = Connector::Rustls(Arc::new(tls.with_root_certificates(roots).with_no_client_auth()));
        let (socket, answer) = client_async_tls_with_config(request, stream, None, Some(connector)).await?;
        assert_eq!(answer.headers()["sec-websocket-protocol"], "protogate.v1.json", "a token is never echoed");
        TestClient::greeted(socket).await
    }

    /// Takes the greeting over a socket that is connected.
    pub async fn over(socket: WebSocketStream<MaybeTlsStream<TcpStream>>) -> TestClient {
        TestClient::greeted(socket).await.expect("the gateway says Hello")
    }

    /// The same; an error if the gateway is gone before it has said anything.
    async fn greeted(socket: WebSocketStream<MaybeTlsStream<TcpStream>>) -> Result<TestClient, Error> {
        let mut client = TestClient { socket, hello: Value::Null, pings: 0, next_id: 0 };
        client.hello = match client.hear().await {
            Heard::Message(hello) => hello,
            Heard::End => return Err(Error::ConnectionClosed),
            other => panic!("expected Hello, heard {other:?}"),
        };
        assert_eq!(client.hello["protocol"], 1, "Hello comes first");
        Ok(client)
    }

    /// Binary, which a client that chose JSON should not say.
    pub async fn say_bytes(&mut self, bytes: &[u8]) {
        self.socket.send(Message::binary(bytes.to_vec())).await.unwrap();
    }

    /// Says something that the gateway may not want to hear to its end.
    pub async fn try_say(&mut self, text: impl Into<String>) -> Result<(), Error> {
        self.socket.send(Message::text(text.into())).await
    }

    pub async fn say(&mut self, text: impl Into<String>) {
        self.socket.send(Message::text(text.into())).await.unwrap();
    }

    /// The next message, close or end. WebSocket pings are answered on the way, and the gateway's own are counted.
    pub async fn hear(&mut self) -> Heard {
        loop {
            match timeout(PATIENCE, self.socket.next()).await.expect("the gateway says something in time") {
                Some(Ok(Message::Text(text))) => match serde_json::from_str::<Value>(&text).expect("JSON mode speaks JSON") {
                    ping if ping["protocol"] == 6 => self.pings += 1,
                    message => return Heard::Message(message),
                },
                Some(Ok(Message::Close(frame))) => return Heard::Close(frame.map_or(1005, |frame| frame.code.into())),
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Heard::End,
            }
        }
    }

    /// Listens until the gateway asks again whether the client lives.
    pub async fn hear_ping(&mut self) {
        let before = self.pings;
        while self.pings == before {
            match timeout(PATIENCE, self.socket.next()).await.expect("the gateway asks in time") {
                Some(Ok(Message::Text(text))) if text.contains(r#""protocol":6"#) => self.pings += 1,
                Some(Ok(Message::Ping(_))) => {}
                other => panic!("expected a question, heard {other:?}"),
            }
        }
    }

    pub async fn hear_message(&mut self) -> Value {
        match self.hear().await {
            Heard::Message(message) => message,
            other => panic!("expected a message, heard {other:?}"),
        }
    }

    /// Sends a call and returns its id.
    pub async fn send(&mut self, protocol: u32, payload: Value) -> u64 {
        self.next_id += 1;
        self.say(json!({ "protocol": protocol, "id": self.next_id, "payload": payload }).to_string()).await;
        self.next_id
    }

    /// Hears Goodbye with this code, then the Close frame with the same, and nothing before.
    pub async fn assert_sent_away(&mut self, code: u16) {
        let goodbye = self.hear_message().await;
        assert_eq!((&goodbye["protocol"], &goodbye["payload"]["code"]), (&json!(11), &json!(code)), "{goodbye}");
        let reconnect = goodbye["payload"]["reconnect"].as_bool().unwrap_or(false);
        assert_eq!(reconnect, protogate::wire::close::reconnects(code), "{goodbye}");
        assert_eq!(self.hear().await, Heard::Close(code));
    }

    /// Says nothing and answers nothing, not even WebSocket pings, until the gateway is done with it. Returns what came, in order.
    pub async fn play_dead(self) -> Vec<u8> {
        let MaybeTlsStream::Plain(mut stream) = self.socket.into_inner() else { panic!("the tests speak clear text here") };
        let mut came = Vec::new();
        let end = timeout(PATIENCE, stream.read_to_end(&mut came)).await;
        _ = end.expect("the gateway ends it in time");
        came
    }

    /// Calls and hears the text that an echo or a mirror answers.
    pub async fn echo(&mut self, protocol: u32, text: &str) -> String {
        let answer = self.call(protocol, json!({ "text": text })).await;
        answer["payload"]["text"].as_str().unwrap_or_else(|| panic!("expected a text, heard {answer}")).to_owned()
    }

    /// Calls and waits for the one answer.
    pub async fn call(&mut self, protocol: u32, payload: Value) -> Value {
        let id = self.send(protocol, payload).await;
        loop {
            let answer = self.hear_message().await;
            if answer["id"] == id {
                return answer;
            }
        }
    }

    /// Calls, and returns the reason of the failure that it must be.
    pub async fn refused(&mut self, protocol: u32, payload: Value) -> String {
        let answer = self.call(protocol, payload).await;
        answer["status"]["reason"].as_str().unwrap_or_else(|| panic!("expected a failure, heard {answer}")).to_owned()
    }
}
