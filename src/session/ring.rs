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
    /// The newest entry of the user's inbox that was in here; nothing while that is not known.
    inbox: Option<u64>,
}

/// One push.
#[derive(Clone, PartialEq, Eq)]
pub struct Entry {
    pub seq: u32,
    /// Its protocol number.
    pub number: u32,
    /// Its message, in protobuf.
    pub payload: Bytes,
    /// Its place in the user's inbox; 0 for one that is in none.
    pub inbox: u64,
}

/// A ring on its way to another node, or into the store.
#[derive(Serialize, Deserialize)]
pub struct Parked {
    last: u32,
    gone: u32,
    /// Number and payload in base64, from `gone + 1` on.
    entries: Vec<(u32, String)>,
    /// The places in the inbox of those that have one, by their places in here.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    inboxed: Vec<(usize, u64)>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    inbox: Option<u64>,
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
        self.push_of_inbox(number, payload, 0, bytes_max)
    }

    /// The same for what is in the user's inbox.
    pub fn push_of_inbox(&mut self, number: u32, payload: Bytes, inbox: u64, bytes_max: usize) -> Option<&Entry> {
        if self.last >= SEQ_MAX {
            return None;
        }
        self.last += 1;
        self.bytes += ENTRY_BYTES + payload.len();
        self.entries.push_back(Entry { seq: self.last, number, payload, inbox });
        self.inbox = self.inbox.max((inbox > 0).then_some(inbox));
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

    /// The newest entry of the user's inbox that was in here; nothing while that is not known.
    pub fn inbox(&self) -> Option<u64> {
        self.inbox
    }

    /// What the client has of the inbox: everything up to here.
    pub fn inbox_acknowledged(&self) -> Option<u64> {
        let waits = self.entries.iter().map(|entry| entry.inbox).find(|inbox| *inbox > 0);
        waits.map(|inbox| inbox - 1).or(self.inbox)
    }

    /// Whether so much waits for its acknowledgement that what can wait elsewhere should.
    pub fn is_half_full(&self, bytes_max: usize) -> bool {
        self.bytes > bytes_max / 2
    }

    /// All of the inbox up to here is known to the client, or to be nothing to it.
    pub fn begin_inbox(&mut self, read: u64) {
        self.inbox.get_or_insert(read);
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
        let inboxed = self.entries.iter().enumerate().filter(|(_, entry)| entry.inbox > 0).map(|(at, entry)| (at, entry.inbox)).collect();
        Parked { last: self.last, gone: self.gone, entries, inboxed, inbox: self.inbox }
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
        let mut inboxed = self.inboxed.into_iter().peekable();
        for (at, (number, payload)) in self.entries.into_iter().enumerate() {
            let payload = BASE64_STANDARD.decode(payload).ok()?;
            let inbox = inboxed.next_if(|(place, _)| *place == at).map_or(0, |(_, inbox)| inbox);
            ring.push_of_inbox(number, payload.into(), inbox, usize::MAX)?;
        }
        ring.inbox = self.inbox;
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

    #[test]
    fn of_the_inbox_is_acknowledged_what_lies_before_the_first_that_waits() {
        let mut ring = Ring::default();
        assert_eq!((ring.inbox(), ring.inbox_acknowledged()), (None, None), "nobody knows yet");
        ring.begin_inbox(4);
        for inbox in [5, 0, 6] {
            ring.push_of_inbox(3103, Bytes::new(), inbox, 1000).unwrap();
        }
        assert_eq!((ring.inbox(), ring.inbox_acknowledged()), (Some(6), Some(4)));
        ring.acknowledge(2);
        assert_eq!(ring.inbox_acknowledged(), Some(5));
        ring.acknowledge(3);
        assert_eq!(ring.inbox_acknowledged(), Some(6));
    }

    proptest! {
        #[test]
        fn a_ring_is_the_same_after_a_journey(steps in proptest::collection::vec((0usize..400, 0u32..40), 0..40), seq in 0u32..45) {
            let mut ring = Ring::default();
            for (place, (bytes, ack)) in (1..).zip(steps) {
                ring.push_of_inbox(2101, vec![7; bytes].into(), if bytes % 3 == 0 { place } else { 0 }, 1000).unwrap();
                ring.acknowledge(ack);
            }
            let text = serde_json::to_vec(&ring.park()).unwrap();
            let back = serde_json::from_slice::<Parked>(&text).unwrap().unpark().unwrap();
            prop_assert_eq!(back.bytes, ring.bytes);
            prop_assert_eq!((back.last(), back.inbox(), back.inbox_acknowledged()), (ring.last(), ring.inbox(), ring.inbox_acknowledged()));
            prop_assert!(back.behind_of(seq).map(|entries| entries.cloned().collect::<Vec<_>>()) == ring.behind_of(seq).map(|entries| entries.cloned().collect()));
        }
    }
}
