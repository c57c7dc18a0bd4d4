//! Connections to Redis, and the pool that lends them.
//!
//! Everything that belongs to a connection runs on the runtime that the engine was made on, whoever asks for it. A connection that was
//! closed, or whose last answer nobody saw, is never lent again.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bb8_redis::bb8::{self, ErrorSink, ManageConnection, Pool, PooledConnection, QueueStrategy};
use bb8_redis::redis::aio::{MultiplexedConnection, PubSub};
use bb8_redis::redis::{AsyncConnectionConfig, Cmd, ErrorKind, Pipeline, RedisResult, ServerErrorKind, Value};
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};
use tokio_util::task::AbortOnDropHandle;

use super::RedisUrl;
use crate::store::{Result, StoreError};

/// The most connections at once. One carries one operation at a time, some 5,000 a second on a network worth the name.
const CONNECTIONS_MAX: u32 = 16;

/// How long an operation waits for a connection: less than half of its patience.
const CHECK_OUT_PATIENCE: Duration = Duration::from_millis(100);

/// How long a connection may take to be made, handshakes included. Nobody waits for it as long; the next one finds it made.
const DIAL_PATIENCE: Duration = Duration::from_millis(500);

/// A peer that does not acknowledge for so long is gone.
#[cfg(target_os = "linux")]
const UNACKNOWLEDGED_MAX: Duration = Duration::from_secs(1);

/// How a silent connection is found to be dead: asked after five seconds, then three times.
const KEEPALIVE: TcpKeepalive = TcpKeepalive::new().with_time(Duration::from_secs(5)).with_interval(Duration::from_secs(1));

/// Makes connections.
pub struct Dialer {
    url: RedisUrl,
    tls: Option<(TlsConnector, ServerName<'static>)>,
    runtime: Handle,
}

/// One connection of the pool.
pub struct Connection {
    commands: MultiplexedConnection,
    /// Its end was seen.
    closed: Arc<AtomicBool>,
    /// Something was asked, and nobody saw a sound answer.
    in_doubt: bool,
    _driver: AbortOnDropHandle<()>,
}

/// Lends connections.
#[derive(Clone)]
pub struct Connections {
    pool: Pool<Lender>,
    trouble: Trouble,
}

/// What bb8 asks for connections.
pub struct Lender(Arc<Dialer>);

/// Why the last connection could not be made, for whoever waits for one.
#[derive(Clone, Default, Debug)]
struct Trouble(Arc<Mutex<Option<String>>>);

/// A byte stream, with or without TLS.
trait Transport: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Transport for T {}

// === impl Dialer ===

impl Dialer {
    /// One whose connections live on this runtime. Where the URL wants TLS, a certificate is checked against `roots`.
    pub fn new(url: RedisUrl, roots: impl FnOnce() -> RootCertStore, runtime: Handle) -> std::result::Result<Dialer, String> {
        let tls = match url.tls {
            true => Some((tls_connector(roots())?, server_name(&url.host)?)),
            false => None,
        };
        Ok(Dialer { url, tls, runtime })
    }

    pub fn runtime(&self) -> &Handle {
        &self.runtime
    }

    /// A connection for commands.
    pub async fn dial(self: &Arc<Dialer>) -> std::result::Result<Connection, String> {
        let dialer = Arc::clone(self);
        self.spawned(async move {
            let stream = dialer.stream().await?;
            // The pool's lender sees to time.
            let config = AsyncConnectionConfig::new().set_response_timeout(None);
            let made = MultiplexedConnection::new_with_config(&dialer.url.handshake, stream, config).await;
            let (commands, driver) = made.map_err(|error| error.to_string())?;
            let closed = Arc::new(AtomicBool::new(false));
            let end = Arc::clone(&closed);
            let driver = tokio::spawn(async move {
                driver.await;
                end.store(true, Ordering::Relaxed);
            });
            Ok(Connection { commands, closed, in_doubt: false, _driver: AbortOnDropHandle::new(driver) })
        })
        .await
    }

    /// A connection to listen on.
    pub async fn dial_to_listen(self: &Arc<Dialer>) -> std::result::Result<PubSub, String> {
        let dialer = Arc::clone(self);
        self.spawned(async move {
            let stream = dialer.stream().await?;
            PubSub::new(&dialer.url.handshake, stream).await.map_err(|error| error.to_string())
        })
        .await
    }

    async fn spawned<T: Send + 'static>(
        &self,
        dial: impl Future<Output = std::result::Result<T, String>> + Send + 'static,
    ) -> std::result::Result<T, String> {
        let dialled = self.runtime.spawn(timeout(DIAL_PATIENCE, dial));
        match AbortOnDropHandle::new(dialled).await {
            Ok(Ok(made)) => made,
            Ok(Err(_)) => Err(format!("no connection within {DIAL_PATIENCE:?}")),
            Err(_) => Err("the gateway is ending".to_owned()),
        }
    }

    async fn stream(&self) -> std::result::Result<Box<dyn Transport>, String> {
        let tcp = TcpStream::connect((self.url.host.as_str(), self.url.port)).await.map_err(|error| error.to_string())?;
        settle(&tcp).map_err(|error| error.to_string())?;
        let Some((connector, name)) = &self.tls else { return Ok(Box::new(tcp)) };
        let tls = connector.connect(name.clone(), tcp).await.map_err(|error| format!("TLS: {error}"))?;
        Ok(Box::new(tls))
    }
}

/// Small commands do not wait for an acknowledgement, and a peer that vanished is noticed.
fn settle(tcp: &TcpStream) -> std::io::Result<()> {
    tcp.set_nodelay(true)?;
    let socket = SockRef::from(tcp);
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(UNACKNOWLEDGED_MAX))?;
    socket.set_tcp_keepalive(&KEEPALIVE)
}

fn tls_connector(roots: RootCertStore) -> std::result::Result<TlsConnector, String> {
    if roots.is_empty() {
        return Err("this system has no certificate authorities, so no certificate of a Redis can be checked".to_owned());
    }
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

fn server_name(host: &str) -> std::result::Result<ServerName<'static>, String> {
    ServerName::try_from(host.to_owned()).map_err(|_| "the host cannot be the name on a certificate".to_owned())
}

// === impl Connection ===

impl Connection {
    /// Asks one thing. Dropped before the answer, the connection is in doubt.
    pub async fn ask(&mut self, command: &Cmd) -> RedisResult<Value> {
        self.in_doubt = true;
        let answer = command.query_async(&mut self.commands).await;
        self.in_doubt = answer.as_ref().is_err_and(|error| !is_no_script(error));
        answer
    }

    /// Asks several things at one moment.
    pub async fn ask_together(&mut self, commands: &Pipeline) -> RedisResult<Value> {
        self.in_doubt = true;
        let answer = commands.query_async(&mut self.commands).await;
        self.in_doubt = answer.is_err();
        answer
    }

    fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }
}

/// The server does not know a script by its hash: it was restarted, or flushed.
pub fn is_no_script(error: &bb8_redis::redis::RedisError) -> bool {
    error.kind() == ErrorKind::Server(ServerErrorKind::NoScript)
}

// === impl Connections ===

impl Connections {
    /// To be called on the dialer's runtime, where the pool's own task then runs; it closes what is idle.
    pub fn new(dialer: Arc<Dialer>) -> Connections {
        let trouble = Trouble::default();
        let pool = Pool::builder()
            .max_size(CONNECTIONS_MAX)
            .connection_timeout(CHECK_OUT_PATIENCE)
            .queue_strategy(QueueStrategy::Lifo)
            .max_lifetime(None)
            // Asking before every operation would double the cost of each, and say nothing of the moment after.
            .test_on_check_out(false)
            // Whoever needs a connection next tries again.
            .retry_connection(false)
            .error_sink(trouble.boxed_clone())
            .build_unchecked(Lender(dialer));
        Connections { pool, trouble }
    }

    /// A connection that was sound when it was last used, and has not been closed since.
    pub async fn get(&self) -> Result<PooledConnection<'_, Lender>> {
        loop {
            let connection = self.pool.get().await.map_err(|error| self.unavailable(error))?;
            if !connection.is_closed() {
                return Ok(connection);
            }
            // Going out of scope, it leaves the pool.
        }
    }

    fn unavailable(&self, error: bb8::RunError<String>) -> StoreError {
        let why = match error {
            bb8::RunError::User(why) => Some(why),
            bb8::RunError::TimedOut => self.trouble.0.lock().expect("nothing that holds the text panics").clone(),
        };
        match why {
            Some(why) => StoreError::Unavailable(format!("no connection within {CHECK_OUT_PATIENCE:?}: {why}")),
            None => StoreError::Busy(format!("no connection within {CHECK_OUT_PATIENCE:?}: all of them are in use")),
        }
    }
}

impl ManageConnection for Lender {
    type Connection = Connection;
    type Error = String;

    async fn connect(&self) -> std::result::Result<Connection, String> {
        self.0.dial().await
    }

    /// Never asked, by `test_on_check_out`.
    async fn is_valid(&self, connection: &mut Connection) -> std::result::Result<(), String> {
        if self.has_broken(connection) { Err("closed".to_owned()) } else { Ok(()) }
    }

    fn has_broken(&self, connection: &mut Connection) -> bool {
        connection.in_doubt || connection.is_closed()
    }
}

impl ErrorSink<String> for Trouble {
    fn sink(&self, why: String) {
        *self.0.lock().expect("nothing that holds the text panics") = Some(why);
    }

    fn boxed_clone(&self) -> Box<dyn ErrorSink<String>> {
        Box::new(self.clone())
    }
}
