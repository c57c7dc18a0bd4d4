//! `traceparent` for calls whose client sent none: a service can tell its own lines about one call from those about another, and its log
//! can be held against others'.
//!
//! Not sampled: who samples is the client's or the service's to say. Ids are drawn from a generator that each caller seeds once with 128
//! bits of the operating system's, because asking it at every call would cost more than all else that a backend is told. They tell calls
//! apart, and keep no secret.

use http::{HeaderName, HeaderValue};

use crate::random;

pub const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

const DIGITS: &[u8; 16] = b"0123456789abcdef";

/// The traces of one caller.
pub struct Traces {
    /// The first half of every id of a trace. Never 0, which would be no id.
    first: u64,
    state: u64,
}

// === impl Traces ===

impl Traces {
    pub fn new() -> Traces {
        Traces { first: u64::from_le_bytes(random::bytes()) | 1, state: u64::from_le_bytes(random::bytes()) }
    }

    /// A trace that nobody had before, as W3C writes it: version, trace, parent, flags.
    pub fn begin(&mut self) -> HeaderValue {
        let mut text = *b"00-tttttttttttttttttttttttttttttttt-pppppppppppppppp-00";
        write(&mut text[3..19], self.first);
        write(&mut text[19..35], self.draw());
        write(&mut text[36..52], self.draw() | 1);
        let mut value = HeaderValue::from_bytes(&text).expect("hexadecimal digits and dashes");
        // Different on every call: it must not push what repeats out of the compression table.
        value.set_sensitive(true);
        value
    }

    /// SplitMix64, which comes back to where it began after 2^64 numbers.
    fn draw(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.state ^ (self.state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

impl Default for Traces {
    fn default() -> Traces {
        Traces::new()
    }
}

fn write(digits: &mut [u8], number: u64) {
    for (place, digit) in digits.iter_mut().rev().enumerate() {
        *digit = DIGITS[(number >> (4 * place) & 15) as usize];
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_trace_is_new_and_well_formed() {
        let (mut one, mut other) = (Traces::new(), Traces::new());
        let traces: Vec<_> = (0..1_000).flat_map(|_| [one.begin(), other.begin()]).collect();
        let mut ids = HashSet::new();
        for trace in &traces {
            let parts: Vec<_> = trace.to_str().unwrap().split('-').collect();
            let [version, id, parent, flags] = parts[..] else { panic!("{parts:?}") };
            assert_eq!((version, id.len(), parent.len(), flags), ("00", 32, 16, "00"));
            assert!(id.bytes().chain(parent.bytes()).all(|digit| DIGITS.contains(&digit)));
            assert!(id.bytes().any(|digit| digit != b'0') && parent.bytes().any(|digit| digit != b'0'));
            assert!(ids.insert(id.to_owned()) && ids.insert(parent.to_owned()), "{trace:?}");
        }
    }

    #[test]
    fn numbers_are_written_with_their_leading_zeros() {
        let mut digits = [0; 16];
        write(&mut digits, 0x0123_4567_89ab_cdef);
        assert_eq!(&digits, b"0123456789abcdef");
    }
}
