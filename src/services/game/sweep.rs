//! Looks after rooms whose members are gone: who is away, whose seat is taken, which room is closed.
//!
//! Of all processes over one store one sweeps, which has the lease `gamelease:sweep`; if two think they do, compare-and-set keeps what they
//! write apart. Promises: a round looks at a bounded number of rooms, and the next goes on where it ended; if the gateway does not say who
//! is there, nobody loses anything; when the process ends, a room that is being changed is changed and told first.

use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::index::{Cursor, Place};
use super::rooms::Rooms;
use crate::random;
use crate::services::documents::{self, Outcome};
use crate::services::refusal::{Refusal, Result};
use crate::store::{Batch, Durability, Expect, Key};

/// From one round to the next.
const PERIOD: Duration = Duration::from_secs(5);

/// How long a process that is gone keeps others from sweeping.
const LEASE: Duration = Duration::from_secs(15);

/// Rooms that are read and asked after together.
const ROOMS_AT_ONCE: usize = 100;

/// How often that happens in a round.
const STEPS: usize = 10;

/// The one who sweeps.
pub struct Sweep {
    rooms: Rooms,
    /// The name of this process among those that want to.
    name: String,
    cursor: Cursor,
    failing: bool,
    stopping: CancellationToken,
}

fn lease() -> Key {
    Key::new("gamelease", "sweep")
}

// === impl Sweep ===

impl Sweep {
    pub fn new(rooms: Rooms, stopping: CancellationToken) -> Sweep {
        Sweep { rooms, name: random::name(), cursor: Cursor::default(), failing: false, stopping }
    }

    /// Sweeps until the process ends.
    pub async fn run(mut self) {
        let mut ticks = interval(PERIOD);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let stopping = self.stopping.clone();
        loop {
            tokio::select! {
                biased;
                () = stopping.cancelled() => return,
                _ = ticks.tick() => {}
            }
            match self.round().await {
                Ok(()) if self.failing => {
                    info!("seats are looked after again");
                    self.failing = false;
                }
                Err(refusal) if !self.failing => {
                    warn!(reason = refusal.reason(), cause = refusal.cause(), "seats are not looked after: everybody keeps theirs");
                    self.failing = true;
                }
                _ => {}
            }
        }
    }

    /// The next rooms, if it is for this process to look after them.
    pub async fn round(&mut self) -> Result<()> {
        let began = Instant::now();
        for _ in 0..STEPS {
            if began.elapsed() >= LEASE / 2 || self.stopping.is_cancelled() {
                return Ok(());
            }
            let (places, next) = self.rooms.index.page(&self.cursor, ROOMS_AT_ONCE).await?;
            // Where there are no rooms nothing is written.
            if !places.is_empty() {
                if !self.renew().await? {
                    return Ok(());
                }
                self.tend(&places).await?;
            }
            let is_end = next.is_none();
            self.cursor = next.unwrap_or_default();
            if is_end {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Takes the lease, or renews it. Whether this process has it.
    async fn renew(&self) -> Result<bool> {
        let held = self.rooms.store.get(&lease()).await?;
        if held.as_ref().is_some_and(|held| *held.value != *self.name.as_bytes()) {
            return Ok(false);
        }
        let batch = Batch::new(Durability::Flushed).put(lease(), self.name.clone(), Expect::unchanged(held.as_ref()), Some(LEASE));
        Ok(matches!(documents::outcome(self.rooms.store.write(batch).await)?, Outcome::Done))
    }

    async fn tend(&self, places: &[Place]) -> Result<()> {
        let ids: Vec<&str> = places.iter().map(|place| place.id.as_str()).collect();
        let rooms = self.rooms.known(&ids).await?;
        let mut open = Vec::new();
        for (place, room) in places.iter().zip(&rooms) {
            match room {
                None => self.rooms.forget(place).await?,
                Some(room) if room.closed => self.rooms.index.remove(place.shard, std::slice::from_ref(&place.id)).await?,
                Some(_) => open.push(place.id.as_str()),
            }
        }
        if open.is_empty() {
            return Ok(());
        }
        let present = self.rooms.herald.present(&open).await?;
        for (id, present) in open.into_iter().zip(present) {
            if self.stopping.is_cancelled() {
                return Ok(());
            }
            let heeded = self.rooms.change(id, |draft| {
                draft.heed(&present);
                Ok(())
            });
            heeded.await.map(drop).or_else(|refusal| tolerate(id, refusal))?;
        }
        Ok(())
    }
}

/// What is wrong with one room, such as that it was closed meanwhile, keeps nobody from looking after the others.
fn tolerate(room: &str, refusal: Refusal) -> Result<()> {
    match refusal.reason() {
        "UNAVAILABLE" => Err(refusal),
        "INTERNAL" => {
            warn!(room, cause = refusal.cause(), "a room cannot be looked after");
            Ok(())
        }
        _ => Ok(()),
    }
}
