//! The operator's door: its own listener, on loopback unless told otherwise, closed without the token.
//!
//! - `endpoints`: every path, and what answers it
//! - `health`: `GET /healthz`, `GET /readyz`, which need no token
//! - `api`: `POST /api/v1/reload`, `GET /api/v1/statistics`
//! - `backends`: `GET /api/v1/backends`
//! - `descriptors`: `GET /api/v1/descriptors`
//! - `drain`: `GET` and `POST /api/v1/drain`
//! - `sessions`: `GET /api/v1/sessions`, `POST /api/v1/revoke`, `POST /api/v1/push`
//! - `notify`, `templates`: `POST /api/v1/notify`, `POST /api/v1/templates`
//!
//! Promises: a web page cannot reach it (the Host must be an address or `localhost`, a foreign Origin is refused, writes must be JSON);
//! every answer is JSON; a wrong path or method is answered, never dropped; a body has a bound, and little time.

mod api;
mod backends;
mod descriptors;
mod drain;
mod endpoints;
mod health;
mod notify;
mod sessions;
mod templates;

use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use bytes::Bytes;
use http::{Request, Response, StatusCode, Uri, header};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::accept::Seated;
use crate::drain::Tasks;
use crate::reflection::Drift;
use crate::reload::Reloader;
use crate::services::notify::sender::Sender;
use crate::session::Budget;
use crate::table::settings::AdminToken;
use crate::telemetry::observers::Observers;

/// Connections at once: an operator, a probe and a scraper each have some, and nobody else has business here.
const CONNECTIONS_MAX: usize = 64;

/// Longest life of one connection; a reload of ten thousand routes takes well under a second.
const CONNECTION_LIFE: Duration = Duration::from_secs(60);

/// How long a client may take to send its request's head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a client may take to send its request's body, and how large that may be.
const BODY_TIMEOUT: Duration = Duration::from_secs(5);
const BODY_BYTES_MAX: usize = 64 << 10;

/// What the door leads to.
pub struct Admin {
    pub token: AdminToken,
    pub reloader: Arc<Reloader>,
    pub ready: Ready,
    /// Cancelled: the gateway drains. To cancel it is to ask for that.
    pub draining: CancellationToken,
    /// How users are told something.
    pub notify: Sender,
    /// Whether backends tell what their locks hold.
    pub drift: Drift,
    /// How many sockets are connected.
    pub connections: Box<dyn Fn() -> u32 + Send + Sync>,
    /// The bounds on outboxes, and what waits in them.
    pub outboxes: Arc<Budget>,
    /// Who hears of calls that end.
    pub observers: Arc<Observers>,
}

/// Whether the gateway takes connections: set once it listens, cleared when it begins to drain.
#[derive(Clone, Default)]
pub struct Ready(Arc<AtomicBool>);

/// An answer; its body may go on for as long as its connection does.
type Reply = Response<UnsyncBoxBody<Bytes, Infallible>>;

/// Opens the door on the back room's runtime. The tasks end with `tasks`.
pub fn start(admin: Admin, listener: std::net::TcpListener, runtime: &Handle, tasks: &Arc<Tasks>) -> io::Result<SocketAddr> {
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    let _enter = runtime.enter();
    let listener = TcpListener::from_std(listener)?;
    tasks.spawn(runtime, accept(Arc::new(admin), listener, runtime.clone(), Arc::downgrade(tasks)));
    Ok(address)
}

async fn accept(admin: Arc<Admin>, listener: TcpListener, runtime: Handle, tasks: std::sync::Weak<Tasks>) {
    let listener = Seated::new(listener, CONNECTIONS_MAX);
    loop {
        let (stream, seat) = listener.next().await;
        let Some(tasks) = tasks.upgrade() else { return };
        let admin = Arc::clone(&admin);
        tasks.spawn(&runtime, async move {
            let service = service_fn(move |request| {
                let admin = Arc::clone(&admin);
                async move { Ok::<_, Infallible>(answer(&admin, request).await) }
            });
            let serve = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEAD_TIMEOUT)
                .max_buf_size(16 << 10)
                .serve_connection(TokioIo::new(stream), service);
            // A client that leaves early is not our concern.
            let _ = timeout(CONNECTION_LIFE, serve).await;
            drop(seat);
        });
    }
}

async fn answer(admin: &Arc<Admin>, request: Request<Incoming>) -> Reply {
    if let Err(refusal) = from_here(&request) {
        return *refusal;
    }
    endpoints::answer(admin, request).await
}

/// The whole body, or why not.
async fn body(request: Request<Incoming>) -> Result<Bytes, Box<Reply>> {
    match timeout(BODY_TIMEOUT, Limited::new(request.into_body(), BODY_BYTES_MAX).collect()).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(problem)) if problem.is::<LengthLimitError>() => {
            Err(Box::new(error(StatusCode::PAYLOAD_TOO_LARGE, "a body has at most 64 KiB")))
        }
        Ok(Err(_)) => Err(Box::new(error(StatusCode::BAD_REQUEST, "the body broke off"))),
        Err(_) => Err(Box::new(error(StatusCode::REQUEST_TIMEOUT, "the body did not come in time"))),
    }
}

/// Refuses what a web page elsewhere could make a browser send: a name that resolves to us, or a foreign Origin.
fn from_here(request: &Request<Incoming>) -> Result<(), Box<Reply>> {
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
    let host = host.and_then(|host| host.parse::<http::uri::Authority>().ok());
    let named = host.as_ref().map(|host| host.host().trim_start_matches('[').trim_end_matches(']'));
    if !named.is_some_and(|name| name == "localhost" || name.parse::<IpAddr>().is_ok()) {
        return Err(Box::new(error(StatusCode::FORBIDDEN, "the Host must be an address or `localhost`")));
    }
    let Some(origin) = request.headers().get(header::ORIGIN) else { return Ok(()) };
    let origin = origin.to_str().ok().and_then(|origin| origin.parse::<Uri>().ok());
    if origin.as_ref().and_then(Uri::authority) != host.as_ref() {
        return Err(Box::new(error(StatusCode::FORBIDDEN, "a page of another origin has no business here")));
    }
    Ok(())
}

fn is_operator(token: &AdminToken, request: &Request<Incoming>) -> bool {
    let sent = request.headers().get(header::AUTHORIZATION).and_then(|value| value.as_bytes().strip_prefix(b"Bearer "));
    sent.is_some_and(|sent| verify_slices_are_equal(sent, token.0.as_bytes()).is_ok())
}

fn is_json(request: &Request<Incoming>) -> bool {
    let kind = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    kind.is_some_and(|kind| kind.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("application/json"))
}

fn reply(status: StatusCode, body: &Value) -> Reply {
    let mut reply = Response::new(Full::new(Bytes::from(format!("{body}\n"))).boxed_unsync());
    *reply.status_mut() = status;
    reply.headers_mut().insert(header::CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
    reply.headers_mut().insert(header::CACHE_CONTROL, http::HeaderValue::from_static("no-store"));
    reply
}

fn error(status: StatusCode, message: &str) -> Reply {
    reply(status, &json!({ "error": message }))
}

// === impl Ready ===

impl Ready {
    pub fn set(&self, ready: bool) {
        self.0.store(ready, Ordering::Release);
    }

    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}
