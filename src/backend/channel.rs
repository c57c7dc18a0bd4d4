//! One HTTP/2 connection to an endpoint. This file and those below it are the only ones that know h2.
//!
//! Promises: a call is begun only on a connection that has a free stream for it, so nothing queues unseen inside h2; dropping a call
//! resets its stream, at the pace of `reset.rs`; an error of h2 leaves here as a [`Fault`], and only what the peer itself declared
//! unprocessed is one that may be tried again.
//!
//! A connection carries calls of one reply, or streams that stay open, never both: a stream that nobody reads holds window, which
//! the calls beside it would lack.
//!
//! - `exchange` — one call of one reply
//! - `stream` — one stream that stays open

mod exchange;
mod stream;

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};

use bytes::{Buf, Bytes};
use h2::client::{self, ResponseFuture, SendRequest};
use h2::{Reason, RecvStream, SendStream};
use http::uri::PathAndQuery;
use http::{HeaderMap, Method, Uri, Version};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::OwnedSemaphorePermit;

use super::dial::{Target, Transport};
use super::outcome::Fault;
use super::reset::Resets;
use super::{Opening, Request};

pub(super) use exchange::Exchange;
pub(super) use stream::{Hearing, Speaking};

/// What a connection is for, and its bounds.
#[derive(Clone, Copy)]
pub(super) enum Purpose {
    /// Calls of one reply.
    Calls,
    /// Streams that stay open.
    Streams,
}

/// The window of a connection.
const CONNECTION_WINDOW_BYTES: u32 = 8 << 20;

/// Small DATA frames are an attack to h2 when too many lie unread in it: each counts as what it lacks to 256 bytes, and beyond this
/// budget the connection is closed with `ENHANCE_YOUR_CALM`. Here they are a thousand small replies, or the messages of a stream,
/// and all are read as soon as the worker comes to it; so this is what one turn of the worker may find, and what it may cost.
const DATA_FRAME_BUDGET: usize = 32 << 20;

/// The most bytes of headers or trailers that we accept; gRPC's own bound for metadata is half of it.
const HEADER_LIST_BYTES_MAX: u32 = 16 << 10;

/// Streams that we have reset and still remember, so that what their peer had already sent is recognised.
const RESET_STREAMS_MAX: usize = 256;

/// An established connection, held by the lane that begins calls on it.
pub(super) struct Connection {
    requests: SendRequest<Parcel>,
    streams_max: usize,
    load: Arc<Load>,
    resets: Arc<Resets<Abandoned>>,
}

/// What a connection's calls tell about it.
pub(super) struct Load {
    in_flight: AtomicUsize,
    /// Whether any call was ever answered: a peer that accepts connections only to drop them is as good as one that refuses them.
    proved: AtomicBool,
}

/// What came of asking a connection to take a call.
pub(super) enum Begin<T> {
    Begun(T),
    /// All its streams are taken.
    Full,
    /// It takes no more calls; those it has may still finish.
    Gone,
}

/// A request of which nothing but the head is on its way.
type Started = (ResponseFuture, SendStream<Parcel>, Seat, Arc<Resets<Abandoned>>);

/// Bytes on their way, and the room that they take among those of their stream until they are written: h2 drops them then.
#[derive(Default)]
struct Parcel {
    bytes: Bytes,
    _room: Option<OwnedSemaphorePermit>,
}

enum Stage {
    Head(ResponseFuture),
    Body(RecvStream),
}

/// A call's place among the connection's streams, given back on drop.
struct Seat(Arc<Load>);

/// A call that nobody waits for any more. It keeps its seat, because the peer still counts its stream.
struct Abandoned {
    _stage: Stage,
    _body: Option<SendStream<Parcel>>,
    _seat: Option<Seat>,
}

/// The task that moves a connection's bytes. It ends with the connection and says why.
pub(super) type Driver = Pin<Box<dyn Future<Output = String> + Send>>;

/// Connects to an endpoint. The time this may take is the caller's to bound.
pub(super) async fn connect(target: &Target, purpose: Purpose) -> std::result::Result<(Connection, Driver), String> {
    match target.dial().await? {
        Transport::Plain(io) => handshake(io, purpose).await,
        Transport::Tls(io) => handshake(io, purpose).await,
        Transport::Inside(io) => handshake(io, purpose).await,
    }
}

async fn handshake<T>(io: T, purpose: Purpose) -> std::result::Result<(Connection, Driver), String>
where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (requests, mut connection) = client::Builder::new()
        .initial_window_size(purpose.stream_window_bytes())
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .data_frame_budget(DATA_FRAME_BUDGET)
        .max_send_buffer_size(purpose.send_buffer_bytes_max())
        .max_header_list_size(HEADER_LIST_BYTES_MAX)
        .max_concurrent_reset_streams(RESET_STREAMS_MAX)
        .initial_max_send_streams(0)
        .enable_push(false)
        .handshake::<_, Parcel>(io)
        .await
        .map_err(|error| error.to_string())?;

    // A connection is of use once its peer has said how many streams it takes, which is the first thing it says; until then we
    // assume none. A listener that accepts and says nothing is not taken for a service.
    poll_fn(|context| match Pin::new(&mut connection).poll(context) {
        Poll::Ready(Ok(())) => Poll::Ready(Err("the peer closed the connection".to_owned())),
        Poll::Ready(Err(error)) => Poll::Ready(Err(error.to_string())),
        Poll::Pending if connection.max_concurrent_send_streams() > 0 => Poll::Ready(Ok(())),
        Poll::Pending => Poll::Pending,
    })
    .await?;

    let resets = Arc::new(Resets::new());
    let driver = Box::pin(drive(connection, Arc::clone(&resets)));
    let load = Arc::new(Load { in_flight: AtomicUsize::new(0), proved: AtomicBool::new(false) });
    Ok((Connection { requests, streams_max: purpose.streams_max(), load, resets }, driver))
}

async fn drive<T>(connection: client::Connection<T, Parcel>, resets: Arc<Resets<Abandoned>>) -> String
where
    T: AsyncRead + AsyncWrite + Unpin,
{
    let mut pacing = pin!(resets.pace());
    tokio::select! {
        biased;
        end = connection => end.err().map_or_else(|| "closed".to_owned(), |error| error.to_string()),
        never = &mut pacing => match never {},
    }
}

// === impl Purpose ===

impl Purpose {
    /// The most calls that one connection carries, however many its peer would take. More of them gain nothing from sharing, and
    /// would all be lost together.
    const fn streams_max(self) -> usize {
        match self {
            Purpose::Calls => 1024,
            Purpose::Streams => 256,
        }
    }

    /// What a service may say in one stream before it is read. A call's window never stalls a reply; the windows of all streams
    /// together are one connection's, so that those that nobody reads cannot stall those beside them.
    const fn stream_window_bytes(self) -> u32 {
        match self {
            Purpose::Calls => 2 << 20,
            Purpose::Streams => 32 << 10,
        }
    }

    /// How much of what is said in one stream waits in h2 for its connection. What a call says was handed over whole anyway.
    const fn send_buffer_bytes_max(self) -> usize {
        match self {
            Purpose::Calls => 400 << 10,
            Purpose::Streams => 16 << 10,
        }
    }
}

const _: () = assert!(Purpose::Streams.streams_max() * Purpose::Streams.stream_window_bytes() as usize <= CONNECTION_WINDOW_BYTES as usize);

// === impl Begin ===

impl<T> Begin<T> {
    fn map<U>(self, begun: impl FnOnce(T) -> U) -> Begin<U> {
        match self {
            Begin::Begun(started) => Begin::Begun(begun(started)),
            Begin::Full => Begin::Full,
            Begin::Gone => Begin::Gone,
        }
    }
}

// === impl Connection ===

impl Connection {
    /// Sends a request, if there is a stream for it.
    pub(super) fn begin(&mut self, target: &Target, request: &Request) -> Begin<Exchange> {
        self.start(head(target, &request.path, request.attempt())).map(|(response, mut body, seat, resets)| {
            // The whole message and the end of the stream in one frame. What the peer's window does not take yet waits in h2, and is
            // bounded by the bounds on requests and on streams. An error shows in the response as well.
            let _ = body.send_data(Parcel { bytes: request.body.clone(), _room: None }, true);
            Exchange::begun(response, seat, resets)
        })
    }

    /// Opens a stream, if there is one. What its service says is moved by a task on the runtime on which this is called.
    pub(super) fn open(&mut self, target: &Target, opening: &Opening) -> Begin<(Speaking, Hearing)> {
        self.start(head(target, &opening.path, opening.attempt()))
            .map(|(response, body, seat, resets)| stream::begun(response, body, seat, resets, opening.deadline))
    }

    fn start(&mut self, head: http::Request<()>) -> Begin<Started> {
        match self.requests.poll_ready(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Ok(())) => {}
            Poll::Ready(Err(_)) => return Begin::Gone,
            Poll::Pending => return Begin::Full,
        }
        let streams = self.requests.current_max_send_streams().min(self.streams_max);
        let Some(seat) = Seat::take(&self.load, streams) else { return Begin::Full };
        match self.requests.send_request(head, false) {
            Ok((response, body)) => Begin::Begun((response, body, seat, Arc::clone(&self.resets))),
            Err(_) => Begin::Gone,
        }
    }

    pub(super) fn load(&self) -> &Arc<Load> {
        &self.load
    }
}

fn head(target: &Target, path: &PathAndQuery, headers: HeaderMap) -> http::Request<()> {
    let mut uri = http::uri::Parts::default();
    uri.scheme = Some(target.scheme.clone());
    uri.authority = Some(target.authority.clone());
    uri.path_and_query = Some(path.clone());
    let mut head = http::Request::new(());
    *head.method_mut() = Method::POST;
    *head.uri_mut() = Uri::from_parts(uri).expect("scheme, authority and path are all there");
    *head.version_mut() = Version::HTTP_2;
    *head.headers_mut() = headers;
    head
}

// === impl Load ===

impl Load {
    /// Whether the connection was ever of use.
    pub(super) fn is_proved(&self) -> bool {
        self.proved.load(Ordering::Relaxed)
    }

    /// Whether it has no calls.
    pub(super) fn is_idle(&self) -> bool {
        self.in_flight.load(Ordering::Relaxed) == 0
    }
}

// === impl Stage ===

impl Stage {
    /// Whether the peer has said all it had to say, as when a failure is nothing but headers.
    fn is_over(&self) -> bool {
        matches!(self, Stage::Body(body) if body.is_end_stream())
    }
}

// === impl Seat ===

impl Seat {
    fn take(load: &Arc<Load>, streams: usize) -> Option<Seat> {
        let free = |taken: usize| (taken < streams).then_some(taken + 1);
        load.in_flight.fetch_update(Ordering::Relaxed, Ordering::Relaxed, free).ok()?;
        Some(Seat(Arc::clone(load)))
    }

    /// The connection has been of use.
    fn prove(&self) {
        self.0.proved.store(true, Ordering::Relaxed);
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

// === impl Parcel ===

impl Buf for Parcel {
    fn remaining(&self) -> usize {
        self.bytes.remaining()
    }

    fn chunk(&self) -> &[u8] {
        &self.bytes
    }

    fn advance(&mut self, bytes: usize) {
        self.bytes.advance(bytes);
    }
}

/// What an error of a stream means for its call.
fn fault(error: &h2::Error) -> Fault {
    match error.reason() {
        // h2 gives a stream the error of a GOAWAY only when its number is above the last that the peer took.
        Some(_) if error.is_go_away() && error.is_remote() => Fault::Unprocessed(error.to_string()),
        Some(Reason::REFUSED_STREAM) if error.is_reset() && error.is_remote() => Fault::Unprocessed(error.to_string()),
        Some(reason) if error.is_reset() && error.is_remote() => Fault::Reset(reason.into()),
        Some(_) if error.is_library() => Fault::Broken(error.to_string()),
        _ => Fault::Lost(error.to_string()),
    }
}
