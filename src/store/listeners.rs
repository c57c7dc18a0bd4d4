//! Who listens to which channel within this process, and what is said to each.
//!
//! Promises: speaking never waits; at most [`SIGNALS_MAX`] signals wait for one listener, and what comes beyond becomes one
//! [`Signal::Gap`] behind them.

use std::collections::HashMap;

use bytes::Bytes;
use tokio::sync::mpsc;

use super::{SIGNALS_MAX, Signal};

/// The listeners of every channel. Whoever owns this is the only one who speaks to them.
#[derive(Default)]
pub struct Listeners(HashMap<String, Vec<Listener>>);

struct Listener {
    signals: mpsc::Sender<Signal>,
    /// The last that was sent is a gap, which covers whatever could not be sent after it.
    gap_sent: bool,
}

// === impl Listeners ===

impl Listeners {
    pub fn add(&mut self, channel: &str) -> mpsc::Receiver<Signal> {
        // One place more than messages may take, for the gap.
        let (signals, receiver) = mpsc::channel(SIGNALS_MAX + 1);
        self.0.entry(channel.to_owned()).or_default().push(Listener { signals, gap_sent: false });
        receiver
    }

    /// Says something to whoever listens. How many did.
    pub fn say(&mut self, channel: &str, message: &Bytes) -> usize {
        let Some(listeners) = self.0.get_mut(channel) else { return 0 };
        listeners.retain(|listener| !listener.signals.is_closed());
        for listener in listeners.iter_mut() {
            listener.message(message.clone());
        }
        listeners.len()
    }

    /// Tells everybody that something may have been missed.
    pub fn gap(&mut self) {
        for listener in self.0.values_mut().flatten() {
            listener.gap();
        }
    }

    /// Forgets who is gone. The channels that nobody listens to any more.
    pub fn sweep(&mut self) -> Vec<String> {
        for listeners in self.0.values_mut() {
            listeners.retain(|listener| !listener.signals.is_closed());
        }
        self.0.extract_if(|_, listeners| listeners.is_empty()).map(|(channel, _)| channel).collect()
    }

    pub fn channels(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }
}

// === impl Listener ===

impl Listener {
    fn message(&mut self, message: Bytes) {
        match self.signals.capacity() {
            0 | 1 => self.gap(),
            _ => {
                // It fails only when the listener is gone.
                self.signals.try_send(Signal::Message(message)).ok();
                self.gap_sent = false;
            }
        }
    }

    fn gap(&mut self) {
        // A gap that still waits, last in the queue, says all there is to say. With room for more, it may have been taken.
        if !self.gap_sent || self.signals.capacity() > 1 {
            self.gap_sent = self.signals.try_send(Signal::Gap).is_ok();
        }
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
    fn who_is_gone_is_forgotten() {
        let mut listeners = Listeners::default();
        let (first, second) = (listeners.add("news"), listeners.add("news"));
        drop(first);
        assert_eq!(listeners.say("news", &numbered(1)), 1);
        drop(second);
        assert_eq!(listeners.sweep(), ["news"]);
        assert_eq!(listeners.channels().count(), 0);
    }
}
