//! Times that differ a little, so that what began together does not go on together.

use std::time::Duration;

use crate::random;

/// This time, a tenth more or less.
pub(super) fn about(time: Duration) -> Duration {
    give_or_take(time, 0.1)
}

/// This time, a fifth more or less.
pub(super) fn roughly(time: Duration) -> Duration {
    give_or_take(time, 0.2)
}

fn give_or_take(time: Duration, part: f64) -> Duration {
    let share = f64::from(u32::from_le_bytes(random::bytes())) / f64::from(u32::MAX);
    time.mul_f64(1.0 - part + 2.0 * part * share)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_a_tenth_more_or_less() {
        let times: Vec<_> = (0..1_000).map(|_| about(Duration::from_secs(10))).collect();
        assert!(times.iter().all(|time| (Duration::from_secs(9)..=Duration::from_secs(11)).contains(time)));
        assert!(times.iter().any(|time| *time < Duration::from_millis(9_500)));
        assert!(times.iter().any(|time| *time > Duration::from_millis(10_500)));
    }
}
