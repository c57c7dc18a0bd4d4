//! The spans of a call that ended.

use super::Ending;

impl Ending<'_> {
    pub(super) fn trace(&self) {}
}
