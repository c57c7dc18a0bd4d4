//! The end of a connection: the last words, and what still comes until the client has closed as well.

use std::task::{Context, Poll};
use std::time::Duration;

use tracing::debug;

use super::{Connection, Phase};
use crate::edge::end::End;
use crate::edge::frames::{Event, Flow, Limits};

/// How long a client may take to answer a Close. Long enough for a bad network; then nobody is missed.
const CLOSE_WAIT: Duration = Duration::from_secs(2);

/// Bytes that are thrown away meanwhile. A client that goes on sending more than this does not listen anyway.
const DISCARD_MAX: usize = 1 << 20;

// === impl Connection ===

impl Connection {
    /// Says the last words, and gives up what the connection holds.
    pub(super) fn leave(&mut self, end: &End) {
        debug!(connection = %self.id(), ?end, "leaving");
        if !matches!(self.phase, Phase::Leaving { .. }) {
            self.worker.tables().load().observers.edge.close(end.label());
        }
        let left = self.conversation.part(end);
        self.worker.undertaker.bury(left);
        self.socket.discard_messages();
        self.place.set_held(0, usize::MAX);
        let now = self.place.now();
        let until = if matches!(end, End::Gone) { now } else { now.after(CLOSE_WAIT) };
        self.phase = Phase::Leaving { until, client_closed: matches!(end, End::Client(_)), discarded: 0 };
        self.place.set_due(until);
    }

    /// Ready when both sides have closed, or the client does not.
    pub(super) fn poll_leaving(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Phase::Leaving { until, mut client_closed, mut discarded } = self.phase else { return Poll::Ready(()) };
        if self.place.now() >= until {
            return Poll::Ready(());
        }
        let flushed = match self.flush(cx) {
            Poll::Ready(Ok(())) => self.socket.poll_shutdown(cx).is_ready(),
            Poll::Ready(Err(_)) => return Poll::Ready(()),
            Poll::Pending => false,
        };
        while !client_closed {
            if discarded > DISCARD_MAX {
                return Poll::Ready(());
            }
            let mut scratch = self.worker.scratch();
            let Poll::Ready(read) = self.socket.poll_fill(cx, &mut scratch) else { break };
            let Ok(length @ 1..) = read else { return Poll::Ready(()) };
            let limits = Limits { message_bytes_max: 0, now: self.place.now() };
            discarded += length;
            // A client that goes on breaking the rules is not told again.
            _ = self.socket.decode(&mut scratch[..length], limits, |event| {
                client_closed |= matches!(event, Event::Close(_));
                Flow::Continue
            });
        }
        self.phase = Phase::Leaving { until, client_closed, discarded };
        if flushed && client_closed { Poll::Ready(()) } else { Poll::Pending }
    }
}
