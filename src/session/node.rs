//! What keeps the sessions of this node, the store and other nodes in agreement while nobody asks for anything.
//!
//! - `lease` says that this node lives.
//! - `notices` says which sessions ended elsewhere.
//! - `letter`: other nodes ask for what this one holds of a session, and push.
//! - `storing`: sessions that have changed here are written to the store, again and again until it takes them.
//! - Sessions whose clients did not come back are over.
//!
//! Promise: whatever was missed, because the store was away, lost its memory, or a signal went astray, is found out and mended.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::time::interval;

use super::lease::Lease;
use super::letter::keep_receiving;
use super::notices::Follower;
use super::sessions::Sessions;
use super::storing::keep_storing;
use crate::drain::Tasks;
use crate::store::StoreError;

/// How often it is looked for sessions whose clients did not come back.
const SWEEP: Duration = Duration::from_secs(1);

/// Within so many sweeps every session is compared with the store: five minutes.
const COMPARED_WITHIN: u64 = 300;

/// The background of a node.
pub struct Node {
    sessions: Sessions,
    pub(super) lease: Lease,
    pub(super) follower: Follower,
}

// === impl Node ===

impl Node {
    /// Says that this node lives. From here on it knows of everything that ends elsewhere, so that sessions may be made.
    pub async fn join(sessions: Sessions) -> Result<Node, StoreError> {
        let doubt = Arc::new(Notify::new());
        let follower = Follower::begin(sessions.clone(), Arc::clone(&doubt)).await?;
        let mut lease = Lease::new(sessions.clone(), doubt);
        lease.renew().await?;
        Ok(Node { sessions, lease, follower })
    }

    /// Starts everything, on the back room's runtime, until `tasks` end.
    pub fn start(self, tasks: &Tasks, runtime: &Handle) {
        let Node { sessions, lease, follower } = self;
        tasks.spawn(runtime, lease.keep());
        tasks.spawn(runtime, follower.keep());
        let receiving = sessions.clone();
        tasks.spawn(runtime, async move { keep_receiving(&receiving).await });
        let storing = sessions.clone();
        tasks.spawn(runtime, async move { keep_storing(&storing).await });
        tasks.spawn(runtime, async move {
            let mut tick = interval(SWEEP);
            for turn in 0.. {
                tick.tick().await;
                sessions.sweep(turn);
            }
        });
    }
}

// === impl Sessions ===

impl Sessions {
    /// Ends the sessions whose clients did not come back, and has some of the others compared with the store, all of them in turn: whatever
    /// went astray, such as the word of a node that died while it took a session over, is found out then.
    pub fn sweep(&self, turn: u64) {
        let now = self.0.clock.now_ms();
        for session in self.0.registry.all() {
            if session.give_up(now) {
                self.0.registry.remove(&session);
                self.soil(&session);
            } else if session.turn() % COMPARED_WITHIN == turn % COMPARED_WITHIN {
                self.soil(&session);
            }
        }
    }

    pub(super) fn soil_all(&self) {
        self.0.registry.all().iter().for_each(|session| self.soil(session));
    }
}
