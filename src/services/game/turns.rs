//! One after another: what happens in a room happens in turn, so that its events are told in the order of their versions.
//!
//! That holds within a process. Two processes that change one room at once agree on the versions (the store sees to that), but may tell
//! them in another order; clients go by the versions.
//!
//! Promises: turns are given in the order in which they were asked for; nobody waits longer than [`PATIENCE`]; at most [`PLACES`] wait or
//! have one, and the next is refused at once.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::refused::overloaded;
use crate::services::refusal::Result;

/// Rooms that may be changed at once. Two rooms seldom share a lane, and if they do that costs a little time.
const LANES: usize = 256;

const PLACES: usize = 1024;

/// A turn takes a write to the store and a push: milliseconds.
const PATIENCE: Duration = Duration::from_secs(2);

/// Whose turn it is. Clones are the same turns.
#[derive(Clone)]
pub struct Turns(Arc<Inner>);

struct Inner {
    lanes: Vec<Arc<Semaphore>>,
    places: Arc<Semaphore>,
    /// Nobody chooses a room so that it shares a lane with another.
    hash: RandomState,
}

/// The right to wait for a turn.
pub struct Place(#[expect(dead_code, reason = "it is held")] OwnedSemaphorePermit);

/// The right to change a room.
pub struct Turn(#[expect(dead_code, reason = "it is held")] OwnedSemaphorePermit);

// === impl Turns ===

impl Turns {
    pub fn new() -> Turns {
        let lanes = (0..LANES).map(|_| Arc::new(Semaphore::new(1))).collect();
        Turns(Arc::new(Inner { lanes, places: Arc::new(Semaphore::new(PLACES)), hash: RandomState::new() }))
    }

    /// A place in the waiting room, or a refusal at once.
    pub fn enter(&self) -> Result<Place> {
        Arc::clone(&self.0.places).try_acquire_owned().map(Place).map_err(|_| overloaded())
    }

    /// The turn of a room, when it comes.
    pub async fn take(&self, room: &str) -> Result<Turn> {
        let lane = self.0.hash.hash_one(room) as usize % LANES;
        let turn = timeout(PATIENCE, Arc::clone(&self.0.lanes[lane]).acquire_owned()).await.map_err(|_| overloaded())?;
        Ok(Turn(turn.expect("this semaphore is never closed")))
    }
}
