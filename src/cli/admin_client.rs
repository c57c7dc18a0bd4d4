//! The command line's side of the operator's door.

use std::net::SocketAddr;
use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use clap::Args;
use futures_util::FutureExt;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::{Config, Data, Exit, UNREACHABLE, UNREADABLE};
use crate::proto::Pools;
use crate::reload::{self, Inputs};
use crate::table::compile::Context;

/// Longest wait for an answer.
const PATIENCE: Duration = Duration::from_secs(60);

/// Longest answer: the diagnostics of a large configuration.
const ANSWER_BYTES_MAX: usize = 16 << 20;

/// How a person says which gateway is meant, and that they may.
#[derive(Args)]
pub struct Door {
    #[command(flatten)]
    config: Config,

    #[command(flatten)]
    data: Data,

    /// The operator's door of the gateway; over `admin.address` of gateway.yaml.
    #[arg(long, value_name = "ADDRESS", env = "PROTOGATE_ADMIN")]
    admin: Option<SocketAddr>,

    /// The operator's token [default: admin.token of the data folder].
    #[arg(long, value_name = "TOKEN", env = "PROTOGATE_ADMIN_TOKEN", hide_env_values = true)]
    token: Option<String>,
}

/// Knows where the door is and has the key.
pub struct AdminClient {
    address: SocketAddr,
    token: String,
}

// === impl Door ===

impl Door {
    /// The files of the gateway that is meant.
    pub fn inputs(&self, context: Context) -> Inputs {
        self.config.inputs(context)
    }
}

// === impl AdminClient ===

impl AdminClient {
    /// Whose door, by what the command line says.
    pub fn of(door: Door) -> Result<AdminClient, Exit> {
        AdminClient::new(&door.config, &door.data, door.admin, door.token)
    }

    /// The address from the command line, else from gateway.yaml; the token likewise, else from the data folder.
    fn new(config: &Config, data: &Data, address: Option<SocketAddr>, token: Option<String>) -> Result<AdminClient, Exit> {
        if let (Some(address), Some(token)) = (address, &token) {
            return Ok(AdminClient { address, token: token.clone() });
        }
        // The files may be the broken ones that a reload should refuse: what they still say of the admin side is enough.
        let said = reload::read_fixed(&config.inputs(Context::default()), &Pools::default());
        let address = address.unwrap_or(said.admin);
        let written = token.or_else(|| said.admin_token.map(|token| token.0.to_string()));
        let token = match written {
            Some(token) => token,
            None => data
                .folder()
                .read(crate::data::ADMIN_TOKEN)
                .map_err(|error| {
                    Exit::new(
                        UNREADABLE,
                        format!(
                            "error: no token for the admin side: {error}\n  help: name the gateway's `--data` folder, or give `--token`"
                        ),
                    )
                })
                .and_then(|bytes| String::from_utf8(bytes).map_err(|_| Exit::new(UNREADABLE, "error: the admin token is not text")))?,
        };
        Ok(AdminClient { address, token })
    }

    /// Asks for a path, with its query if it has one, and returns what came back, whatever its status.
    pub fn get(&self, path: &str) -> Result<Value, Exit> {
        self.get_within(path, PATIENCE)
    }

    /// The same for whoever does not wait so long.
    pub fn get_within(&self, path: &str, patience: Duration) -> Result<Value, Exit> {
        self.ask(Method::GET, path, String::new(), patience)
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn token(&self) -> &str {
        &self.token
    }

    /// Posts a document and returns what came back, whatever its status.
    pub fn post(&self, path: &str, document: &Value) -> Result<Value, Exit> {
        self.post_text(path, document.to_string())
    }

    /// The same with a document that is written already.
    pub fn post_text(&self, path: &str, document: String) -> Result<Value, Exit> {
        self.ask(Method::POST, path, document, PATIENCE)
    }

    /// Asks for a path whose answer goes on, and hands over each line as it comes, until the answer or `line` ends it, or Ctrl-C.
    pub fn follow(&self, path: &str, mut line: impl FnMut(&str) -> Result<(), Exit>) -> Result<(), Exit> {
        self.block_on(async {
            let answer = timeout(PATIENCE, self.send(Method::GET, path, String::new()));
            let (answer, connection) =
                answer.await.map_err(|_| "no answer in time".to_owned()).and_then(|answer| answer).map_err(|error| self.silent(&error))?;
            let mut connection = pin!(connection.fuse());
            let refused = answer.status() != StatusCode::OK;
            let mut body = answer.into_body();
            let mut waiting = Vec::new();
            loop {
                // A frame is taken whole or not at all.
                let frame = tokio::select! {
                    biased;
                    _ = tokio::signal::ctrl_c() => return Ok(()),
                    frame = body.frame() => frame,
                    _ = &mut connection => continue,
                };
                match frame {
                    Some(Ok(frame)) => waiting.extend_from_slice(&frame.into_data().unwrap_or_default()),
                    Some(Err(error)) => return Err(self.silent(&error.to_string())),
                    None if refused => return Err(Exit::refused(&self.document(&waiting)?)),
                    None => return Ok(()),
                }
                while !refused && let Some(end) = waiting.iter().position(|byte| *byte == b'\n') {
                    let rest = waiting.split_off(end + 1);
                    let whole = std::mem::replace(&mut waiting, rest);
                    line(String::from_utf8_lossy(&whole).trim_end())?;
                }
                if waiting.len() > ANSWER_BYTES_MAX {
                    return Err(self.silent("a line has no end"));
                }
            }
        })
    }

    fn ask(&self, method: Method, path: &str, document: String, patience: Duration) -> Result<Value, Exit> {
        self.block_on(async {
            let exchange = async {
                let (answer, connection) = self.send(method, path, document).await?;
                let body = async { Limited::new(answer.into_body(), ANSWER_BYTES_MAX).collect().await.map_err(|error| error.to_string()) };
                let mut body = pin!(body);
                tokio::select! {
                    biased;
                    body = &mut body => body,
                    // What had come by then is there.
                    _ = connection => body.await,
                }
            };
            let body = timeout(patience, exchange).await.map_err(|_| "no answer in time".to_owned()).and_then(|body| body);
            self.document(&body.map_err(|error| self.silent(&error))?.to_bytes())
        })
    }

    /// Sends a request. What came back, and the connection, which somebody has to run for as long as the answer goes on.
    async fn send(&self, method: Method, path: &str, document: String) -> Result<(Response<Incoming>, impl Future + use<>), String> {
        let stream = TcpStream::connect(self.address).await.map_err(|error| error.to_string())?;
        let (mut sender, mut connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, self.address.to_string())
            .header(header::AUTHORIZATION, format!("Bearer {}", self.token))
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::from(document)))
            .map_err(|_| "the token cannot be sent: it holds characters that HTTP does not allow".to_owned())?;
        tokio::select! {
            biased;
            answer = sender.send_request(request) => Ok((answer.map_err(|error| error.to_string())?, connection)),
            ended = &mut connection => Err(ended.map_or_else(|error| error.to_string(), |()| "it closed the connection".to_owned())),
        }
    }

    fn block_on<T>(&self, work: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime for one request").block_on(work)
    }

    fn document(&self, body: &[u8]) -> Result<Value, Exit> {
        serde_json::from_slice(body)
            .map_err(|_| Exit::new(UNREACHABLE, format!("error: what listens at {} is not a protogate admin side", self.address)))
    }

    fn silent(&self, error: &str) -> Exit {
        Exit::new(UNREACHABLE, format!("error: the gateway's admin side at {} does not answer: {error}", self.address))
    }
}

/// A value as it stands in a path or a query: whatever a URL cannot hold as `%` and two digits.
pub fn escaped(value: &str) -> String {
    use std::fmt::Write as _;
    let mut out = String::with_capacity(value.len());
    for byte in value.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(byte)),
            _ => write!(out, "%{byte:02X}").expect("a text takes what is written to it"),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_somebody_is_called_stands_in_a_url() {
        assert_eq!(escaped("service:ci & é"), "service%3Aci%20%26%20%C3%A9");
        assert_eq!(escaped("a-b.c_d~1"), "a-b.c_d~1");
    }
}
