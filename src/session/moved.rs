//! Where sessions of this node went: a push that was on its way here when another node took its session goes after it.
//!
//! Whoever pushes reads in the store which node has a session, and writes to that node; meanwhile the session may move. Promise: what
//! comes here within [`KEEP`] of that is sent on once, unless more than [`MOVED_MAX`] sessions moved in that time.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::time::Duration;

use tokio::time::Instant;

/// Longer than a push is on its way: reading the store and writing to it each have their deadline.
const KEEP: Duration = Duration::from_secs(10);

/// Sessions that are remembered, some 100 bytes each; a node that drains sends thousands away.
const MOVED_MAX: usize = 16_384;

/// The last that went, oldest first.
#[derive(Default)]
pub struct Moved(Mutex<VecDeque<Gone>>);

/// A session that went.
struct Gone {
    at: Instant,
    session: Box<str>,
    node: Box<str>,
}

// === impl Moved ===

impl Moved {
    /// A session went to this node.
    pub fn note(&self, session: &str, node: &str) {
        let now = Instant::now();
        let mut moved = self.0.lock().expect("nothing that holds the list panics");
        while moved.front().is_some_and(|gone| now.duration_since(gone.at) > KEEP) || moved.len() >= MOVED_MAX {
            moved.pop_front();
        }
        moved.push_back(Gone { at: now, session: session.into(), node: node.into() });
    }

    /// Where a session went last. Looked for from end to end, which is for what comes too late alone.
    pub fn find(&self, session: &str) -> Option<Box<str>> {
        let moved = self.0.lock().expect("nothing that holds the list panics");
        let found = moved.iter().rev().find(|gone| *gone.session == *session);
        found.filter(|gone| gone.at.elapsed() <= KEEP).map(|gone| gone.node.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn where_a_session_went_is_known_for_a_while() {
        let moved = Moved::default();
        moved.note("s", "a");
        moved.note("s", "b");
        moved.note("t", "c");
        assert_eq!((moved.find("s").as_deref(), moved.find("t").as_deref(), moved.find("u")), (Some("b"), Some("c"), None));
        tokio::time::advance(KEEP + Duration::from_millis(1)).await;
        assert_eq!(moved.find("s"), None);
        (0..=MOVED_MAX).for_each(|number| moved.note(&number.to_string(), "d"));
        assert_eq!((moved.find("0"), moved.find("1").as_deref()), (None, Some("d")));
    }
}
