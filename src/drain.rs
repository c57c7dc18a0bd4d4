//! Tasks that are owned: asked to end together, waited for, and given up on after a time.
//!
//! Promise: a task spawned here does not outlive its owner; dropping the last [`Tasks`] asks all of them to end.

use std::future::Future;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio_util::sync::{CancellationToken, DropGuard, WaitForCancellationFutureOwned};
use tokio_util::task::TaskTracker;

/// A set of tasks with one end.
pub struct Tasks {
    tracker: TaskTracker,
    stop: CancellationToken,
    _ends_with_owner: DropGuard,
}

// === impl Tasks ===

impl Tasks {
    pub fn new() -> Tasks {
        let stop = CancellationToken::new();
        Tasks { tracker: TaskTracker::new(), stop: stop.clone(), _ends_with_owner: stop.drop_guard() }
    }

    /// Runs `task` on `runtime` until it ends or the set is asked to.
    pub fn spawn(&self, runtime: &Handle, task: impl Future<Output = ()> + Send + 'static) {
        let stop = self.stop.clone();
        self.tracker.spawn_on(
            async move {
                tokio::select! {
                    biased;
                    () = stop.cancelled() => {}
                    () = task => {}
                }
            },
            runtime,
        );
    }

    /// Runs `task`, which watches [`Tasks::stopping`] by itself because it has something to finish first.
    pub fn spawn_gently(&self, runtime: &Handle, task: impl Future<Output = ()> + Send + 'static) {
        self.tracker.spawn_on(task, runtime);
    }

    /// Resolves when the set is asked to end.
    pub fn stopping(&self) -> WaitForCancellationFutureOwned {
        self.stop.clone().cancelled_owned()
    }

    /// A token that is cancelled when the set is asked to end.
    pub fn token(&self) -> CancellationToken {
        self.stop.clone()
    }

    /// Asks all tasks to end and waits at most `patience`. True when all did.
    pub async fn drain(&self, patience: Duration) -> bool {
        self.stop.cancel();
        self.tracker.close();
        tokio::time::timeout(patience, self.tracker.wait()).await.is_ok()
    }
}

impl Default for Tasks {
    fn default() -> Tasks {
        Tasks::new()
    }
}
