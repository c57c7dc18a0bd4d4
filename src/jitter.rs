//! Times that differ a little, so that what happened to many at once does not happen to them at once again.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

/// Between the two, `from` included. Random enough to spread a crowd, and no secret.
pub fn between(from: Duration, to: Duration) -> Duration {
    // Every `RandomState` has keys of its own, so hashing anything at all is a random number.
    let random = RandomState::new().hash_one(());
    let span = u64::try_from(to.saturating_sub(from).as_nanos()).unwrap_or(u64::MAX);
    from + Duration::from_nanos(random.checked_rem(span).unwrap_or(0))
}

/// This time, a tenth more or less.
pub fn about(time: Duration) -> Duration {
    between(time - time / 10, time + time / 10)
}

/// This time, a fifth more or less.
pub fn roughly(time: Duration) -> Duration {
    between(time - time / 5, time + time / 5)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_span_is_kept_and_used() {
        let (from, to) = (Duration::from_secs(1), Duration::from_secs(2));
        let drawn: Vec<Duration> = (0..100).map(|_| between(from, to)).collect();
        assert!(drawn.iter().all(|one| (from..to).contains(one)));
        assert!(drawn.iter().any(|one| *one > from * 3 / 2) && drawn.iter().any(|one| *one < from * 3 / 2));
        assert_eq!(between(from, from), from);
    }

    #[test]
    fn about_is_a_tenth_more_or_less() {
        let times: Vec<Duration> = (0..1_000).map(|_| about(Duration::from_secs(10))).collect();
        assert!(times.iter().all(|time| (Duration::from_secs(9)..=Duration::from_secs(11)).contains(time)));
        assert!(times.iter().any(|time| *time < Duration::from_millis(9_500)));
        assert!(times.iter().any(|time| *time > Duration::from_millis(10_500)));
    }
}
