//! The operator's door: its own listener, on loopback unless told otherwise, closed without the token.
//!
//! - `endpoints`: every path, and what is said and answered there; `answering`: who answers it
//! - `query`, `body`: what is asked, read strictly; `audit`: the line that every change leaves
//! - `shape`, `openapi`: what answers look like, and the document that says so
//! - `health`: whether it lives, and takes connections, which needs no token
//! - `statistics`, `metrics`: what there is on this node, and what was counted
//! - `errors`: why calls failed
//! - `routes`, `pushes`, `limits`, `backends`, `descriptors`: the live table, and how its parts do
//! - `messages`: what numbers stand for, and where clients connect; `dashboard`: the page, which needs no token
//! - `reloads`: the files: read again, looked at, compared with what is live; `drain`: the gentle end
//! - `sessions`: who is there, sent away, told something; `notify`, `templates`: notifications
//! - `connections`, `topics`, `kick`, and `tap` over `life`: who is connected, what they hear and what they ask
//! - `log`: how much the log says
//!
//! Promises: a web page cannot reach it (the Host must be an address or `localhost`, a foreign Origin is refused, writes must be JSON);
//! every answer but the page, and that to a scraper, is JSON, and bounded; a wrong path or method is answered,
//! never dropped; a body has a bound, and little time; every change leaves a line in the log.

mod answering;
mod audit;
mod backends;
mod body;
mod connections;
mod dashboard;
mod descriptors;
mod drain;
mod endpoints;
mod errors;
mod health;
mod kick;
mod life;
mod limits;
mod log;
mod messages;
mod metrics;
mod notify;
mod openapi;
mod pushes;
mod query;
mod reloads;
mod routes;
mod sessions;
mod shape;
mod statistics;
mod tap;
mod templates;
mod topics;

use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request, Response, StatusCode, Uri, header};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use self::life::Life;
use crate::accept::Seated;
use crate::drain::Tasks;
use crate::reflection::Drift;
use crate::reload::Reloader;
use crate::services::notify::sender::Sender;
use crate::session::{Budget, Connections};
use crate::table::settings::AdminToken;
use crate::telemetry::observers::Observers;
use crate::telemetry::seldom::Seldom;
use crate::telemetry::verbosity::Verbosity;

/// Connections at once: an operator, a probe and a scraper each have some, and nobody else has business here. Who has not shown the token
/// gives way to who comes.
const CONNECTIONS_MAX: usize = 256;

/// Longest life of a connection that has not shown the token: a probe asks and goes.
const STRANGER_LIFE: Duration = Duration::from_secs(5);

/// Longest life of one connection, unless what is asked for says how much longer it takes; a reload of ten thousand routes takes well under a
/// second.
const CONNECTION_LIFE: Duration = Duration::from_secs(60);

/// How long a client may take to send its request's head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);

/// What stands before the token, in capitals or not.
const BEARER: &[u8] = b"Bearer ";

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
    /// Where clients connect.
    pub edge: SocketAddr,
    /// How many sockets are connected, and how many of them are of clients that nobody knows.
    pub connections: Box<dyn Fn() -> u32 + Send + Sync>,
    pub anonymous: Box<dyn Fn() -> u32 + Send + Sync>,
    /// Whoever can be asked about them.
    pub connected: Arc<dyn Connections>,
    /// The bounds on outboxes, and what waits in them.
    pub outboxes: Arc<Budget>,
    /// Who hears of calls that end.
    pub observers: Arc<Observers>,
    /// When the gateway began, in milliseconds since 1970.
    pub started_ms: u64,
    /// How much the log says for now.
    pub verbosity: Arc<Verbosity>,
    /// Says now and then that somebody asks with a wrong token.
    pub strangers: Seldom,
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
        let (stream, peer, seat) = listener.next().await;
        let Some(tasks) = tasks.upgrade() else { return };
        let admin = Arc::clone(&admin);
        tasks.spawn(&runtime, async move {
            let seat = Arc::new(seat);
            let (life, sitting) = (Life::of(STRANGER_LIFE), Arc::clone(&seat));
            let lasting = life.clone();
            let service = service_fn(move |mut request: Request<Incoming>| {
                let admin = Arc::clone(&admin);
                request.extensions_mut().insert(peer);
                request.extensions_mut().insert(lasting.clone());
                request.extensions_mut().insert(Arc::clone(&sitting));
                async move { Ok::<_, Infallible>(answer(&admin, request).await) }
            });
            let serve = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEAD_TIMEOUT)
                .max_buf_size(16 << 10)
                .serve_connection(TokioIo::new(stream), service);
            tokio::select! {
                biased;
                () = seat.lost() => {}
                // A client that leaves early is not our concern.
                () = life.bound(serve) => {}
            }
        });
    }
}

async fn answer(admin: &Arc<Admin>, request: Request<Incoming>) -> Reply {
    if let Err(refusal) = from_here(&request) {
        return *refusal;
    }
    answering::answer(admin, request).await
}

/// Refuses what a web page elsewhere could make a browser send: a name that resolves to us, or a foreign Origin.
fn from_here(request: &Request<Incoming>) -> Result<(), Box<Reply>> {
    let host = only(request, &header::HOST).and_then(|host| host.to_str().ok());
    let host = host.and_then(|host| host.parse::<http::uri::Authority>().ok());
    let named = host.as_ref().map(|host| host.host().trim_start_matches('[').trim_end_matches(']'));
    if !named.is_some_and(|name| name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok()) {
        return Err(Box::new(error(StatusCode::FORBIDDEN, "the Host must be an address or `localhost`")));
    }
    if request.uri().authority().is_some_and(|asked| Some(asked) != host.as_ref()) {
        return Err(Box::new(error(StatusCode::BAD_REQUEST, "the URL and the Host name two places")));
    }
    if !request.headers().contains_key(header::ORIGIN) {
        return Ok(());
    }
    let origin = only(request, &header::ORIGIN).and_then(|origin| origin.to_str().ok()).and_then(|origin| origin.parse::<Uri>().ok());
    if origin.as_ref().and_then(Uri::authority) != host.as_ref() {
        return Err(Box::new(error(StatusCode::FORBIDDEN, "a page of another origin has no business here")));
    }
    Ok(())
}

/// A header that is said once; of two nobody knows which another reader takes.
fn only<'r>(request: &'r Request<Incoming>, name: &HeaderName) -> Option<&'r HeaderValue> {
    let mut said = request.headers().get_all(name).iter();
    said.next().filter(|_| said.next().is_none())
}

fn is_operator(token: &AdminToken, request: &Request<Incoming>) -> bool {
    let sent = only(request, &header::AUTHORIZATION).and_then(|value| value.as_bytes().split_at_checked(BEARER.len()));
    let sent = sent.filter(|(scheme, _)| scheme.eq_ignore_ascii_case(BEARER)).map(|(_, sent)| sent);
    sent.is_some_and(|sent| verify_slices_are_equal(sent, token.0.as_bytes()).is_ok())
}

fn is_json(request: &Request<Incoming>) -> bool {
    let kind = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    kind.is_some_and(|kind| kind.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("application/json"))
}

fn reply(status: StatusCode, body: &Value) -> Reply {
    let mut reply = Response::new(Full::new(Bytes::from(format!("{body}\n"))).boxed_unsync());
    *reply.status_mut() = status;
    reply.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    reply.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
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
