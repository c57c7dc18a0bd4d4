//! One HTTP/2 connection to an endpoint. The only file that knows h2.
//!
//! Promises: a call is begun only on a connection that has a free stream for it, so nothing queues unseen inside h2; dropping a call
//! resets its stream, at the pace of `reset.rs`; an error of h2 leaves here as a [`Fault`], and only what the peer itself declared
//! unprocessed is one that may be tried again.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use h2::client::{self, ResponseFuture, SendRequest};
use h2::{Reason, RecvStream};
use http::{HeaderMap, Method, Uri, Version};
use tokio::io::{AsyncRead, AsyncWrite};

use super::Request;
use super::dial::{Target, Transport};
use super::outcome::{self, Answer, Fault};
use super::reset::Resets;
use crate::failure::{Reach, Result};

/// The most calls that one connection carries, however many its peer would take. More of them gain nothing from sharing, and would
/// all be lost together.
const STREAMS_MAX: usize = 1024;

/// Flow control. Large enough that a reply is never stalled, and that a thousand small unread replies do not look like an attack:
/// h2 counts small DATA frames against a budget of half the connection's window and answers `ENHANCE_YOUR_CALM` beyond it.
const STREAM_WINDOW_BYTES: u32 = 2 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 8 << 20;

/// The most bytes of headers or trailers that we accept; gRPC's own bound for metadata is half of it.
const HEADER_LIST_BYTES_MAX: u32 = 16 << 10;

/// Streams that we have reset and still remember, so that what their peer had already sent is recognised.
const RESET_STREAMS_MAX: usize = 256;

/// An established connection, held by the lane that begins calls on it.
pub(super) struct Connection {
    requests: SendRequest<Bytes>,
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
pub(super) enum Begin {
    Begun(Exchange),
    /// All its streams are taken.
    Full,
    /// It takes no more calls; those it has may still finish.
    Gone,
}

/// One call in flight. Dropping it before it is over cancels the call.
pub(super) struct Exchange {
    /// None once there is nothing left to reset.
    stage: Option<Stage>,
    seat: Option<Seat>,
    resets: Arc<Resets<Abandoned>>,
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
    _seat: Option<Seat>,
}

/// The task that moves a connection's bytes. It ends with the connection and says why.
pub(super) type Driver = Pin<Box<dyn Future<Output = String> + Send>>;

/// Connects to an endpoint. The time this may take is the caller's to bound.
pub(super) async fn connect(target: &Target) -> std::result::Result<(Connection, Driver), String> {
    match target.dial().await? {
        Transport::Plain(io) => handshake(io).await,
        Transport::Tls(io) => handshake(io).await,
    }
}

async fn handshake<T>(io: T) -> std::result::Result<(Connection, Driver), String>
where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (requests, mut connection) = client::Builder::new()
        .initial_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_header_list_size(HEADER_LIST_BYTES_MAX)
        .max_concurrent_reset_streams(RESET_STREAMS_MAX)
        .initial_max_send_streams(0)
        .enable_push(false)
        .handshake::<_, Bytes>(io)
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
    Ok((Connection { requests, load, resets }, driver))
}

async fn drive<T>(connection: client::Connection<T, Bytes>, resets: Arc<Resets<Abandoned>>) -> String
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

// === impl Connection ===

impl Connection {
    /// Sends a request, if there is a stream for it.
    pub(super) fn begin(&mut self, target: &Target, request: &Request) -> Begin {
        match self.requests.poll_ready(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Ok(())) => {}
            Poll::Ready(Err(_)) => return Begin::Gone,
            Poll::Pending => return Begin::Full,
        }
        let streams = self.requests.current_max_send_streams().min(STREAMS_MAX);
        let Some(seat) = Seat::take(&self.load, streams) else { return Begin::Full };
        let Ok((response, mut body)) = self.requests.send_request(head(target, request), false) else { return Begin::Gone };
        // The whole message and the end of the stream in one frame. What the peer's window does not take yet waits in h2, and is
        // bounded by the bounds on requests and on streams. An error shows in the response as well.
        let _ = body.send_data(request.body.clone(), true);
        Begin::Begun(Exchange { stage: Some(Stage::Head(response)), seat: Some(seat), resets: Arc::clone(&self.resets) })
    }

    pub(super) fn load(&self) -> &Arc<Load> {
        &self.load
    }
}

fn head(target: &Target, request: &Request) -> http::Request<()> {
    let mut uri = http::uri::Parts::default();
    uri.scheme = Some(target.scheme.clone());
    uri.authority = Some(target.authority.clone());
    uri.path_and_query = Some(request.path.clone());
    let mut head = http::Request::new(());
    *head.method_mut() = Method::POST;
    *head.uri_mut() = Uri::from_parts(uri).expect("scheme, authority and path are all there");
    *head.version_mut() = Version::HTTP_2;
    *head.headers_mut() = request.attempt();
    head
}

// === impl Load ===

impl Load {
    /// Whether the connection was ever of use.
    pub(super) fn is_proved(&self) -> bool {
        self.proved.load(Ordering::Relaxed)
    }
}

// === impl Exchange ===

impl Exchange {
    /// The message of the reply.
    pub(super) async fn reply(mut self, bytes_max: usize) -> Result<Bytes> {
        let (head, body) = self.head().await?.into_parts();
        self.stage = Some(Stage::Body(body));
        let read = outcome::read(head.status, &head.headers, &mut self, bytes_max).await;
        match outcome::goes_on(head.status, &head.headers) {
            true => read.map_err(|failure| failure.reached(Reach::Answered)),
            false => read,
        }
    }

    async fn head(&mut self) -> std::result::Result<http::Response<RecvStream>, Fault> {
        let Some(Stage::Head(response)) = &mut self.stage else { unreachable!("a head is read once, and before the body") };
        let response = response.await.map_err(|error| self.over(error))?;
        if let Some(Seat(load)) = &self.seat {
            load.proved.store(true, Ordering::Relaxed);
        }
        Ok(response)
    }

    /// The stream has failed, so there is nothing left to reset.
    fn over(&mut self, error: h2::Error) -> Fault {
        self.stage = None;
        fault(&error)
    }
}

impl Answer for Exchange {
    async fn chunk(&mut self) -> Option<std::result::Result<Bytes, Fault>> {
        let Some(Stage::Body(body)) = &mut self.stage else { return None };
        let chunk = match body.data().await? {
            // Given back at once: what is held is bounded by the reply's own bound. It fails only on a stream that is over.
            Ok(chunk) => body.flow_control().release_capacity(chunk.len()).map(|()| chunk),
            Err(error) => Err(error),
        };
        Some(chunk.map_err(|error| self.over(error)))
    }

    async fn trailers(&mut self) -> std::result::Result<Option<HeaderMap>, Fault> {
        let Some(Stage::Body(body)) = &mut self.stage else { return Ok(None) };
        let trailers = body.trailers().await.map_err(|error| self.over(error))?;
        self.stage = None;
        Ok(trailers)
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        if let Some(stage) = self.stage.take_if(|stage| !stage.is_over()) {
            self.resets.abandon(Abandoned { _stage: stage, _seat: self.seat.take() });
        }
    }
}

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
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
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
