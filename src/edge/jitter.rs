//! A random span of time, so that what happened to many clients at once does not happen to them at once again.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

/// Between the two, `from` included. Random enough to spread a crowd, and no secret.
pub fn jitter(from: Duration, to: Duration) -> Duration {
    // Every `RandomState` has keys of its own, so hashing anything at all is a random number.
    let random = RandomState::new().hash_one(());
    let span = u64::try_from(to.saturating_sub(from).as_nanos()).unwrap_or(u64::MAX);
    from + Duration::from_nanos(random.checked_rem(span).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_span_is_kept_and_used() {
        let (from, to) = (Duration::from_secs(1), Duration::from_secs(2));
        let drawn: Vec<Duration> = (0..100).map(|_| jitter(from, to)).collect();
        assert!(drawn.iter().all(|one| (from..to).contains(one)));
        assert!(drawn.iter().any(|one| *one > from * 3 / 2) && drawn.iter().any(|one| *one < from * 3 / 2));
        assert_eq!(jitter(from, from), from);
    }
}
