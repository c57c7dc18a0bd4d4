//! When to ask whether a client is still there, and when to stop asking.
//!
//! Any byte from the client is life. A question goes out every `heartbeat`, whatever else is going on, because it also shows the client
//! that the gateway lives. Knows no socket: it is told the time and says what is due.

use std::time::Duration;

use super::pulse::Tick;

/// One connection's heartbeat.
pub struct Heartbeat {
    heard: Tick,
    /// The first question since then.
    asked: Option<Tick>,
    next: Tick,
}

/// What is due.
#[derive(PartialEq, Eq, Debug)]
pub enum Verdict {
    /// Nothing before this tick.
    Quiet(Tick),
    /// The question, now.
    Ask,
    /// Nothing was heard for a heartbeat and the grace after it, nor since a question for as long as the grace.
    Dead,
}

// === impl Heartbeat ===

impl Heartbeat {
    /// Starts with `first`, a random part of the interval: clients that came together are not asked together.
    pub fn new(now: Tick, first: Duration) -> Heartbeat {
        Heartbeat { heard: now, asked: None, next: now.after(first) }
    }

    /// Something came, whatever it was.
    pub fn hear(&mut self, now: Tick) {
        self.heard = now;
        self.asked = None;
    }

    /// When something last came.
    pub fn heard(&self) -> Tick {
        self.heard
    }

    /// What is due at `now`. A question counts as asked.
    ///
    /// Both durations are those of the moment. A client that was silent for longer than a new heartbeat kept to the old one, so nobody is
    /// dead who was not asked.
    pub fn check(&mut self, now: Tick, heartbeat: Duration, grace: Duration) -> Verdict {
        let dead = self.asked.map_or(Tick::NEVER, |asked| asked.after(grace).max(self.heard.after(heartbeat + grace)));
        if now >= dead {
            return Verdict::Dead;
        }
        if now >= self.next {
            self.asked.get_or_insert(now);
            self.next = now.after(heartbeat);
            return Verdict::Ask;
        }
        Verdict::Quiet(self.next.min(dead))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEARTBEAT: Duration = Duration::from_secs(30);
    const GRACE: Duration = Duration::from_secs(5);

    fn at(seconds: u64) -> Tick {
        Tick::ZERO.after(Duration::from_secs(seconds))
    }

    #[test]
    fn a_silent_client_is_asked_and_then_given_up() {
        let mut heartbeat = Heartbeat::new(at(0), Duration::from_secs(12));
        assert_eq!(heartbeat.check(at(0), HEARTBEAT, GRACE), Verdict::Quiet(at(12)));
        assert_eq!(heartbeat.check(at(12), HEARTBEAT, GRACE), Verdict::Ask);
        assert_eq!(heartbeat.check(at(12), HEARTBEAT, GRACE), Verdict::Quiet(at(35)));
        assert_eq!(heartbeat.check(at(35), HEARTBEAT, GRACE), Verdict::Dead);
    }

    #[test]
    fn a_heartbeat_that_becomes_shorter_kills_nobody_who_was_not_asked() {
        let mut heartbeat = Heartbeat::new(at(0), Duration::from_secs(60));
        assert_eq!(heartbeat.check(at(50), 2 * HEARTBEAT, GRACE), Verdict::Quiet(at(60)));
        assert_eq!(heartbeat.check(at(60), HEARTBEAT, GRACE), Verdict::Ask);
        assert_eq!(heartbeat.check(at(64), HEARTBEAT, GRACE), Verdict::Quiet(at(65)));
        let mut answered = Heartbeat { heard: at(0), asked: Some(at(60)), next: at(90) };
        answered.hear(at(64));
        assert_eq!(answered.check(at(65), HEARTBEAT, GRACE), Verdict::Quiet(at(90)));
        assert_eq!(heartbeat.check(at(65), HEARTBEAT, GRACE), Verdict::Dead);
    }

    #[test]
    fn any_byte_is_life_and_the_question_goes_out_all_the_same() {
        let mut heartbeat = Heartbeat::new(at(0), HEARTBEAT);
        for second in 1..30 {
            heartbeat.hear(at(second));
            assert_eq!(heartbeat.check(at(second), HEARTBEAT, GRACE), Verdict::Quiet(at(30)));
        }
        assert_eq!(heartbeat.check(at(30), HEARTBEAT, GRACE), Verdict::Ask);
        assert_eq!(heartbeat.check(at(31), HEARTBEAT, GRACE), Verdict::Quiet(at(60)));
        heartbeat.hear(at(62));
        assert_eq!(heartbeat.check(at(62), HEARTBEAT, GRACE), Verdict::Ask);
    }
}
