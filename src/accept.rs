//! Taking connections where few are expected: the operator's side, and services that run alone.
//!
//! Promise: at most so many at once; whoever comes then waits in the kernel's queue.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::sleep;
use tracing::warn;

/// The pause after the operating system had nothing for a connection, such as a descriptor.
const RETRY: Duration = Duration::from_millis(100);

/// Stands among a request's extensions: where it comes from.
#[derive(Clone, Copy)]
pub struct Peer(pub SocketAddr);

/// A listener that has seats.
pub struct Seated {
    listener: TcpListener,
    seats: Arc<Semaphore>,
}

// === impl Seated ===

impl Seated {
    pub fn new(listener: TcpListener, seats: usize) -> Seated {
        Seated { listener, seats: Arc::new(Semaphore::new(seats)) }
    }

    /// The next connection, and its seat, which is free again when it is dropped.
    pub async fn next(&self) -> (TcpStream, OwnedSemaphorePermit) {
        let seat = Arc::clone(&self.seats).acquire_owned().await.expect("nobody closes the seats");
        loop {
            match self.listener.accept().await {
                Ok((stream, _)) => return (stream, seat),
                Err(error) => {
                    // Out of descriptors, most likely: wait for some to come back instead of spinning.
                    warn!(%error, "a connection cannot be accepted");
                    sleep(RETRY).await;
                }
            }
        }
    }
}
