//! How long the heartbeat's question takes to be answered, measured on one connection of a worker at a time.
//!
//! To remember in each connection when it was asked would be memory that idle ones pay; the coarse clock is too coarse for it. One at a
//! time is still many a second where there are many. Promise: a connection that is gone keeps the place from nobody for long.

use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use tokio::time::Instant;

use crate::id::ConnectionId;

/// How long an answer is waited for; what takes longer is not measured.
const PATIENCE: Duration = Duration::from_secs(15);

/// Who was asked when, of one worker's connections.
#[derive(Default)]
pub struct RoundTrip(Mutex<Option<(ConnectionId, Instant)>>);

// === impl RoundTrip ===

impl RoundTrip {
    /// This connection was asked. It is measured, unless another one still may answer.
    pub fn asked(&self, connection: ConnectionId, now: Instant) {
        let mut place = self.lock();
        if place.is_none_or(|(_, asked)| now.saturating_duration_since(asked) > PATIENCE) {
            *place = Some((connection, now));
        }
    }

    /// This connection has answered: how long that took, if it was the one that is measured.
    pub fn answered(&self, connection: ConnectionId, now: Instant) -> Option<Duration> {
        let (_, asked) = self.lock().take_if(|(measured, _)| *measured == connection)?;
        Some(now.saturating_duration_since(asked))
    }

    fn lock(&self) -> MutexGuard<'_, Option<(ConnectionId, Instant)>> {
        self.0.lock().expect("nothing that holds the place panics")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_measured_at_a_time_and_the_place_of_one_that_is_silent_is_taken() {
        let (round_trip, began) = (RoundTrip::default(), Instant::now());
        let at = |seconds| began + Duration::from_secs(seconds);
        round_trip.asked(ConnectionId(1), at(0));
        round_trip.asked(ConnectionId(2), at(1));
        assert_eq!(round_trip.answered(ConnectionId(2), at(2)), None);
        assert_eq!(round_trip.answered(ConnectionId(1), at(3)), Some(Duration::from_secs(3)));
        assert_eq!(round_trip.answered(ConnectionId(1), at(3)), None, "answered once");
        round_trip.asked(ConnectionId(3), at(4));
        round_trip.asked(ConnectionId(4), at(20));
        assert_eq!(round_trip.answered(ConnectionId(4), at(21)), Some(Duration::from_secs(1)));
    }
}
