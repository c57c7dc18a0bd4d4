//! A client of the tests: JSON over a WebSocket library that is not ours.

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

/// Long enough for a busy machine, short enough to end a test that hangs.
const PATIENCE: Duration = Duration::from_secs(10);

/// A connected client.
pub struct TestClient {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    pub hello: Value,
    next_id: u64,
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
        TestClient::connect_with(edge, None).await
    }

    pub async fn connect_as(edge: SocketAddr, token: &str) -> TestClient {
        TestClient::connect_with(edge, Some(token)).await
    }

    async fn connect_with(edge: SocketAddr, token: Option<&str>) -> TestClient {
        let mut request = format!("ws://{edge}/ws").into_client_request().unwrap();
        request.headers_mut().insert("sec-websocket-protocol", "protogate.v1.json".parse().unwrap());
        if let Some(token) = token {
            request.headers_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
        }
        let (socket, _) = tokio_tungstenite::connect_async(request).await.expect("the gateway takes the connection");
        let mut client = TestClient { socket, hello: Value::Null, next_id: 0 };
        let Heard::Message(hello) = client.hear().await else { panic!("Hello comes first") };
        assert_eq!(hello["protocol"], 1, "Hello comes first");
        client.hello = hello;
        client
    }

    pub async fn say(&mut self, text: impl Into<String>) {
        self.socket.send(Message::text(text.into())).await.unwrap();
    }

    /// The next message, close or end; pings are answered on the way.
    pub async fn hear(&mut self) -> Heard {
        loop {
            match timeout(PATIENCE, self.socket.next()).await.expect("the gateway says something in time") {
                Some(Ok(Message::Text(text))) => return Heard::Message(serde_json::from_str(&text).expect("JSON mode speaks JSON")),
                Some(Ok(Message::Close(frame))) => return Heard::Close(frame.map_or(1005, |frame| frame.code.into())),
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Heard::End,
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
