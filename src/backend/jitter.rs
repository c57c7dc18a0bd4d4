//! Waits that are not the same for everybody, so that what failed together does not come back together.

use std::hash::{BuildHasher as _, RandomState};
use std::time::Duration;

/// So long, up to a fifth more or less, as gRPC's A6 asks. Random enough to spread a crowd, and no secret.
pub(super) fn about(wait: Duration) -> Duration {
    // Every `RandomState` has keys of its own, so hashing anything at all is a random number.
    let random = RandomState::new().hash_one(()) % 401;
    wait.mul_f64(0.8 + random as f64 / 1_000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fifth_is_kept_and_used() {
        let drawn: Vec<Duration> = (0..100).map(|_| about(Duration::from_millis(1_000))).collect();
        assert!(drawn.iter().all(|one| (800..=1_200).contains(&one.as_millis())));
        assert!(drawn.iter().any(|one| one.as_millis() > 1_000) && drawn.iter().any(|one| one.as_millis() < 1_000));
        assert_eq!(about(Duration::ZERO), Duration::ZERO);
    }
}
