//! What the access log says about a call or a stream: one line.

use super::{Ending, shown};
use crate::pipeline::access_log::Entry;
use crate::table::plan::LogPayload;

impl Ending<'_> {
    pub(super) fn log(&self) {
        let mut entry = Entry {
            generation: self.generation,
            connection: self.connection,
            protocol: self.protocol,
            id: self.id,
            route: self.route.map(|route| &*route.name),
            user: self.identity.map(|identity| &*identity.user),
            outcome: self.outcome,
            duration: self.ended.saturating_duration_since(self.began),
            // A stream is as long as it is, and what was refused was never run.
            slow: self.route.filter(|_| self.messages.is_none() && self.backend.is_some()).map(|route| route.log.slow),
            sampled: self.is_sampled(),
            backend: self.backend,
            endpoint: self.journey.endpoint().map(|endpoint| &**endpoint),
            bytes_in: self.bytes_in,
            bytes_out: self.bytes_out,
            messages: self.messages,
            would_refuse: self.would_refuse,
            payload: None,
        };
        if !entry.is_wanted() {
            return;
        }
        let payload = self.payload(&entry);
        entry.payload = payload.as_deref();
        entry.write();
    }

    /// Whether a success is one of those that are logged for all.
    fn is_sampled(&self) -> bool {
        self.outcome.is_ok() && self.route.is_some_and(|route| self.observers.chance.takes(route.log.sample))
    }

    /// The request, redacted, where the route says that the log shows it.
    fn payload(&self, entry: &Entry<'_>) -> Option<String> {
        let route = self.route?;
        let wanted = match route.log.payload {
            LogPayload::None => false,
            LogPayload::Failures => self.outcome.is_err(),
            LogPayload::Sampled => entry.is_remarkable(),
            LogPayload::All => true,
        };
        self.sent.filter(|_| wanted).and_then(|sent| shown::request(route, sent))
    }
}
