//! How much the log says for now, where an operator wants it otherwise than it is configured.

use std::sync::Mutex;

use tokio::sync::Notify;
use tracing::Level;

use crate::id::Generation;

/// What the operator said, and of which configuration.
#[derive(Default)]
pub struct Verbosity {
    said: Mutex<Option<(Level, Generation)>>,
    changed: Notify,
}

// === impl Verbosity ===

impl Verbosity {
    /// Holds as long as this generation is live. Nothing: what is configured holds.
    pub fn say(&self, level: Option<Level>, generation: Generation) {
        *self.said.lock().expect("nothing panics while it holds the level") = level.map(|level| (level, generation));
        self.changed.notify_one();
    }

    /// What holds instead of what this generation says.
    pub fn said(&self, live: Generation) -> Option<Level> {
        let said = *self.said.lock().expect("nothing panics while it holds the level");
        said.filter(|(_, generation)| *generation == live).map(|(level, _)| level)
    }

    /// Resolves when something else was said. For one who waits.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_operator_says_holds_until_the_configuration_is_another() {
        let verbosity = Verbosity::default();
        assert_eq!(verbosity.said(Generation(1)), None);
        verbosity.say(Some(Level::DEBUG), Generation(1));
        assert_eq!([1, 2].map(|generation| verbosity.said(Generation(generation))), [Some(Level::DEBUG), None]);
        verbosity.say(None, Generation(1));
        assert_eq!(verbosity.said(Generation(1)), None);
    }
}
