//! The command line's side of the operator's door.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use clap::Args;
use http::{Method, Request, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::{Config, Data, Exit, UNREACHABLE, UNREADABLE};
use crate::proto::Pools;
use crate::reload;
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

    /// Posts a document and returns what came back, whatever its status.
    pub fn post(&self, path: &str, document: &Value) -> Result<Value, Exit> {
        self.post_text(path, document.to_string())
    }

    /// The same with a document that is written already.
    pub fn post_text(&self, path: &str, document: String) -> Result<Value, Exit> {
        self.send(Method::POST, path, document, PATIENCE)
    }

    /// What is there.
    pub fn get(&self, path: &str, patience: Duration) -> Result<Value, Exit> {
        self.send(Method::GET, path, String::new(), patience)
    }

    fn send(&self, method: Method, path: &str, document: String, patience: Duration) -> Result<Value, Exit> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime for one request");
        let exchange = async {
            let stream = TcpStream::connect(self.address).await.map_err(|error| error.to_string())?;
            let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
            let request = Request::builder()
                .method(method)
                .uri(path)
                .header(header::HOST, self.address.to_string())
                .header(header::AUTHORIZATION, format!("Bearer {}", self.token))
                .header(header::CONTENT_TYPE, "application/json")
                .body(Full::new(Bytes::from(document)))
                .map_err(|_| "the token cannot be sent: it holds characters that HTTP does not allow".to_owned())?;
            let exchange = async {
                let answer = sender.send_request(request).await.map_err(|error| error.to_string())?;
                Limited::new(answer.into_body(), ANSWER_BYTES_MAX).collect().await.map_err(|error| error.to_string())
            };
            tokio::select! {
                biased;
                answer = exchange => answer.map(|body| body.to_bytes()),
                ended = connection => Err(ended.map_or_else(|error| error.to_string(), |()| "it closed the connection".to_owned())),
            }
        };
        let body = runtime
            .block_on(async { timeout(patience, exchange).await })
            .map_err(|_| "no answer in time".to_owned())
            .and_then(|answer| answer)
            .map_err(|error| {
                Exit::new(UNREACHABLE, format!("error: the gateway's admin side at {} does not answer: {error}", self.address))
            })?;
        serde_json::from_slice(&body)
            .map_err(|_| Exit::new(UNREACHABLE, format!("error: what listens at {} is not a protogate admin side", self.address)))
    }
}
