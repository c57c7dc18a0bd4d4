//! The buckets of one limit, by key, in bounded memory.
//!
//! A bucket that is full again is as good as none, so that only buckets in use need to be kept. Promises:
//! - At most `keys_max` buckets are kept. As long as no more than half as many are in use, none is forgotten.
//! - Beyond that the buckets that were not asked for the longest time are forgotten, which is to say full again.
//! - Every operation takes constant time on average: a shard is swept only after half of its room was filled with new keys.
//! - Two keys are one only if their hashes are, and those are 128 bits of keyed SipHash that never leave the process: whoever chooses
//!   what goes into a key can neither find a key that shares a bucket with a victim's nor pile keys up in one shard.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use super::gcra::{Gcra, Nanos};

/// Enough that a handful of workers seldom meet; few enough that a limit with one key costs two kilobytes.
const SHARDS: usize = 16;

/// The least room of a half, below which sweeping would cost more than it frees.
const HALF_MIN: usize = 8;

/// Which bucket.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Key([u64; 2]);

/// A key while it is composed.
pub struct KeyWriter<H: Hasher> {
    halves: [H; 2],
}

/// All buckets of one limit.
pub struct Buckets {
    secret: RandomState,
    shards: Box<[Mutex<Shard>]>,
}

/// Buckets that were asked for recently, and those that were not.
struct Shard {
    young: Half,
    old: Half,
    half_max: usize,
}

/// By key: when the bucket will be full. A key is a hash already, so that a fast hash over it will do.
type Half = HashMap<Key, Nanos, foldhash::fast::RandomState>;

// === impl KeyWriter ===

impl<H: Hasher> KeyWriter<H> {
    /// Adds a part. Tag and length go in with it, so that no two lists of parts read the same.
    pub fn part(&mut self, tag: u8, bytes: &[u8]) {
        for half in &mut self.halves {
            half.write_u8(tag);
            half.write_usize(bytes.len());
            half.write(bytes);
        }
    }

    pub fn finish(self) -> Key {
        Key(self.halves.map(|half| half.finish()))
    }
}

// === impl Buckets ===

impl Buckets {
    pub fn new(keys_max: usize) -> Buckets {
        let half_max = (keys_max / SHARDS / 2).max(HALF_MIN);
        let shard = || Mutex::new(Shard { young: Half::default(), old: Half::default(), half_max });
        Buckets { secret: RandomState::new(), shards: (0..SHARDS).map(|_| shard()).collect() }
    }

    /// Starts a key. One secret makes both halves, which begin differently and therefore have nothing in common.
    pub fn key(&self) -> KeyWriter<impl Hasher + use<>> {
        let half = |number| {
            let mut half = self.secret.build_hasher();
            half.write_u8(number);
            half
        };
        KeyWriter { halves: [half(0), half(1)] }
    }

    /// Takes a token from the bucket of `key`, or says how long to wait for one.
    pub fn take(&self, key: Key, gcra: Gcra, now: Nanos) -> Result<(), Duration> {
        let mut shard = self.shard(key);
        let full_at = shard.full_at(key);
        let taken = gcra.take(full_at, now);
        // A refusal keeps the bucket as it is, but young: it is the last that should be forgotten.
        shard.put(key, *taken.as_ref().unwrap_or(&full_at), now);
        taken.map(drop)
    }

    /// Puts a token back that was taken at `now`.
    pub fn put_back(&self, key: Key, gcra: Gcra, now: Nanos) {
        let mut shard = self.shard(key);
        let full_at = gcra.put_back(shard.full_at(key));
        if full_at > now { shard.put(key, full_at, now) } else { shard.remove(key) }
    }

    /// How many there are.
    pub fn kept(&self) -> usize {
        self.shards
            .iter()
            .map(|shard| shard.lock().expect("nothing panics while it holds a shard"))
            .map(|shard| shard.young.len() + shard.old.len())
            .sum()
    }

    /// A part of a key as people may see it: whether two are the same, and nothing else. It tells nothing of a key's hash.
    pub fn shown(&self, bytes: &[u8]) -> u32 {
        let mut hasher = self.secret.build_hasher();
        hasher.write_u8(u8::MAX);
        hasher.write(bytes);
        hasher.finish() as u32
    }

    fn shard(&self, key: Key) -> MutexGuard<'_, Shard> {
        self.shards[key.0[0] as usize % SHARDS].lock().expect("nothing panics while it holds a shard")
    }
}

// === impl Shard ===

impl Shard {
    /// A bucket that is not kept is full.
    fn full_at(&self, key: Key) -> Nanos {
        self.young.get(&key).or_else(|| self.old.get(&key)).copied().unwrap_or(0)
    }

    fn put(&mut self, key: Key, full_at: Nanos, now: Nanos) {
        if let Some(known) = self.young.get_mut(&key) {
            *known = full_at;
            return;
        }
        self.old.remove(&key);
        if self.young.len() >= self.half_max {
            self.turn(now);
        }
        self.young.insert(key, full_at);
    }

    fn remove(&mut self, key: Key) {
        self.young.remove(&key);
        self.old.remove(&key);
    }

    /// Makes room for new keys: full buckets go first; if that is not enough, those that were not asked for since the last turn.
    fn turn(&mut self, now: Nanos) {
        let mut young = std::mem::take(&mut self.young);
        young.retain(|_, full_at| *full_at > now);
        self.old.retain(|_, full_at| *full_at > now);
        if young.len() + self.old.len() <= self.half_max {
            self.old.extend(young);
        } else {
            self.old = young;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;

    const SECOND: Nanos = 1_000_000_000;

    /// One token a second, two at once.
    fn gcra() -> Gcra {
        Gcra::new(NonZeroU32::MIN, Duration::from_secs(1), NonZeroU32::new(2).unwrap())
    }

    fn key(buckets: &Buckets, name: u64) -> Key {
        let mut key = buckets.key();
        key.part(0, &name.to_le_bytes());
        key.finish()
    }

    #[test]
    fn a_flood_of_keys_stays_within_its_bound() {
        let buckets = Buckets::new(1000);
        for name in 0..100_000 {
            buckets.take(key(&buckets, name), gcra(), 0).unwrap();
            assert!(buckets.kept() <= 1000);
        }
    }

    #[test]
    fn buckets_in_use_outlive_a_flood_of_keys_that_are_full_again() {
        let buckets = Buckets::new(1600);
        let mut now = 0;
        // Ten keys whose buckets stay empty, a thousand others each second.
        for second in 0..20 {
            now += SECOND;
            for name in 0..10 {
                let _ = buckets.take(key(&buckets, name), gcra(), now);
                let _ = buckets.take(key(&buckets, name), gcra(), now);
                assert!(buckets.take(key(&buckets, name), gcra(), now).is_err());
            }
            for name in 0..400 {
                buckets.take(key(&buckets, 1000 + 400 * second + name), gcra(), now).unwrap();
            }
            for name in 0..10 {
                assert!(buckets.take(key(&buckets, name), gcra(), now).is_err(), "{name} was forgotten");
            }
        }
    }

    #[test]
    fn a_bucket_that_is_asked_for_all_the_time_is_forgotten_last() {
        let buckets = Buckets::new(100);
        let (victim, gcra) = (key(&buckets, 0), gcra());
        let _ = (buckets.take(victim, gcra, 0), buckets.take(victim, gcra, 0));
        for name in 1..10_000 {
            let _ = buckets.take(key(&buckets, name), gcra, 0);
            assert!(buckets.take(victim, gcra, 0).is_err());
        }
    }

    #[test]
    fn a_token_put_back_leaves_no_trace() {
        let buckets = Buckets::new(100);
        buckets.take(key(&buckets, 1), gcra(), 5).unwrap();
        buckets.put_back(key(&buckets, 1), gcra(), 5);
        assert_eq!(buckets.kept(), 0);
    }

    #[test]
    fn parts_do_not_run_into_each_other() {
        let buckets = Buckets::new(100);
        let composed = |parts: &[(u8, &[u8])]| {
            let mut key = buckets.key();
            parts.iter().for_each(|(tag, bytes)| key.part(*tag, bytes));
            key.finish().0
        };
        let keys =
            [composed(&[(1, b"ab"), (1, b"c")]), composed(&[(1, b"a"), (1, b"bc")]), composed(&[(2, b"ab"), (1, b"c")]), composed(&[])];
        for (index, one) in keys.iter().enumerate() {
            assert_ne!(one[0], one[1]);
            assert!(keys[..index].iter().all(|other| other[0] != one[0] && other[1] != one[1]));
        }
    }
}
