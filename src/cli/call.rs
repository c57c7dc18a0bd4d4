//! `protogate call`: be a client once, from the terminal.
//!
//! With `--format json` the gateway does the translating and nothing but an address is needed; with `--format proto` the request is
//! encoded here, by the descriptors of `--config`, exactly as a game's client would.

use std::time::Duration;

use clap::{Args, ValueEnum};
use futures_util::{SinkExt, StreamExt};
use serde_json::value::RawValue;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use super::{Config, Data, Exit, UNREACHABLE, USAGE, harmless};
use crate::proto::{self, Method};
use crate::reload;
use crate::table::compile::Context;
use crate::wire::status::Status;
use crate::wire::{Codec, Envelope, Payload};

/// Call a route and print the reply as JSON.
///
/// Example: protogate call 9001 '{"text":"hello"}' --as alice --roles player
#[derive(Args)]
pub struct Call {
    /// The protocol number.
    protocol: u32,

    /// The request, as JSON.
    #[arg(default_value = "{}")]
    request: String,

    /// Where the gateway listens.
    #[arg(long, env = "PROTOGATE_URL", default_value = "ws://127.0.0.1:7080/ws")]
    url: String,

    /// Show this token.
    #[arg(long, value_name = "TOKEN", env = "PROTOGATE_TOKEN", hide_env_values = true, conflicts_with = "user")]
    token: Option<String>,

    /// Call as this user, with a token of the development issuer.
    #[arg(long = "as", value_name = "USER")]
    user: Option<String>,

    /// The roles of that token.
    #[arg(long, value_delimiter = ',', requires = "user")]
    roles: Vec<String>,

    /// How the envelope travels.
    #[arg(long, value_enum, default_value = "json")]
    format: Format,

    /// Call so many times, one after the other, over one connection.
    #[arg(long, default_value_t = 1)]
    repeat: u32,

    /// Longest wait for one reply, in seconds.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    patience: u64,

    #[command(flatten)]
    config: Config,

    #[command(flatten)]
    data: Data,
}

#[derive(Clone, Copy, ValueEnum)]
enum Format {
    Json,
    Proto,
}

/// One connection to a gateway.
struct Client {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    codec: Codec,
    patience: Duration,
}

/// What a call came to.
enum Told {
    Payload(Vec<u8>),
    Failure(Status),
}

// === impl Call ===

impl Call {
    pub fn run(self) -> Result<(), Exit> {
        serde_json::from_str::<&RawValue>(&self.request)
            .map_err(|error| Exit::new(USAGE, format!("error: the request is not JSON: {error}")))?;
        let token = match (&self.token, &self.user) {
            (Some(token), _) => Some(token.clone()),
            (None, Some(user)) => Some(self.data.signer()?.issue_development(user, &self.roles, Duration::from_secs(300))),
            (None, None) => None,
        };
        let method = match self.format {
            Format::Json => None,
            Format::Proto => Some(self.method()?),
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime for one connection");
        runtime.block_on(self.converse(token, method))
    }

    async fn converse(&self, token: Option<String>, method: Option<Method>) -> Result<(), Exit> {
        let request = match &method {
            None => self.request.clone().into_bytes(),
            Some(method) => {
                let mut bytes = Vec::new();
                proto::from_json(&method.input, &self.request, &mut bytes).map_err(|error| Exit::new(USAGE, format!("error: {error}")))?;
                bytes
            }
        };
        let mut client = Client::connect(&self.url, codec(self.format), token, Duration::from_secs(self.patience)).await?;
        for id in 1..=self.repeat {
            match client.call(self.protocol, id, &request).await? {
                Told::Payload(payload) => println!("{}", printed(method.as_ref(), &payload)?),
                Told::Failure(status) => return Err(Exit::new(1, told(&status))),
            }
        }
        client.leave().await;
        Ok(())
    }

    /// The method behind the number, from the files: only they know how to encode it.
    fn method(&self) -> Result<Method, Exit> {
        let checked = reload::check(&self.config.inputs(Context::default()), None, &crate::proto::Pools::default());
        let Some(plan) = checked.plan else {
            return Err(Exit::new(1, "error: the configuration has errors, see `protogate check`"));
        };
        let route = plan.routes.into_iter().find(|route| route.number.0 == self.protocol);
        route.map(|route| route.method).ok_or_else(|| {
            Exit::new(
                1,
                format!(
                    "error: {} is not routed in this configuration, so its types are unknown; `--format json` needs none",
                    self.protocol
                ),
            )
        })
    }
}

// === impl Client ===

impl Client {
    async fn connect(url: &str, codec: Codec, token: Option<String>, patience: Duration) -> Result<Client, Exit> {
        let unreachable = |error: String| Exit::new(UNREACHABLE, format!("error: {url} cannot be reached: {error}"));
        let mut request =
            url.into_client_request().map_err(|error| Exit::new(USAGE, format!("error: `{url}` is no WebSocket address: {error}")))?;
        let headers = request.headers_mut();
        headers.insert("sec-websocket-protocol", http::HeaderValue::from_static(codec.subprotocol()));
        if let Some(token) = token {
            let value = format!("Bearer {token}")
                .parse()
                .map_err(|_| Exit::new(USAGE, "error: the token holds characters that HTTP does not allow"))?;
            headers.insert("authorization", value);
        }
        let connected =
            timeout(patience, tokio_tungstenite::connect_async(request)).await.map_err(|_| unreachable("no answer in time".to_owned()))?;
        let (socket, _) = connected.map_err(|error| match error {
            Error::Http(answer) => {
                let body = answer.body().as_deref().map(String::from_utf8_lossy).unwrap_or_default();
                unreachable(format!("it answered {}\n{body}", answer.status()))
            }
            error => unreachable(error.to_string()),
        })?;
        Ok(Client { socket, codec, patience })
    }

    async fn call(&mut self, protocol: u32, id: u32, request: &[u8]) -> Result<Told, Exit> {
        let payload = match self.codec {
            Codec::Proto => Payload::Proto(request),
            Codec::Json => Payload::Json(std::str::from_utf8(request).expect("the request was given as text")),
        };
        let mut bytes = Vec::new();
        self.codec.encode(&Envelope { protocol, id, payload, ..Envelope::default() }, &mut bytes);
        let message = match self.codec {
            Codec::Proto => Message::Binary(bytes.into()),
            Codec::Json => Message::Text(String::from_utf8(bytes).expect("JSON is text").into()),
        };
        self.socket.send(message).await.map_err(|error| lost(&error.to_string()))?;

        let deadline = Instant::now() + self.patience;
        loop {
            let message = tokio::time::timeout_at(deadline, self.socket.next()).await.map_err(|_| lost("no reply in time"))?;
            let bytes = match message {
                Some(Ok(Message::Binary(bytes))) => bytes.to_vec(),
                Some(Ok(Message::Text(text))) => text.as_bytes().to_vec(),
                Some(Ok(Message::Close(why))) => {
                    return Err(lost(
                        &why.map_or("closed".to_owned(), |why| format!("closed with {}: {}", u16::from(why.code), why.reason)),
                    ));
                }
                Some(Ok(_)) => continue,
                Some(Err(error)) => return Err(lost(&error.to_string())),
                None => return Err(lost("it closed the connection")),
            };
            let envelope = self.codec.decode(&bytes).map_err(|malformed| lost(&malformed.what))?;
            if (envelope.protocol, envelope.id) != (protocol, id) {
                continue;
            }
            return Ok(match (envelope.status, envelope.payload) {
                (Some(status), _) if status.code != 0 => Told::Failure(status),
                (_, Payload::Proto(payload)) => Told::Payload(payload.to_vec()),
                (_, Payload::Json(payload)) => Told::Payload(payload.as_bytes().to_vec()),
                (_, Payload::None) => Told::Payload(if self.codec == Codec::Json { b"{}".to_vec() } else { Vec::new() }),
            });
        }
    }

    async fn leave(mut self) {
        // The reply is here; how the farewell goes changes nothing.
        let _ = timeout(Duration::from_secs(1), self.socket.close(None)).await;
    }
}

fn codec(format: Format) -> Codec {
    match format {
        Format::Json => Codec::Json,
        Format::Proto => Codec::Proto,
    }
}

fn printed(method: Option<&Method>, payload: &[u8]) -> Result<String, Exit> {
    let mut json = Vec::new();
    match method {
        None => json.extend_from_slice(payload),
        Some(method) => proto::to_json(&method.output, payload, &mut json).map_err(|error| lost(&error))?,
    }
    Ok(harmless(&String::from_utf8_lossy(&json)))
}

fn told(status: &Status) -> String {
    let mut text = format!("error: {} ({}): {}", status.reason, status.code, status.message);
    if status.retry_after_ms > 0 {
        text += &format!("\n  retry after {} ms", status.retry_after_ms);
    }
    for detail in &status.details {
        text += &format!("\n  detail: {}", detail.json.as_deref().unwrap_or(&detail.any.type_url));
    }
    harmless(&text)
}

fn lost(why: &str) -> Exit {
    Exit::new(UNREACHABLE, format!("error: the connection to the gateway failed: {why}"))
}
