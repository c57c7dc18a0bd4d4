//! Taking connections where few are expected: the operator's side, and services that run alone.
//!
//! Promises: at most so many at once; who has shown nothing yet gives way to who comes, so that strangers keep nobody out by being there.
//! Where all are known, whoever comes waits.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::warn;

/// The pause after the operating system had nothing for a connection, such as a descriptor.
const RETRY: Duration = Duration::from_millis(100);

/// Stands among a request's extensions: where it comes from.
#[derive(Clone, Copy)]
pub struct Peer(pub SocketAddr);

/// A listener that has seats.
pub struct Seated {
    listener: TcpListener,
    seats: Arc<Seats>,
}

struct Seats {
    max: usize,
    taken: Mutex<Taken>,
    /// Told when a seat is free again.
    freed: Notify,
}

#[derive(Default)]
struct Taken {
    next: u64,
    /// In the order in which they came.
    all: Vec<Sitting>,
}

/// Who sits on a seat.
struct Sitting {
    number: u64,
    address: IpAddr,
    is_known: bool,
    /// Cancelled: the seat is somebody else's.
    leave: CancellationToken,
}

/// One of the seats, free again when it is dropped.
pub struct Seat {
    seats: Arc<Seats>,
    number: u64,
    leave: CancellationToken,
}

// === impl Seated ===

impl Seated {
    pub fn new(listener: TcpListener, seats: usize) -> Seated {
        Seated { listener, seats: Arc::new(Seats { max: seats, taken: Mutex::default(), freed: Notify::new() }) }
    }

    /// The next connection, where it comes from, and its seat.
    pub async fn next(&self) -> (TcpStream, Peer, Seat) {
        loop {
            match self.listener.accept().await {
                Ok((stream, peer)) => return (stream, Peer(peer), self.seats.wait(peer.ip()).await),
                Err(error) => {
                    // Out of descriptors, most likely: wait for some to come back instead of spinning.
                    warn!(%error, "a connection cannot be accepted");
                    sleep(RETRY).await;
                }
            }
        }
    }
}

// === impl Seats ===

impl Seats {
    async fn wait(self: &Arc<Self>, address: IpAddr) -> Seat {
        loop {
            if let Some(seat) = self.take(address) {
                return seat;
            }
            self.freed.notified().await;
        }
    }

    /// A seat that is free, or that a stranger has to leave. Nothing: all are taken by those who are known.
    fn take(self: &Arc<Self>, address: IpAddr) -> Option<Seat> {
        let mut taken = self.lock();
        if taken.all.len() >= self.max {
            let stranger = taken.least_wanted()?;
            taken.all.remove(stranger).leave.cancel();
        }
        let (number, leave) = (taken.next, CancellationToken::new());
        taken.next += 1;
        taken.all.push(Sitting { number, address, is_known: false, leave: leave.clone() });
        Some(Seat { seats: Arc::clone(self), number, leave })
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().expect("nothing that holds the seats panics")
    }
}

// === impl Taken ===

impl Taken {
    /// The stranger who came first from the address that most of them are from. Seats are few enough to look at each.
    fn least_wanted(&self) -> Option<usize> {
        let strangers = || self.all.iter().enumerate().filter(|(_, sitting)| !sitting.is_known);
        let crowd = |address| strangers().filter(|(_, sitting)| sitting.address == address).count();
        // Of equals the last one is the largest: from the back that is who came first.
        strangers().rev().max_by_key(|(_, sitting)| crowd(sitting.address)).map(|(index, _)| index)
    }
}

// === impl Seat ===

impl Seat {
    /// Whoever sits here has shown who they are: nobody takes it away.
    pub fn keep(&self) {
        if let Some(sitting) = self.seats.lock().all.iter_mut().find(|sitting| sitting.number == self.number) {
            sitting.is_known = true;
        }
    }

    /// Resolves when the seat is somebody else's. Cancel-safe.
    pub async fn lost(&self) {
        self.leave.cancelled().await;
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.seats.lock().all.retain(|sitting| sitting.number != self.number);
        self.seats.freed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);
    const THERE: IpAddr = IpAddr::V6(std::net::Ipv6Addr::LOCALHOST);

    fn seats(max: usize) -> Arc<Seats> {
        Arc::new(Seats { max, taken: Mutex::default(), freed: Notify::new() })
    }

    fn has_lost(seat: &Seat) -> bool {
        seat.lost().now_or_never().is_some()
    }

    #[tokio::test]
    async fn strangers_give_way_first_those_of_whom_there_are_many() {
        let seats = seats(4);
        let [other, first, second, known] = [THERE, HERE, HERE, HERE].map(|address| seats.take(address).unwrap());
        known.keep();
        let third = seats.take(HERE).unwrap();
        assert!(has_lost(&first) && !has_lost(&second) && !has_lost(&other) && !has_lost(&known));
        drop(first);
        let last = seats.take(THERE).unwrap();
        assert!(has_lost(&second) && !has_lost(&other));
        assert_eq!(seats.lock().all.len(), 4);
        drop((other, second, third, known, last));
        assert!(seats.lock().all.is_empty());
    }

    #[tokio::test]
    async fn where_all_are_known_whoever_comes_waits() {
        let seats = seats(2);
        let sitting = [(); 2].map(|()| seats.take(HERE).unwrap());
        sitting.iter().for_each(Seat::keep);
        assert!(seats.wait(THERE).now_or_never().is_none());
        let [first, second] = sitting;
        drop(first);
        let seat = seats.wait(THERE).now_or_never().expect("one is free");
        assert!(!has_lost(&second) && !has_lost(&seat));
    }
}
