//! What the counters of a route say of a call that ended.

use std::time::Duration;

use super::Ending;

impl Ending<'_> {
    /// Reads no clock and looks at no text: all moments were taken on the way.
    pub(super) fn count(&self) {
        let counters = self.route.map_or(&self.observers.unrouted, |route| &route.counters).of(self.worker);
        counters.count(self.outcome);
        counters.bytes.add(self.bytes_in as u64, self.bytes_out as u64);
        if let Some((inward, outward)) = self.messages {
            counters.messages.add(inward, outward);
        }
        if let Some(first) = self.journey.attempts().first() {
            counters.queued.record(first.began.saturating_duration_since(self.began));
        }
        // A stream is as long as it is, and what was refused was never run.
        if self.messages.is_none() && self.backend.is_some() {
            counters.took.record(self.ended.saturating_duration_since(self.began));
            if let Some(took) = self.with_backend() {
                counters.backend.record(took);
            }
        }
    }

    /// From the first attempt's begin to the last one's end; of one that was given up, to the end of the call.
    fn with_backend(&self) -> Option<Duration> {
        let attempts = self.journey.attempts();
        let (first, last) = (attempts.first()?, attempts.last()?);
        let ended = last.ended.map_or(self.ended, |(ended, _)| ended);
        Some(ended.saturating_duration_since(first.began))
    }
}
