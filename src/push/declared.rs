//! What the configuration says about pushes and topics, as the pushing side needs it. A reload replaces it as a whole.

use std::sync::Arc;

use super::rules::PushPlan;
use crate::store::Bounds;
use crate::topic::Pattern;

/// All of it.
#[derive(Default)]
pub struct Rules {
    /// By number, ascending.
    pub pushes: Vec<Arc<PushPlan>>,
    pub topics: Vec<Arc<TopicRule>>,
    /// Topics that one session may hear.
    pub topics_max: usize,
    /// Some push is durable, so that users have inboxes.
    pub has_durable: bool,
}

/// Topics of one kind.
pub struct TopicRule {
    pub pattern: Pattern,
    /// How much of their history is kept; nothing: none.
    pub history: Option<Bounds>,
    /// Whether it is known who is in them.
    pub presence: bool,
    /// The number under which hearers are told who comes and goes.
    pub presence_events: Option<u32>,
    /// Numbers that may be pushed to them.
    pub pushes: Vec<u32>,
}

// === impl Rules ===

impl Rules {
    /// The push of a number.
    pub fn push(&self, number: u32) -> Option<&Arc<PushPlan>> {
        let at = self.pushes.binary_search_by_key(&number, |push| push.number.0).ok()?;
        Some(&self.pushes[at])
    }

    /// What holds for a topic. Nothing: no pattern declares it, so that it does not exist.
    pub fn topic(&self, name: &str) -> Option<&Arc<TopicRule>> {
        self.topics.iter().find(|rule| rule.pattern.matches(name))
    }
}
