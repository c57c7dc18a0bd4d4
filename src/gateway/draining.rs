//! How a gateway ends: gently, in a known order, and in a known time.
//!
//! Readiness off, and a grace in which load balancers notice; the listener closed; every client told when to move, spread over
//! `drain.over`; its calls answered, its streams ended, Goodbye; sessions handed to the store; the rest. Promise: from being asked to the
//! end of the process it takes at most [`TIME_MAX`], whatever clients do.

use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};
use tracing::{error, info};

use super::{Gateway, supervisor};
use crate::edge::{Drain, END_SLACK, Next};
use crate::table::settings::DrainSettings;

/// What a supervisor may count on; Kubernetes kills after as long where nothing is said.
pub const TIME_MAX: Duration = Duration::from_secs(30);

/// How long calls in flight may take to be answered, if grace and slots leave so much; six seconds are always left.
const CALLS_MAX: Duration = Duration::from_secs(10);

/// How long sessions may take to be handed to the store.
const SESSIONS_PATIENCE: Duration = Duration::from_secs(2);

/// How long what runs on the back room may take to end, and then the back room itself.
const TASKS_PATIENCE: Duration = Duration::from_secs(2);
pub(super) const BACK_ROOM_PATIENCE: Duration = Duration::from_secs(1);

// === impl Gateway ===

impl Gateway {
    /// Ends gently and without delay: no grace, no slots; calls in flight are answered. Call it outside asynchronous code.
    pub fn stop(mut self) {
        let back_room = self.back_room.take();
        back_room.block_on(self.drain_at(DrainSettings::AT_ONCE));
        back_room.shutdown_timeout(BACK_ROOM_PATIENCE);
    }

    /// At the pace of `drain` in gateway.yaml, or another.
    pub(super) async fn drain_at(&self, pace: DrainSettings) {
        let (began, connections) = (Instant::now(), self.edge.connections());
        self.draining.cancel();
        self.ready.set(false);
        info!(connections, grace = ?pace.grace, over = ?pace.over, "draining");
        supervisor::is_stopping(connections);
        sleep(pace.grace).await;
        let drain = Drain {
            over: pace.over,
            calls: calls(pace),
            next: if self.inherited { Next::Here } else { Next::Elsewhere },
            url: self.reloader.reader().load().settings.public_url.clone(),
        };
        let time = drain.time() + END_SLACK + Duration::from_secs(1);
        if timeout(time, self.edge.drain(drain)).await.is_err() {
            error!("a worker does not end and is left; this is a defect, please report it");
        }
        self.sessions.finish_drain(SESSIONS_PATIENCE).await;
        self.tasks.drain(TASKS_PATIENCE).await;
        info!(took = ?began.elapsed(), left = self.edge.connections(), "drained");
    }
}

/// How long calls in flight may take at this pace, so that all of it is in time.
fn calls(pace: DrainSettings) -> Duration {
    let rest = Drain::moving(pace.over) + END_SLACK + SESSIONS_PATIENCE + TASKS_PATIENCE + BACK_ROOM_PATIENCE;
    TIME_MAX.saturating_sub(pace.grace + pace.over + rest).min(CALLS_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::settings::DRAIN_MAX;

    #[test]
    fn whatever_may_be_configured_ends_in_time() {
        let seconds = Duration::from_secs;
        assert_eq!(calls(DrainSettings::AT_ONCE), seconds(10));
        assert_eq!(calls(DrainSettings::default()), seconds(9));
        assert_eq!(calls(DrainSettings { grace: seconds(0), over: DRAIN_MAX }), seconds(6), "always enough for an ordinary call");
    }
}
