//! What goes on in the background of this node's topics.

use std::time::Duration;

use tokio::time::interval;

use super::hub::Hub;
use super::{everyone, inbox, presence};
use crate::drain::Tasks;

/// How often it is looked who is gone.
const SWEEP: Duration = Duration::from_secs(1);

// === impl Hub ===

impl Hub {
    /// Starts everything, on the back room's runtime, until `tasks` end.
    pub fn start(&self, tasks: &Tasks) {
        let runtime = self.0.runtime.clone();
        tasks.spawn(&runtime, everyone::keep_hearing(self.clone()));
        tasks.spawn(&runtime, inbox::keep_looking(self.clone()));
        tasks.spawn(&runtime, presence::keep_present(self.clone()));
        let hub = self.clone();
        tasks.spawn(&runtime, async move {
            let mut tick = interval(SWEEP);
            for turn in 0.. {
                tick.tick().await;
                hub.sweep();
                hub.look_at_some(turn);
                hub.sweep_inboxes().await;
            }
        });
    }
}
