//! Something that is said at most every so often, however often it happens, and then with how often it did.

use std::sync::Mutex;
use std::time::Duration;

use tokio::time::Instant;

/// Counts what happens, and says when it may be spoken of.
pub struct Seldom {
    every: Duration,
    state: Mutex<State>,
}

struct State {
    /// Since it was last spoken of.
    count: u64,
    said: Option<Instant>,
}

// === impl Seldom ===

impl Seldom {
    pub fn new(every: Duration) -> Seldom {
        Seldom { every, state: Mutex::new(State { count: 0, said: None }) }
    }

    /// It happened. How often it has since it was last spoken of, this time included, if it may be spoken of now.
    pub fn happened(&self) -> Option<u64> {
        let mut state = self.state.lock().expect("no holder of this lock panics");
        state.count += 1;
        if state.said.is_some_and(|said| said.elapsed() < self.every) {
            return None;
        }
        state.said = Some(Instant::now());
        Some(std::mem::take(&mut state.count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_happens_often_is_said_seldom_and_counted() {
        let seldom = Seldom::new(Duration::from_secs(10));
        assert_eq!([seldom.happened(), seldom.happened(), seldom.happened()], [Some(1), None, None]);
        tokio::time::advance(Duration::from_secs(10)).await;
        assert_eq!(seldom.happened(), Some(3));
    }
}
