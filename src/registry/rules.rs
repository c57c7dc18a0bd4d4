//! Who may register for what, as the live configuration says.
//!
//! The table's `link` sets it, the service reads it for each call: a token that is exchanged by a reload opens the next one.

use std::sync::Arc;

use arc_swap::ArcSwap;
use ipnet::IpNet;

use crate::push::door::Token;

/// Who may register for one backend. It cannot be printed: it holds a token.
#[derive(Clone, PartialEq, Eq)]
pub struct Rule {
    pub backend: Arc<str>,
    pub token: Token,
    /// The networks that its endpoints are in.
    pub allow: Vec<IpNet>,
}

/// One rule for each backend that endpoints may register for.
pub type Rules = Vec<Rule>;

/// The place where the current rules are found. Clones are the same place.
#[derive(Clone, Default)]
pub struct RulesCell(Arc<ArcSwap<Rules>>);

// === impl RulesCell ===

impl RulesCell {
    pub fn load(&self) -> Arc<Rules> {
        self.0.load_full()
    }

    pub fn store(&self, rules: Arc<Rules>) {
        self.0.store(rules);
    }
}
