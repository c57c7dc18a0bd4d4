//! Argon2id, where it cannot become a flood of memory.
//!
//! Promises: at most as many hashes are computed at once as there are processors, each in 19 MiB, and these are all the memory that hashes
//! ever take; at most [`WAITING_MAX`] callers wait for their turn and the next is refused at once; a caller that goes away frees its place;
//! a user that does not exist costs the same hash; whoever else wants the processor goes first.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use argon2::password_hash::phc::{Output, PasswordHash};
use argon2::{Algorithm, Argon2, Block, Params, Version};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use crate::random;

/// The result of hashing.
pub type Result<T> = std::result::Result<T, Unhashed>;

/// Callers that may wait for their turn.
pub const WAITING_MAX: usize = 64;

/// How long whoever meets a full waiting room should stay away: about as long as it takes to empty.
pub const OVERLOADED_WAIT: Duration = Duration::from_secs(2);

/// Of a hash and of its salt, as RFC 9106 recommends.
const HASH_BYTES: usize = 32;
const SALT_BYTES: usize = 16;

/// How long one may wait. A turn takes tens of milliseconds, so that who waits longer waits for a machine that does not keep up.
const PATIENCE: Duration = Duration::from_secs(5);

/// How far behind: with the processors used up by others, a tenth of what one of them gets is left to a hash.
const NICENESS: i32 = 10;

/// The only way to hash a password. Clones share its bounds.
#[derive(Clone)]
pub struct Hasher(Arc<Inner>);

struct Inner {
    cost: Params,
    /// One for each hash that may be computed at once.
    turns: Arc<Semaphore>,
    /// One for each caller that computes or waits.
    places: Arc<Semaphore>,
    /// Memory to hash in, for turns to come. Given back to the allocator, which keeps some for every thread that ever hashed, it would
    /// become twenty times as much.
    memories: Mutex<Vec<Vec<Block>>>,
    /// A hash that no password has, at the same cost.
    nobody: String,
    done: AtomicU64,
    running: AtomicUsize,
    running_max: AtomicUsize,
}

/// Why there is no hash.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Unhashed {
    /// The waiting room is full, or somebody waited too long in it.
    Overloaded,
    /// Our mistake; the text is for the log.
    Failed(String),
}

/// The right to wait for a turn.
pub struct Place {
    hasher: Hasher,
    _place: OwnedSemaphorePermit,
}

/// Whether a password is the one.
#[derive(PartialEq, Eq)]
pub enum Verdict {
    Right,
    /// It is, and its hash was made at another cost; this one is to take its place.
    Outdated(String),
    Wrong,
}

// === impl Hasher ===

impl Hasher {
    /// At today's cost (OWASP: 19 MiB, two passes, one lane), and as many at once as there are processors.
    pub fn new() -> Hasher {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        Hasher::at_cost(Params::new(19 * 1024, 2, 1, None).expect("these are within bounds"), processors)
    }

    pub fn at_cost(cost: Params, turns: usize) -> Hasher {
        let nobody = phc(&cost, &random::bytes(), &random::bytes());
        Hasher(Arc::new(Inner {
            cost,
            memories: Mutex::default(),
            turns: Arc::new(Semaphore::new(turns)),
            places: Arc::new(Semaphore::new(turns + WAITING_MAX)),
            nobody,
            done: AtomicU64::new(0),
            running: AtomicUsize::new(0),
            running_max: AtomicUsize::new(0),
        }))
    }

    /// A place in the waiting room, or a refusal at once.
    pub fn enter(&self) -> Result<Place> {
        let place = Arc::clone(&self.0.places).try_acquire_owned().map_err(|_| Unhashed::Overloaded)?;
        Ok(Place { hasher: self.clone(), _place: place })
    }

    /// How many hashes were computed so far.
    #[cfg(test)]
    pub fn done(&self) -> u64 {
        self.0.done.load(Ordering::Relaxed)
    }

    /// The most that were ever computed at once.
    #[cfg(test)]
    pub fn running_max(&self) -> usize {
        self.0.running_max.load(Ordering::Relaxed)
    }

    /// Runs `work` when it is its turn. It holds its turn until it ends, also when nobody waits for it any more: it cannot be stopped.
    async fn turn<T: Send + 'static>(&self, work: impl FnOnce(&Inner) -> Result<T> + Send + 'static) -> Result<T> {
        let turn = timeout(PATIENCE, Arc::clone(&self.0.turns).acquire_owned()).await.map_err(|_| Unhashed::Overloaded)?;
        let turn = turn.expect("this semaphore is never closed");
        let hasher = Arc::clone(&self.0);
        let worked = spawn_blocking(move || {
            let _turn = turn;
            let running = 1 + hasher.running.fetch_add(1, Ordering::Relaxed);
            hasher.running_max.fetch_max(running, Ordering::Relaxed);
            let worked = behind_others(|| work(&hasher));
            hasher.running.fetch_sub(1, Ordering::Relaxed);
            worked
        });
        worked.await.unwrap_or_else(|error| Err(Unhashed::Failed(format!("a hash was not computed: {error}"))))
    }
}

impl Default for Hasher {
    fn default() -> Hasher {
        Hasher::new()
    }
}

impl Inner {
    fn hash(&self, password: &[u8]) -> Result<String> {
        let (salt, mut hash) = (random::bytes(), [0; HASH_BYTES]);
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, self.cost.clone());
        self.fill(&argon2, password, &salt, &mut hash)
            .map_err(|error| Unhashed::Failed(format!("a password cannot be hashed: {error}")))?;
        Ok(phc(&self.cost, &salt, &hash))
    }

    fn verify(&self, password: &[u8], hash: &str) -> Result<Verdict> {
        let broken = || Unhashed::Failed("a password's hash in the store cannot be read".to_owned());
        let hash = PasswordHash::new(hash).map_err(|_| broken())?;
        let cost = Params::try_from(&hash).map_err(|_| broken())?;
        let algorithm = Algorithm::try_from(hash.algorithm.as_str()).map_err(|_| broken())?;
        let version = Version::try_from(hash.version.unwrap_or(Version::V0x13.into())).map_err(|_| broken())?;
        let (Some(salt), Some(expected)) = (hash.salt, hash.hash) else { return Err(broken()) };
        let mut computed = [0; Output::MAX_LENGTH];
        let computed = &mut computed[..expected.len()];
        let argon2 = Argon2::new(algorithm, version, cost.clone());
        self.fill(&argon2, password, &salt, computed)
            .map_err(|error| Unhashed::Failed(format!("a password cannot be verified: {error}")))?;
        // Outputs are compared in constant time.
        match Output::new(computed).is_ok_and(|computed| computed == expected) {
            false => Ok(Verdict::Wrong),
            true if self.is_cost(&cost) => Ok(Verdict::Right),
            true => Ok(Verdict::Outdated(self.hash(password)?)),
        }
    }

    /// Computes a hash in memory that is used again.
    fn fill(&self, argon2: &Argon2<'_>, password: &[u8], salt: &[u8], hash: &mut [u8]) -> argon2::Result<()> {
        self.done.fetch_add(1, Ordering::Relaxed);
        let memories = || self.memories.lock().expect("nothing that holds the list panics");
        let mut memory = memories().pop().unwrap_or_default();
        memory.resize_with(argon2.params().block_count().max(memory.len()), Block::default);
        let filled = argon2.hash_password_into_with_memory(password, salt, hash, &mut memory[..]);
        memories().push(memory);
        filled
    }

    fn is_cost(&self, cost: &Params) -> bool {
        (cost.m_cost(), cost.t_cost(), cost.p_cost()) == (self.cost.m_cost(), self.cost.t_cost(), self.cost.p_cost())
    }
}

/// Runs `work` on a thread of its own, behind whoever else wants the processor: it takes tens of milliseconds, and those who are logged in
/// wait for tenths of one.
fn behind_others<T: Send>(work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    let niced = || {
        // On Linux that is the thread's alone. Without it hashing is no worse than anything else.
        #[cfg(target_os = "linux")]
        let _ = rustix::process::nice(NICENESS);
        work()
    };
    thread::scope(|scope| match thread::Builder::new().name("hash".to_owned()).spawn_scoped(scope, niced) {
        Ok(thread) => thread.join().unwrap_or_else(|_| Err(Unhashed::Failed("hashing panicked".to_owned()))),
        Err(error) => Err(Unhashed::Failed(format!("there is no thread to hash on: {error}"))),
    })
}

/// A hash as it is stored.
fn phc(cost: &Params, salt: &[u8; SALT_BYTES], hash: &[u8; HASH_BYTES]) -> String {
    let (salt, hash) = (STANDARD_NO_PAD.encode(salt), STANDARD_NO_PAD.encode(hash));
    format!("$argon2id$v=19$m={},t={},p={}${salt}${hash}", cost.m_cost(), cost.t_cost(), cost.p_cost())
}

// === impl Place ===

impl Place {
    /// A password's hash, as a PHC string with a salt of its own.
    pub async fn hash(self, password: String) -> Result<String> {
        self.hasher.turn(move |hasher| hasher.hash(password.as_bytes())).await
    }

    /// Whether a password has this hash. Without a hash it never has, and that takes as long to find out.
    pub async fn verify(self, password: String, hash: Option<String>) -> Result<Verdict> {
        self.hasher
            .turn(move |hasher| match hash {
                Some(hash) => hasher.verify(password.as_bytes(), &hash),
                None => hasher.verify(password.as_bytes(), &hasher.nobody).map(|_| Verdict::Wrong),
            })
            .await
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use futures_util::future::join_all;

    use super::*;

    fn cheap(turns: usize) -> Hasher {
        Hasher::at_cost(Params::new(8, 1, 1, None).unwrap(), turns)
    }

    #[tokio::test]
    async fn a_password_is_recognised_and_no_other() {
        let hasher = cheap(1);
        let hash = hasher.enter().unwrap().hash("correct horse\0".to_owned()).await.unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=8,t=1,p=1$"), "{hash}");
        assert_ne!(hasher.enter().unwrap().hash("correct horse\0".to_owned()).await.unwrap(), hash, "salted");
        for (password, right) in [("correct horse\0", true), ("correct horse", false), ("", false)] {
            let verdict = hasher.enter().unwrap().verify(password.to_owned(), Some(hash.clone())).await.unwrap();
            assert!(verdict == if right { Verdict::Right } else { Verdict::Wrong }, "{password:?}");
        }
    }

    #[tokio::test]
    async fn hashes_are_those_that_others_make_and_memory_is_used_again() {
        use argon2::password_hash::{PasswordHasher as _, PasswordVerifier as _};
        let hasher = cheap(1);
        let library = Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::new(64, 3, 2, None).unwrap());
        for password in ["one", "another"] {
            let ours = hasher.enter().unwrap().hash(password.to_owned()).await.unwrap();
            library.verify_password(password.as_bytes(), &PasswordHash::new(&ours).unwrap()).unwrap();
            let theirs = library.hash_password(password.as_bytes()).unwrap().to_string();
            let verify = |password: &str| hasher.enter().unwrap().verify(password.to_owned(), Some(theirs.clone()));
            assert!(matches!(verify(password).await.unwrap(), Verdict::Outdated(_)));
            assert!(verify("neither").await.unwrap() == Verdict::Wrong);
        }
        assert_eq!(hasher.0.memories.lock().unwrap().len(), 1);
    }

    #[tokio::test]
    async fn a_hash_made_at_another_cost_is_renewed() {
        let hash = cheap(1).enter().unwrap().hash("correct horse".to_owned()).await.unwrap();
        let dearer = Hasher::at_cost(Params::new(16, 2, 1, None).unwrap(), 1);
        let verify = |password: &str, hash: String| dearer.enter().unwrap().verify(password.to_owned(), Some(hash));
        assert!(verify("wrong horse", hash.clone()).await.unwrap() == Verdict::Wrong);
        let Verdict::Outdated(renewed) = verify("correct horse", hash).await.unwrap() else { panic!("not renewed") };
        assert!(renewed.contains("m=16,t=2"), "{renewed}");
        assert!(verify("correct horse", renewed).await.unwrap() == Verdict::Right);
    }

    #[tokio::test]
    async fn nobody_costs_the_same_hash() {
        let hasher = Hasher::new();
        let hash = PasswordHash::new(&hasher.0.nobody).unwrap();
        assert!(hasher.0.is_cost(&Params::try_from(&hash).unwrap()), "at the same cost");
        let hasher = cheap(1);
        assert!(hasher.enter().unwrap().verify("anything".to_owned(), None).await.unwrap() == Verdict::Wrong);
        assert_eq!(hasher.done(), 1);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_flood_is_bounded_and_everybody_is_answered() {
        let hasher = Hasher::at_cost(Params::new(1024, 1, 1, None).unwrap(), 2);
        let capacity = 2 + WAITING_MAX;
        let flood: Vec<_> = (0..20 * capacity)
            .map(|_| {
                let place = hasher.enter();
                async { place?.verify("guess".to_owned(), None).await }
            })
            .collect();
        let answers = join_all(flood).await;
        let (wrong, refused): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.is_ok());
        assert_eq!((wrong.len(), refused.len()), (capacity, 19 * capacity));
        assert!(refused.iter().all(|answer| matches!(answer, Err(Unhashed::Overloaded))));
        assert_eq!(hasher.done(), capacity as u64);
        assert!(hasher.running_max() <= 2, "{}", hasher.running_max());
        assert!(hasher.enter().is_ok(), "there is room again");
    }

    #[tokio::test]
    async fn who_goes_away_frees_its_place_and_never_hashes() {
        let hasher = cheap(0);
        let mut waiting: Vec<_> = (0..WAITING_MAX).map(|_| Box::pin(hasher.enter().unwrap().verify("guess".to_owned(), None))).collect();
        assert!(waiting.iter_mut().all(|waits| waits.as_mut().now_or_never().is_none()));
        assert!(hasher.enter().is_err());
        waiting.pop();
        assert!(hasher.enter().is_ok());
        drop(waiting);
        assert_eq!((hasher.done(), hasher.0.places.available_permits()), (0, WAITING_MAX));
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_for_ever() {
        let answer = cheap(0).enter().unwrap().hash("password".to_owned()).await;
        assert!(matches!(answer, Err(Unhashed::Overloaded)));
    }
}
