//! What the book of errors holds of a call that failed.

use super::Ending;
use crate::telemetry::errors::Where;

impl Ending<'_> {
    pub(super) fn note(&self) {
        let Err(failure) = self.outcome else { return };
        let seen = Where {
            route: self.route.map(|route| &route.name),
            user: self.identity.map(|identity| &*identity.user),
            connection: self.connection,
            endpoint: self.journey.endpoint(),
        };
        self.observers.errors.note(failure, &seen);
    }
}
