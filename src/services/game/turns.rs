//! One after another: what happens in a room happens in turn, so that its events are told in the order of their versions.
//!
//! That holds within a process. Two processes that change one room at once agree on the versions (the store sees to that), but may tell
//! them in another order; clients go by the versions. A process that was outrun waits a little before what it does next in that room, also
//! when it then succeeds, so that of several that are busy with one room each comes to its turn.
//!
//! Promises: turns are given in the order in which they were asked for; nobody waits longer than [`PATIENCE`]; at most [`PLACES`] wait or
//! have one, and the next is refused at once.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};

use super::refused::overloaded;
use crate::jitter;
use crate::services::refusal::Result;

/// Rooms that may be changed at once. Two rooms seldom share a lane, and if they do that costs a little time.
const LANES: usize = 256;

const PLACES: usize = 1024;

/// A turn takes a write to the store and a push: milliseconds.
const PATIENCE: Duration = Duration::from_secs(2);

/// How many attempts after having been outrun begin with a pause, and the longest one: about what several processes need for one each.
const POLITE_ATTEMPTS: u32 = 16;
const PAUSE_MAX: Duration = Duration::from_millis(20);

/// Whose turn it is. Clones are the same turns.
#[derive(Clone)]
pub struct Turns(Arc<Inner>);

struct Inner {
    lanes: Vec<Lane>,
    places: Arc<Semaphore>,
    /// Nobody chooses a room so that it shares a lane with another.
    hash: RandomState,
}

struct Lane {
    turn: Arc<Semaphore>,
    /// How many of the next attempts are to begin with a pause.
    polite: Arc<AtomicU32>,
}

/// The right to wait for a turn.
pub struct Place(#[expect(dead_code, reason = "it is held")] OwnedSemaphorePermit);

/// The right to change a room.
pub struct Turn {
    polite: Arc<AtomicU32>,
    _turn: OwnedSemaphorePermit,
}

// === impl Turns ===

impl Turns {
    pub fn new() -> Turns {
        let lanes = (0..LANES).map(|_| Lane { turn: Arc::new(Semaphore::new(1)), polite: Arc::default() }).collect();
        Turns(Arc::new(Inner { lanes, places: Arc::new(Semaphore::new(PLACES)), hash: RandomState::new() }))
    }

    /// A place in the waiting room, or a refusal at once.
    pub fn enter(&self) -> Result<Place> {
        Arc::clone(&self.0.places).try_acquire_owned().map(Place).map_err(|_| overloaded())
    }

    /// The turn of a room, when it comes.
    pub async fn take(&self, room: &str) -> Result<Turn> {
        let lane = &self.0.lanes[self.0.hash.hash_one(room) as usize % LANES];
        let turn = timeout(PATIENCE, Arc::clone(&lane.turn).acquire_owned()).await.map_err(|_| overloaded())?;
        Ok(Turn { polite: Arc::clone(&lane.polite), _turn: turn.expect("this semaphore is never closed") })
    }
}

// === impl Turn ===

impl Turn {
    /// Before an attempt: lets other processes go first, if there are such.
    pub async fn ready(&self) {
        // Only who has the turn writes it.
        let polite = self.polite.load(Ordering::Relaxed);
        if polite > 0 {
            self.polite.store(polite - 1, Ordering::Relaxed);
            sleep(jitter::between(Duration::ZERO, PAUSE_MAX)).await;
        }
    }

    /// After an attempt: another process came before.
    pub fn outrun(&self) {
        self.polite.store(POLITE_ATTEMPTS, Ordering::Relaxed);
    }
}
