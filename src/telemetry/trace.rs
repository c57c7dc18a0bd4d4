//! W3C trace context: which trace a call belongs to, and how the next in line is told.
//!
//! The ids of what a call is made of follow from the call's own, so that nobody has to keep them until it is known whether they are needed.
//! Ids are drawn from a generator that each caller seeds once with 128 bits of the operating system's, because asking it at every call
//! would cost more than all else that a backend is told. They tell calls apart, and keep no secret.

use std::num::NonZeroU64;

use http::{HeaderName, HeaderValue};

use crate::random;

pub const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// Flag of W3C: whoever sends it records its span.
const SAMPLED: u8 = 1;

/// What is below 100 %, in millionths.
const WHOLE: u64 = 1_000_000;

const DIGITS: &[u8; 16] = b"0123456789abcdef";

/// One span, as the next in line is told of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Trace {
    /// Never 0.
    pub id: u128,
    /// Never 0.
    pub span: u64,
    /// Whether it is certain that the span is exported.
    pub sampled: bool,
}

/// Something that a call is made of.
#[derive(Clone, Copy)]
pub enum Part {
    Admit,
    Queue,
    Write,
    /// Which guard, from 0.
    Guard(usize),
    /// Which attempt, from 0.
    Attempt(usize),
}

/// The ids and the dice of one caller.
pub struct Traces {
    /// What the first halves of ids are made with.
    first: NonZeroU64,
    state: u64,
}

// === impl Trace ===

impl Trace {
    /// Reads a `traceparent`: version, trace, parent, flags, in hexadecimal. Nothing: it is none.
    pub fn read(text: &str) -> Option<Trace> {
        let mut parts = text.split('-');
        let mut next = |digits| parts.next().and_then(|part| number(part, digits));
        let (version, id, span, flags) = (next(2)?, next(32)?, next(16)?, next(2)?);
        if parts.next().is_some() || version == 0xff || id == 0 || span == 0 {
            return None;
        }
        Some(Trace { id, span: span as u64, sampled: flags as u8 & SAMPLED != 0 })
    }

    /// The id of a part of this.
    pub fn part(&self, part: Part) -> u64 {
        mixed(self.span ^ part.number()) | 1
    }

    /// What the next in line is told of a part of this, as W3C writes it.
    pub fn traceparent(&self, part: Part) -> HeaderValue {
        let mut text = *b"00-tttttttttttttttttttttttttttttttt-pppppppppppppppp-00";
        write(&mut text[3..19], (self.id >> 64) as u64);
        write(&mut text[19..35], self.id as u64);
        write(&mut text[36..52], self.part(part));
        if self.sampled {
            text[54] = b'1';
        }
        let mut value = HeaderValue::from_bytes(&text).expect("hexadecimal digits and dashes");
        // Different on every call: it must not push what repeats out of the compression table.
        value.set_sensitive(true);
        value
    }
}

// === impl Part ===

impl Part {
    fn number(self) -> u64 {
        const GUARDS: u64 = 1 << 32;
        match self {
            Part::Admit => 1,
            Part::Queue => 2,
            Part::Write => 3,
            Part::Guard(index) => GUARDS + index as u64,
            Part::Attempt(index) => 2 * GUARDS + index as u64,
        }
    }
}

// === impl Traces ===

impl Traces {
    pub fn new() -> Traces {
        Traces { first: NonZeroU64::MIN | u64::from_le_bytes(random::bytes()), state: u64::from_le_bytes(random::bytes()) }
    }

    /// A trace that nobody had before.
    pub fn begin(&mut self) -> Trace {
        // Each half differs from trace to trace: some sample by the first, some by the last.
        let last = self.draw();
        let first = mixed(self.first.get().wrapping_add(last)) | 1;
        Trace { id: u128::from(first) << 64 | u128::from(last), span: self.span(), sampled: false }
    }

    /// A span that nobody had before.
    pub fn span(&mut self) -> u64 {
        self.draw() | 1
    }

    /// Throws the dice: true for so many of a million.
    pub fn chance(&mut self, millionths: u32) -> bool {
        u64::from(millionths) >= WHOLE || (millionths > 0 && self.draw() % WHOLE < u64::from(millionths))
    }

    /// SplitMix64, which comes back to where it began after 2^64 numbers.
    fn draw(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mixed(self.state)
    }
}

impl Default for Traces {
    fn default() -> Traces {
        Traces::new()
    }
}

/// The second half of SplitMix64: no two numbers come to the same.
fn mixed(number: u64) -> u64 {
    let mixed = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

fn number(text: &str, digits: usize) -> Option<u128> {
    let written = text.len() == digits && text.bytes().all(|byte| DIGITS.contains(&byte));
    u128::from_str_radix(text, 16).ok().filter(|_| written)
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
    fn every_trace_is_new_and_reads_as_it_was_written() {
        let (mut one, mut other) = (Traces::new(), Traces::new());
        let traces: Vec<_> = (0..1_000).flat_map(|_| [one.begin(), other.begin()]).collect();
        let mut ids = HashSet::new();
        for trace in &traces {
            for sampled in [true, false] {
                let sent = Trace { sampled, ..*trace }.traceparent(Part::Attempt(0));
                let read = Trace::read(sent.to_str().unwrap()).expect("it is well formed");
                assert_eq!(read, Trace { id: trace.id, span: trace.part(Part::Attempt(0)), sampled });
            }
            assert!(ids.insert(trace.id) && ids.insert(trace.span.into()), "{trace:?}");
        }
    }

    #[test]
    fn no_two_parts_of_a_call_have_the_same_id() {
        let trace = Traces::new().begin();
        let parts = [Part::Admit, Part::Queue, Part::Write].into_iter();
        let parts = parts.chain((0..64).flat_map(|index| [Part::Guard(index), Part::Attempt(index)]));
        let ids: HashSet<u64> = parts.map(|part| trace.part(part)).chain([trace.span]).collect();
        assert_eq!(ids.len(), 3 + 128 + 1);
    }

    #[test]
    fn what_is_no_traceparent_is_not_read() {
        let right = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        assert_eq!(
            Trace::read(right),
            Some(Trace { id: 0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c, span: 0xb7ad_6b71_6920_3331, sampled: true })
        );
        assert_eq!(Trace::read(&right.replace("-01", "-02")).map(|trace| trace.sampled), Some(false));
        for wrong in [
            "",
            "mine",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-00",
            "00-0AF7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-+af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        ] {
            assert_eq!(Trace::read(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn the_dice_are_fair() {
        let mut traces = Traces::new();
        let mut share = |millionths| (0..20_000).filter(|_| traces.chance(millionths)).count();
        assert_eq!((share(0), share(1_000_000)), (0, 20_000));
        let tenth = share(100_000);
        assert!((1_700..2_300).contains(&tenth), "{tenth} of 20,000 are no tenth");
    }
}
