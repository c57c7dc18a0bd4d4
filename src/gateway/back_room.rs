//! The runtime of everything that is not the data path, and how the start waits for what is asked on it.

use std::io;
use std::time::Duration;

use tokio::runtime::{Handle, Runtime};
use tokio::time::{Instant, sleep};
use tracing::debug;

use crate::store::StoreError;

/// Threads of the back room: built-in services, admin, files. The data path has its own.
const BACK_ROOM_THREADS: usize = 2;

/// How long a store that is there may take to answer before the gateway does not start, and the pause between two tries.
const START_PATIENCE: Duration = Duration::from_secs(10);
const START_PAUSE: Duration = Duration::from_millis(200);

/// The runtime of everything that is not the data path. Dropping it waits for nothing, because a runtime must not be dropped as it is
/// where other asynchronous code runs, and a gateway may be started or dropped there.
pub(super) struct BackRoom(Option<Runtime>);

// === impl BackRoom ===

impl BackRoom {
    pub fn open() -> io::Result<BackRoom> {
        let builder = &mut tokio::runtime::Builder::new_multi_thread();
        builder.worker_threads(BACK_ROOM_THREADS).thread_name("back-room").enable_all().build().map(|runtime| BackRoom(Some(runtime)))
    }

    pub fn handle(&self) -> Handle {
        self.0.as_ref().expect("taken only when the gateway ends").handle().clone()
    }

    /// The runtime, to end it in order. Once, by what consumes the gateway.
    pub fn take(&mut self) -> Runtime {
        self.0.take().expect("taken only when the gateway ends")
    }
}

impl Drop for BackRoom {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

/// Waits for something on the back room. Whoever starts a gateway may itself be on a runtime, on which nothing may wait so; hence the thread.
pub(super) fn wait_on<T: Send>(back_room: &Handle, work: impl Future<Output = T> + Send) -> T {
    std::thread::scope(|scope| scope.spawn(|| back_room.block_on(work)).join().expect("what is waited for at the start does not panic"))
}

/// The same for something that is asked of the store. Nobody is served yet, so that it may take longer than when somebody waits: a disk or a
/// machine that is busy is a reason to try again, and none not to start.
pub(super) fn wait_for<T: Send, W>(back_room: &Handle, ask: impl Fn() -> W + Send + Sync) -> Result<T, StoreError>
where
    W: Future<Output = Result<T, StoreError>> + Send,
{
    wait_on(back_room, async {
        let until = Instant::now() + START_PATIENCE;
        loop {
            match ask().await {
                Err(error) if Instant::now() < until => {
                    debug!(%error, "the store does not answer yet");
                    sleep(START_PAUSE).await;
                }
                answer => return answer,
            }
        }
    })
}
