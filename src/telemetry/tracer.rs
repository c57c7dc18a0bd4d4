//! Spans of calls, and where they are exported to.
//!
//! Promises: whoever offers spans never waits, and what there is no room for is dropped and counted; what is exported beyond the share that
//! is sampled is bounded, whatever clients do; the collector is another one as soon as a reload says so.
//!
//! - `span`: what is known of one
//! - `queue`: those that wait
//! - `allowance`: how many calls are traced beyond the share
//! - `export`: the task that takes spans to the collector
//! - `otlp`: the collector's language

mod allowance;
mod export;
mod otlp;
mod queue;
mod span;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use http::{HeaderName, HeaderValue};
use tokio::sync::Notify;
use tracing::warn;

pub use self::span::{Kind, Span, Text, Value};

use self::allowance::Allowance;
use self::queue::Queue;
use super::seldom::Seldom;

/// How often the log says that spans are dropped.
const DROPPED_SAID_EVERY: Duration = Duration::from_secs(30);

/// Where spans are exported to, and what is said there of this gateway.
#[derive(Clone, PartialEq, Eq)]
pub struct Collector {
    /// `http://host:port`, or `https://`.
    pub url: String,
    /// Sent with each request; they may be secrets.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    pub service_name: String,
    /// At most so many calls in so long are traced beyond the share that is sampled.
    pub unsampled_max: (u32, Duration),
}

/// Takes spans of calls that have ended. There is one in a gateway, which outlives its tables.
pub struct Tracer {
    collector: ArcSwapOption<Collector>,
    /// Told when there is another one.
    changed: Notify,
    queue: Queue,
    allowance: Allowance,
    /// Written on the data path and by the exporter, read by metrics.
    dropped: AtomicU64,
    said: Seldom,
}

// === impl Tracer ===

impl Tracer {
    /// From now on spans are exported there; nothing: nowhere.
    pub fn export_to(&self, collector: Option<Arc<Collector>>) {
        if self.collector.load().as_deref() == collector.as_deref() {
            return;
        }
        if let Some(collector) = &collector {
            self.allowance.set(collector.unsampled_max);
        }
        self.collector.store(collector);
        self.changed.notify_one();
    }

    /// Whether one more call may be traced that is not of the share; it counts as traced then.
    pub fn allows_another(&self) -> bool {
        self.allowance.take()
    }

    /// Takes all spans of a call, or none.
    pub fn offer(&self, spans: Vec<Span>) {
        let count = spans.len();
        if !self.queue.push(spans) {
            self.drop_spans(count, "more spans than can be exported");
        }
    }

    /// How many spans were to be exported and were not.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    fn drop_spans(&self, count: usize, why: &str) {
        self.dropped.fetch_add(count as u64, Ordering::Relaxed);
        if count > 0 && self.said.happened().is_some() {
            let collector = self.collector.load().as_ref().map_or_else(|| "none".to_owned(), |collector| collector.url.clone());
            warn!(collector, dropped = self.dropped(), why, "spans of calls are dropped");
        }
    }
}

impl Default for Tracer {
    fn default() -> Tracer {
        Tracer {
            collector: ArcSwapOption::empty(),
            changed: Notify::new(),
            queue: Queue::default(),
            allowance: Allowance::default(),
            dropped: AtomicU64::new(0),
            said: Seldom::new(DROPPED_SAID_EVERY),
        }
    }
}

#[cfg(test)]
mod tests;
