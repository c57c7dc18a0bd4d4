//! What would break clients, and who may have it all the same.

use std::sync::Arc;

use super::{Checked, Reloader};
use crate::compare::{Comparison, Named, View, compare};
use crate::diagnostic::Report;
use crate::table::Table;
use crate::table::plan::Plan;

/// What a reload does with what breaks clients.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Breaking {
    /// As `reload.allow_breaking` of the new files says.
    AsConfigured,
    /// Whoever asks has said that it may.
    Allowed,
}

/// What the files would change, if they were read now.
pub struct Looked {
    /// With a finding for everything that breaks clients, unless that is allowed.
    pub checked: Checked,
    /// Nothing: the files have errors of their own.
    pub comparison: Option<Comparison>,
    /// Whether the files say that clients may break.
    pub allowed: bool,
    /// What is live, and was compared with.
    pub live: Arc<Table>,
}

// === impl Breaking ===

impl Breaking {
    pub(super) fn is_allowed(self, plan: &Plan) -> bool {
        self == Breaking::Allowed || plan.settings.allow_breaking
    }
}

// === impl Reloader ===

impl Reloader {
    /// What the files are as they stand, and nothing is changed. Nothing: compiling panicked. Blocks as a reload does, and waits for one.
    pub fn look(&self) -> Option<Looked> {
        let _state = self.state.lock().expect("what a reload does under this lock does not panic: compiling is contained");
        let live = self.reader.load();
        let before = Arc::clone(&live);
        let looked = self.at_desk(move |ground| {
            let checked = ground.check();
            let comparison = checked.plan.as_ref().map(|plan| compare(&View::from(&*before), &View::from(plan)));
            (checked, comparison)
        });
        let (mut checked, comparison) = looked.ok()?;
        let allowed = checked.plan.as_ref().is_some_and(|plan| Breaking::AsConfigured.is_allowed(plan));
        if let (Some(plan), Some(comparison), false) = (&checked.plan, &comparison, allowed) {
            checked.report.extend(self.findings(comparison, &live, plan));
        }
        Some(Looked { checked, comparison, allowed, live })
    }

    /// How often a route of the live table was called in the last hour. Nothing: it is none.
    pub fn calls_lately(&self, live: &Table, route: &Named) -> Option<u64> {
        let route = live.route(route.number)?;
        Some(self.recent.calls(&route.name, route.counters.calls()))
    }

    pub(super) fn findings(&self, broken: &Comparison, live: &Table, plan: &Plan) -> Report {
        broken.report(&plan.explained, &|route| self.calls_lately(live, route))
    }
}
