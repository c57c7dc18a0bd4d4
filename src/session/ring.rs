//! Pushes that a session was sent and has not acknowledged, so that a client which comes back misses nothing.
//!
//! Promises: sequence numbers begin at 1 and have no gap; the ring holds at most so many bytes, and what it let go is known to be gone;
//! it holds numbers and protobuf, never frames, because a session may come back with the other subprotocol.

use std::collections::VecDeque;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// What an entry costs beside its payload.
const ENTRY_BYTES: usize = size_of::<Entry>();

/// The last sequence number of a session. A client that got so many gets a new session.
const SEQ_MAX: u32 = 1 << 31;

/// The ring of one session.
#[derive(Default)]
pub struct Ring {
    /// The newest sequence number that was given.
    last: u32,
    /// The newest that is kept no longer, because it was acknowledged or there was no room.
    gone: u32,
    entries: VecDeque<Entry>,
    bytes: usize,
}

/// One push.
#[derive(Clone, PartialEq, Eq)]
pub struct Entry {
    pub seq: u32,
    /// Its protocol number.
    pub number: u32,
    /// Its message, in protobuf.
    pub payload: Bytes,
}

/// A ring on its way to another node, or into the store.
#[derive(Serialize, Deserialize)]
pub struct Parked {
    last: u32,
    gone: u32,
    /// Number and payload in base64, from `gone + 1` on.
    entries: Vec<(u32, String)>,
}

// === impl Ring ===

impl Ring {
    /// A ring that begins behind `last`, because what was before is not known.
    pub fn behind(last: u32) -> Ring {
        let last = last.min(SEQ_MAX - 1);
        Ring { last, gone: last, ..Ring::default() }
    }

    /// Adds a push and lets the oldest go until it fits. Nothing: the session has used up its numbers.
    pub fn push(&mut self, number: u32, payload: Bytes, bytes_max: usize) -> Option<&Entry> {
        if self.last >= SEQ_MAX {
            return None;
        }
        self.last += 1;
        self.bytes += ENTRY_BYTES + payload.len();
        self.entries.push_back(Entry { seq: self.last, number, payload });
        while self.bytes > bytes_max && self.entries.len() > 1 {
            self.let_go();
        }
        self.entries.back()
    }

    /// The client has everything up to here. What was never sent cannot be acknowledged.
    pub fn acknowledge(&mut self, seq: u32) {
        if seq > self.last {
            return;
        }
        while self.entries.front().is_some_and(|entry| entry.seq <= seq) {
            self.let_go();
        }
        if self.entries.is_empty() {
            self.entries = VecDeque::new();
        }
    }

    /// Everything behind `seq`; nothing if a part of that is gone, or never was.
    pub fn behind_of(&self, seq: u32) -> Option<impl Iterator<Item = &Entry>> {
        let known = self.gone <= seq && seq <= self.last;
        known.then(|| self.entries.iter().skip_while(move |entry| entry.seq <= seq))
    }

    /// All that is kept, oldest first.
    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter()
    }

    pub fn last(&self) -> u32 {
        self.last
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The ring in a form that travels.
    pub fn park(&self) -> Parked {
        let entries = self.entries.iter().map(|entry| (entry.number, BASE64_STANDARD.encode(&entry.payload))).collect();
        Parked { last: self.last, gone: self.gone, entries }
    }

    fn let_go(&mut self) {
        if let Some(entry) = self.entries.pop_front() {
            self.bytes -= ENTRY_BYTES + entry.payload.len();
            self.gone = entry.seq;
        }
    }
}

// === impl Parked ===

impl Parked {
    /// The ring again. Nothing: this is none of ours.
    pub fn unpark(self) -> Option<Ring> {
        let mut ring = Ring { last: self.gone, gone: self.gone, ..Ring::default() };
        for (number, payload) in self.entries {
            let payload = BASE64_STANDARD.decode(payload).ok()?;
            ring.push(number, payload.into(), usize::MAX)?;
        }
        (ring.last == self.last).then_some(ring)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn behind(ring: &Ring, seq: u32) -> Option<Vec<u32>> {
        ring.behind_of(seq).map(|entries| entries.map(|entry| entry.seq).collect())
    }

    fn push(ring: &mut Ring, bytes: usize) {
        ring.push(2101, vec![7; bytes].into(), 1000).unwrap();
    }

    #[test]
    fn what_was_not_acknowledged_is_there() {
        let mut ring = Ring::default();
        (0..5).for_each(|_| push(&mut ring, 1));
        assert_eq!(behind(&ring, 0), Some(vec![1, 2, 3, 4, 5]));
        ring.acknowledge(2);
        assert_eq!((behind(&ring, 2), behind(&ring, 4), behind(&ring, 5)), (Some(vec![3, 4, 5]), Some(vec![5]), Some(vec![])));
        assert_eq!((behind(&ring, 1), behind(&ring, 6)), (None, None), "gone, and never sent");
        ring.acknowledge(6);
        assert_eq!(behind(&ring, 2), Some(vec![3, 4, 5]), "what was never sent cannot be acknowledged");
    }

    #[test]
    fn beyond_its_bytes_the_oldest_is_let_go_and_known_to_be() {
        let mut ring = Ring::default();
        (0..10).for_each(|_| push(&mut ring, 300));
        assert!(ring.bytes <= 1000);
        assert_eq!((behind(&ring, 0), behind(&ring, 8)), (None, Some(vec![9, 10])));
        push(&mut ring, 5000);
        assert_eq!((behind(&ring, 9), behind(&ring, 10)), (None, Some(vec![11])), "the newest is always kept");
    }

    #[test]
    fn numbers_are_used_up_and_not_used_again() {
        let mut ring = Ring::behind(SEQ_MAX - 1);
        assert!(ring.push(1000, Bytes::new(), 1000).is_some());
        assert!(ring.push(1000, Bytes::new(), 1000).is_none());
    }

    proptest! {
        #[test]
        fn a_ring_is_the_same_after_a_journey(steps in proptest::collection::vec((0usize..400, 0u32..40), 0..40), seq in 0u32..45) {
            let mut ring = Ring::default();
            for (bytes, ack) in steps {
                push(&mut ring, bytes);
                ring.acknowledge(ack);
            }
            let text = serde_json::to_vec(&ring.park()).unwrap();
            let back = serde_json::from_slice::<Parked>(&text).unwrap().unpark().unwrap();
            prop_assert_eq!(back.bytes, ring.bytes);
            prop_assert_eq!(back.last(), ring.last());
            prop_assert!(back.behind_of(seq).map(|entries| entries.cloned().collect::<Vec<_>>()) == ring.behind_of(seq).map(|entries| entries.cloned().collect()));
        }
    }
}
