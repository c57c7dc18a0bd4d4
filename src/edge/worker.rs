//! A worker: one thread, one runtime, its share of the connections.
//!
//! Nothing that a connection or its calls need crosses to another thread; measured, that is what makes the edge cheap. What workers share
//! is in [`Shared`]: the table, counters, and nothing with a lock on the path of a message.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use tokio::runtime;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::connection::Connection;
use super::conversation::Batch;
use super::departure::Departure;
use super::own::OwnMessages;
use super::pulse::{self, Pulse};
use super::round_trip::RoundTrip;
use super::socket::SCRATCH_BYTES;
use super::undertaker::Undertaker;
use super::upgrade::{Arrival, upgrade};
use crate::id::{ConnectionId, Generation, WorkerId};
use crate::session::bell::Bell;
use crate::session::budget::Budget;
use crate::table::TableReader;

/// Sockets that may wait for their worker. It takes them as fast as it is scheduled; more than this is a worker that is stuck.
const ARRIVALS_MAX: usize = 1024;

/// How long a worker waits for its connections to close beyond the time that they were given: they end by themselves.
pub const END_SLACK: Duration = Duration::from_secs(3);

/// What all workers have in common.
pub struct Shared {
    pub tables: TableReader,
    pub outboxes: Arc<Budget>,
    pub own: Arc<OwnMessages>,
    /// The port of the operator's door, whose page may connect.
    pub admin: u16,
    /// The name that Hello gives.
    pub node: String,
    /// Bytes of incomplete messages. Written by connections.
    pub held: Arc<AtomicUsize>,
    /// Whether forwarding headers of a stranger were logged. Set once.
    pub warned: AtomicBool,
    pub connections: AtomicU64,
}

/// What the connections of one worker have in common.
pub struct Worker {
    pub id: WorkerId,
    pub shared: Arc<Shared>,
    pub pulse: Arc<Pulse>,
    pub undertaker: Undertaker,
    pub round_trip: RoundTrip,
    /// Rung for its connections from other threads.
    pub bell: Arc<Bell>,
    /// What one connection reads, during one poll.
    scratch: Mutex<Box<[u8]>>,
}

/// A worker's thread, as its owner sees it.
pub struct Thread {
    pub worker: Arc<Worker>,
    pub arrivals: mpsc::Sender<Arrival>,
    /// Asks the thread to end.
    stop: CancellationToken,
    /// Says that it has.
    ended: CancellationToken,
}

// === impl Shared ===

impl Shared {
    /// A number for a new connection.
    pub fn next_connection(&self) -> ConnectionId {
        ConnectionId(self.connections.fetch_add(1, Ordering::Relaxed) + 1)
    }
}

// === impl Worker ===

impl Worker {
    fn new(id: WorkerId, shared: Arc<Shared>) -> Worker {
        let pulse = Pulse::new(Arc::clone(&shared.held));
        let scratch = Mutex::new(vec![0; SCRATCH_BYTES].into_boxed_slice());
        Worker { id, shared, pulse, undertaker: Undertaker::default(), round_trip: RoundTrip::default(), bell: Arc::default(), scratch }
    }

    /// A worker without a thread, for tests.
    #[cfg(test)]
    pub fn by_hand(tables: TableReader) -> Worker {
        // Compiled once: some tests make thousands of workers.
        static OWN: std::sync::LazyLock<Arc<OwnMessages>> =
            std::sync::LazyLock::new(|| Arc::new(OwnMessages::new(&crate::proto::Pool::own())));
        let shared = Shared {
            outboxes: Arc::new(Budget::new(1 << 20, 1 << 20)),
            own: Arc::clone(&OWN),
            admin: 0,
            node: String::new(),
            held: Arc::default(),
            warned: AtomicBool::new(false),
            connections: AtomicU64::new(0),
            tables,
        };
        Worker::new(WorkerId(0), Arc::new(shared))
    }

    pub fn tables(&self) -> &TableReader {
        &self.shared.tables
    }

    /// The moment and the table for messages that are read together.
    pub fn batch(&self) -> Batch {
        Batch { table: self.shared.tables.load(), now: Instant::now(), tick: self.pulse.now() }
    }

    /// The scratch buffer. What is in it means nothing between two polls, so a panic that left it there did no harm.
    pub fn scratch(&self) -> MutexGuard<'_, Box<[u8]>> {
        self.scratch.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn run(self: &Arc<Self>, mut arrivals: mpsc::Receiver<Arrival>, stop: CancellationToken) {
        let handshakes = TaskTracker::new();
        let worker = Arc::clone(self);
        tokio::spawn(async move { worker.beat().await });
        let worker = Arc::clone(self);
        tokio::spawn(async move { worker.undertaker.run().await });
        let bell = Arc::clone(&self.bell);
        tokio::spawn(async move { bell.run().await });
        let serving = async {
            while let Some(arrival) = arrivals.recv().await {
                handshakes.spawn(serve(arrival, Arc::clone(self)));
            }
        };
        // Receiving is cancel-safe.
        tokio::select! {
            biased;
            () = stop.cancelled() => {}
            () = serving => {}
        }
        // Whoever was accepted before the listener closed is served like the others.
        while let Ok(arrival) = arrivals.try_recv() {
            handshakes.spawn(serve(arrival, Arc::clone(self)));
        }
        handshakes.close();
        let emptied = async {
            _ = timeout(self.pulse.handshakes_left(), handshakes.wait()).await;
            self.pulse.emptied().await;
        };
        _ = timeout(self.pulse.time_left() + END_SLACK, emptied).await;
    }

    /// Drives the clock, and lets the bounds of the live table take effect.
    async fn beat(&self) {
        let mut interval = interval(pulse::STEP);
        interval.set_missed_tick_behavior(MissedTickBehavior::Burst);
        interval.tick().await;
        let mut generation = Generation(0);
        loop {
            interval.tick().await;
            self.pulse.beat();
            if let Some(enough) = self.shared.outboxes.pressure() {
                self.pulse.shed_outboxes(self.shared.outboxes.used(), enough);
            }
            if generation != self.tables().generation() {
                let table = self.tables().load();
                generation = table.generation;
                self.pulse.wake_streaming();
                self.shared.outboxes.resize(table.settings.outbox_room(), table.settings.memory_outboxes);
            }
        }
    }
}

/// One socket, from its arrival to the task that is its connection: a fresh one, because a handshake's task is several times as large.
async fn serve(arrival: Arrival, worker: Arc<Worker>) {
    let table = worker.tables().load();
    if let Some(upgraded) =
        upgrade(arrival, &table.settings, worker.shared.admin, &worker.shared.warned, &table.observers.edge.refusals).await
    {
        tokio::spawn(Connection::new(upgraded, worker).run());
    }
}

// === impl Thread ===

impl Thread {
    pub fn start(id: WorkerId, shared: Arc<Shared>) -> io::Result<Thread> {
        let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
        let worker = Arc::new(Worker::new(id, shared));
        let (arrivals, receiver) = mpsc::channel(ARRIVALS_MAX);
        let (stop, ended) = (CancellationToken::new(), CancellationToken::new());
        let thread = Thread { worker: Arc::clone(&worker), arrivals, stop: stop.clone(), ended: ended.clone() };
        thread::Builder::new().name(format!("worker-{}", id.0)).spawn(move || {
            // Dropped last, so that whoever waits for the end also sees every connection gone.
            let _says_so = ended.drop_guard();
            // What the closure holds would be dropped behind what is its own.
            let runtime = runtime;
            runtime.block_on(worker.run(receiver, stop));
        })?;
        Ok(thread)
    }

    /// Asks the connections to say their last words, and the thread to end.
    pub fn end_at_once(&self) {
        self.worker.pulse.end(Duration::ZERO);
        self.stop.cancel();
    }

    /// Waits until the thread has ended.
    pub async fn ended(&self) {
        self.ended.cancelled().await;
    }

    /// Has the connections leave, then ends the thread.
    pub async fn end(&self, departure: Arc<Departure>) {
        self.worker.pulse.depart(departure);
        self.stop.cancel();
        self.ended.cancelled().await;
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        self.end_at_once();
    }
}
