//! How much a client may get wrong, or make the gateway verify, before it is taken for broken or hostile.

use std::time::Duration;

use super::pulse::Tick;

/// Strikes in one window that are too many. A strike is a request that the gateway refused at its door.
const STRIKES_MAX: u16 = 100;

/// Good tokens in one window that cost nothing; each beyond them is a strike. A client needs one or two an hour, and verifying one costs
/// as much as a hundred calls.
const TOKENS_MAX: u16 = 10;

/// Topics begun and left in one window that cost nothing; each beyond them is a strike. A session hears 128 where nothing else is said, and
/// each time the store has work.
const TOPICS_MAX: u16 = 500;

/// The window.
const WINDOW: Duration = Duration::from_secs(10);

/// What one client has used up.
#[derive(Default)]
pub struct Patience {
    since: Tick,
    strikes: u16,
    tokens: u16,
    topics: u16,
}

/// It is used up.
#[derive(PartialEq, Eq, Debug)]
pub struct Exhausted;

// === impl Patience ===

impl Patience {
    /// The client asked for what it cannot have.
    pub fn strike(&mut self, now: Tick) -> Result<(), Exhausted> {
        self.turn(now);
        self.strikes += 1;
        if self.strikes >= STRIKES_MAX { Err(Exhausted) } else { Ok(()) }
    }

    /// The client showed a good token.
    pub fn token(&mut self, now: Tick) -> Result<(), Exhausted> {
        self.turn(now);
        self.tokens = self.tokens.saturating_add(1);
        if self.tokens > TOKENS_MAX { self.strike(now) } else { Ok(()) }
    }

    /// The client began to hear a topic, or stopped.
    pub fn topic(&mut self, now: Tick) -> Result<(), Exhausted> {
        self.turn(now);
        self.topics = self.topics.saturating_add(1);
        if self.topics > TOPICS_MAX { self.strike(now) } else { Ok(()) }
    }

    fn turn(&mut self, now: Tick) {
        if now >= self.since.after(WINDOW) {
            *self = Patience { since: now, ..Patience::default() };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Tick {
        Tick::ZERO.after(Duration::from_secs(seconds))
    }

    #[test]
    fn a_hundred_strikes_in_ten_seconds_are_too_many() {
        let mut patience = Patience::default();
        assert!((0..99).all(|_| patience.strike(at(1)).is_ok()));
        assert!((0..99).all(|_| patience.strike(at(11)).is_ok()), "a window begins anew");
        assert_eq!(patience.strike(at(20)), Err(Exhausted));
    }

    #[test]
    fn good_tokens_beyond_ten_are_strikes() {
        let mut patience = Patience::default();
        assert!((0..10 + 99).all(|_| patience.token(at(1)).is_ok()));
        assert_eq!(patience.token(at(1)), Err(Exhausted));
        assert!((0..10).all(|_| patience.token(at(20)).is_ok()));
        assert!((0..99).all(|_| patience.strike(at(21)).is_ok()), "ten tokens were no strike");
    }

    #[test]
    fn topics_that_change_all_the_time_are_strikes_too() {
        let mut patience = Patience::default();
        assert!((0..TOPICS_MAX + STRIKES_MAX - 1).all(|_| patience.topic(at(0)).is_ok()));
        assert_eq!(patience.topic(at(0)), Err(Exhausted));
        assert_eq!(patience.topic(at(10)), Ok(()), "another window");
    }
}
