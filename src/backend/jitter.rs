//! Times that are not the same for everybody, so that what began or failed together does not go on together.

use std::time::Duration;

use crate::random;

/// This time, up to so many parts of a hundred more or less.
pub(super) fn about(time: Duration, percent: u32) -> Duration {
    let share = f64::from(u32::from_le_bytes(random::bytes())) / f64::from(u32::MAX);
    time.mul_f64(1.0 + f64::from(percent) / 100.0 * (2.0 * share - 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_range_is_kept_and_used() {
        let times: Vec<_> = (0..1_000).map(|_| about(Duration::from_secs(10), 10)).collect();
        assert!(times.iter().all(|time| (Duration::from_secs(9)..=Duration::from_secs(11)).contains(time)));
        assert!(times.iter().any(|time| *time < Duration::from_millis(9_500)));
        assert!(times.iter().any(|time| *time > Duration::from_millis(10_500)));
        assert_eq!(about(Duration::ZERO, 20), Duration::ZERO);
    }
}
