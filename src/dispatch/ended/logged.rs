//! What the access log says about a call or a stream: one line.

use super::{Ending, request};
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
            backend: self.backend,
            endpoint: self.journey.endpoint().filter(|_| self.outcome.is_ok()).map(|endpoint| &**endpoint),
            bytes_in: self.bytes_in,
            bytes_out: self.bytes_out,
            messages: self.messages,
            would_refuse: self.would_refuse,
            payload: None,
        };
        if !entry.is_wanted() {
            return;
        }
        let payload = self.payload();
        entry.payload = payload.as_deref();
        entry.write();
    }

    /// The request, redacted, where the route says that the log shows it.
    fn payload(&self) -> Option<String> {
        let route = self.route?;
        let shown = match route.log.payload {
            LogPayload::None => false,
            LogPayload::Failures => self.outcome.is_err(),
            LogPayload::All => true,
        };
        self.sent.filter(|_| shown).and_then(|sent| request::redacted(route, sent))
    }
}
