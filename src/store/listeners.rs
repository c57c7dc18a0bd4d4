//! Who listens to which channel within this process, and what is said to each.
//!
//! Promises: speaking never waits; at most [`SIGNALS_MAX`] signals of [`SIGNAL_BYTES_MAX`] together wait for one listener, and what comes
//! beyond becomes one [`Signal::Gap`] behind them.

use std::collections::{HashMap, VecDeque};

use bytes::Bytes;
use tokio::sync::mpsc;

use super::{SIGNAL_BYTES_MAX, SIGNALS_MAX, Signal};

/// The listeners of every channel. Whoever owns this is the only one who speaks to them.
#[derive(Default)]
pub struct Listeners {
    channels: HashMap<String, Vec<Listener>>,
    /// How many may be added until it is worth looking for those who are gone.
    tidy_in: usize,
}

struct Listener {
    signals: mpsc::Sender<Signal>,
    /// How long each that waits is, as of the last look; a gap has no length.
    lengths: VecDeque<usize>,
    /// The sum of these.
    bytes: usize,
    /// The last that was sent is a gap. While it waits, it covers whatever cannot be sent after it.
    gap_sent: bool,
}

/// How many are added at least before those who are gone are looked for.
const TIDY_MIN: usize = 16;

// === impl Listeners ===

impl Listeners {
    pub fn add(&mut self, channel: &str) -> mpsc::Receiver<Signal> {
        // One place more than messages may take, for the gap.
        let (signals, receiver) = mpsc::channel(SIGNALS_MAX + 1);
        self.channels.entry(channel.to_owned()).or_default().push(Listener {
            signals,
            lengths: VecDeque::new(),
            bytes: 0,
            gap_sent: false,
        });
        receiver
    }

    /// Says something to whoever listens. How many did.
    pub fn say(&mut self, channel: &str, message: &Bytes) -> usize {
        let Some(listeners) = self.channels.get_mut(channel) else { return 0 };
        listeners.retain(|listener| !listener.signals.is_closed());
        for listener in listeners.iter_mut() {
            listener.message(message.clone());
        }
        listeners.len()
    }

    /// Tells everybody that something may have been missed.
    pub fn gap(&mut self) {
        for listener in self.channels.values_mut().flatten() {
            listener.gap();
        }
    }

    /// Forgets who is gone. The channels that nobody listens to any more.
    pub fn sweep(&mut self) -> Vec<String> {
        for listeners in self.channels.values_mut() {
            listeners.retain(|listener| !listener.signals.is_closed());
        }
        self.channels.extract_if(|_, listeners| listeners.is_empty()).map(|(channel, _)| channel).collect()
    }

    /// The same for an engine to which the channels themselves are nothing, before it adds one: now and then, so that adding many costs
    /// no more for each.
    pub fn tidy(&mut self) {
        if self.tidy_in == 0 {
            self.sweep();
            self.tidy_in = TIDY_MIN + self.channels.values().map(Vec::len).sum::<usize>();
        }
        self.tidy_in -= 1;
    }

    pub fn channels(&self) -> impl Iterator<Item = &str> {
        self.channels.keys().map(String::as_str)
    }
}

// === impl Listener ===

impl Listener {
    fn message(&mut self, message: Bytes) {
        self.look();
        let (places, length) = (self.signals.capacity(), message.len());
        if places < 2 || length > SIGNAL_BYTES_MAX - self.bytes {
            return self.gap();
        }
        self.send(Signal::Message(message), length);
        self.gap_sent = false;
    }

    fn gap(&mut self) {
        self.look();
        // As the last, it waits for as long as anything does.
        let waits = self.gap_sent && !self.lengths.is_empty();
        if !waits {
            self.send(Signal::Gap, 0);
            self.gap_sent = true;
        }
    }

    fn send(&mut self, signal: Signal, length: usize) {
        // There is a place, so it fails only when the listener is gone.
        if self.signals.try_send(signal).is_ok() {
            self.lengths.push_back(length);
            self.bytes += length;
        }
    }

    /// Forgets the lengths of what was taken, which is what came first.
    fn look(&mut self) {
        let waiting = self.signals.max_capacity() - self.signals.capacity();
        let taken = self.lengths.len().saturating_sub(waiting);
        self.bytes -= self.lengths.drain(..taken).sum::<usize>();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbered(number: usize) -> Bytes {
        Bytes::from(number.to_string())
    }

    #[test]
    fn what_a_slow_listener_cannot_hold_becomes_one_gap() {
        let mut listeners = Listeners::default();
        let mut slow = listeners.add("news");
        for number in 0..SIGNALS_MAX + 500 {
            assert_eq!(listeners.say("news", &numbered(number)), 1);
        }
        for number in 0..SIGNALS_MAX {
            assert_eq!(slow.try_recv().unwrap(), Signal::Message(numbered(number)));
        }
        assert_eq!(slow.try_recv().unwrap(), Signal::Gap);
        assert!(slow.try_recv().is_err(), "one gap, and nothing behind it");
        listeners.say("news", &numbered(7));
        assert_eq!(slow.try_recv().unwrap(), Signal::Message(numbered(7)), "and then it hears again");
    }

    #[test]
    fn a_second_loss_is_a_second_gap() {
        let mut listeners = Listeners::default();
        let mut slow = listeners.add("news");
        for round in 0..3 {
            (0..SIGNALS_MAX + 2).for_each(|number| {
                listeners.say("news", &numbered(number));
            });
            let heard: Vec<Signal> = std::iter::from_fn(|| slow.try_recv().ok()).collect();
            assert_eq!(heard.len(), SIGNALS_MAX + 1, "round {round}");
            assert_eq!(heard.last(), Some(&Signal::Gap), "round {round}");
        }
    }

    #[test]
    fn signals_are_bounded_in_bytes_and_what_is_beyond_is_one_gap() {
        let mut listeners = Listeners::default();
        let mut slow = listeners.add("news");
        let eighth = Bytes::from(vec![0; SIGNAL_BYTES_MAX / 8]);
        for _ in 0..20 {
            listeners.say("news", &eighth);
        }
        for _ in 0..2 {
            assert_eq!(slow.try_recv().unwrap(), Signal::Message(eighth.clone()));
        }
        // What was taken makes room for exactly as much; the gap has its place between.
        for _ in 0..3 {
            listeners.say("news", &eighth);
        }
        let heard: Vec<Signal> = std::iter::from_fn(|| slow.try_recv().ok()).collect();
        let gaps: Vec<usize> = heard.iter().enumerate().filter(|(_, signal)| **signal == Signal::Gap).map(|(at, _)| at).collect();
        assert_eq!((heard.len(), gaps), (10, vec![6, 9]));
        listeners.say("news", &Bytes::from(vec![0; SIGNAL_BYTES_MAX]));
        assert!(matches!(slow.try_recv().unwrap(), Signal::Message(whole) if whole.len() == SIGNAL_BYTES_MAX));
        listeners.say("news", &Bytes::from(vec![0; SIGNAL_BYTES_MAX + 1]));
        assert_eq!(slow.try_recv().unwrap(), Signal::Gap, "what is longer than all that may wait");
        listeners.say("news", &Bytes::new());
        assert_eq!(slow.try_recv().unwrap(), Signal::Message(Bytes::new()));
    }

    #[test]
    fn a_gap_that_was_taken_is_said_again() {
        let mut listeners = Listeners::default();
        let mut listener = listeners.add("news");
        for _ in 0..3 {
            listeners.gap();
            listeners.gap();
            assert_eq!(listener.try_recv().unwrap(), Signal::Gap);
            assert!(listener.try_recv().is_err(), "one says it all");
        }
    }

    #[test]
    fn who_is_gone_is_forgotten() {
        let mut listeners = Listeners::default();
        let (first, second) = (listeners.add("news"), listeners.add("news"));
        drop(first);
        assert_eq!(listeners.say("news", &numbered(1)), 1);
        drop(second);
        assert_eq!(listeners.sweep(), ["news"]);
        assert_eq!(listeners.channels().count(), 0);
    }

    #[test]
    fn those_who_come_and_go_do_not_pile_up() {
        let mut listeners = Listeners::default();
        let _stays = listeners.add("stays");
        for number in 0..1000 {
            listeners.tidy();
            drop(listeners.add(&number.to_string()));
            assert!(listeners.channels().count() <= TIDY_MIN + 3, "{number}");
        }
    }
}
