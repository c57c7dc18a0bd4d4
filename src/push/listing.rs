//! The topics of this node, as an operator sees them.

use std::sync::Arc;

use super::entry::Position;
use super::hub::Hub;
use super::topic::Topic;

/// A topic that is open here.
pub struct Listed {
    pub name: Arc<str>,
    /// The sessions of this node that hear it.
    pub hearers: usize,
    /// How far it has been said here; nothing without a history.
    pub at: Option<Position>,
}

// === impl Hub ===

impl Hub {
    /// The topics behind this name, in the order of their names, of which this is a part; at most so many, and behind which name to go on.
    pub fn topics(&self, search: &str, after: &str, count_max: usize) -> (Vec<Listed>, Option<Arc<str>>) {
        // One more tells whether there are more.
        let mut names = self.names_behind(after, search, count_max + 1);
        let is_all = names.len() <= count_max;
        names.truncate(count_max);
        let next = names.last().filter(|_| !is_all).cloned();
        // One after the other, so that nobody waits for all of them. Those that were closed since are not there.
        (names.iter().filter_map(|name| self.opened(name)).map(|topic| Listed::of(&topic)).collect(), next)
    }

    /// The topics that a session of this node hears, in the order of their names.
    pub fn heard_by(&self, session: &str) -> Vec<Arc<str>> {
        let mut names: Vec<Arc<str>> = self.heard().get(session).map_or_else(Vec::new, |heard| heard.names().cloned().collect());
        names.sort_unstable();
        names
    }

    /// How many that are.
    pub fn heard_count(&self, session: &str) -> usize {
        self.heard().get(session).map_or(0, |heard| heard.names().len())
    }
}

// === impl Listed ===

impl Listed {
    fn of(topic: &Topic) -> Listed {
        Listed { name: Arc::clone(&topic.name), hearers: topic.count(), at: topic.at() }
    }
}
