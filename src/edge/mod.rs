//! The client's side: sockets, handshakes, connections.
//!
//! An [`Edge`] listens, and serves each client on one of its workers until the gateway ends. Promises: an id is answered once; the memory
//! of a connection is bounded in bytes; nobody waits for a slow client; a reload reaches every connection and closes none; only `frames`,
//! `socket` and `upgrade` know fastwebsockets. It knows neither backends nor what a route is: that is for `dispatch`.
//!
//! A client meets the files in this order:
//! - `listener`, `seats`: accepted, counted, dealt to a worker
//! - `worker`, `pulse`, `undertaker`: the thread it lives on, its clock, and what is left of those that went
//! - `upgrade`, `proxy`, `tls`, `request`, `refusal`: its handshakes
//! - `connection`, `socket`, `frames`: its one task, from bytes to messages and back
//! - `conversation`, `control`, `calls`, `speaker`, `own`: what it says, and what is said to it
//! - `streaming`, `streams`, `gate`: messages of streams, both ways
//! - `admission`, `topics`, `line`: who it is, what it hears, and the way from its session to it
//! - `heartbeat`, `round_trip`, `standing`, `departure`, `end`: how long, and how it ends
//! - `questions`, `inquiry`: what an operator asks about it

mod admission;
mod calls;
mod connection;
mod control;
mod conversation;
mod departure;
mod end;
mod frames;
mod gate;
mod heartbeat;
mod inquiry;
mod line;
mod listener;
mod own;
mod patience;
mod proxy;
mod pulse;
mod questions;
mod refusal;
mod request;
mod round_trip;
mod seats;
mod socket;
mod speaker;
mod standing;
mod streaming;
mod streams;
mod tls;
mod topics;
mod undertaker;
mod upgrade;
mod worker;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize};
use std::thread;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::runtime;
use tokio::time::timeout;
use tokio_util::sync::{CancellationToken, DropGuard};

use self::departure::Departure;
pub use self::departure::{Drain, Next};
use self::inquiry::Inquirer;
use self::listener::Listener;
pub use self::listener::bind;
use self::own::OwnMessages;
use self::seats::Seats;
pub use self::worker::END_SLACK;
use self::worker::{Shared, Thread};
use crate::id::WorkerId;
use crate::proto::Pool;
use crate::session::Connections;
use crate::session::budget::Budget;
use crate::table::TableReader;

/// How long clients may take to hear that the gateway ends at once.
const LAST_WORDS: Duration = Duration::from_millis(300);

/// The client's side of a running gateway. Dropping it closes every connection without waiting for calls in flight.
pub struct Edge {
    address: SocketAddr,
    seats: Arc<Seats>,
    outboxes: Arc<Budget>,
    workers: Vec<Thread>,
    /// Ends the listener.
    accepting: CancellationToken,
    /// Says that it has ended.
    closed: CancellationToken,
    _ends_with_edge: DropGuard,
}

// === impl Edge ===

impl Edge {
    /// Listens with `socket` and serves what `tables` says, on so many workers. `admin` is the port of the operator's door, whose page may
    /// connect. When this returns, connections are accepted.
    pub fn start(socket: TcpListener, workers: usize, tables: TableReader, admin: u16) -> io::Result<Edge> {
        listener::raise_descriptor_limit();
        socket.set_nonblocking(true)?;
        let address = socket.local_addr()?;
        let table = tables.load();
        let seats = Seats::new(workers);
        let outboxes = Arc::new(Budget::new(table.settings.outbox_room(), table.settings.memory_outboxes));
        let shared = Arc::new(Shared {
            tables: tables.clone(),
            outboxes: Arc::clone(&outboxes),
            own: Arc::new(OwnMessages::new(&Pool::own())),
            admin,
            node: address.to_string(),
            held: Arc::new(AtomicUsize::new(0)),
            warned: AtomicBool::new(false),
            connections: AtomicU64::new(0),
        });
        let workers: Vec<Thread> = (0..workers).map(|id| Thread::start(WorkerId(id), Arc::clone(&shared))).collect::<io::Result<_>>()?;

        let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
        let arrivals = workers.iter().map(|worker| worker.arrivals.clone()).collect();
        let listener = {
            // Entered, not blocked on: whoever starts a gateway may itself be on a runtime.
            let _inside = runtime.enter();
            Listener::new(socket, tables, Arc::clone(&seats), arrivals)?
        };
        let (accepting, closed) = (CancellationToken::new(), CancellationToken::new());
        let (stop, says_so) = (accepting.clone(), closed.clone().drop_guard());
        thread::Builder::new().name("listener".to_owned()).spawn(move || {
            // Dropped last, when the socket is closed: what the closure holds would be dropped behind what is its own.
            let _says_so = says_so;
            let (runtime, listener) = (runtime, listener);
            runtime.block_on(async {
                // A socket accepted in the moment of the end is closed with the rest; accepting is cancel-safe.
                tokio::select! {
                    biased;
                    () = stop.cancelled() => {}
                    () = listener.run() => {}
                }
            });
        })?;
        Ok(Edge { address, seats, outboxes, workers, closed, _ends_with_edge: accepting.clone().drop_guard(), accepting })
    }

    /// Ends without waiting for calls: whoever can be told anything is told Goodbye, within [`LAST_WORDS`].
    pub async fn end_at_once(&self) {
        self.accepting.cancel();
        self.workers.iter().for_each(Thread::end_at_once);
        _ = timeout(LAST_WORDS, join_all(self.workers.iter().map(Thread::ended))).await;
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many sockets are connected, handshakes included.
    pub fn connections(&self) -> u32 {
        self.seats.taken()
    }

    /// The same for whoever outlives this borrow.
    pub fn counter(&self) -> impl Fn() -> u32 + Send + Sync + use<> {
        let seats = Arc::clone(&self.seats);
        move || seats.taken()
    }

    /// How many of them are of clients that nobody knows, for whoever outlives this borrow.
    pub fn anonymous_counter(&self) -> impl Fn() -> u32 + Send + Sync + use<> {
        let seats = Arc::clone(&self.seats);
        move || seats.anonymous()
    }

    /// Whoever asks its connections what they are like, and closes them.
    pub fn inquirer(&self) -> Arc<dyn Connections> {
        Arc::new(Inquirer::new(self.workers.iter().map(|thread| Arc::clone(&thread.worker)).collect()))
    }

    /// The bounds on what waits for clients to read it, and how much that is.
    pub fn outboxes(&self) -> Arc<Budget> {
        Arc::clone(&self.outboxes)
    }

    /// Ends gently: closes the listener, then has every client leave when its turn is, see `departure`.
    pub async fn drain(&self, drain: Drain) {
        self.accepting.cancel();
        // From here on nobody is counted any more.
        self.closed.cancelled().await;
        let departure = Arc::new(Departure::new(drain, self.seats.taken()));
        join_all(self.workers.iter().map(|worker| worker.end(Arc::clone(&departure)))).await;
    }
}
