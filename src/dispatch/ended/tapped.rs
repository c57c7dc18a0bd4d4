//! What operators who watch see of a call.

use super::Ending;

impl Ending<'_> {
    pub(super) fn tap(&self) {}
}
