//! Accepts sockets and deals them to workers.
//!
//! Promises: running out of descriptors stops nothing but new connections, and only until some are free; a socket goes to the worker that
//! has the fewest; a socket for which there is no room at all is closed at once.

use std::io;
use std::net::{self, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use socket2::{Domain, SockRef, Socket, Type};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::time::sleep;
use tracing::{debug, warn};

use super::proxy;
use super::seats::Seats;
use super::upgrade::Arrival;
use crate::table::{Settings, TableReader};
use crate::telemetry::labels::Refused;

/// Connections that the kernel completes while we are busy: a whole fleet that comes back after a restart. The kernel may cap it.
const BACKLOG: i32 = 4096;

/// How long accepting pauses when descriptors run out: the first time, and at most. Without a pause the loop would only spin.
const PAUSE: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(1));

/// A bound listener and what it deals to.
pub struct Listener {
    listener: TcpListener,
    tables: TableReader,
    seats: Arc<Seats>,
    /// By worker.
    arrivals: Vec<mpsc::Sender<Arrival>>,
}

/// The pauses while accepting fails, one after the other.
struct Pauses(Duration);

/// Listens on `address`. Port 0 is any that is free.
pub fn bind(address: SocketAddr) -> io::Result<net::TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

/// Raises the soft limit of open files to the hard one: every connection is one, and the usual soft limit of 1,024 is for `select`.
pub fn raise_descriptor_limit() {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current != maximum && setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).is_err() {
        warn!(?current, ?maximum, "the limit of open files cannot be raised");
    }
}

// === impl Listener ===

impl Listener {
    /// Must be called on the runtime that will run it.
    pub fn new(
        listener: net::TcpListener,
        tables: TableReader,
        seats: Arc<Seats>,
        arrivals: Vec<mpsc::Sender<Arrival>>,
    ) -> io::Result<Listener> {
        Ok(Listener { listener: TcpListener::from_std(listener)?, tables, seats, arrivals })
    }

    /// Accepts until it is dropped.
    pub async fn run(&self) {
        let mut pauses = Pauses::default();
        loop {
            // Back to a plain socket, because it belongs to the worker's runtime and no longer to this one.
            let accepted = self.listener.accept().await.and_then(|(stream, peer)| Ok((stream.into_std()?, peer)));
            match accepted {
                Ok((stream, peer)) => {
                    pauses = Pauses::default();
                    self.deal(stream, peer);
                }
                // The client was gone before it was accepted.
                Err(error) if matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset) => {}
                Err(error) => {
                    let pause = pauses.next();
                    warn!(%error, ?pause, "cannot accept, trying again");
                    sleep(pause).await;
                }
            }
        }
    }

    fn deal(&self, stream: TcpStream, peer: SocketAddr) {
        let table = self.tables.load();
        let (settings, counters) = (&table.settings, &table.observers.edge);
        counters.accepts.one();
        let peer = peer.ip().to_canonical();
        let Some(mut seat) = self.seats.take(settings) else {
            counters.refusals.count(Refused::Capacity);
            return debug!(%peer, "no room, closed");
        };
        // Whoever a trusted proxy speaks for is known only later.
        if !proxy::is_trusted(peer, &settings.trusted_proxies) && !seat.settle(peer, settings) {
            counters.refusals.count(Refused::PerIp);
            return debug!(%peer, "too many from this address, closed");
        }
        if let Err(error) = prepare(&stream, settings) {
            return debug!(%peer, %error, "gone before it began");
        }
        let worker = seat.deal();
        if self.arrivals[worker.0].try_send(Arrival { stream, peer, seat }).is_err() {
            counters.refusals.count(Refused::Busy);
            debug!(%peer, "the worker takes no more, closed");
        }
    }
}

// === impl Pauses ===

impl Pauses {
    fn next(&mut self) -> Duration {
        let pause = self.0;
        self.0 = (pause * 2).min(PAUSE.1);
        pause
    }
}

impl Default for Pauses {
    fn default() -> Pauses {
        Pauses(PAUSE.0)
    }
}

fn prepare(stream: &TcpStream, settings: &Settings) -> io::Result<()> {
    stream.set_nodelay(true)?;
    // The kernel gives up a silent peer about when the heartbeat does, so that no buffer outlives its connection by a quarter of an hour.
    SockRef::from(stream).set_tcp_user_timeout(Some(settings.heartbeat + settings.heartbeat_grace))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepting_that_fails_is_tried_again_more_and_more_rarely_but_never_given_up() {
        let mut pauses = Pauses::default();
        let ten: Vec<u128> = (0..10).map(|_| pauses.next().as_millis()).collect();
        assert_eq!(ten, [10, 20, 40, 80, 160, 320, 640, 1000, 1000, 1000]);
    }
}
