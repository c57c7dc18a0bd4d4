//! The passwords of rooms.
//!
//! Promises: none is stored as it is; guesses are counted before they are looked at; who has a seat is not asked.

use std::time::Duration;

use super::names::is_password;
use super::refused::{too_many_attempts, wrong_password};
use super::room::Room;
use crate::services::documents::digest;
use crate::services::hasher::{Hasher, Verdict};
use crate::services::refusal::Result;
use crate::store::{Key, Store};

const WINDOW: Duration = Duration::from_secs(10 * 60);

/// Guesses of one player: at one room, and at all of them.
const GUESSES_PER_ROOM: u64 = 10;
const GUESSES_PER_PLAYER: u64 = 50;

#[derive(Clone)]
pub struct Passwords {
    store: Store,
    hasher: Hasher,
}

// === impl Passwords ===

impl Passwords {
    pub fn new(store: Store, hasher: Hasher) -> Passwords {
        Passwords { store, hasher }
    }

    /// What is stored of a password.
    pub async fn hash(&self, password: String) -> Result<String> {
        Ok(self.hasher.enter()?.hash(password).await?)
    }

    /// Refuses whoever would join a room and does not know its password.
    pub async fn check(&self, room: &Room, user: &str, password: String) -> Result<()> {
        let Some(hash) = room.password.clone().filter(|_| room.seat(user).is_none()) else { return Ok(()) };
        if !is_password(&password) {
            return Err(wrong_password());
        }
        let place = self.hasher.enter()?;
        self.count(format!("{}.{}", room.id, digest(user)), GUESSES_PER_ROOM).await?;
        self.count(digest(user), GUESSES_PER_PLAYER).await?;
        match place.verify(password, Some(hash)).await? {
            Verdict::Wrong => Err(wrong_password()),
            Verdict::Right | Verdict::Outdated(_) => Ok(()),
        }
    }

    async fn count(&self, which: String, most: u64) -> Result<()> {
        let count = self.store.count(&Key::new("roomguesses", which), 1, WINDOW).await?;
        if count.value > most { Err(too_many_attempts(count.left)) } else { Ok(()) }
    }
}
