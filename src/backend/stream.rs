//! A call of many messages: server, client or bidirectional streaming, which are one thing to HTTP/2.
//!
//! Promises: a stream ends once, with the service's status or a failure, by its deadline; what is not read slows the service down and
//! takes no more memory than `channel/stream.rs` says; the end of the hearing half is the end of the stream at the service too.

use std::sync::Arc;

use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use tokio::time::{Instant, timeout_at};

use super::builtin;
use super::channel::{Hearing, Speaking};
use super::message::Assembly;
use super::outcome::{self, Announced};
use super::pick::Pick;
use super::traffic::Place;
use super::{Choice, attempt, too_late};
use crate::failure::{Code, Result};
use crate::telemetry::trace::Trace;

/// One stream to be opened.
pub struct Opening {
    /// `/package.Service/Method`.
    pub path: PathAndQuery,
    /// What this stream has in common with other calls, from [`headers`](super::headers).
    pub headers: Arc<HeaderMap>,
    /// This stream's metadata for the service, as in a [`Request`](super::Request).
    pub metadata: Vec<(HeaderName, HeaderValue)>,
    /// As in a [`Request`](super::Request).
    pub trace: Option<Trace>,
    /// Which endpoint it is for, where that matters.
    pub choice: Choice,
    /// When the stream has failed, whatever happens. The service is told.
    pub deadline: Instant,
    /// The largest single message that is accepted from the service.
    pub message_bytes_max: usize,
}

/// The half of a stream that says messages. Dropping it says nothing: without [`finish`](Sending::finish) the service expects more.
pub struct Sending(Outlet);

/// The half of a stream that hears messages. Dropping it before the end cancels the stream.
pub struct Receiving {
    /// None once the stream is over.
    inlet: Option<Inlet>,
    assembly: Assembly,
    deadline: Instant,
    endpoint: Arc<str>,
    /// Where the end is recorded, and until then counted; none for a service of this process.
    pick: Option<(Pick, Place)>,
}

/// The stream is over; [`Receiving`] says why.
#[derive(PartialEq, Eq, Debug)]
pub struct Closed;

/// What a service says, in this order.
pub(super) enum Event {
    Head(StatusCode, HeaderMap),
    /// A part of the body; any number of them.
    Chunk(Bytes),
    End(Option<HeaderMap>),
}

enum Outlet {
    Remote(Speaking),
    Inside(builtin::Speaking),
}

enum Inlet {
    Remote(Hearing),
    Inside(builtin::Hearing),
}

/// The halves of a stream to an endpoint.
pub(super) fn remote((speaking, hearing): (Speaking, Hearing), pick: Pick, place: Place, opening: &Opening) -> (Sending, Receiving) {
    let endpoint = Arc::clone(pick.endpoint().name());
    (Sending(Outlet::Remote(speaking)), receiving(Inlet::Remote(hearing), endpoint, Some((pick, place)), opening))
}

/// The halves of a stream to a service of this process.
pub(super) fn inside(
    (speaking, hearing): (builtin::Speaking, builtin::Hearing),
    name: &Arc<str>,
    opening: &Opening,
) -> (Sending, Receiving) {
    (Sending(Outlet::Inside(speaking)), receiving(Inlet::Inside(hearing), Arc::clone(name), None, opening))
}

fn receiving(inlet: Inlet, endpoint: Arc<str>, pick: Option<(Pick, Place)>, opening: &Opening) -> Receiving {
    let assembly = Assembly::new(opening.message_bytes_max);
    Receiving { inlet: Some(inlet), assembly, deadline: opening.deadline, endpoint, pick }
}

// === impl Opening ===

impl Opening {
    /// The headers of one attempt.
    pub(super) fn attempt(&self) -> HeaderMap {
        attempt(&self.headers, &self.metadata, self.deadline)
    }
}

// === impl Sending ===

impl Sending {
    /// Hands over one message behind its [`frame`](super::frame), and waits until the service's window has taken all of it.
    ///
    /// A future that is dropped leaves a part of the message said: the stream is then good for nothing but to be dropped.
    pub async fn send(&mut self, framed: Bytes) -> std::result::Result<(), Closed> {
        match &mut self.0 {
            Outlet::Remote(speaking) => speaking.say(framed).await,
            Outlet::Inside(speaking) => speaking.say(framed).await,
        }
    }

    /// Says that there is nothing more. The service may go on.
    pub fn finish(&mut self) {
        match &mut self.0 {
            Outlet::Remote(speaking) => speaking.finish(),
            Outlet::Inside(speaking) => speaking.finish(),
        }
    }
}

// === impl Receiving ===

impl Receiving {
    /// The next message; none when the service has ended the stream with OK, and ever after. A failure is the end too.
    ///
    /// Cancel-safe. The service may say more only as messages are taken by this.
    pub async fn message(&mut self) -> Result<Option<Bytes>> {
        let Some(inlet) = &mut self.inlet else { return Ok(None) };
        let outcome = match timeout_at(self.deadline, next(inlet, &mut self.assembly)).await {
            // As for a call: a service may have watched the deadline for us.
            Ok(Err(failure)) if failure.code() == Code::Cancelled && Instant::now() >= self.deadline => Err(too_late()),
            Ok(outcome) => outcome,
            Err(_) => Err(too_late()),
        };
        match (&outcome, &self.pick) {
            (Ok(Some(_)), Some((pick, _))) => pick.prove(),
            (Ok(Some(_)), None) => {}
            _ => {
                self.inlet = None;
                if let Some((pick, _place)) = self.pick.take() {
                    pick.record(&outcome, false);
                }
            }
        }
        outcome
    }

    /// Who answers: `host:port`, or the name of a service of this process.
    pub fn endpoint(&self) -> &Arc<str> {
        &self.endpoint
    }

    /// What has come over the network and was not asked for.
    #[cfg(test)]
    pub(super) fn held_bytes(&self) -> usize {
        match &self.inlet {
            Some(Inlet::Remote(hearing)) => hearing.held_bytes() + self.assembly.len(),
            _ => 0,
        }
    }
}

async fn next(inlet: &mut Inlet, assembly: &mut Assembly) -> Result<Option<Bytes>> {
    loop {
        if let Some(message) = assembly.take()? {
            inlet.release_all_but(assembly.len());
            return Ok(Some(message));
        }
        // What has come of a message makes room for the rest of it.
        inlet.release_all_but(0);
        match inlet.next().await? {
            Event::Head(status, headers) => match outcome::head(status, &headers)? {
                Announced::Messages => {}
                Announced::Nothing => return Ok(None),
            },
            Event::Chunk(chunk) => assembly.push(chunk),
            Event::End(trailers) => return outcome::end(trailers.as_ref(), assembly).map(|()| None),
        }
    }
}

// === impl Inlet ===

impl Inlet {
    async fn next(&mut self) -> Result<Event> {
        match self {
            Inlet::Remote(hearing) => hearing.next().await,
            Inlet::Inside(hearing) => hearing.next().await,
        }
    }

    /// Lets the service say more, in the place of everything that was heard but these bytes.
    fn release_all_but(&mut self, unread: usize) {
        match self {
            Inlet::Remote(hearing) => hearing.release_all_but(unread),
            // It waits until each part is taken.
            Inlet::Inside(_) => {}
        }
    }
}
