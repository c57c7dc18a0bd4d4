//! Which routes and pushes the tests have exercised.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::table::plan::Plan;

/// Of every route and every push, what was seen of it.
#[derive(Default)]
pub struct Coverage {
    pub routes: BTreeMap<u32, Seen>,
    pub pushes: BTreeMap<u32, Seen>,
}

/// What was seen of a route, or of a push.
#[derive(Clone)]
pub struct Seen {
    pub name: Arc<str>,
    /// Calls that succeeded; of a push, how often it was pushed.
    pub succeeded: u64,
    /// Calls that did not.
    pub refused: u64,
}

// === impl Coverage ===

impl Coverage {
    /// Nothing yet, of what there is.
    pub fn of(plan: &Plan) -> Coverage {
        let unseen = |name: &Arc<str>| Seen { name: Arc::clone(name), succeeded: 0, refused: 0 };
        Coverage {
            routes: plan.routes.iter().map(|route| (route.number.0, unseen(&route.name))).collect(),
            pushes: plan.pushes.iter().map(|push| (push.number.0, unseen(&push.name))).collect(),
        }
    }

    pub fn called(&mut self, number: u32, succeeded: bool) {
        if let Some(seen) = self.routes.get_mut(&number) {
            *if succeeded { &mut seen.succeeded } else { &mut seen.refused } += 1;
        }
    }

    pub fn pushed(&mut self, number: u32) {
        if let Some(seen) = self.pushes.get_mut(&number) {
            seen.succeeded += 1;
        }
    }

    /// How many routes were called, of how many.
    pub fn covered(&self) -> (usize, usize) {
        (self.routes.values().filter(|seen| seen.is_seen()).count(), self.routes.len())
    }

    /// The same in percent, rounded down: 100 is all of them.
    pub fn percent(&self) -> usize {
        let (covered, all) = self.covered();
        (covered * 100).checked_div(all).unwrap_or(100)
    }
}

// === impl Seen ===

impl Seen {
    pub fn is_seen(&self) -> bool {
        self.succeeded + self.refused > 0
    }
}
