//! `grpc-timeout`: what is left of a call's deadline, as gRPC writes it.

use std::time::Duration;

use http::HeaderValue;

/// The most digits that gRPC allows.
const DIGITS_MAX: usize = 8;

/// The largest value of so many digits.
const VALUE_MAX: u128 = 99_999_999;

/// The value of `grpc-timeout` for this much time.
///
/// Rounded up to whole milliseconds: our own timer is the one that rules, and values that repeat (`3000m`) are kept by the peer's
/// header compression, where microseconds would push everything else out of its table.
pub(super) fn grpc_timeout(left: Duration) -> HeaderValue {
    let milliseconds = left.as_nanos().div_ceil(1_000_000);
    let (value, unit) = if milliseconds <= VALUE_MAX { (milliseconds, b'm') } else { (milliseconds.div_ceil(1_000).min(VALUE_MAX), b'S') };
    // Written by hand because every call has one, and formatting costs five times as much.
    let mut text = [unit; 1 + DIGITS_MAX];
    let mut start = DIGITS_MAX;
    let mut rest = value as u32;
    loop {
        start -= 1;
        text[start] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    HeaderValue::from_bytes(&text[start..]).expect("digits and a letter")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeout_is_at_most_eight_digits_and_a_unit() {
        for (left, expected) in [
            (Duration::ZERO, "0m"),
            (Duration::from_nanos(1), "1m"),
            (Duration::from_micros(2_999_001), "3000m"),
            (Duration::from_secs(3), "3000m"),
            (Duration::from_millis(99_999_999), "99999999m"),
            (Duration::from_millis(100_000_000), "100000S"),
            (Duration::from_millis(100_000_001), "100001S"),
            (Duration::MAX, "99999999S"),
        ] {
            assert_eq!(grpc_timeout(left), expected);
        }
    }
}
