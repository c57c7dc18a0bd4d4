//! What the book of errors holds of a call that failed.

use super::Ending;

impl Ending<'_> {
    pub(super) fn note(&self) {}
}
