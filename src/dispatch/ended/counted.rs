//! What the counters of a route say of a call that ended.

use super::Ending;

impl Ending<'_> {
    pub(super) fn count(&self) {}
}
